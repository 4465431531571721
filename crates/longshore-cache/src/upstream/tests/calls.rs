//! Documents and lists, absence and failure, and the texts of errors.

use std::error::Error as _;

use http::{HeaderName, HeaderValue, StatusCode};
use longshore::{Credential, CredentialError, CredentialSource, OneCredential};
use longshore_model::Algorithm;
use longshore_testkit::registry::{Misbehaviour, Part};
use longshore_transport::{Exchange, ScriptedTransport};

use super::*;

#[tokio::test]
async fn what_exists_is_found_and_the_rest_is_absent() {
    let tree = image::single(7);
    let registry = registry();
    registry
        .contents()
        .attach("app", &image::attached(8, &tree));
    let (builder, _) = builder(&registry.url());
    let (builder, reported) = reporting(builder);
    let upstream = builder.build().unwrap();
    let (normal, none): (_, TagOrDigest) = (Patience::Normal, "none".parse().unwrap());
    upstream.ping().await.unwrap();
    let head = upstream.manifest_head(&app(), &v1(), normal).await.unwrap();
    assert_eq!(head.unwrap().digest.as_ref(), Some(tree.digest()));
    let pulled = upstream.manifest(&app(), &v1(), normal).await.unwrap();
    assert_eq!(&pulled.unwrap().digest, tree.digest());
    assert!(
        upstream
            .manifest_head(&app(), &none, normal)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        upstream
            .manifest(&app(), &none, normal)
            .await
            .unwrap()
            .is_none()
    );
    let other = Digest::sha256(b"other");
    assert!(
        upstream
            .blob_head(&app(), &other, normal)
            .await
            .unwrap()
            .is_none()
    );
    let tags = upstream.tags(&app()).await.unwrap();
    assert_eq!(tags.unwrap(), ["v1"]);
    let nowhere = "nowhere".parse().unwrap();
    assert_eq!(upstream.tags(&nowhere).await.unwrap(), None);
    let referrers = upstream.referrers(&app(), tree.digest()).await.unwrap();
    assert_eq!(referrers.len(), 1);
    assert_eq!(upstream.referrers(&app(), &other).await.unwrap(), []);
    let ended: Vec<_> = taken(&reported)
        .into_iter()
        .map(|(kind, _, outcome)| (kind.as_str(), outcome))
        .collect();
    let (found, absent) = (UpstreamOutcome::Found, UpstreamOutcome::Absent);
    assert_eq!(
        ended,
        [
            ("ping", found),
            ("manifest_head", found),
            ("manifest", found),
            ("manifest_head", absent),
            ("manifest", absent),
            ("blob_head", absent),
            ("tags", found),
            ("tags", absent),
            ("referrers", found),
            ("referrers", found),
        ]
    );
    let health = upstream.health();
    assert_eq!(health.last_failure, None);
    assert!(health.last_success.is_some());
}

#[tokio::test]
async fn mirrors_are_asked_first_and_the_registry_itself_decides() {
    let (empty, mirror, home) = (Registry::builder().start().unwrap(), registry(), registry());
    let (builder, _) = builder(&home.url());
    let builder = builder.mirror(&empty.url()).mirror(&mirror.url());
    let upstream = builder.build().unwrap();
    let pulled = upstream.manifest(&app(), &v1(), Patience::Normal).await;
    assert_eq!(&pulled.unwrap().unwrap().digest, image::single(7).digest());
    let asked = |registry: &Registry| registry.requests().len();
    assert_eq!((asked(&empty), asked(&mirror), asked(&home)), (1, 1, 0));
    let none = "none".parse().unwrap();
    let pulled = upstream.manifest(&app(), &none, Patience::Normal).await;
    assert!(pulled.unwrap().is_none());
    assert_eq!((asked(&empty), asked(&mirror), asked(&home)), (2, 2, 1));
    // A mirror may have only a part of a list.
    assert_eq!(upstream.tags(&app()).await.unwrap().unwrap(), ["v1"]);
    assert_eq!((asked(&empty), asked(&mirror), asked(&home)), (2, 2, 2));
    home.misbehave(Rule::always(Misbehaviour::Status(StatusCode::FORBIDDEN)));
    let pulled = upstream.manifest(&app(), &none, Patience::Normal).await;
    assert_eq!(pulled.unwrap_err().kind(), UpstreamErrorKind::Denied);
}

