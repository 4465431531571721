//! Manifests in memory.

use std::mem::size_of;

use bytes::Bytes;
use longshore::VerifiedDocument;
use longshore_model::{Descriptor, Digest, Manifest, MediaType};

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

impl From<VerifiedDocument> for Document {
    fn from(verified: VerifiedDocument) -> Self {
        let media_type = media_type(&verified);
        Self::new(media_type, verified.digest, verified.bytes)
    }
}

/// The media type that the upstream states; if it states none, the one that the document has.
fn media_type(verified: &VerifiedDocument) -> MediaType {
    let stated = verified.claims.content_type.as_deref();
    if let Some(Ok(stated)) = stated.map(str::parse) {
        return stated;
    }
    match Manifest::parse(verified.bytes.clone(), None) {
        Ok(manifest) => manifest.media_type().clone(),
        Err(_) => MediaType::OCI_MANIFEST,
    }
}
