//! Answers to clients when an upstream fails or the request is malformed.

use longshore_testkit::ScriptedResponse;

use super::*;
use crate::fill::Fills;

/// Status and code of the answer to `path`, with the rest of the answer.
async fn told(cache: &Cache, path: &str) -> (u16, String, Answer) {
    let answer = cache.get(path).await;
    let code = match answer.status.is_success() {
        true => String::new(),
        false => answer.code(),
    };
    (answer.status.as_u16(), code, answer)
}

/// The paths of a manifest by tag and by digest, and of a blob.
fn paths() -> [String; 3] {
    let tree = tree();
    let layer = &tree.blobs()[1].descriptor.digest;
    [manifest("v1"), manifest(tree.digest()), blob(layer)]
}

fn captive_portal() -> Misbehaviour {
    let page = ScriptedResponse::status(StatusCode::OK).body("<html>Please log in</html>");
    let html = HeaderValue::from_static("text/html");
    Misbehaviour::Response(Box::new(page.header(CONTENT_TYPE, html)))
}

#[tokio::test]
async fn every_failure_of_an_upstream_has_its_status_and_code() {
    use Misbehaviour as M;
    const UNAVAILABLE: (u16, &str) = (502, "UNAVAILABLE");
    const BROKEN: (u16, &str) = (200, "");
    const DENIED: (u16, &str) = (403, "DENIED");
    const LIMITED: (u16, &str) = (429, "TOOMANYREQUESTS");
    const NO_MANIFEST: (u16, &str) = (404, "MANIFEST_UNKNOWN");
    const NO_BLOB: (u16, &str) = (404, "BLOB_UNKNOWN");
    let status = |status: u16| M::Status(StatusCode::from_u16(status).unwrap());
    let huge = BlobContent::repeated("x", (8 << 20) + 1);
    for (failure, of_manifest, of_blob) in [
        (M::HangUp, UNAVAILABLE, UNAVAILABLE),
        (status(429), LIMITED, LIMITED),
        (status(401), DENIED, DENIED),
        (status(403), DENIED, DENIED),
        (status(404), NO_MANIFEST, NO_BLOB),
        (status(500), UNAVAILABLE, UNAVAILABLE),
        (status(503), UNAVAILABLE, UNAVAILABLE),
        (M::CutAfter(10), UNAVAILABLE, UNAVAILABLE),
        (M::Corrupt(5), UNAVAILABLE, UNAVAILABLE),
        (M::Length(5), UNAVAILABLE, UNAVAILABLE),
        (M::Length(1 << 20), UNAVAILABLE, BROKEN),
        (M::Gzip, UNAVAILABLE, UNAVAILABLE),
        (M::Body(huge), UNAVAILABLE, BROKEN),
        (captive_portal(), UNAVAILABLE, UNAVAILABLE),
    ] {
        for path in paths() {
            let cache = Cache::new();
            cache.misbehave(Rule::always(failure.clone()));
            let (status, code, answer) = told(&cache, &path).await;
            let expected = match path.contains("/blobs/") {
                true => of_blob,
                false => of_manifest,
            };
            assert_eq!((status, code.as_str()), expected, "{path} {failure:?}");
            if expected == BROKEN {
                answer.body.unwrap_err();
            } else {
                assert_eq!(answer.header("cache-status"), Some("longshore; fwd=miss"));
            }
            // No part was stored.
            cache.settle().await;
            cache.registry.behave();
            cache.advance(seconds(2 * 60 * 60));
            let (status, _, answer) = told(&cache, &path).await;
            assert_eq!(status, 200, "{path} {failure:?}");
            assert!(answer.body.is_ok(), "{path} {failure:?}");
        }
    }
}

