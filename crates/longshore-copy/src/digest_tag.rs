//! Tags that name the digest of another manifest.

use longshore_model::{Digest, Tag};

/// A tag made of the digest of a manifest, under which another program put something that belongs
/// to that manifest: `sha256-<encoded>.sig`, `.att` or `.sbom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestTag {
    digest: Digest,
    suffix: Option<String>,
}

impl DigestTag {
    /// Reads a tag of this form; `None` for another tag.
    #[must_use]
    pub fn parse(tag: &Tag) -> Option<Self> {
        let (digest, suffix) = match tag.as_str().split_once('.') {
            Some((digest, suffix)) => (digest, Some(suffix.to_owned())),
            None => (tag.as_str(), None),
        };
        let digest = digest.replacen('-', ":", 1).parse().ok()?;
        Some(Self { digest, suffix })
    }

    /// Returns the digest that the tag names.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the part after the digest.
    #[must_use]
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }
}
