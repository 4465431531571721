//! Manifests: hits, revalidation, and answers when the upstream fails.

use longshore_testkit::token::TokenServer;

use super::*;
use crate::policy::{Pattern, TagTtl};

const STALE: Option<&str> = Some("longshore; hit; detail=stale");

/// The requests of the cache to the upstream for `app:v1`.
fn asked(methods: &[&str]) -> Vec<String> {
    let line = |method: &&str| format!("{method} {}", manifest("v1"));
    methods.iter().map(line).collect()
}

/// A cache that has `app:v1`, whose TTL is over.
async fn stale() -> Cache {
    let cache = Cache::new();
    warm(&cache).await;
    cache.advance(TTL);
    cache
}

async fn warm(cache: &Cache) {
    let answer = cache.get(&manifest("v1")).await;
    assert_eq!(answer.status, StatusCode::OK);
    cache.settle().await;
    cache.upstream_requests();
    cache.outcomes();
}

/// Any request for the head of a manifest.
fn on_head(what: Misbehaviour) -> Rule {
    Rule::on(Part::Manifest, what).method(Method::HEAD)
}

#[tokio::test]
async fn a_manifest_is_fetched_once_and_answered_byte_for_byte() {
    let cache = Cache::new();
    let tree = tree();
    let found = cache.get(&manifest("v1")).await;
    assert_eq!(found.status, StatusCode::OK);
    assert_eq!(*found.bytes(), tree.document());
    let digest = tree.digest().to_string();
    assert_eq!(found.header("docker-content-digest"), Some(digest.as_str()));
    assert_eq!(cache.upstream_requests(), asked(&["GET"]));
    let again = cache.get(&manifest("v1")).await;
    assert_eq!(again.bytes(), found.bytes());
    assert_eq!(again.header("cache-status"), Some("longshore; hit"));
    let by_digest = cache.get(&manifest(&digest)).await;
    assert_eq!(by_digest.bytes(), found.bytes());
    let head = cache.head(&manifest("v1")).await;
    let length = tree.document().len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    assert_eq!(*head.bytes(), "");
    assert_eq!(cache.upstream_requests(), [""; 0]);
    let hit = Outcome::Hit;
    let expected = [Outcome::Miss(MissReason::Cold), hit, hit, hit];
    assert_eq!(cache.outcomes(), expected);
}

#[tokio::test]
async fn ca8_a_fresh_tag_asks_nobody_and_an_expired_one_costs_a_head() {
    let cache = Cache::new();
    warm(&cache).await;
    cache.advance(TTL - seconds(1));
    cache.get(&manifest("v1")).await;
    assert_eq!(cache.upstream_requests(), [""; 0]);
    cache.advance(seconds(1));
    cache.get(&manifest("v1")).await;
    assert_eq!(cache.upstream_requests(), asked(&["HEAD"]));
    cache.get(&manifest("v1")).await;
    assert_eq!(cache.upstream_requests(), [""; 0]);
    let expected = [Outcome::Hit, Outcome::Revalidated, Outcome::Hit];
    assert_eq!(cache.outcomes(), expected);
}

#[tokio::test]
async fn ca8_a_tag_that_moved_costs_a_head_and_a_get() {
    let cache = stale().await;
    let other = image::single(8);
    cache.registry.contents().add("app", "v1", &other);
    let answer = cache.get(&manifest("v1")).await;
    assert_eq!(*answer.bytes(), other.document());
    assert_eq!(cache.upstream_requests(), asked(&["HEAD", "GET"]));
    let expired = Outcome::Miss(MissReason::Expired);
    assert_eq!(cache.outcomes(), [expired]);
}

