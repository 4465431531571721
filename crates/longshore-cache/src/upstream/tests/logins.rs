//! Refused credentials.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use longshore::{Credential, CredentialError, CredentialSource};
use longshore_testkit::ScriptedResponse;
use longshore_testkit::registry::{Misbehaviour, Part};
use longshore_testkit::token::TokenServer;

use super::*;

/// A source whose password can be changed. It counts the queries.
#[derive(Clone, Default)]
struct Changing {
    password: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Changing {
    fn new(password: &str) -> Self {
        let source = Self::default();
        source.change(password);
        source
    }

    fn change(&self, password: &str) {
        password.clone_into(&mut self.password.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl CredentialSource for Changing {
    async fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let password = self.password.lock().unwrap().clone();
        Ok(Some(Credential::basic("ahab", password.into()).unwrap()))
    }
}

/// A registry whose tokens are issued to `ahab` with the password `right`, and to no one else.
fn public() -> (Registry, TokenServer) {
    let tokens = TokenServer::builder().user("ahab", "right").anonymous();
    let tokens = tokens.start().unwrap();
    let registry = Registry::builder().bearer(&tokens);
    let registry = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .fold(registry, |registry, name| {
            registry.image(name, "v1", &image::single(7))
        });
    (registry.start().unwrap(), tokens)
}

fn with(registry: &Registry, source: &Changing) -> (Upstream, TestClock) {
    let (builder, clock) = builder(&registry.url());
    (builder.credentials(source.clone()).build().unwrap(), clock)
}

/// The same, with a token endpoint on another port.
fn trusting(
    (registry, tokens): &(Registry, TokenServer),
    source: &Changing,
) -> (Upstream, TestClock) {
    let (builder, clock) = builder(&registry.url());
    let realm = tokens.realm().trim_end_matches("/token").parse().unwrap();
    let builder = builder.allow_realm(realm).credentials(source.clone());
    (builder.build().unwrap(), clock)
}

async fn read(upstream: &Upstream, name: &str) -> Result<bool, UpstreamErrorKind> {
    let name = name.parse().unwrap();
    let pulled = upstream.manifest(&name, &v1(), Patience::Normal).await;
    pulled.map(|it| it.is_some()).map_err(|error| error.kind())
}

fn logins(tokens: &TokenServer) -> usize {
    tokens.requests().count(|request| request.is_authorized())
}

#[tokio::test]
async fn a_wrong_password_causes_one_login_for_a_repository_and_access_stays_anonymous() {
    let (servers, source) = (public(), Changing::new("wrong"));
    let ((upstream, clock), (registry, tokens)) = (trusting(&servers, &source), &servers);
    for _ in 0..20 {
        assert_eq!(read(&upstream, "a").await, Ok(true));
        // Issued tokens are not reused, so that each call needs a new one.
        registry.revoke_tokens();
    }
    assert_eq!(logins(tokens), 1);
    assert!(upstream.health().credentials_refused);
    // One look-up, and one more after the refusal (CR7).
    assert_eq!(source.asked(), 2);
    // The refusal for one repository is remembered only for some time.
    clock.advance(REFUSAL_KEPT);
    assert_eq!(read(&upstream, "a").await, Ok(true));
    assert_eq!(logins(tokens), 2);
    assert!(!registry.requests().hold("wrong"));
}

#[tokio::test]
async fn a_wrong_password_causes_three_logins_for_any_number_of_repositories() {
    let (servers, source) = (public(), Changing::new("wrong"));
    let ((upstream, clock), (registry, tokens)) = (trusting(&servers, &source), &servers);
    for _ in 0..3 {
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert_eq!(read(&upstream, name).await, Ok(true), "{name}");
            registry.revoke_tokens();
        }
        clock.advance(REFUSAL_KEPT);
    }
    assert_eq!(logins(tokens), REFUSALS_IN_A_ROW);
    assert!(upstream.health().credentials_refused);
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_login() {
    let (servers, source) = (public(), Changing::new("wrong"));
    let ((upstream, _), (_, tokens)) = (trusting(&servers, &source), &servers);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let upstream = upstream.clone();
        calls.spawn(async move { read(&upstream, "a").await });
    }
    assert_eq!(calls.join_all().await, vec![Ok(true); 20]);
    assert_eq!(logins(tokens), 1);
    assert_eq!(source.asked(), 2);
}

#[tokio::test]
async fn cr11_a_source_that_does_not_work_is_not_asked_with_each_request() {
    #[derive(Clone, Default)]
    struct Broken(Arc<AtomicUsize>);
    impl CredentialSource for Broken {
        async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(CredentialError::unavailable(registry, "no such program"))
        }
    }
    let ((registry, _tokens), source) = (public(), Broken::default());
    let (builder, clock) = builder(&registry.url());
    let upstream = builder.credentials(source.clone()).build().unwrap();
    for _ in 0..5 {
        assert_eq!(read(&upstream, "a").await, Ok(true));
    }
    assert_eq!(source.0.load(Ordering::SeqCst), 1);
    clock.advance(CREDENTIAL_KEPT);
    assert_eq!(read(&upstream, "a").await, Ok(true));
    assert_eq!(source.0.load(Ordering::SeqCst), 2);
    assert!(!upstream.health().credentials_refused);
}

#[tokio::test]
async fn another_password_or_a_reload_ends_the_memory_of_a_refusal() {
    let (servers, source) = (public(), Changing::new("wrong"));
    let ((upstream, clock), (registry, tokens)) = (trusting(&servers, &source), &servers);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(read(&upstream, name).await, Ok(true));
    }
    assert_eq!(logins(tokens), 3);
    source.change("right");
    registry.revoke_tokens();
    clock.advance(CREDENTIAL_KEPT);
    assert_eq!(read(&upstream, "a").await, Ok(true));
    assert_eq!(logins(tokens), 4);
    assert!(!upstream.health().credentials_refused);
    source.change("wrong again");
    registry.revoke_tokens();
    upstream.reload();
    assert_eq!(read(&upstream, "a").await, Ok(true));
    assert_eq!(logins(tokens), 5);
    assert!(upstream.health().credentials_refused);
    registry.revoke_tokens();
    upstream.reload();
    assert!(!upstream.health().credentials_refused);
    assert_eq!(read(&upstream, "a").await, Ok(true));
    assert_eq!(logins(tokens), 6);
}

