//! Pulls through the cache.

use std::sync::Arc;

use longshore::hyper::TokioClock;
use longshore_cache::{BoundedStore, CacheService, Patience, Router, Upstream, UpstreamName};
use longshore_store::MemoryStore;
use longshore_testkit::image;
use longshore_testkit::registry::Registry;
use tokio::net::TcpListener;

type Error = Box<dyn std::error::Error>;

#[tokio::test]
async fn a_pull_through_the_fallback_asks_the_upstream_once() -> Result<(), Error> {
    let image = image::single(1);
    let registry = Registry::builder().image("app", "v1", &image).start()?;
    let name: UpstreamName = "registry.example".parse()?;
    let clock = TokioClock::new();
    let upstream = Upstream::builder(name.clone(), &registry.url()).clock(clock);
    let router = Router::builder().upstream(name.clone())?;
    let (cache, handle) = CacheService::builder()
        .store(BoundedStore::open(Arc::new(MemoryStore::new()), 1 << 30)?)
        .router(router.default_upstream(&name)?.build())
        .upstream(upstream.build()?)
        .clock(clock)
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = longshore_example_axum::app(cache);
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let client = Upstream::builder(name, &url).clock(clock).build()?;
    let (repository, tag) = ("app".parse()?, "v1".parse()?);
    for _ in 0..2 {
        let pulled = client.manifest(&repository, &tag, Patience::Normal).await?;
        let pulled = pulled.ok_or("no manifest")?;
        assert_eq!(pulled.manifest.bytes(), &image.document());
        let absent = "v2".parse()?;
        let absent = client
            .manifest(&repository, &absent, Patience::Normal)
            .await?;
        assert!(absent.is_none());
    }
    let statuses = registry.requests().all().into_iter().map(|it| it.status);
    let statuses: Vec<_> = statuses.flatten().map(|it| it.as_u16()).collect();
    assert_eq!(statuses, [200, 404]);
    server.abort();
    handle.shutdown().await;
    Ok(())
}