#[tokio::test]
async fn ca8_an_upstream_that_hangs_is_waited_for_once_and_its_answer_is_used_later() {
    let cache = stale().await;
    let other = image::single(8);
    cache.registry.contents().add("app", "v1", &other);
    let gate = Gate::new();
    cache.misbehave(on_head(Misbehaviour::Hold(gate.clone())));
    let first = cache.get_impatiently(&manifest("v1")).await;
    assert_eq!(*first.bytes(), tree().document());
    assert_eq!(first.header("cache-status"), STALE);
    // No wait ends now, so the second request does not wait.
    let second = cache.get(&manifest("v1")).await;
    assert_eq!(second.header("cache-status"), STALE);
    assert_eq!(cache.outcomes(), [Outcome::Stale, Outcome::Stale]);
    until(|| gate.is_reached()).await;
    gate.open();
    let requests = cache.registry.requests().clone();
    until(|| requests.count(|it| it.method == Method::GET && it.status.is_some()) == 1).await;
    let last = loop {
        let answer = cache.get(&manifest("v1")).await;
        if answer.header("cache-status") != STALE {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(*last.bytes(), other.document());
    assert_eq!(cache.outcome(), Some(Outcome::Hit));
    assert_eq!(cache.upstream_requests(), asked(&["HEAD", "GET"]));
}

#[tokio::test]
async fn ca8_a_stale_tag_is_not_served_when_access_is_denied() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let cache = stale().await;
        let denied = Misbehaviour::Status(status);
        cache.misbehave(Rule::on(Part::Manifest, denied));
        for _ in 0..2 {
            let answer = cache.get(&manifest("v1")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (403, "DENIED".to_owned())
            );
        }
        cache.registry.behave();
        assert_eq!(cache.get(&manifest("v1")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn ca8_a_stale_tag_is_served_when_the_upstream_fails_in_any_way() {
    use StatusCode as S;
    let mut failures = vec![Misbehaviour::HangUp, Misbehaviour::SecondaryRateLimit];
    for status in [
        S::TOO_MANY_REQUESTS,
        S::INTERNAL_SERVER_ERROR,
        S::BAD_GATEWAY,
        S::SERVICE_UNAVAILABLE,
    ] {
        failures.push(Misbehaviour::Status(status));
    }
    for failure in failures {
        let cache = stale().await;
        cache.misbehave(Rule::on(Part::Manifest, failure.clone()));
        let answer = cache.get(&manifest("v1")).await;
        assert_eq!(answer.status, StatusCode::OK, "{failure:?}");
        assert_eq!(*answer.bytes(), tree().document(), "{failure:?}");
        assert_eq!(answer.header("cache-status"), STALE, "{failure:?}");
        // An idle connection may be closed; a request on it does not count as an attempt.
        let attempts = match failure {
            Misbehaviour::HangUp => asked(&["HEAD", "HEAD"]),
            // The answer to HEAD has no body with details, and some registries refuse only HEAD.
            Misbehaviour::SecondaryRateLimit => asked(&["HEAD", "GET"]),
            _ => asked(&["HEAD"]),
        };
        assert_eq!(cache.upstream_requests(), attempts, "{failure:?}");
        // 24 hours after the TTL the copy is too old.
        cache.advance(seconds(24 * 60 * 60));
        let answer = cache.get(&manifest("v1")).await;
        assert!(
            !answer.status.is_success(),
            "{failure:?}: {}",
            answer.status
        );
        // A failure is not stored.
        cache.registry.behave();
        cache.advance(seconds(2 * 60 * 60));
        let answer = cache.get(&manifest("v1")).await;
        assert_eq!(answer.status, StatusCode::OK, "{failure:?}");
    }
}

#[tokio::test]
async fn ca8_a_stale_tag_is_served_when_the_token_server_fails() {
    let tokens = TokenServer::builder().anonymous().start().unwrap();
    let realm = tokens.realm().trim_end_matches("/token").parse().unwrap();
    let registry = Registry::builder().image("app", "v1", &tree());
    let setup = Setup::over(registry.bearer(&tokens));
    let cache = setup.upstream(|it| it.allow_realm(realm)).start();
    warm(&cache).await;
    cache.advance(TTL);
    cache.registry.revoke_tokens();
    let broken = longshore_testkit::ScriptedResponse::status(StatusCode::INTERNAL_SERVER_ERROR);
    tokens.answer_always(broken);
    let answer = cache.get(&manifest("v1")).await;
    assert_eq!(answer.header("cache-status"), STALE);
    assert_eq!(*answer.bytes(), tree().document());
}

#[tokio::test]
async fn ca8_a_stale_tag_is_served_when_the_connection_is_refused() {
    // After the listener is dropped, the port refuses connections.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let records = crate::records::MemoryRecords::new();
    let store = BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30).unwrap();
    let records = crate::records::DynRecords::new(records);
    let (kept, down) = (records.clone(), records);
    let cache = Setup::new().store(store.clone());
    let cache = cache.service(|it| it.records(kept)).start();
    warm(&cache).await;
    let name: UpstreamName = "registry.example".parse().unwrap();
    let router = Router::builder().upstream(name.clone()).unwrap();
    let router = router.default_upstream(&name).unwrap().build();
    let clock = TestClock::default();
    clock.advance(TTL);
    let upstream = Upstream::builder(name, &url).clock(clock.clone()).build();
    let builder = CacheService::builder().store(store).records(down);
    let builder = builder.router(router).upstream(upstream.unwrap());
    let (service, _handle) = builder.clock(clock).build().unwrap();
    let restarted = Cache { service, ..cache };
    let answer = restarted.get(&manifest("v1")).await;
    assert_eq!(answer.header("cache-status"), STALE);
    assert_eq!(*answer.bytes(), tree().document());
    let other = restarted.get(&manifest("v2")).await;
    assert_eq!(other.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn ca8_an_upstream_that_lost_a_tag_drops_the_tag_for_10_s_and_no_content() {
    let cache = stale().await;
    cache.misbehave(Rule::on(
        Part::Manifest,
        Misbehaviour::Status(StatusCode::NOT_FOUND),
    ));
    let answer = cache.get(&manifest("v1")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN".into())
    );
    assert_eq!(cache.upstream_requests(), asked(&["HEAD"]));
    assert_eq!(
        cache.get(&manifest("v1")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(cache.outcome(), Some(Outcome::Negative));
    let by_digest = cache.get(&manifest(tree().digest())).await;
    assert_eq!(*by_digest.bytes(), tree().document());
    cache.advance(seconds(9));
    assert_eq!(
        cache.get(&manifest("v1")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(cache.upstream_requests(), [""; 0]);
    cache.registry.behave();
    cache.advance(seconds(1));
    assert_eq!(cache.get(&manifest("v1")).await.status, StatusCode::OK);
    assert_eq!(cache.upstream_requests(), asked(&["GET"]));
}

#[tokio::test]
async fn ca8_failures_are_never_stored() {
    use StatusCode as S;
    for status in [
        S::UNAUTHORIZED,
        S::FORBIDDEN,
        S::TOO_MANY_REQUESTS,
        S::BAD_GATEWAY,
    ] {
        let cache = Cache::new();
        let all = Misbehaviour::Status(status);
        cache.misbehave(Rule::always(all));
        let digest = tree().digest().clone();
        let layer = tree().blobs()[0].descriptor.digest.clone();
        let paths = [manifest("v1"), manifest(&digest), blob(&layer)];
        for path in &paths {
            let answer = cache.get(path).await;
            assert!(
                !answer.status.is_success() && answer.status != S::NOT_FOUND,
                "{path}"
            );
        }
        cache.registry.behave();
        // After the pause that follows a limit of the upstream.
        cache.advance(seconds(2 * 60 * 60));
        for path in &paths {
            assert_eq!(cache.get(path).await.status, S::OK, "{status} {path}");
        }
    }
}

#[tokio::test]
async fn the_answer_to_head_is_kept_and_get_by_digest_costs_one_request() {
    let cache = Cache::new();
    let tree = tree();
    for outcome in [Outcome::Miss(MissReason::Cold), Outcome::Hit] {
        let head = cache.head(&manifest("v1")).await;
        let length = tree.document().len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()));
        assert_eq!(
            head.header("content-type"),
            Some(tree.media_type().as_str())
        );
        let digest = tree.digest().to_string();
        assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
        assert_eq!(cache.outcome(), Some(outcome));
    }
    assert_eq!(
        cache.head(&manifest(tree.digest())).await.status,
        StatusCode::OK
    );
    assert_eq!(cache.upstream_requests(), asked(&["HEAD"]));
    let get = cache.get(&manifest(tree.digest())).await;
    assert_eq!(*get.bytes(), tree.document());
    let by_digest = format!("GET {}", manifest(tree.digest()));
    assert_eq!(cache.upstream_requests(), [by_digest]);
    // The HEAD resolved the tag, and the cache has the manifest now.
    assert_eq!(*cache.get(&manifest("v1")).await.bytes(), tree.document());
    assert_eq!(cache.upstream_requests(), [""; 0]);
}

#[tokio::test]
async fn head_of_another_tag_of_a_stored_manifest_costs_one_request_in_all() {
    let cache = Cache::new();
    cache.registry.contents().add("app", "latest", &tree());
    warm(&cache).await;
    cache.head(&manifest("latest")).await;
    cache.get(&manifest(tree().digest())).await;
    cache.get(&manifest("latest")).await;
    assert_eq!(
        cache.upstream_requests(),
        [format!("HEAD {}", manifest("latest"))]
    );
}

#[tokio::test]
async fn a_tag_has_the_ttl_of_its_pattern() {
    let policy = UpstreamPolicy {
        tag_ttl: vec![
            (Pattern::new("v*"), TagTtl::Never),
            (Pattern::new("nightly*"), TagTtl::For(seconds(5))),
        ],
        ..UpstreamPolicy::default()
    };
    let registry = Registry::builder().image("app", "v1", &tree());
    let registry = registry.image("app", "nightly", &tree());
    let cache = Setup::over(registry).policy(policy).start();
    cache.get(&manifest("v1")).await;
    cache.get(&manifest("nightly")).await;
    cache.upstream_requests();
    cache.advance(seconds(5));
    cache.get(&manifest("nightly")).await;
    cache.advance(seconds(400 * 24 * 60 * 60));
    cache.get(&manifest("v1")).await;
    assert_eq!(
        cache.upstream_requests(),
        [format!("HEAD {}", manifest("nightly"))]
    );
}

#[tokio::test]
async fn an_offline_upstream_is_never_asked_and_what_is_there_is_served() {
    let records = crate::records::DynRecords::new(crate::records::MemoryRecords::new());
    let store = BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30).unwrap();
    let kept = records.clone();
    let setup = Setup::new().store(store.clone());
    let online = setup.service(|it| it.records(kept)).start();
    warm(&online).await;
    let setup = Setup::new().store(store).upstream(|it| it.offline(true));
    let cache = setup.service(|it| it.records(records)).start();
    for (days, status) in [(0, None), (30, STALE)] {
        cache.advance(seconds(days * 24 * 60 * 60));
        let answer = cache.get(&manifest("v1")).await;
        assert_eq!(*answer.bytes(), tree().document());
        assert_eq!(
            answer
                .header("cache-status")
                .filter(|it| *it == "longshore; hit; detail=stale"),
            status
        );
    }
    let layer = tree().blobs()[0].descriptor.digest.clone();
    for path in [manifest("v2"), blob(&layer)] {
        let answer = cache.get(&path).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{path}");
        assert_eq!(cache.outcome(), Some(Outcome::Miss(MissReason::Offline)));
    }
    assert_eq!(cache.upstream_requests(), [""; 0]);
}

#[tokio::test]
async fn a_nearly_used_up_quota_is_spared_and_stale_copies_are_served() {
    let cache = Cache::new();
    let field = |name, value| Misbehaviour::Header(HeaderName::from_static(name), value);
    let limit = HeaderValue::from_static("100;w=21600");
    let rest = HeaderValue::from_static("1;w=21600");
    cache
        .registry
        .misbehave(Rule::always(field("ratelimit-limit", limit)));
    cache
        .registry
        .misbehave(Rule::always(field("ratelimit-remaining", rest)));
    warm(&cache).await;
    cache.advance(TTL);
    // The first revalidation is allowed; after it, the rest of the quota must last for the window.
    cache.get(&manifest("v1")).await;
    cache.upstream_requests();
    cache.advance(TTL);
    let answer = cache.get(&manifest("v1")).await;
    assert_eq!(answer.header("cache-status"), STALE);
    assert_eq!(cache.upstream_requests(), [""; 0]);
}

#[tokio::test]
async fn an_upstream_that_failed_is_left_alone_for_10_s_while_stale_copies_exist() {
    let cache = stale().await;
    cache.misbehave(Rule::always(Misbehaviour::Status(StatusCode::BAD_GATEWAY)));
    for (later, requests) in [(0, 1), (9, 0), (1, 1)] {
        cache.advance(seconds(later));
        let answer = cache.get(&manifest("v1")).await;
        assert_eq!(answer.header("cache-status"), STALE);
        let found = cache.upstream_requests().len();
        assert_eq!(found, requests, "{later}");
    }
}

#[tokio::test]
async fn ca5_many_cold_clients_of_a_manifest_cost_one_request() {
    let cache = Cache::new();
    let gate = Gate::new();
    cache.misbehave(Rule::always(Misbehaviour::Hold(gate.clone())));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let mut service = cache.service.clone();
        let request = Request::get(manifest("v1")).body(()).unwrap();
        clients.spawn(async move {
            let Ok(answer) = service.call(request).await;
            Answer::read(answer).await
        });
    }
    until(|| gate.is_reached()).await;
    gate.open();
    for answer in clients.join_all().await {
        assert_eq!(*answer.bytes(), tree().document());
    }
    assert_eq!(cache.upstream_requests(), asked(&["GET"]));
}

/// A clock whose Unix time is shifted.
#[derive(Debug)]
struct SetClock(TestClock, Arc<Mutex<Duration>>);

impl Clock for SetClock {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn unix_time(&self) -> Duration {
        *self.1.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> longshore_transport::Timer {
        self.0.sleep(duration)
    }

    fn alarm(&self, duration: Duration) -> longshore_transport::Timer {
        self.0.alarm(duration)
    }
}

#[tokio::test]
async fn ca8_a_clock_that_jumps_neither_freezes_nor_loses_a_tag() {
    const START: u64 = 1_700_000_000;
    let time = Arc::new(Mutex::new(seconds(START)));
    let (one, two) = (Arc::clone(&time), Arc::clone(&time));
    let setup = Setup::new().upstream(|it| it.clock(SetClock(TestClock::default(), one)));
    let cache = setup.service(|it| it.clock(SetClock(TestClock::default(), two)));
    let cache = cache.start();
    warm(&cache).await;
    // Forward by a year: too old without the upstream. Back by two years: stale, so it is
    // revalidated.
    for now in [START + 365 * 86_400, START - 365 * 86_400] {
        *time.lock().unwrap() = seconds(now);
        assert_eq!(*cache.get(&manifest("v1")).await.bytes(), tree().document());
        assert_eq!(cache.upstream_requests(), asked(&["HEAD"]), "{now}");
        assert_eq!(cache.outcome(), Some(Outcome::Revalidated), "{now}");
        cache.settle().await;
    }
    // A failure with a time in the future does not prevent requests to the upstream.
    *time.lock().unwrap() = seconds(START);
    cache.misbehave(Rule::always(Misbehaviour::Status(StatusCode::BAD_GATEWAY)));
    cache.get(&manifest("v2")).await;
    *time.lock().unwrap() = seconds(START - 364 * 86_400);
    cache.registry.behave();
    cache.upstream_requests();
    cache.get(&manifest("v1")).await;
    assert_eq!(cache.upstream_requests(), asked(&["HEAD"]));
}

#[tokio::test]
async fn sha512_works_end_to_end_and_unknown_algorithms_are_refused() {
    let bytes = tree().document();
    let algorithm = "sha512".parse().unwrap();
    let digest = Digest::of(&algorithm, &bytes).unwrap();
    let cache = Cache::new();
    let mut document = (*tree().documents().last().unwrap()).clone();
    document.descriptor.digest = digest.clone();
    let contents = cache.registry.contents();
    contents.add_document("app", "long", document);
    contents.set_blob("app", &digest_of(b"blob"), &b"blob"[..]);
    let layer = digest_of(b"blob");
    for path in [manifest(&digest), manifest("long"), blob(&layer)] {
        for outcome in [Outcome::Miss(MissReason::Cold), Outcome::Hit] {
            let answer = cache.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {answer:?}");
            if !path.ends_with("long") {
                assert_eq!(cache.outcome(), Some(outcome), "{path}");
            }
            cache.settle().await;
        }
    }
    cache.upstream_requests();
    for (name, length) in [("blake3", 64), ("md5", 32)] {
        let hex = "0".repeat(length);
        for kind in ["manifests", "blobs"] {
            for method in [Method::GET, Method::HEAD] {
                let path = path("app", kind, format!("{name}:{hex}"));
                let answer = cache.ask(method.clone(), &path, &[]).await;
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path}");
                if method == Method::GET {
                    assert_eq!(answer.code(), "DIGEST_INVALID", "{path}");
                }
            }
        }
    }
    assert_eq!(cache.upstream_requests(), [""; 0]);
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::of(&"sha512".parse().unwrap(), bytes).unwrap()
}

#[tokio::test]
async fn a_damaged_manifest_is_fetched_again() {
    let store = Arc::new(MemoryStore::new());
    let bounded = BoundedStore::open(store, 1 << 30).unwrap();
    let records = crate::records::DynRecords::new(crate::records::MemoryRecords::new());
    let kept = records.clone();
    let setup = Setup::new().store(bounded.clone());
    warm(&setup.service(|it| it.records(kept)).start()).await;
    // Simulates a lost file.
    bounded.quarantine(tree().digest());
    let setup = Setup::new().store(bounded);
    let cache = setup.service(|it| it.records(records)).start();
    let answer = cache.get(&manifest("v1")).await;
    assert_eq!(*answer.bytes(), tree().document());
    assert_eq!(cache.upstream_requests(), asked(&["GET"]));
}
