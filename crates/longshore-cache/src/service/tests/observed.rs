//! The events of an observer: every request once, every byte once.

use super::*;

#[tokio::test]
async fn hits_and_misses_are_all_requests_and_bytes_are_counted_once() {
    let cache = Cache::new();
    let layer = tree().blobs()[1].clone();
    let layer_path = blob(&layer.descriptor.digest);
    let ping = format!("/{API}/");
    let catalogue = format!("/{API}/_catalog");
    let mut sent = Vec::new();
    let mut requests = 0;
    for path in [
        manifest("v1"),
        manifest("v1"),
        manifest("absent"),
        manifest("absent"),
        manifest(".malformed"),
        layer_path.clone(),
        layer_path.clone(),
        path("app", "tags", "list"),
        path("app", "referrers", tree().digest()),
        ping,
        catalogue,
        "/elsewhere".to_owned(),
    ] {
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let answer = cache.ask(method, &path, &[]).await;
            sent.push(answer.bytes().len() as u64);
            requests += 1;
            cache.settle().await;
        }
    }
    let observed = cache.seen.0.lock().unwrap();
    let count = |is: fn(&Outcome) -> bool| observed.outcomes.iter().filter(|it| is(it)).count();
    let (hits, misses) = (count(|it| it.is_hit()), count(|it| it.is_miss()));
    let refused = count(|it| *it == Outcome::Refused);
    assert_eq!(observed.outcomes.len(), requests);
    assert_eq!(hits + misses + refused, requests);
    assert_eq!(misses, 5);
    let bytes: Vec<_> = observed.sent.iter().map(|it| it.bytes).collect();
    assert_eq!(bytes, sent);
    assert!(observed.sent.iter().all(|it| it.complete));
    let ids: std::collections::HashSet<_> = observed.sent.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), requests);
}

#[tokio::test]
async fn a_body_that_a_client_leaves_is_reported_as_incomplete() {
    let content = BlobContent::random(1, 300_000);
    let digest = Digest::of(&"sha256".parse().unwrap(), &content.bytes()).unwrap();
    let cache = Cache::new();
    cache.registry.contents().set_blob("app", &digest, content);
    let mut answer = cache
        .send(Request::builder().uri(blob(&digest)).body(()).unwrap())
        .await;
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    let had = frame.into_data().unwrap().len() as u64;
    drop(answer);
    let sent = cache.seen.0.lock().unwrap().sent.clone();
    let found: Vec<_> = sent.iter().map(|it| (it.bytes, it.complete)).collect();
    assert_eq!(found, [(had, false)]);
}

#[tokio::test]
async fn what_was_pulled_is_what_the_upstream_sent() {
    let content = BlobContent::random(1, 300_000);
    let digest = Digest::of(&"sha256".parse().unwrap(), &content.bytes()).unwrap();
    let cache = Cache::new();
    cache.registry.contents().set_blob("app", &digest, content);
    for _ in 0..3 {
        cache.get(&blob(&digest)).await;
        cache.settle().await;
    }
    assert_eq!(cache.seen.0.lock().unwrap().pulled, 300_000);
}

#[tokio::test]
async fn what_does_not_fit_is_served_all_the_same() {
    let store = BoundedStore::open(Arc::new(MemoryStore::new()), 10).unwrap();
    let cache = Setup::new().store(store.clone()).start();
    let layer = tree().blobs()[1].clone();
    for _ in 0..2 {
        let answer = cache.get(&manifest("v1")).await;
        assert_eq!(*answer.bytes(), tree().document());
        let answer = cache.get(&blob(&layer.descriptor.digest)).await;
        assert_eq!(*answer.bytes(), layer.content.bytes());
        cache.settle().await;
    }
    assert_eq!(store.used(), 0);
}
