use super::*;

use longshore_origin::{AddressRange, AllowAddresses};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

// RE3, RD2
#[test]
fn re3_only_permitted_addresses_are_tried() {
    let public = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow: AllowAddresses::default(),
    };
    let allowing = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow: ["10.0.0.0/8".parse::<AddressRange>().unwrap()]
            .into_iter()
            .collect(),
    };
    check(
        &public,
        &["127.0.0.1:1", "1.1.1.1:1", "10.0.0.1:1"],
        Ok(&["1.1.1.1:1"]),
    );
    check(
        &public,
        &["127.0.0.1:1", "[::1]:1"],
        Err(TransportErrorKind::AddressRefused),
    );
    check(
        &public,
        &["[::ffff:127.0.0.1]:1"],
        Err(TransportErrorKind::AddressRefused),
    );
    check(
        &allowing,
        &["169.254.169.254:1", "10.0.0.1:1"],
        Ok(&["10.0.0.1:1"]),
    );
    check(
        &AddressPolicy::Any,
        &["169.254.1.1:1"],
        Ok(&["169.254.1.1:1"]),
    );
}

#[test]
fn families_take_turns_and_the_resolver_chooses_the_first() {
    check(
        &AddressPolicy::Any,
        &["[2001::1]:1", "[2001::2]:1", "[2001::3]:1", "1.1.1.1:1"],
        Ok(&["[2001::1]:1", "1.1.1.1:1", "[2001::2]:1", "[2001::3]:1"]),
    );
    check(
        &AddressPolicy::Any,
        &["1.1.1.1:1", "[2001::1]:1", "[2001::2]:1"],
        Ok(&["1.1.1.1:1", "[2001::1]:1", "[2001::2]:1"]),
    );
    let many = vec!["1.1.1.1:1"; ADDRESS_LIMIT + 1];
    check(&AddressPolicy::Any, &many, Ok(&many[..ADDRESS_LIMIT]));
}

// RE3
#[test]
fn re3_behind_a_proxy_literals_and_loopback_names_are_checked() {
    let public = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow: AllowAddresses::default(),
    };
    for (origin, passes) in [
        ("https://registry.example", true),
        ("https://1.1.1.1", true),
        ("https://10.0.0.1", false),
        ("https://localhost", false),
        ("https://x.localhost", false),
        ("https://[::1]", false),
    ] {
        let checked = check_known(&public, &origin.parse().unwrap());
        assert_eq!(checked.is_ok(), passes, "{origin}");
    }
}

fn check(policy: &AddressPolicy, found: &[&str], expected: Result<&[&str], TransportErrorKind>) {
    let found = found.iter().map(|a| a.parse().unwrap()).collect();
    let actual: Result<Vec<_>, _> = permitted(found, policy)
        .map(|addresses| addresses.iter().map(ToString::to_string).collect())
        .map_err(|error| error.kind());
    assert_eq!(
        actual,
        expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect())
    );
}

fn shared(look_up: fn(&str, u16) -> io::Result<Vec<SocketAddr>>, proxy: ProxySettings) -> Shared {
    Shared {
        connect_timeout: LIMIT,
        handshake_timeout: LIMIT,
        look_up,
        proxy,
        tls: HashMap::new(),
    }
}

// CR4
#[tokio::test]
async fn cr4_the_names_of_this_machine_are_not_asked_for() {
    let shared = shared(
        |host, _| panic!("{host} was asked for"),
        ProxySettings::none(),
    );
    for host in ["localhost:7", "no-such-name.localhost:7"] {
        let origin = Origin::from_authority(Scheme::Http, host).unwrap();
        let found = shared.resolve(&origin).await.unwrap();
        let expected: [SocketAddr; 2] =
            ["127.0.0.1:7".parse().unwrap(), "[::1]:7".parse().unwrap()];
        assert_eq!(found, expected, "{host}");
    }
}

// RE3: where this machine resolves the name, it checks the addresses.
#[tokio::test]
async fn re3_the_address_policy_applies_to_names_behind_a_socks5_proxy() {
    let look_up = |host: &str, port| {
        let addresses: &[[u8; 4]] = match host {
            "mixed.example" => &[[10, 0, 0, 1], [1, 1, 1, 1]],
            _ => &[[10, 0, 0, 1]],
        };
        let addresses = addresses.iter().map(|it| SocketAddr::from((*it, port)));
        Ok(addresses.collect())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("socks5://{}", listener.local_addr().unwrap());
    let proxy = ProxySettings::url(&url, "").unwrap();
    let connector = Connector {
        shared: Arc::new(shared(look_up, proxy)),
        policy: AddressPolicy::AtLeast {
            class: AddressClass::Public,
            allow: AllowAddresses::default(),
        },
        identity: TlsIdentity::default(),
        offer: Offer::Http1,
    };
    let uri = Uri::from_static("http://private.example/");
    let error = connector.connect(&uri).await.unwrap_err();
    assert_eq!(error.kind(), TransportErrorKind::AddressRefused);

    let uri = Uri::from_static("http://mixed.example:5000/");
    let connecting = tokio::spawn(async move { connector.connect(&uri).await.map(drop) });
    // The first connection belongs to the refused request, and carries no request to the proxy.
    let (mut refused, _) = listener.accept().await.unwrap();
    assert_eq!(refused.read(&mut [0]).await.unwrap(), 0);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut message = [0; 10];
    stream.read_exact(&mut message[..3]).await.unwrap();
    stream.write_all(&[5, 0]).await.unwrap();
    stream.read_exact(&mut message).await.unwrap();
    assert_eq!(message, [5, 1, 0, 1, 1, 1, 1, 1, 0x13, 0x88]);
    stream
        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    connecting.await.unwrap().unwrap();
}

// A runtime that is dropped would wait for a look-up on a blocking thread of its own.
#[test]
fn a_name_server_that_is_silent_does_not_keep_a_program_from_ending() {
    let (_silent, never) = std::sync::mpsc::channel::<()>();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    let found = runtime.block_on(abandonable(Duration::from_millis(1), move || {
        let _ = never.recv();
        Ok(())
    }));
    let error = found.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "the name server does not answer");
    // Waits for every blocking task. The look-up ends only after the test.
    drop(runtime);
}

/// A limit that no look-up in these tests reaches.
const LIMIT: Duration = Duration::from_secs(60);