#[tokio::test]
async fn one_attempt_is_one_request() {
    let registry = registry();
    let unavailable = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    registry.misbehave(Rule::always(unavailable));
    let (upstream, clock) = upstream(&registry);
    for (patience, requests) in [(Patience::OneAttempt, 1), (Patience::Normal, 3)] {
        registry.requests().clear();
        let head = upstream.manifest_head(&app(), &v1(), patience).await;
        assert_eq!(head.unwrap_err().kind(), UpstreamErrorKind::Unavailable);
        assert_eq!(registry.requests().len(), requests, "{patience:?}");
        assert_eq!(clock.slept().len(), requests - 1);
    }
    registry.behave();
    assert!(head(&upstream).await.unwrap().is_some());
}

#[tokio::test]
async fn failures_have_a_kind_and_are_counted() {
    let registry = registry();
    let (upstream, clock) = upstream(&registry);
    let cases = [
        (
            Misbehaviour::Status(StatusCode::FORBIDDEN),
            UpstreamErrorKind::Denied,
            0,
        ),
        (
            Misbehaviour::Status(StatusCode::BAD_GATEWAY),
            UpstreamErrorKind::Unavailable,
            1,
        ),
        (Misbehaviour::HangUp, UpstreamErrorKind::Unavailable, 2),
        (Misbehaviour::Corrupt(20), UpstreamErrorKind::Invalid, 3),
    ];
    for (what, kind, failures) in cases {
        registry.behave();
        registry.misbehave(Rule::on(Part::Manifest, what));
        let error = pull(&upstream).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        let health = upstream.health();
        assert_eq!(health.consecutive_failures, failures, "{error:?}");
        assert_eq!(health.last_success, Some(clock.unix_time()));
    }
    let failure = upstream.health().last_failure.unwrap();
    assert_eq!(failure.kind, UpstreamErrorKind::Invalid);
    registry.behave();
    clock.advance(Duration::from_secs(5));
    assert!(pull(&upstream).await.unwrap().is_some());
    let health = upstream.health();
    assert_eq!(health.consecutive_failures, 0);
    assert_eq!(health.last_success, Some(clock.unix_time()));
    assert_eq!(health.last_failure, Some(failure));
}

// The digest in the header is a hint; the bytes decide.
#[tokio::test]
async fn dg2_a_digest_header_that_cannot_be_used_is_ignored() {
    let header = HeaderName::from_static("docker-content-digest");
    let sha512 = Digest::of(&Algorithm::Sha512, &image::single(7).document());
    let sha512 = sha512.unwrap().to_string();
    for what in [
        Misbehaviour::NoDigestHeader,
        Misbehaviour::Header(header.clone(), HeaderValue::from_static("sha256:what")),
        Misbehaviour::Header(header, HeaderValue::from_str(&sha512).unwrap()),
    ] {
        let registry = registry();
        registry.misbehave(Rule::on(Part::Manifest, what));
        let ((upstream, _), app) = (upstream(&registry), app());
        let digest = image::single(7).digest().clone();
        let by_digest = digest.clone().into();
        let pulled = upstream.manifest(&app, &by_digest, Patience::Normal);
        assert_eq!(pulled.await.unwrap().unwrap().digest, digest);
    }
}

#[tokio::test]
async fn an_upstream_that_is_offline_is_not_asked() {
    let registry = registry();
    let (builder, _) = builder(&registry.url());
    let (builder, reported) = reporting(builder.mirror(&registry.url()));
    let upstream = builder.offline(true).build().unwrap();
    assert!(upstream.is_offline());
    let (digest, normal) = (Digest::sha256(b""), Patience::Normal);
    let mut errors = vec![
        upstream.ping().await.unwrap_err(),
        upstream
            .manifest_head(&app(), &v1(), normal)
            .await
            .unwrap_err(),
        upstream.manifest(&app(), &v1(), normal).await.unwrap_err(),
        upstream
            .blob_head(&app(), &digest, normal)
            .await
            .unwrap_err(),
        upstream.tags(&app()).await.unwrap_err(),
        upstream.referrers(&app(), &digest).await.unwrap_err(),
    ];
    for mut frames in [
        upstream.blob(&app(), &digest, None, 0),
        upstream.blob_range(&app(), &digest, 10, 0, 1),
    ] {
        errors.push(frames.next().await.unwrap().unwrap_err());
        assert!(frames.next().await.is_none());
    }
    for error in errors {
        assert_eq!(error.kind(), UpstreamErrorKind::Offline);
        assert!(error.source().is_none());
    }
    assert_eq!(registry.requests().len(), 0);
    assert_eq!(taken(&reported), []);
    assert_eq!(upstream.health(), UpstreamHealth::default());
}

