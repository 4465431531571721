//! Where a registry may not send its clients, whatever the address is dressed up as.
#![expect(clippy::unwrap_used, reason = "in a test, panicking is how to fail")]

use longshore::model::{Digest, Reference};
use longshore::origin::{AddressClass, Peer};
use longshore::transport::{Exchange, ScriptedTransport, TestClock};
use longshore::{Client, ErrorKind};

/// The script holds one exchange, with the registry: a request to anywhere else would fail it.
async fn check(address: &str, class: AddressClass) {
    let digest = Digest::sha256(b"content");
    let transport = ScriptedTransport::new([Exchange::new(
        "GET",
        &format!("https://r.example/v2/app/blobs/{digest}"),
        307,
    )
    .header("location", &format!("https://{address}/blob"))
    .fact(Peer::new(Some(class), false))]);
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .build()
        .unwrap();
    let reference: Reference = "r.example/app:1".parse().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let error = repository.blob(&digest, None).unwrap().bytes(9).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Protocol, "{address}");
    transport.finish();
}

#[tokio::test]
async fn rd2_a_public_registry_leads_to_no_narrower_address() {
    for address in [
        "10.0.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "[64:ff9b:1::10.0.0.1]",
        "[64:ff9b:1:a00:0:100::]",
        "[2001:0:4136:e378:8000:63bf:f5ff:fffe]",
        "[::ffff:0:127.0.0.1]",
    ] {
        check(address, AddressClass::Public).await;
    }
}

#[tokio::test]
async fn rd2_no_registry_leads_to_a_metadata_service() {
    for address in [
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[fd00:42::42]",
        "[fd00:c1::a9fe:a9fe]",
        "[fd00:a9fe:a9fe::1]",
        "[fd00:100::100:200]",
        "[64:ff9b:1::169.254.169.254]",
    ] {
        for class in [
            AddressClass::Public,
            AddressClass::Private,
            AddressClass::Loopback,
        ] {
            check(address, class).await;
        }
    }
}
