//! A whole cache from a configuration: store, records, upstreams, service and listeners.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longshore_hyper::TokioClock;
use longshore_store::{FsStore, Interrupt, Store, StoreDirectory, StoreError};
use longshore_transport::Clock;

use super::config::{ConnectError, ServeConfig, StoreConfig};
use super::{
    DrainReport, ListenError, Metrics, Readiness, Server, ServerHandle, StoreHealth,
    UpstreamReadiness,
};
use crate::bounded::BoundedStore;
use crate::name::UpstreamName;
use crate::observer::{Observer, Observers};
use crate::records::{FileRecords, RecordsError};
use crate::router::RouterError;
use crate::service::{CacheBuildError, CacheHandle, CacheService};
use crate::upstream::{Upstream, UpstreamBuildError, UpstreamError};

/// The name of the cache directory within the configured directory.
const DIRECTORY: &str = "cache";

/// The version of the content of the directory (CA12: an older program refuses a newer directory).
const VERSION: u32 = 1;

/// The file that holds the order in which blobs were used.
const RECENCY_FILE: &str = "recency";

/// Maximum size of that file, in bytes.
const RECENCY_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// Time between two writes of that file.
const RECENCY_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Why a cache cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The server cannot listen on an address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The directory of the cache cannot be used.
    #[error("cannot use the directory of the cache")]
    Store(#[from] StoreError),
    /// The records in that directory cannot be used.
    #[error("cannot use the records of the cache")]
    Records(#[from] RecordsError),
    /// The settings of a connection cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An upstream cannot be used.
    #[error(transparent)]
    Upstream(#[from] UpstreamBuildError),
    /// The names of the upstreams cannot be used.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// The parts of the cache do not fit together.
    #[error(transparent)]
    Service(#[from] CacheBuildError),
    /// A task of the start ended without a result.
    #[error("the start was interrupted")]
    Interrupted,
}

/// A whole cache with its listeners, as `longshore serve` runs it.
pub struct CacheServer {
    server: Server<CacheService>,
    cache: CacheHandle,
    store: BoundedStore,
    disk: Disk,
    clock: Arc<dyn Clock>,
}

/// The directory of a running cache. It stays locked while this exists.
struct Disk {
    files: FsStore,
    directory: StoreDirectory,
}

impl CacheServer {
    /// Binds the listeners, opens the directory and builds the upstreams. Clients can connect from
    /// now on, and are served when the server [runs](Self::run). Sends no request to an upstream.
    ///
    /// If another process uses the directory, waits for it for the configured time.
    ///
    /// # Errors
    ///
    /// [`StartError`] says which part of the configuration cannot be used.
    pub async fn start(config: &ServeConfig) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let metrics = Metrics::new();
        let observer: Arc<dyn Observer> = Arc::new(Observers::new().with(metrics.clone()));
        let upstreams = upstreams(config, &clock, &observer)?;
        let parts = Arc::new(OnceLock::new());
        let listening = listen(config, metrics.clone(), &observer, &parts, &upstreams).await?;
        let (store, disk) = open(config, &clock).await?;
        metrics.observe_store(&store);
        let mut builder = CacheService::builder()
            .store(store.clone())
            .records(FileRecords::within(disk.directory.dir())?)
            .router(config.router()?)
            .clock(Arc::clone(&clock))
            .freshness(config.freshness())
            .unverified_ranges(config.unverified_ranges)
            .observer(observer);
        for (configured, upstream) in config.upstream.iter().zip(&upstreams) {
            builder = builder.upstream_with(upstream.clone(), config.policy(configured));
        }
        let (service, cache) = builder.build()?;
        // This is the only place that sets it.
        let _ = parts.set((store.clone(), upstreams));
        Ok(Self {
            server: listening.with_service(service),
            cache,
            store,
            disk,
            clock,
        })
    }

    /// Returns the addresses on which clients are served.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Returns the address of the listener for operators.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.server.admin_address()
    }

    /// Returns the maximum size of the stored content, in bytes.
    #[must_use]
    pub fn store_limit(&self) -> u64 {
        self.store.limit()
    }

    /// Returns the handle that stops the server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves clients until the [handle](Self::handle) drains or stops the server. Then running
    /// transfers are stopped; their partial blobs are kept and resumed after the next start.
    pub async fn run(self) -> DrainReport {
        let Self {
            server,
            cache,
            store,
            disk,
            clock,
        } = self;
        let disk = Arc::new(disk);
        let housekeeping = housekeep(&store, &disk, &*clock);
        let report = tokio::select! {
            report = server.run() => report,
            () = housekeeping => DrainReport { cut: 0 },
        };
        cache.shutdown().await;
        save_recency(&store, &disk).await;
        report
    }
}

/// Checks whether every upstream of a configuration answers as a registry.
///
/// # Errors
///
/// [`StartError`] if the upstreams cannot be set up; the result has the answer of each one.
pub async fn ping_upstreams(
    config: &ServeConfig,
) -> Result<Vec<(UpstreamName, Result<(), UpstreamError>)>, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let observer: Arc<dyn Observer> = Arc::new(Observers::new());
    let mut pings = Vec::new();
    for upstream in upstreams(config, &clock, &observer)? {
        let name = upstream.name().clone();
        pings.push((name, tokio::spawn(async move { upstream.ping().await })));
    }
    let mut results = Vec::new();
    for (name, ping) in pings {
        let result = ping.await.map_err(|_| StartError::Interrupted)?;
        results.push((name, result));
    }
    Ok(results)
}

