//! OCI image layout directories, read and written atomically.
//!
//! A [`Layout`] is a directory that holds the blobs of images and an index that names them.
//! Blobs are written through its [`FsStore`](longshore_store::FsStore); then
//! [`Layout::tag`] names an image. The directory is a valid layout at every moment, for readers
//! with this library or another, and also after a process was killed: data is present and durable
//! before anything refers to it. Several processes may write to one layout.
//!
//! The content of a layout is not trusted, wherever it came from: no link below its root is
//! followed, documents have limits, and [`Layout::manifest`] verifies what it reads.
//! [`Layout::verify`] reads all of it and reports everything that is wrong.
//!
//! What is left to the caller: which blobs belong to an image, and writing all of them before the
//! image is tagged. `longshore-copy` does both.
//!
//! ```
//! use longshore_layout::Layout;
//! use longshore_model::{Descriptor, MediaType};
//! use longshore_store::Store as _;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let parent = tempfile::tempdir()?;
//! # let path = parent.path().join("images");
//! let layout = Layout::create_or_open(&path)?;
//!
//! let manifest = br#"{"schemaVersion":2,"manifests":[]}"#;
//! let descriptor = Descriptor::of(MediaType::OCI_INDEX, manifest);
//! layout.store().put(&descriptor.digest, manifest)?;
//! layout.tag("v1", descriptor.clone())?;
//!
//! let found = Layout::open(&path)?.resolve("v1")?;
//! assert_eq!(found.digest, descriptor.digest);
//! assert_eq!(layout.manifest(&found)?.bytes(), manifest.as_slice());
//!
//! let report = layout.verify(|_event| ())?;
//! assert!(report.is_sound());
//! assert_eq!(report.blobs, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

mod error;
mod index;
mod layout;
mod name;
mod report;

pub use error::{LayoutError, LayoutErrorKind, NameReason};
pub use layout::{INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, Layout};
pub use name::REF_NAME_LIMIT_BYTES;
pub use report::{Finding, Problem, Progress, Report, VerifyEvent};
