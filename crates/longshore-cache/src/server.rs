//! What `longshore serve` runs: listeners, limits, metrics and logs around a service.

mod metrics;

pub use self::metrics::{METRICS_CONTENT_TYPE, Metrics};
