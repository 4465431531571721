//! Locking a mutex, in one way.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose content is whole at every step, so that a panic of another holder is no
/// reason to stop.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
