//! A cache of Docker Hub in memory, under hyper.
//!
//! ```sh
//! cargo run -p longshore-cache --example hyper
//! docker pull 127.0.0.1:5000/library/alpine
//! ```

#![expect(clippy::print_stderr, reason = "a program may talk")]

use std::error::Error;
use std::io;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use longshore::hyper::TokioClock;
use longshore_cache::{
    BoundedStore, CacheHandle, CacheService, DEFAULT_UPSTREAM, Router, Upstream, UpstreamName,
};
use longshore_store::MemoryStore;
use tokio::net::TcpListener;

/// Maximum size of the cached content: 1 GiB.
const LIMIT_BYTES: u64 = 1 << 30;

/// A cache of the registry of this name, whose API is at `url`.
pub(crate) fn cache(
    name: &UpstreamName,
    url: &str,
) -> Result<(CacheService, CacheHandle), Box<dyn Error + Send + Sync>> {
    let clock = TokioClock::new();
    let upstream = Upstream::builder(name.clone(), url).clock(clock);
    let router = Router::builder()
        .upstream(name.clone())?
        .default_upstream(name)?;
    let cache = CacheService::builder()
        .store(BoundedStore::open(
            Arc::new(MemoryStore::new()),
            LIMIT_BYTES,
        )?)
        .router(router.build())
        .upstream(upstream.build()?)
        .clock(clock)
        .build()?;
    Ok(cache)
}

/// Answers every connection, over HTTP/1.1 or HTTP/2.
///
/// A public server must also limit connections and times, as the module `server` of this crate
/// does.
pub(crate) async fn serve(listener: TcpListener, cache: CacheService) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(cache.clone());
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let served = server.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let name: UpstreamName = DEFAULT_UPSTREAM.parse()?;
    let (cache, _handle) = cache(&name, &Upstream::default_url(&name))?;
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    serve(listener, cache).await?;
    Ok(())
}
