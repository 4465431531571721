//! Runs the examples over a registry of the test kit.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use longshore::hyper::TokioClock;
use longshore_cache::{CacheService, Patience, Upstream, UpstreamName};
use longshore_testkit::image;
use longshore_testkit::registry::Registry;
use tokio::net::TcpListener;
use tower_service::Service as _;

#[path = "../examples/hyper.rs"]
#[expect(dead_code, reason = "the test listens elsewhere")]
mod under_hyper;

#[path = "../examples/own_storage.rs"]
#[expect(dead_code, reason = "the test has another upstream")]
mod own_storage;

fn registry() -> Registry {
    let registry = Registry::builder().image("app", "v1", &image::single(1));
    registry.start().unwrap()
}

fn name() -> UpstreamName {
    "registry.example".parse().unwrap()
}

#[tokio::test]
async fn a_client_pulls_through_the_cache_under_hyper() {
    let registry = registry();
    let (cache, handle) = under_hyper::cache(&name(), &registry.url()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(under_hyper::serve(listener, cache));
    let client = Upstream::builder(name(), &url).clock(TokioClock::new());
    let client = client.build().unwrap();
    let (repository, tag) = ("app".parse().unwrap(), "v1".parse().unwrap());
    for _ in 0..2 {
        let pulled = client.manifest(&repository, &tag, Patience::Normal).await;
        let manifest = pulled.unwrap().unwrap();
        assert_eq!(manifest.bytes, image::single(1).document());
    }
    assert_eq!(registry.requests().len(), 1);
    server.abort();
    handle.shutdown().await;
}

async fn get(cache: &CacheService, path: &str) -> Bytes {
    let request = Request::get(path).body(()).unwrap();
    let Ok(answer) = cache.clone().call(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_cache_reads_and_writes_storage_of_ones_own() {
    let registry = registry();
    let store = Arc::new(own_storage::Counting::default());
    let table = own_storage::Table::default();
    let cache = own_storage::cache(&name(), &registry.url(), store.clone(), table);
    let (cache, handle) = cache.unwrap();
    let tree = image::single(1);
    let layer = &tree.blobs()[1];
    // The path of the API is for the crate of the protocol to know.
    let path = format!("/v{}/app/blobs/{}", 2, layer.descriptor.digest);
    assert_eq!(get(&cache, &path).await, layer.content.bytes());
    handle.shutdown().await;
    assert_eq!(store.opened(), 0);
    assert_eq!(get(&cache, &path).await, layer.content.bytes());
    assert_eq!(store.opened(), 1);
    assert_eq!(registry.requests().len(), 1);
}