#[tokio::test]
async fn a_header_may_lack_the_digest_but_not_name_another() {
    let wrong: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    for path in paths() {
        let cache = Cache::new();
        cache.misbehave(Rule::always(Misbehaviour::DigestHeader(wrong.clone())));
        let (status, ..) = told(&cache, &path).await;
        assert_eq!(status, 502, "{path}");
        cache.misbehave(Rule::always(Misbehaviour::NoDigestHeader));
        cache.advance(seconds(60));
        assert_eq!(told(&cache, &path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_429_or_503_where_the_client_would_repeat_at_once() {
    for (query, status) in [("", 429), ("?ns=registry.example", 503)] {
        for path in paths() {
            let cache = Cache::new();
            let limit = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "4000".into());
            cache.misbehave(Rule::always(limit));
            let (found, code, answer) = told(&cache, &format!("{path}{query}")).await;
            assert_eq!(
                (found, code.as_str()),
                (status, "TOOMANYREQUESTS"),
                "{path}{query}"
            );
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=4000).contains(&wait), "{wait}");
            let namespace = (!query.is_empty()).then_some("registry.example");
            assert_eq!(answer.header("oci-namespace"), namespace);
        }
    }
}

#[tokio::test]
async fn a_slow_upstream_is_504_in_time_and_its_answer_is_for_the_next_client() {
    for path in paths() {
        let store = BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30).unwrap();
        // This test does not concern the limits of a fill.
        let fills = Fills::builder(store.clone(), Arc::new(TestClock::default())).build();
        let cache = Setup::new().store(store);
        let cache = cache.service(|it| it.fills(fills)).start();
        let gate = Gate::new();
        cache.misbehave(Rule::always(Misbehaviour::Hold(gate.clone())));
        let answer = cache.get_impatiently(&path).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{path}");
        assert_eq!(answer.code(), "UNAVAILABLE");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(cache.clock.now(), seconds(25));
        until(|| gate.is_reached()).await;
        gate.open();
        let answer = cache.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(cache.upstream_requests(), [format!("GET {path}")]);
    }
}

#[tokio::test]
async fn malformed_names_and_digests_are_400() {
    let cache = Cache::new();
    for (kind, reference, code) in [
        ("manifests", "sha256:abc", "MANIFEST_INVALID"),
        ("manifests", ".dot", "MANIFEST_INVALID"),
        ("blobs", "sha256:abc", "DIGEST_INVALID"),
        ("blobs", "latest", "DIGEST_INVALID"),
        ("referrers", "sha256:xyz", "DIGEST_INVALID"),
    ] {
        let (status, found, _) = told(&cache, &path("app", kind, reference)).await;
        assert_eq!((status, found.as_str()), (400, code), "{kind} {reference}");
    }
    let (status, code, _) = told(&cache, &path("App", "manifests", "v1")).await;
    assert_eq!((status, code.as_str()), (400, "NAME_INVALID"));
    assert_eq!(cache.upstream_requests(), [""; 0]);
    assert!(cache.outcomes().iter().all(|it| *it == Outcome::Refused));
}

#[tokio::test]
async fn ca11_every_write_is_405_on_every_path() {
    let cache = Cache::new();
    let upload = path("app", "blobs", "uploads/");
    let mut all = vec![
        upload,
        format!("/{API}/"),
        format!("/{API}/_catalog"),
        "/else".to_owned(),
    ];
    all.extend(paths());
    all.push(path("app", "tags", "list"));
    for path in &all {
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            let answer = cache.ask(method.clone(), path, &[]).await;
            assert_eq!(
                answer.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(answer.code(), "UNSUPPORTED", "{method} {path}");
        }
    }
    assert_eq!(cache.upstream_requests(), [""; 0]);
}

#[tokio::test]
async fn a_repository_that_the_settings_do_not_allow_is_403() {
    let policy = UpstreamPolicy {
        repositories: vec![crate::policy::Pattern::new("team/**")],
        ..UpstreamPolicy::default()
    };
    let cache = Setup::new().policy(policy).start();
    for path in paths() {
        let (status, code, _) = told(&cache, &path).await;
        assert_eq!((status, code.as_str()), (403, "DENIED"), "{path}");
    }
    assert_eq!(cache.upstream_requests(), [""; 0]);
}
