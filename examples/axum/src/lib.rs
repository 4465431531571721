//! A read-through cache of registries within an axum server.
//!
//! [`CacheService`] is a tower service whose error is [`Infallible`](std::convert::Infallible), so
//! it can be the fallback of a router: the routes of the program come first, and every other
//! request is for the cache, which answers those outside the protocol with 404.

use axum::Router;
use axum::routing::get;
use longshore_cache::CacheService;

/// An application that has a route of its own, and a cache behind it.
pub fn app(cache: CacheService) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .fallback_service(cache)
}
