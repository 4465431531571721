//! Whose credentials go where.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use longshore::model::{Digest, Reference};
use longshore::origin::Secret;
use longshore::transport::{Exchange, ScriptedTransport, TestClock};
use longshore::{
    Client, Credential, CredentialError, CredentialSource, DockerConfig, DockerCredentials, Error,
    ErrorKind, HostSettings, Notice, OneCredential,
};

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
    let config = DockerConfig::parse(config.as_bytes()).unwrap();
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .credentials(DockerCredentials::new([config]))
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
        let found = blob.as_deref().map_err(Error::kind);
        assert_eq!(found, expected.map(str::as_bytes), "{reference}");
    }
    transport.finish();
}

// CR2: host names are compared without regard to case.
#[tokio::test]
async fn a_registry_is_found_in_whatever_case_it_is_written() {
    let digest = Digest::sha256(b"content");
    let uri = format!("http://r.example/v2/app/blobs/{digest}");
    // "u:1" in base64.
    let transport = ScriptedTransport::new([
        Exchange::new("GET", &uri, 401).header("www-authenticate", "Basic realm=\"r\""),
        Exchange::new("GET", &uri, 200)
            .wants("authorization", "Basic dTox")
            .body("content"),
    ]);
    let credential = Credential::basic("u", Secret::new("1".to_owned())).unwrap();
    let mut settings = HostSettings::default();
    settings.plain_http = true;
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .host("R.Example", settings)
        .credentials(OneCredential::new("r.EXAMPLE", credential))
        .build()
        .unwrap();
    let reference: Reference = "R.example/app:1".parse().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let blob = repository.blob(&digest, None).unwrap().bytes(9).await;
    assert_eq!(blob.unwrap(), "content");
    transport.finish();
}

// CR12, OU3
#[tokio::test]
async fn ou3_an_error_about_a_name_with_a_password_does_not_repeat_it() {
    let client = Client::builder()
        .transport(ScriptedTransport::new([]))
        .clock(TestClock::default())
        .build()
        .unwrap();
    for name in ["me:hunter2@r.example", "https://me:hunter2@r.example/"] {
        let error = client.ping(name).await.unwrap_err();
        let shown = format!("{error} {error:?} {}", error.registry());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(error.registry().contains("REDACTED@r.example"), "{shown}");
    }
}

/// A source whose answer changes: `u:1`, `u:2` and so on in the order of the look-ups.
#[derive(Clone, Default)]
struct Changing {
    lookups: Arc<AtomicUsize>,
    /// The last password; further look-ups give the same.
    last: usize,
}

impl CredentialSource for Changing {
    async fn lookup(&self, _: &str) -> Result<Option<Credential>, CredentialError> {
        let number = self.lookups.fetch_add(1, Ordering::SeqCst) + 1;
        let password = Secret::new(number.min(self.last).to_string());
        Ok(Some(Credential::basic("u", password).unwrap()))
    }

    fn is_renewable(&self, _: &str) -> bool {
        true
    }
}

/// A source that does not work.
struct Broken;

impl CredentialSource for Broken {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        Err(CredentialError::unavailable(
            registry,
            "the keychain is locked",
        ))
    }
}

/// Reads the same blob this often.
async fn read(
    transport: &ScriptedTransport,
    source: impl CredentialSource,
    times: usize,
) -> (Vec<Result<(), Error>>, Vec<String>) {
    let notices = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&notices);
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .on_notice(move |notice: &Notice| told.lock().unwrap().push(notice.to_string()))
        .credentials(source)
        .build()
        .unwrap();
    let reference: Reference = "r.example/app:1".parse().unwrap();
    let mut results = Vec::new();
    for _ in 0..times {
        let repository = client.repository(&reference).await.unwrap();
        let blob = repository.blob(&Digest::sha256(b"content"), None).unwrap();
        results.push(blob.bytes(9).await.map(drop));
    }
    let notices = notices.lock().unwrap().clone();
    (results, notices)
}

fn blob(status: u16) -> Exchange {
    let digest = Digest::sha256(b"content");
    let uri = format!("https://r.example/v2/app/blobs/{digest}");
    let get = Exchange::new("GET", &uri, status);
    match status {
        200 => get.body("content"),
        401 => get.header("www-authenticate", "Basic realm=\"r\""),
        _ => get,
    }
}

