use longshore_store::MemoryStore;
use longshore_testkit::image;
use longshore_testkit::registry::{Part, Registry};

use super::*;
use crate::bounded::BoundedStore;
use crate::{CacheService, Router, Upstream, UpstreamName};

/// The value of one line of the metrics.
fn value(metrics: &Metrics, series: &str) -> u64 {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.unwrap_or_else(|| panic!("no {series} in:\n{text}"));
    value.trim().parse().unwrap()
}

#[tokio::test]
async fn metrics_of_a_cache_agree_with_its_registry() {
    let registry = Registry::builder().image("app", "v1", &image::single(7));
    let registry = registry.start().unwrap();
    let metrics = Metrics::new();
    let name: UpstreamName = "registry.example".parse().unwrap();
    let upstream = Upstream::builder(name.clone(), &registry.url());
    let upstream = upstream.observer(Arc::new(metrics.clone()));
    let router = Router::builder().upstream(name.clone()).unwrap();
    let router = router.default_upstream(&name).unwrap().build();
    let store = BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30).unwrap();
    metrics.observe_store(&store);
    let (service, _handle) = CacheService::builder()
        .clock(TokioClock::new())
        .store(store)
        .router(router)
        .upstream(upstream.build().unwrap())
        .observer(metrics.clone())
        .build()
        .unwrap();
    let server = Server::builder(service)
        .listen(ANY)
        .observer(metrics.clone());
    let server = server.bind().await.unwrap();
    let (address, handle) = (server.addresses()[0], server.handle());
    let running = tokio::spawn(server.run());

    let mut length = 0;
    for _ in 0..3 {
        let answer = exchange(address, &get_and_close("/v2/app/manifests/v1")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        length = body.len() as u64;
    }
    exchange(address, &get_and_close("/v2/app/manifests/absent")).await;
    exchange(address, &get_and_close("/v2/app/manifests/-")).await;
    handle.drain();
    running.await.unwrap();

    let of = |name| {
        value(
            &metrics,
            &format!("registry_proxy_{name}_total{{type=\"manifest\"}}"),
        )
    };
    // The malformed request is neither a hit nor a miss.
    assert_eq!((of("requests"), of("hits"), of("misses")), (4, 2, 2));
    assert_eq!(of("pulled_bytes"), length);
    assert!(of("pushed_bytes") > 3 * length);
    assert!(!registry.requests_to(Part::Manifest).is_empty());
    assert_eq!(
        value(&metrics, "longshore_cache_store_limit_bytes"),
        1 << 30
    );
}