#[tokio::test]
async fn a_source_is_asked_at_most_once_a_minute() {
    let (servers, source) = (public(), Changing::new("right"));
    let (upstream, clock) = trusting(&servers, &source);
    for _ in 0..5 {
        assert_eq!(read(&upstream, "a").await, Ok(true));
    }
    assert_eq!(source.asked(), 1);
    clock.advance(CREDENTIAL_KEPT);
    assert_eq!(read(&upstream, "a").await, Ok(true));
    assert_eq!(source.asked(), 2);
}

// Some token endpoints say 403 for a repository that the account may not read.
#[tokio::test]
async fn a_repository_that_is_denied_does_not_affect_the_others() {
    let (servers, source) = (public(), Changing::new("right"));
    let ((upstream, _), (registry, tokens)) = (trusting(&servers, &source), &servers);
    assert_eq!(read(&upstream, "a").await, Ok(true));
    for name in ["b", "c", "d", "e"] {
        let denied = ScriptedResponse::status(StatusCode::FORBIDDEN);
        tokens.answer_next(denied);
        assert_eq!(read(&upstream, name).await, Ok(true), "{name}");
        registry.revoke_tokens();
        assert_eq!(read(&upstream, "a").await, Ok(true));
        registry.revoke_tokens();
    }
    assert!(!upstream.health().credentials_refused);
    let before = logins(tokens);
    assert_eq!(read(&upstream, "f").await, Ok(true));
    assert_eq!(logins(tokens), before + 1);
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_to_a_registry_that_demands_it() {
    let registry = Registry::builder().basic("ahab", "right");
    let registry = started(registry);
    let source = Changing::new("wrong");
    let (upstream, clock) = with(&registry, &source);
    for _ in 0..10 {
        assert_eq!(read(&upstream, "app").await, Err(UpstreamErrorKind::Denied));
    }
    let sent = |registry: &Registry| registry.requests().count(|it| it.is_authorized());
    assert_eq!(sent(&registry), 1);
    assert!(upstream.health().credentials_refused);
    source.change("right");
    clock.advance(CREDENTIAL_KEPT);
    assert_eq!(read(&upstream, "app").await, Ok(true));
    assert!(!upstream.health().credentials_refused);
}

// CR7: as a credential helper whose answer expires without notice (ECR: after 12 hours, with 403).
#[tokio::test]
async fn cr7_a_source_is_asked_once_more_after_a_refusal_before_it_is_remembered() {
    let registry = started(Registry::builder().basic("ahab", "first"));
    let source = Changing::new("first");
    let (upstream, _) = with(&registry, &source);
    assert_eq!(read(&upstream, "app").await, Ok(true));
    assert_eq!(source.asked(), 1);
    let expired = concat!(
        r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. "#,
        r#"Reauthenticate and try again."}]}"#,
    );
    let expired = ScriptedResponse::status(StatusCode::FORBIDDEN).body(expired.as_bytes().to_vec());
    let expired = Misbehaviour::Response(Box::new(expired));
    let rule = Rule::on(Part::Manifest, expired).times(1);
    registry.misbehave(rule);
    registry.requests().clear();
    // The helper gives another answer by now, which the registry refuses.
    source.change("second");
    assert_eq!(read(&upstream, "app").await, Err(UpstreamErrorKind::Denied));
    assert_eq!(source.asked(), 2);
    let sent = registry.requests().count(|it| it.is_authorized());
    assert_eq!(sent, 2);
    assert!(upstream.health().credentials_refused);
    for _ in 0..5 {
        assert_eq!(read(&upstream, "app").await, Err(UpstreamErrorKind::Denied));
    }
    assert_eq!(registry.requests().count(|it| it.is_authorized()), 2);
}
