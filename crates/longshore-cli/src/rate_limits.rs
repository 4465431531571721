//! The rate limits that registries state along with their answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use longshore::Notice;
use longshore::proto::RateLimit;
use serde::Serialize;

/// Maximum number of registries whose rate limit is kept.
const REGISTRIES_LIMIT: usize = 100;

/// The last rate limit of each registry.
#[derive(Default)]
pub(crate) struct RateLimits(Mutex<BTreeMap<String, RateLimit>>);

impl RateLimits {
    /// Takes a notice, if it is about a rate limit.
    pub(crate) fn take(&self, notice: &Notice) {
        if let Notice::RateLimit { origin, limit } = notice {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let origin = origin.to_string();
            if kept.len() < REGISTRIES_LIMIT || kept.contains_key(&origin) {
                kept.insert(origin, *limit);
            }
        }
    }

    pub(crate) fn shown(&self) -> Vec<ShownLimit> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(ShownLimit::new).collect()
    }
}

/// A rate limit, with the fields of JSON.
#[derive(Serialize)]
pub(crate) struct ShownLimit {
    registry: String,
    limit: Option<u64>,
    remaining: Option<u64>,
    window_seconds: Option<u64>,
    #[serde(skip)]
    text: String,
}

impl ShownLimit {
    fn new((registry, limit): (&String, &RateLimit)) -> Self {
        Self {
            registry: registry.clone(),
            limit: limit.limit,
            remaining: limit.remaining,
            window_seconds: limit.window.map(|window| window.as_secs()),
            text: limit.to_string(),
        }
    }
}

impl fmt::Display for ShownLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.text, self.registry)
    }
}