fn upstreams(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<Upstream>, StartError> {
    let build = |upstream: &super::config::UpstreamConfig| {
        let builder = upstream.builder()?.clock(Arc::clone(clock));
        Ok(builder.observer(Arc::clone(observer)).build()?)
    };
    config.upstream.iter().map(build).collect()
}

/// The parts that the readiness of a cache depends on after its start.
type ReadyParts = Arc<OnceLock<(BoundedStore, Vec<Upstream>)>>;

/// Binds all addresses. No client is answered before the service exists.
async fn listen(
    config: &ServeConfig,
    metrics: Metrics,
    observer: &Arc<dyn Observer>,
    parts: &ReadyParts,
    upstreams: &[Upstream],
) -> Result<Server<()>, ListenError> {
    let ready = Arc::clone(parts);
    let reloaded = upstreams.to_vec();
    let mut builder = Server::builder(())
        .limits(config.limits())
        .observer(Arc::clone(observer))
        .metrics(metrics)
        .readiness(move || readiness(&ready))
        .on_reload(move || reloaded.iter().for_each(Upstream::reload));
    for address in &config.listen {
        builder = match config.tls_files() {
            Some(files) => builder.listen_tls(*address, files),
            None => builder.listen(*address),
        };
    }
    if let Some(address) = config.admin.listen {
        builder = builder.admin(address);
    }
    builder.bind().await
}

fn readiness(parts: &ReadyParts) -> Readiness {
    let readiness = Readiness::new();
    let Some((store, upstreams)) = parts.get() else {
        return readiness.with_reason("the cache is starting");
    };
    let health = StoreHealth::new(store.is_degraded(), store.used(), store.limit());
    let upstreams = upstreams.iter().map(upstream_readiness);
    upstreams.fold(readiness.with_store(health), Readiness::with_upstream)
}

fn upstream_readiness(upstream: &Upstream) -> UpstreamReadiness {
    let health = upstream.health();
    let mut shown = UpstreamReadiness::new(upstream.name().clone());
    if let Some(failure) = health.last_failure
        && health.consecutive_failures > 0
    {
        shown = shown.with_failure(failure.kind.as_str());
    }
    if health.credentials_refused {
        shown = shown.with_credential_refused();
    }
    if upstream.is_offline() {
        shown = shown.with_offline();
    }
    match health.quota {
        Some(quota) => shown.with_quota(quota.remaining, quota.limit),
        None => shown,
    }
}

/// Opens the directory of the cache, on a thread that may block.
async fn open(
    config: &ServeConfig,
    clock: &Arc<dyn Clock>,
) -> Result<(BoundedStore, Disk), StartError> {
    let (config, clock) = (config.clone(), Arc::clone(clock));
    let opened = tokio::task::spawn_blocking(move || open_blocking(&config, clock));
    opened.await.map_err(|_| StartError::Interrupted)?
}

fn open_blocking(
    config: &ServeConfig,
    clock: Arc<dyn Clock>,
) -> Result<(BoundedStore, Disk), StartError> {
    let directory = open_directory(&config.store)?;
    let files = directory.store(config.store.durability);
    // CA2: files of a dead process are removed, or kept to be resumed.
    files.clear_leftovers()?;
    let free = free_bytes(directory.dir().path());
    let recency = directory.dir().read(RECENCY_FILE, RECENCY_LIMIT_BYTES);
    let used = files.list()?.filter_map(Result::ok);
    let used = used.filter_map(|digest| files.size(&digest).ok().flatten());
    let used: u64 = used.sum();
    let limit = config.store_size(free.saturating_add(used)).bytes();
    if used > limit {
        tracing::warn!(
            used,
            limit,
            "the store is larger than its limit; evicting content"
        );
    }
    let store = BoundedStore::builder(Arc::new(files.clone()), limit)
        .clock(clock)
        .recency(recency.ok().flatten().unwrap_or_default())
        .open()?;
    Ok((store, Disk { files, directory }))
}

/// Opens the directory and takes its lock. Logs a warning before it waits for another process.
fn open_directory(store: &StoreConfig) -> Result<StoreDirectory, StoreError> {
    let open = |wait| {
        let interrupt = Interrupt::new();
        StoreDirectory::open(&store.path, DIRECTORY, VERSION, wait, &interrupt)
    };
    match open(Duration::ZERO) {
        Err(error @ StoreError::Locked { .. }) if !store.lock_wait.is_zero() => {
            let seconds = store.lock_wait.as_secs();
            tracing::warn!(%error, seconds, "waiting for the directory of the cache");
            open(store.lock_wait)
        }
        opened => opened,
    }
}

/// Free bytes of the file system that holds this directory; the largest number if the system does
/// not report it.
#[cfg(unix)]
fn free_bytes(path: &std::path::Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |it| it.f_bavail.saturating_mul(it.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_path: &std::path::Path) -> u64 {
    u64::MAX
}

/// Writes the recency file periodically; never returns.
async fn housekeep(store: &BoundedStore, disk: &Arc<Disk>, clock: &dyn Clock) {
    loop {
        clock.sleep(RECENCY_INTERVAL).await;
        save_recency(store, disk).await;
    }
}

/// Writes the order in which blobs were used. It only improves later evictions, so an error is only
/// logged.
async fn save_recency(store: &BoundedStore, disk: &Arc<Disk>) {
    let (store, disk) = (store.clone(), Arc::clone(disk));
    let write = move || {
        let lock = disk.files.lock()?;
        lock.replace(RECENCY_FILE, &store.snapshot())
    };
    if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
        tracing::warn!(%error, "cannot write the order in which blobs were used");
    }
}

impl fmt::Debug for CacheServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheServer")
            .field("addresses", &self.addresses())
            .field("directory", &self.disk.directory.dir().path())
            .finish_non_exhaustive()
    }
}
