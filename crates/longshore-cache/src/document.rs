//! Manifests in memory.

use std::mem::size_of;

use bytes::Bytes;
use longshore::VerifiedDocument;
use longshore_model::{Descriptor, Digest, Manifest, MediaType};
use serde::Deserialize;

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

/// The media type of a document. Upstreams share its bytes, so the bytes decide where they can:
/// otherwise one upstream would set the type for the clients of another.
fn media_type(verified: &VerifiedDocument) -> MediaType {
    #[derive(Deserialize)]
    struct Stated {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
    }
    let stated = serde_json::from_slice::<Stated>(&verified.bytes).ok();
    let stated = stated.and_then(|stated| stated.media_type?.parse().ok());
    let parsed = || {
        let manifest = Manifest::parse(verified.bytes.clone(), None);
        manifest.ok().map(|manifest| manifest.media_type().clone())
    };
    let sent = || verified.claims.content_type.as_deref()?.parse().ok();
    stated
        .or_else(parsed)
        .or_else(sent)
        .unwrap_or(MediaType::OCI_MANIFEST)
}
