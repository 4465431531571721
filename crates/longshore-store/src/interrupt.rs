//! Ending a blocking call early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;

/// Ends blocking calls of a store early, from another thread. Clones share one state.
///
/// Calls that wait for a lock, hash, or make many files durable check it several times a second and
/// end with [`StoreError::Interrupted`]. The files on disk stay valid, and no partial blob is lost.
/// A system call that has begun is not interrupted.
///
/// ```
/// use longshore_store::Interrupt;
///
/// let interrupt = Interrupt::new();
/// let other = interrupt.clone();
/// assert!(!other.is_set());
/// interrupt.set();
/// assert!(other.is_set());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Makes an interrupt that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the calls that check this interrupt, including later calls.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`Interrupt::set`] was called.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Checks that the interrupt is not set, between two steps of a long call.
    ///
    /// # Errors
    ///
    /// [`StoreError::Interrupted`].
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_set() {
            return Err(StoreError::Interrupted);
        }
        Ok(())
    }
}
