//! What a source of credentials is told, and settings that are secrets.

use std::sync::{Arc, Mutex};

use http::HeaderValue;
use longshore::origin::Secret;
use longshore::transport::Sensitivity;
use longshore::{Credential, CredentialError, CredentialSource, DynCredentials, HostSettings};

use crate::auth::{CHALLENGE, unauthorized};
use crate::support::{
    AUTH, EVIL, HOME, MANIFEST, Net, PASSWORD, USER, app, basic, builder, reference, reply,
};

/// A source that gives these passwords in turn, and keeps what it is told.
#[derive(Clone, Default)]
struct Listening {
    passwords: Arc<Mutex<Vec<&'static str>>>,
    told: Arc<Mutex<Vec<String>>>,
    renewable: bool,
}

impl CredentialSource for Listening {
    async fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        let password = self.passwords.lock().unwrap().pop();
        Ok(password.map(|it| Credential::basic(USER, Secret::new(it.to_owned())).unwrap()))
    }

    fn is_renewable(&self, _registry: &str) -> bool {
        self.renewable
    }

    fn refused(&self, registry: &str, repository: Option<&str>, credential: &Credential) {
        let Credential::Basic { password, .. } = credential else {
            panic!("{credential:?}");
        };
        let told = format!("{registry} {repository:?} {}", password.expose());
        self.told.lock().unwrap().push(told);
    }
}

#[tokio::test]
async fn cr7_a_source_learns_which_credential_was_refused() {
    let told = |password: &str| format!("r.example.com Some(\"app\") {password}");
    for (renewable, given, expected) in [
        (false, vec!["old"], vec![told("old")]),
        (true, vec!["new", "old"], vec![told("old"), told("new")]),
        (true, vec![PASSWORD, "old"], vec![told("old")]),
    ] {
        let net = Net::serving(|seen| match seen.header("authorization") {
            Some(crate::support::BASIC) => reply(200, &[], MANIFEST),
            _ => unauthorized("Basic realm=\"r\""),
        });
        let works = given.contains(&PASSWORD);
        let source = Listening {
            passwords: Arc::new(Mutex::new(given)),
            renewable,
            ..Listening::default()
        };
        let client = builder(&net).credentials(DynCredentials::new(source.clone()));
        let pulled = app(client.build().unwrap()).await;
        let pulled = pulled.manifest(&"v1".parse().unwrap()).await;
        assert_eq!(pulled.is_ok(), works);
        assert_eq!(*source.told.lock().unwrap(), expected);
    }
}

#[tokio::test]
async fn cr10_a_configured_header_is_a_secret_of_its_origin() {
    let net = Net::serving(|seen| {
        let is_home = seen.uri.starts_with(HOME);
        match seen.header("authorization") {
            None if is_home => unauthorized(CHALLENGE),
            Some(_) if is_home => reply(307, &[("location", "https://evil.example.net/m")], ""),
            _ if seen.uri.starts_with(AUTH) => reply(200, &[], r#"{"token":"t"}"#),
            _ => reply(200, &[], MANIFEST),
        }
    });
    let mut settings = HostSettings::default();
    let value = HeaderValue::from_static("s3cret");
    settings.headers.insert("x-gateway", value);
    settings
        .headers
        .insert("accept", HeaderValue::from_static("text/html"));
    let client = builder(&net).host("r.example.com", settings);
    let app = app(client.credentials(basic()).build().unwrap()).await;
    app.manifest(&"v1".parse().unwrap()).await.unwrap();
    net.was_never_told(AUTH, &["s3cret"]);
    net.was_never_told(EVIL, &["s3cret"]);
    let home: Vec<_> = net
        .seen()
        .into_iter()
        .filter(|it| it.uri.starts_with(HOME))
        .collect();
    assert_eq!(home.len(), 2);
    for seen in home {
        assert_eq!(seen.header("x-gateway"), Some("s3cret"));
        assert_ne!(seen.header("accept"), Some("text/html"));
        assert_eq!(seen.sensitivity, Sensitivity::Secret);
    }
}

#[tokio::test]
async fn a_client_with_fewer_attempts_shares_tokens_and_challenges() {
    let net = Net::serving(|seen| {
        if seen.uri.starts_with(AUTH) {
            return reply(200, &[], r#"{"token":"t"}"#);
        }
        match seen.header("authorization") {
            None => unauthorized(CHALLENGE),
            Some(_) if seen.uri.ends_with("v2") => reply(503, &[], ""),
            Some(_) => reply(200, &[], MANIFEST),
        }
    });
    let client = builder(&net).build().unwrap();
    let app = client
        .repository(&reference("r.example.com/app"))
        .await
        .unwrap();
    app.manifest(&"v1".parse().unwrap()).await.unwrap();
    assert_eq!((net.count(HOME), net.count(AUTH)), (2, 1));
    let name = app.name();
    let once = client.with_attempts(1);
    let once = once.repository_of("r.example.com", name).await.unwrap();
    let error = once.manifest(&"v2".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.attempts(), 1);
    assert_eq!((net.count(HOME), net.count(AUTH)), (3, 1));
    let error = app.manifest(&"v2".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.attempts(), 5);
}

#[tokio::test]
async fn a_registry_may_have_a_name_that_no_reference_has() {
    let net = Net::serving(|_| reply(200, &[], MANIFEST));
    let client = builder(&net).build().unwrap();
    let name = "app".parse().unwrap();
    let app = client.repository_of("registry", &name).await.unwrap();
    app.manifest(&"v1".parse().unwrap()).await.unwrap();
    assert_eq!(net.lines(), ["GET https://registry/v2/app/manifests/v1"]);
}
