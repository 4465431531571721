//! How many requests one origin gets at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use longshore_origin::Origin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests in flight per registry origin, bodies included (LI2: with a transport that buffers
/// at most 2 MiB a request, this bounds the memory of all transfers to 64 MiB an origin).
pub const REQUESTS_PER_ORIGIN: usize = 32;

/// Requests in flight, by origin.
#[derive(Debug)]
pub(crate) struct Limit {
    each: usize,
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
}

impl Limit {
    pub(crate) fn new(each: usize) -> Self {
        Self {
            each: each.clamp(1, Semaphore::MAX_PERMITS),
            origins: Mutex::default(),
        }
    }

    /// Waits for room; the permit makes room again when it is dropped.
    pub(crate) async fn acquire(&self, origin: &Origin) -> Permit {
        let semaphore = {
            let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(self.each));
            Arc::clone(origins.entry(origin.clone()).or_insert_with(fresh))
        };
        // The semaphores are never closed, so there always is a permit in the end.
        Permit(semaphore.acquire_owned().await.ok())
    }
}

/// Room for one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held")] Option<OwnedSemaphorePermit>);
