//! Bytes by digest: written once, verified before they are visible, streamed in and out.
//!
//! A [`Store`] keeps blobs under the digest of their bytes. A [`Writer`] hashes what passes
//! through it and makes the blob visible only when length and digest are those announced. One
//! from [`Store::resume`] that is dropped or killed before leaves what the next one goes on
//! with; one from [`Store::begin`] leaves nothing. Two drivers keep them: [`FsStore`] in files,
//! laid out as an OCI image layout lays them out and safe to kill at any moment, and
//! [`MemoryStore`].
//!
//! What is left to the caller: fetching the bytes, deciding which to keep, and calling the
//! store from where blocking is allowed. Nothing here knows manifests or tags.
//!
//! ```
//! use longshore_model::Digest;
//! use longshore_store::{MemoryStore, Store, StoreErrorKind};
//!
//! # fn main() -> Result<(), longshore_store::StoreError> {
//! let store = MemoryStore::new();
//! let digest = Digest::sha256(b"hello");
//!
//! let mut writer = store.begin(&digest, Some(5))?;
//! writer.write(b"hel")?;
//! assert_eq!(store.size(&digest)?, None, "not visible before it is verified");
//! writer.write(b"lo")?;
//! writer.commit()?;
//! assert_eq!(store.size(&digest)?, Some(5));
//!
//! // Interrupted, and gone on with.
//! let digest = Digest::sha256(b"goodbye");
//! let mut writer = store.resume(&digest, 7)?;
//! writer.write(b"good")?;
//! writer.keep()?;
//! let mut writer = store.resume(&digest, 7)?;
//! assert_eq!(writer.position(), 4, "fetch from here");
//! writer.write(b"bye")?;
//! writer.commit()?;
//!
//! let refused = store.put(&digest, b"jello").unwrap_err();
//! assert_eq!(refused.kind(), StoreErrorKind::Content);
//! # Ok(())
//! # }
//! ```
//!
//! | feature | adds |
//! |---|---|
//! | `conformance` | the module `conformance`: tests every driver passes, for drivers elsewhere |
//! | `failpoints` | failures on request at every step of input and output, for tests |
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod dir;
mod error;
mod failpoint;
mod fs;
mod interrupt;
mod lock;
mod memory;
mod positioned;
mod random;
mod store;
mod writer;

pub use dir::{Dir, Entry, FileMode};
pub use error::{Action, LockHolder, StoreError, StoreErrorKind};
#[cfg(any(test, feature = "failpoints"))]
pub use failpoint::{FAILPOINT_VARIABLE, failpoints};
pub use fs::{
    BLOBS_DIR, Durability, Exclusive, FsStore, LOCK_WAIT, PARTIAL_AGE_LIMIT, PRIVATE_DIR,
    StoreDirectory,
};
pub use interrupt::Interrupt;
pub use memory::MemoryStore;
pub use random::{RandomReader, ReadAt};
pub use store::{Digests, Existing, Opened, Partial, Partials, Reader, Store};
pub use writer::{Sink, Writer};
