//! The builder of a service, and the handle that shuts it down.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use longshore_transport::Clock;

use super::{CacheService, Shared, Site};
use crate::bounded::BoundedStore;
use crate::fill::Fills;
use crate::flight::Flights;
use crate::known::Known;
use crate::name::UpstreamName;
use crate::observer::{NoObserver, Observer};
use crate::policy::{Freshness, UnverifiedRanges, UpstreamPolicy};
use crate::records::{DynRecords, MemoryRecords, Records};
use crate::router::Router;
use crate::tasks::Tasks;
use crate::upstream::Upstream;

/// Sets up a [`CacheService`].
///
/// Required are a store, a router, a clock, and an upstream for each name in the router.
#[must_use]
pub struct CacheBuilder {
    store: Option<BoundedStore>,
    records: Option<DynRecords>,
    router: Option<Router>,
    upstreams: Vec<(Upstream, UpstreamPolicy)>,
    fills: Option<Fills>,
    clock: Option<Arc<dyn Clock>>,
    freshness: Freshness,
    unverified_ranges: UnverifiedRanges,
    observer: Arc<dyn Observer>,
}

/// Why a service cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheBuildError {
    /// No clock was set.
    #[error("the cache has no clock; set one with `clock`")]
    NoClock,
    /// No router was set.
    #[error("the cache has no router; set one with `router`")]
    NoRouter,
    /// Neither a store nor a pool of fills was set.
    #[error("the cache has no store; set one with `store` or `fills`")]
    NoStore,
    /// The router names an upstream that was not added.
    #[error("the router names the upstream `{0}`, which the cache does not have; add it")]
    NoUpstream(UpstreamName),
    /// The pool of fills belongs to another store.
    #[error("the pool of fills uses another store than the cache; give both the same store")]
    OtherStore,
    /// Two upstreams have one name.
    #[error("two upstreams are named `{0}`; rename one of them")]
    SameUpstream(UpstreamName),
}

impl CacheBuilder {
    pub(super) fn new() -> Self {
        Self {
            store: None,
            records: None,
            router: None,
            upstreams: Vec::new(),
            fills: None,
            clock: None,
            freshness: Freshness::default(),
            unverified_ranges: UnverifiedRanges::default(),
            observer: Arc::new(NoObserver::new()),
        }
    }

    /// Stores content in this store. With [`fills`](Self::fills), the default is the store of the
    /// pool.
    pub fn store(mut self, store: BoundedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Keeps the facts about tags and content in these records. The default keeps them in memory,
    /// until the process ends.
    pub fn records(mut self, records: impl Records) -> Self {
        self.records = Some(DynRecords::new(records));
        self
    }

    /// Finds the upstream of a request with this router.
    pub fn router(mut self, router: Router) -> Self {
        self.router = Some(router);
        self
    }

    /// Adds an upstream, under its name.
    pub fn upstream(self, upstream: Upstream) -> Self {
        self.upstream_with(upstream, UpstreamPolicy::default())
    }

    /// Adds an upstream with these settings.
    pub fn upstream_with(mut self, upstream: Upstream, policy: UpstreamPolicy) -> Self {
        self.upstreams.push((upstream, policy));
        self
    }

    /// Fetches blobs in this pool, which other services may use too.
    pub fn fills(mut self, fills: Fills) -> Self {
        self.fills = Some(fills);
        self
    }

    /// Uses this clock for every time and every wait.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets how long answers of upstreams stay valid, and how long requests wait for them.
    pub const fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// Sets how long a tag is used without asking the upstream; the default is
    /// [`DEFAULT_TAG_TTL`](crate::DEFAULT_TAG_TTL).
    pub const fn tag_ttl(mut self, ttl: std::time::Duration) -> Self {
        self.freshness.tag_ttl = ttl;
        self
    }

    /// Sets whether a range may be answered before the whole blob was verified.
    pub const fn unverified_ranges(mut self, ranges: UnverifiedRanges) -> Self {
        self.unverified_ranges = ranges;
        self
    }

    /// Reports events to this observer. The store, the upstreams and a pool of fills set with
    /// [`fills`](Self::fills) report their events to their own observers.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Builds the service, and the handle that ends it.
    ///
    /// # Errors
    ///
    /// [`CacheBuildError`] when a part is missing or does not fit.
    pub fn build(self) -> Result<(CacheService, CacheHandle), CacheBuildError> {
        let clock = self.clock.ok_or(CacheBuildError::NoClock)?;
        let router = self.router.ok_or(CacheBuildError::NoRouter)?;
        let fills = match (self.fills, self.store) {
            (Some(fills), None) => fills,
            (Some(fills), Some(store)) if fills.store().is(&store) => fills,
            (Some(_), Some(_)) => return Err(CacheBuildError::OtherStore),
            (None, Some(store)) => Fills::builder(store, Arc::clone(&clock))
                .observer(Arc::clone(&self.observer))
                .build(),
            (None, None) => return Err(CacheBuildError::NoStore),
        };
        let mut sites = HashMap::new();
        for (upstream, policy) in self.upstreams {
            let name = upstream.name().clone();
            let site = Arc::new(Site { upstream, policy });
            if sites.insert(name.clone(), site).is_some() {
                return Err(CacheBuildError::SameUpstream(name));
            }
        }
        if let Some(name) = router.upstreams().find(|name| !sites.contains_key(*name)) {
            return Err(CacheBuildError::NoUpstream(name.clone()));
        }
        let records = self
            .records
            .unwrap_or_else(|| DynRecords::new(MemoryRecords::new()));
        let known = Known::new(
            fills.store().clone(),
            records,
            Arc::clone(&clock),
            self.freshness.negative_ttl,
        );
        let shared = Arc::new(Shared {
            router,
            sites,
            known,
            fills,
            clock,
            freshness: self.freshness,
            unverified_ranges: self.unverified_ranges,
            observer: self.observer,
            fetches: Flights::new(),
            blob_heads: Flights::new(),
            lists: Flights::new(),
            list_reads: Flights::new(),
            catalogues: Flights::new(),
            tasks: Tasks::new(),
            requests: AtomicU64::new(1),
        });
        let evicting = Arc::downgrade(&shared);
        shared.known.store().on_evicted(move |digest, _| {
            if let Some(shared) = evicting.upgrade() {
                shared.on_evicted(digest);
            }
        });
        let handle = CacheHandle(Arc::clone(&shared));
        Ok((CacheService { shared }, handle))
    }
}

impl fmt::Debug for CacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("upstreams", &self.upstreams)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}

/// Shuts a service down.
pub struct CacheHandle(Arc<Shared>);

impl CacheHandle {
    /// Ends the running fills, and waits until all fetched content and records are written.
    ///
    /// Stop the listeners first: the service still answers requests. A caller that cannot wait
    /// longer can drop the future and the runtime: the files are valid at any time (CA2).
    pub async fn shutdown(self) {
        self.0.fills.stop().await;
        self.0.tasks.ended().await;
    }
}

impl fmt::Debug for CacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheHandle").finish_non_exhaustive()
    }
}
