//! Destinations that are given up while the copy to the others continues.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::TransferError;

/// The first error of each destination of a copy.
#[derive(Debug)]
pub(crate) struct Failures(Mutex<Vec<Option<TransferError>>>);

impl Failures {
    pub(crate) fn new(destinations: usize) -> Self {
        Self(Mutex::new((0..destinations).map(|_| None).collect()))
    }

    /// Returns whether a destination was given up.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.errors().get(number).is_some_and(Option::is_some)
    }

    /// Gives a destination up.
    ///
    /// # Errors
    ///
    /// The error itself if there is no other destination, or if the copy was cancelled;
    /// [`TransferError::NoDestination`] if none is left.
    pub(crate) fn add(&self, number: usize, error: TransferError) -> Result<(), TransferError> {
        let mut errors = self.errors();
        if matches!(error, TransferError::Cancelled) || errors.len() == 1 {
            return Err(error);
        }
        if let Some(slot) = errors.get_mut(number) {
            slot.get_or_insert(error);
        }
        drop(errors);
        self.unless_all()
    }

    /// # Errors
    ///
    /// [`TransferError::NoDestination`] if none is left.
    pub(crate) fn unless_all(&self) -> Result<(), TransferError> {
        let errors = self.errors();
        match !errors.is_empty() && errors.iter().all(Option::is_some) {
            true => Err(TransferError::NoDestination),
            false => Ok(()),
        }
    }

    /// Keeps a value, or gives the destination up.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub(crate) fn unless<T>(
        &self,
        number: usize,
        result: Result<T, TransferError>,
    ) -> Result<Option<T>, TransferError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => self.add(number, error).map(|()| None),
        }
    }

    /// Takes the error of a destination.
    pub(crate) fn take(&self, number: usize) -> Option<TransferError> {
        self.errors().get_mut(number)?.take()
    }

    /// Replaces [`TransferError::NoDestination`] by the error of the first destination.
    pub(crate) fn first_of(&self, error: TransferError) -> TransferError {
        match error {
            TransferError::NoDestination => self.take(0).unwrap_or(error),
            error => error,
        }
    }

    fn errors(&self) -> MutexGuard<'_, Vec<Option<TransferError>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