// CR7: the answers of credential helpers do not say when they expire.
#[tokio::test]
async fn cr7_a_refused_answer_of_a_renewable_source_is_looked_up_once_more() {
    // "u:1" and "u:2" in base64.
    let transport = ScriptedTransport::new([
        blob(401).lacks("authorization"),
        blob(401).wants("authorization", "Basic dTox"),
        blob(200).wants("authorization", "Basic dToy"),
    ]);
    let source = Changing {
        last: 9,
        ..Changing::default()
    };
    let (results, _) = read(&transport, source.clone(), 1).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(source.lookups.load(Ordering::SeqCst), 2);
    transport.finish();

    let transport = ScriptedTransport::new([
        blob(401).lacks("authorization"),
        blob(401).wants("authorization", "Basic dTox"),
    ]);
    let source = Changing {
        last: 1,
        ..Changing::default()
    };
    let (results, _) = read(&transport, source.clone(), 1).await;
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.had_credentials());
    assert_eq!(source.lookups.load(Ordering::SeqCst), 2);
    transport.finish();
}

/// A refusal that asks for a token.
fn asked() -> Exchange {
    let digest = Digest::sha256(b"content");
    let uri = format!("https://r.example/v2/app/blobs/{digest}");
    let challenge = "Bearer realm=\"https://r.example/token\"";
    Exchange::new("GET", &uri, 401).header("www-authenticate", challenge)
}

/// A token for anonymous users.
fn token() -> Exchange {
    let uri = "https://r.example/token?scope=repository%3Aapp%3Apull";
    let request = Exchange::new("GET", uri, 200).lacks("authorization");
    request.body(r#"{"token":"t","expires_in":300}"#)
}

#[tokio::test]
async fn cr11_a_source_that_does_not_work_does_not_stop_an_anonymous_read() {
    let transport = ScriptedTransport::new([
        asked(),
        token(),
        blob(200).wants("authorization", "Bearer t"),
        blob(200).wants("authorization", "Bearer t"),
    ]);
    let (results, notices) = read(&transport, Broken, 2).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let warning = "no credentials are sent to r.example: the keychain is locked";
    assert_eq!(notices, [warning]);
    transport.finish();
}

#[tokio::test]
async fn cr11_an_error_about_missing_credentials_has_the_failed_source_as_cause() {
    for (answers, kind) in [
        (vec![blob(401)], ErrorKind::Auth),
        (vec![asked(), token(), blob(403)], ErrorKind::Denied),
    ] {
        let transport = ScriptedTransport::new(answers);
        let (results, _) = read(&transport, Broken, 1).await;
        let error = results.into_iter().next().unwrap().unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!error.had_credentials());
        let source = error.source().unwrap();
        let reason = "the credentials for r.example cannot be read";
        assert_eq!(source.to_string(), reason);
        let why = source.source().unwrap().to_string();
        assert_eq!(why, "the keychain is locked");
        transport.finish();
    }
}

// CR11 (a helper that fails is an error for writes)
#[tokio::test]
async fn cr11_nothing_is_written_without_credentials_when_the_source_does_not_work() {
    let delete = || {
        let uri = "https://r.example/v2/app/manifests/1";
        let refused = Exchange::new("DELETE", uri, 401);
        refused.header(
            "www-authenticate",
            "Bearer realm=\"https://r.example/token\"",
        )
    };
    // The second time the challenge is known, and so is the failure of the source, so nothing is
    // sent. A read in between is anonymous.
    let transport = ScriptedTransport::new([
        delete(),
        asked(),
        token(),
        blob(200).wants("authorization", "Bearer t"),
    ]);
    let client = Client::builder().transport(transport.clone());
    let client = client.clock(TestClock::default()).credentials(Broken);
    let client = client.build().unwrap();
    let reference: Reference = "r.example/app:1".parse().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    for reads in [true, false] {
        let error = repository.delete_tag(&"1".parse().unwrap()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.missing_credentials().is_some());
        assert_eq!(
            format!("{error:?}"),
            "cannot delete manifest 1 of app from r.example: no credentials: the credentials for \
             r.example cannot be read: the keychain is locked"
        );
        if reads {
            let blob = repository.blob(&Digest::sha256(b"content"), None).unwrap();
            assert_eq!(blob.bytes(9).await.unwrap(), "content");
        }
    }
    transport.finish();
}
