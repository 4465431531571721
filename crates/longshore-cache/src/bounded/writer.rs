//! Writing a blob into reserved space.

use longshore_model::Digest;
use longshore_store::{RandomReader, StoreError, Writer};

use super::{BoundedStore, Reservation};
use crate::evict::Key;

/// Number of bytes that the writer of a blob of unknown size reserves at a time: 64 MiB, so that a
/// large layer needs few evictions.
const GROW_STEP: u64 = 64 * 1024 * 1024;

/// A writer of a blob in a [`BoundedStore`].
///
/// It writes into reserved space. If the size is known, a dropped writer keeps the partial blob for
/// the next one, as [`Writer`] does; otherwise it discards the partial blob.
#[derive(Debug)]
pub struct BoundedWriter {
    /// `None` after the blob was committed, kept or discarded. Dropped before the reservation.
    writer: Option<Writer>,
    reservation: Reservation,
    store: BoundedStore,
    digest: Digest,
    resumable: bool,
    position: u64,
}

impl BoundedWriter {
    pub(super) fn new(
        store: BoundedStore,
        writer: Writer,
        reservation: Reservation,
        resumable: bool,
    ) -> Self {
        Self {
            reservation,
            store,
            digest: writer.digest().clone(),
            resumable,
            position: writer.position(),
            writer: Some(writer),
        }
    }

    /// Appends `content`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when a blob of unknown size exceeds its reservation and nothing can be
    /// evicted; the blob can then still be kept or discarded. Otherwise as
    /// [`Writer::write`]: the partial blob is removed, and its reservation is released.
    pub fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
        let end = self.position.saturating_add(content.len() as u64);
        let missing = end.saturating_sub(self.reservation.bytes());
        // The inner writer refuses more bytes than a known size.
        if missing > 0 && !self.resumable {
            let grown = self.reservation.grow(missing.max(GROW_STEP));
            if !grown && !self.reservation.grow(missing) {
                return Err(self.store.full());
            }
        }
        let writer = self
            .writer
            .as_mut()
            .ok_or_else(|| abandoned(&self.digest))?;
        match writer.write(content) {
            Ok(()) => {
                self.position = end;
                Ok(())
            }
            Err(error) => {
                self.writer = None;
                self.reservation.release();
                self.store.note(&error);
                Err(error)
            }
        }
    }

    /// Returns how many bytes were written so far, resumed ones included.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns a reader of the bytes written so far and later.
    ///
    /// # Errors
    ///
    /// [`StoreError::Abandoned`] after an earlier error.
    pub fn reader(&self) -> Result<RandomReader, StoreError> {
        match &self.writer {
            Some(writer) => writer.reader(),
            None => Err(abandoned(&self.digest)),
        }
    }

    /// Verifies the blob and makes it visible; its actual size replaces the reservation.
    ///
    /// # Errors
    ///
    /// As [`Writer::commit`]. The reservation is released, and the blob is not served.
    pub fn commit(mut self) -> Result<(), StoreError> {
        let writer = self.writer.take().ok_or_else(|| abandoned(&self.digest))?;
        let key = Key::of(&self.digest);
        let _claim = self.store.claim(&key);
        match writer.commit() {
            Ok(()) => {
                let mut books = self.store.books();
                books.release(self.reservation.take());
                books.store(key, self.position);
                drop(books);
                self.store.succeeded();
                Ok(())
            }
            Err(error) => {
                self.store.note(&error);
                self.store
                    .withdraw_unfinished(&self.digest, &mut self.reservation);
                Err(error)
            }
        }
    }

    /// Keeps the partial blob for a later [`BoundedStore::begin`] of the same digest.
    ///
    /// # Errors
    ///
    /// As [`Writer::keep`]; after an error nothing is kept.
    pub fn keep(mut self) -> Result<(), StoreError> {
        let writer = self.writer.take().ok_or_else(|| abandoned(&self.digest))?;
        self.keep_writer(writer)
    }

    /// Discards the partial blob.
    pub fn discard(mut self) {
        if let Some(writer) = self.writer.take() {
            writer.discard();
        }
    }

    fn keep_writer(&mut self, writer: Writer) -> Result<(), StoreError> {
        let key = Key::of(&self.digest);
        let claim = self.store.claim(&key);
        let result = writer.keep();
        match &result {
            Ok(()) => {
                let mut books = self.store.books();
                books.release(self.reservation.take());
                // The store keeps the longest partial blob.
                let size = books.kept(&key).max(self.position);
                books.set_kept(&key, size);
            }
            Err(error) => {
                self.store.note(error);
                self.store.recount_kept(&self.digest);
            }
        }
        drop(claim);
        self.store.remove_surplus_partials();
        result
    }
}

impl Drop for BoundedWriter {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take().filter(|_| self.resumable) {
            // Best effort: bytes that are not kept are fetched again.
            let _ = self.keep_writer(writer);
        }
    }
}

fn abandoned(digest: &Digest) -> StoreError {
    StoreError::Abandoned {
        digest: digest.clone(),
    }
}