#[tokio::test]
async fn ca7_an_error_shows_neither_secrets_nor_challenges_nor_words_of_the_upstream() {
    let registry = Registry::builder().basic("ahab", "white-whale");
    let registry = started(registry.challenges(&["Basic realm=\"the-realm\""]));
    let credential = Credential::basic("ahab", "moby".to_owned().into()).unwrap();
    let source = OneCredential::new(&registry.authority(), credential);
    let (builder, _) = builder(&registry.url());
    let builder = builder.credentials(source);
    assert!(!format!("{builder:?}").contains("moby"));
    let upstream = builder.build().unwrap();
    let error = upstream.manifest(&app(), &v1(), Patience::Normal).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), UpstreamErrorKind::Denied);
    assert_eq!(
        error.to_string(),
        "upstream registry.example: cannot read manifest v1 of app: access is denied"
    );
    assert!(error.source().is_some());
    for shown in [format!("{error:?}"), format!("{upstream:?}")] {
        for secret in ["moby", "ahab", "the-realm"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert_eq!(error.upstream(), upstream.name());
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn the_api_of_docker_hub_is_at_another_host_and_its_credentials_are_not() {
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<String>>>);
    impl CredentialSource for Asked {
        async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
            self.0.lock().unwrap().push(registry.to_owned());
            Ok(None)
        }
    }
    let name: UpstreamName = "docker.io".parse().unwrap();
    let url = Upstream::default_url(&name);
    let ping = Exchange::new("GET", "https://registry-1.docker.io/v2/", 401)
        .header("www-authenticate", "Basic realm=\"r\"");
    let (transport, asked) = (ScriptedTransport::new([ping]), Asked::default());
    let upstream = Upstream::builder(name, &url)
        .transport(transport.clone())
        .clock(TestClock::default())
        .credentials(asked.clone())
        .build()
        .unwrap();
    let error = upstream.ping().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "upstream docker.io: cannot check the registry: access is denied"
    );
    assert_eq!(*asked.0.lock().unwrap(), ["docker.io"]);
    transport.finish();
}

#[tokio::test]
async fn cr10_a_mirror_gets_neither_credentials_nor_header_fields() {
    let mirror = started(Registry::builder().basic("ahab", "right"));
    let home = started(Registry::builder().basic("ahab", "right"));
    let credential = Credential::basic("ahab", "right".to_owned().into()).unwrap();
    let source = OneCredential::new(&home.authority(), credential);
    let (builder, _) = builder(&home.url());
    let (field, value) = ("x-gateway", "s3cret");
    let builder = builder
        .header(
            HeaderName::from_static(field),
            HeaderValue::from_static(value),
        )
        .mirror(&mirror.url())
        .credentials(source);
    assert!(!format!("{builder:?}").contains(value));
    let upstream = builder.build().unwrap();
    assert!(pull(&upstream).await.unwrap().is_some());
    assert_eq!(mirror.requests().len(), 1);
    assert!(!mirror.requests().hold(value));
    assert_eq!(mirror.requests().count(|it| it.is_authorized()), 0);
    let told = home.requests().all();
    assert!(told.iter().all(|it| it.header(field) == Some(value)));
}

#[test]
fn urls_are_checked_when_an_upstream_is_built() {
    let error = |url: &str, mirror: &str| {
        let (builder, _) = builder(url);
        builder.mirror(mirror).build().unwrap_err().to_string()
    };
    let at = "https://registry.example";
    assert_eq!(
        error("registry.example", at),
        "upstream registry.example: the URL `registry.example` cannot be used"
    );
    assert_eq!(
        error(at, "https://mirror.example/?x"),
        "upstream registry.example: the URL `https://mirror.example/?x` cannot be used"
    );
    // CR12
    let shown = error("https://u:secret@registry.example", at);
    assert!(!shown.contains("secret"), "{shown}");
    let (with_user, _) = builder("https://u:secret@registry.example");
    assert!(!format!("{with_user:?}").contains("secret"));
}
