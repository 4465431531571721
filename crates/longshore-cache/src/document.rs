//! Manifests in memory.

use std::mem::size_of;

use bytes::Bytes;
use longshore::PulledManifest;
use longshore_model::{Descriptor, Digest, MediaType};

/// A manifest: its exact, verified bytes and its descriptor.
#[derive(Debug)]
pub(crate) struct Document {
    /// Media type, digest and size.
    pub(crate) descriptor: Descriptor,
    /// The bytes, never rewritten.
    pub(crate) bytes: Bytes,
}

impl Document {
    /// Makes a document from bytes that were verified against the digest.
    pub(crate) fn new(media_type: MediaType, digest: Digest, bytes: Bytes) -> Self {
        let size = bytes.len() as u64;
        Self {
            descriptor: Descriptor::new(media_type, digest, size),
            bytes,
        }
    }

    /// The digest of the bytes.
    pub(crate) const fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// Memory that the document takes up, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

impl From<PulledManifest> for Document {
    fn from(pulled: PulledManifest) -> Self {
        let manifest = pulled.manifest;
        Self::new(
            manifest.media_type().clone(),
            manifest.digest().clone(),
            manifest.bytes().clone(),
        )
    }
}
