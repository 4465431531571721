//! Isolation: a repository gives no access to another one (CA6), and credentials are not forwarded
//! (CA7).

use longshore_testkit::token::TokenServer;

use super::*;

/// A cache in front of a registry that has the same image as `a:v1` and `b:v1`.
fn two() -> Cache {
    let registry = Registry::builder().image("a", "v1", &tree());
    Cache::over(registry.image("b", "v1", &tree()))
}

/// The paths, in this repository, of the content that `a` and `b` share.
fn paths(repository: &str) -> Vec<String> {
    let tree = tree();
    let layer = &tree.blobs()[1].descriptor.digest;
    vec![
        path(repository, "manifests", tree.digest()),
        path(repository, "manifests", "v1"),
        path(repository, "blobs", layer),
        path(repository, "tags", "list"),
        path(repository, "referrers", tree.digest()),
    ]
}

#[tokio::test]
async fn ca6_what_one_repository_warmed_is_shown_to_another_by_the_upstream_only() {
    for denied in [
        StatusCode::NOT_FOUND,
        StatusCode::FORBIDDEN,
        StatusCode::UNAUTHORIZED,
    ] {
        let cache = two();
        for path in paths("a") {
            assert_eq!(cache.get(&path).await.status, StatusCode::OK, "{path}");
        }
        cache.settle().await;
        cache.upstream_requests();
        let rule = Rule::always(Misbehaviour::Status(denied)).path("/b/");
        cache.misbehave(rule);
        for path in paths("b") {
            for method in [Method::GET, Method::HEAD] {
                let answer = cache.ask(method.clone(), &path, &[]).await;
                if path.contains("referrers") && denied == StatusCode::NOT_FOUND {
                    continue;
                }
                let allowed = [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN];
                let status = answer.status;
                assert!(
                    allowed.contains(&status) || status == 405,
                    "{method} {path}: {status}"
                );
                assert!(answer.body.as_ref().is_ok_and(|it| it.len() < 1000));
            }
        }
        // The other repository keeps its content.
        for path in paths("a") {
            assert_eq!(cache.get(&path).await.status, StatusCode::OK, "{path}");
        }
        cache.registry.behave();
        cache.advance(seconds(60));
        for path in paths("b") {
            assert_eq!(cache.get(&path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn ca6_content_at_hand_costs_one_proof_and_no_transfer() {
    let cache = two();
    for path in paths("a") {
        cache.get(&path).await;
    }
    cache.settle().await;
    cache.upstream_requests();
    for path in [&paths("b")[0], &paths("b")[2]] {
        for (requests, outcome) in [
            (
                vec![format!("HEAD {path}")],
                Outcome::Miss(MissReason::Unmarked),
            ),
            (vec![], Outcome::Hit),
        ] {
            assert_eq!(cache.get(path).await.status, StatusCode::OK);
            assert_eq!(cache.upstream_requests(), requests, "{path}");
            assert_eq!(cache.outcome(), Some(outcome), "{path}");
        }
    }
}

#[tokio::test]
async fn ca6_a_manifest_digest_as_a_blob_tells_nothing_to_another_repository() {
    let cache = two();
    cache.get(&path("a", "manifests", "v1")).await;
    cache.settle().await;
    cache.upstream_requests();
    let digest = tree().digest().clone();
    let own = cache.get(&path("a", "blobs", &digest)).await;
    assert_eq!(
        (own.status, own.code()),
        (StatusCode::NOT_FOUND, "BLOB_UNKNOWN".into())
    );
    assert_eq!(cache.upstream_requests(), [""; 0]);
    let foreign = cache.get(&path("b", "blobs", &digest)).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(cache.upstream_requests().len(), 1);
    assert_eq!(cache.outcome(), Some(Outcome::Miss(MissReason::Unmarked)));
}

/// A large blob of `a` and `b`, which a client of `a` reads and `b` joins while the gate is shut.
async fn joined(denied: Option<StatusCode>) -> (Cache, Answer) {
    let content = BlobContent::random(1, 1 << 20);
    let digest = Digest::of(&"sha256".parse().unwrap(), &content.bytes()).unwrap();
    let cache = two();
    for repository in ["a", "b"] {
        cache
            .registry
            .contents()
            .set_blob(repository, &digest, content.clone());
    }
    let gate = Gate::new();
    let hold = Misbehaviour::HoldAfter(300_000, gate.clone());
    cache
        .registry
        .misbehave(Rule::on(Part::Blob, hold).path("/a/"));
    if let Some(status) = denied {
        let deny = Misbehaviour::Status(status);
        cache.registry.misbehave(Rule::always(deny).path("/b/"));
    }
    let (a, b) = (path("a", "blobs", &digest), path("b", "blobs", &digest));
    let request = Request::builder().uri(&a).body(()).unwrap();
    let first = cache.send(request).await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = cache
        .send(Request::builder().uri(&b).body(()).unwrap())
        .await;
    gate.open();
    let bytes = first.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes, content.bytes());
    let second = Answer::read(second).await;
    if denied.is_none() {
        assert_eq!(*second.bytes(), content.bytes());
        let requests = cache.upstream_requests();
        assert_eq!(requests, [format!("GET {a}"), format!("HEAD {b}")]);
    }
    (cache, second)
}

#[tokio::test]
async fn ca6_ca5_another_repository_joins_a_transfer_with_a_proof_of_its_own() {
    let (cache, second) = joined(None).await;
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(
        cache.outcomes(),
        [Outcome::Miss(MissReason::Cold), Outcome::Joined]
    );
    for (status, expected) in [(404, 404), (401, 403), (403, 403)] {
        let status = StatusCode::from_u16(status).unwrap();
        let (_, second) = joined(Some(status)).await;
        assert_eq!(second.status.as_u16(), expected);
        assert!(second.bytes().len() < 1000);
    }
}

#[tokio::test]
async fn ca6_the_failure_of_one_repository_is_no_answer_to_another() {
    for status in [
        StatusCode::NOT_FOUND,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
    ] {
        let cache = two();
        let gate = Gate::new();
        let layer = tree().blobs()[1].clone();
        let rule = |what| Rule::on(Part::Blob, what).path("/a/");
        cache.registry.misbehave(rule(Misbehaviour::Status(status)));
        cache
            .registry
            .misbehave(rule(Misbehaviour::Hold(gate.clone())));
        let (a, b) = (
            path("a", "blobs", &layer.descriptor.digest),
            path("b", "blobs", &layer.descriptor.digest),
        );
        let (first, second, ()) = tokio::join!(cache.get(&a), cache.get(&b), async {
            until(|| gate.is_reached()).await;
            gate.open();
        });
        assert_ne!(first.status, StatusCode::OK, "{status}");
        assert_eq!(*second.bytes(), layer.content.bytes(), "{status}");
    }
}

#[tokio::test]
async fn ca7_credentials_of_clients_and_challenges_of_upstreams_go_nowhere() {
    let tokens = TokenServer::builder()
        .user("ahab", "right")
        .start()
        .unwrap();
    let registry = Registry::builder()
        .image("app", "v1", &tree())
        .bearer(&tokens);
    let cache = Cache::over(registry);
    let login = [("authorization", "Basic YWhhYjpyaWdodA==")];
    let layer = tree().blobs()[1].descriptor.digest.clone();
    let paths = [
        manifest("v1"),
        manifest(tree().digest()),
        blob(&layer),
        path("app", "tags", "list"),
        path("app", "referrers", tree().digest()),
    ];
    for path in &paths {
        let answer = cache.ask(Method::GET, path, &login).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.code(), "DENIED", "{path}");
        assert_eq!(answer.header("www-authenticate"), None, "{path}");
        let text = String::from_utf8_lossy(answer.bytes()).into_owned();
        assert!(
            !text.contains("token") && !text.contains("Bearer"),
            "{text}"
        );
    }
    for requests in [cache.registry.requests(), tokens.requests()] {
        assert!(!requests.hold("YWhhYjpyaWdodA==") && !requests.hold("right"));
    }
    let ping = cache.ask(Method::GET, &format!("/{API}/"), &login).await;
    assert_eq!(ping.status, StatusCode::OK);
    assert_eq!(
        ping.header("docker-distribution-api-version"),
        Some("registry/2.0")
    );
    assert_eq!(*ping.bytes(), "{}");
}
