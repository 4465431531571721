//! Whose credentials go where.

use longshore::model::{Digest, Reference};
use longshore::transport::{Exchange, ScriptedTransport, TestClock};
use longshore::{Client, DockerConfig, ErrorKind};

/// A key with a path is for what lies below it, and for nothing else on the same registry.
#[tokio::test]
async fn cr2_credentials_for_a_part_of_a_registry_stay_in_it() {
    let digest = Digest::sha256(b"content");
    let blob = |repository: &str, status| {
        let uri = format!("https://r.example/v2/{repository}/blobs/{digest}");
        let get = Exchange::new("GET", &uri, status);
        if status == 200 {
            get.body("content")
        } else {
            get.header("www-authenticate", "Basic realm=\"r\"")
        }
    };
    // "u:2" and "u:3" in base64.
    let transport = ScriptedTransport::new([
        blob("team/x", 401).lacks("authorization"),
        blob("team/x", 200).wants("authorization", "Basic dToy"),
        // The client knows by now that the registry wants Basic.
        blob("team/app", 200).wants("authorization", "Basic dToz"),
        blob("teams", 401).lacks("authorization"),
    ]);
    let config = r#"{"auths":{"r.example/team":{"auth":"dToy"},
        "r.example/team/app":{"auth":"dToz"}}}"#;
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .credentials(DockerConfig::parse(config.as_bytes()).unwrap())
        .build()
        .unwrap();
    for (repository, expected) in [
        ("team/x", Ok("content")),
        ("team/app", Ok("content")),
        ("teams", Err(ErrorKind::Auth)),
    ] {
        let reference: Reference = format!("r.example/{repository}:1").parse().unwrap();
        let repository = client.repository(&reference).await.unwrap();
        let blob = repository.blob(&digest, None).unwrap().bytes(9).await;
        let found = blob.as_deref().map_err(longshore::Error::kind);
        assert_eq!(found, expected.map(str::as_bytes), "{reference}");
    }
    transport.finish();
}
