//! Digest tags: tags whose name contains the digest of the manifest that they belong to.
//!
//! ```text
//! digest-tag = algorithm "-" encoded [ ".sig" / ".att" / ".sbom" ]
//! ```
//!
//! Without a suffix, it is the tag of distribution-spec v1.1.1 "Referrers Tag Schema", which lists
//! the referrers in a registry without the referrers API. With the suffixes, cosign stores
//! signatures, attestations and bills of materials. A copy of a tag does not include what belongs
//! to its manifest; a copy of the digest tags does.

use longshore::proto::referrers::fallback_tag;
use longshore_model::{Digest, Tag, Verifier};

/// What a digest tag contains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum DigestTagKind {
    /// The index of the referrers, without a suffix.
    Referrers,
    /// Signatures of cosign, `.sig`.
    Signature,
    /// Attestations of cosign, `.att`.
    Attestation,
    /// A bill of materials of cosign, `.sbom`.
    Sbom,
}

impl DigestTagKind {
    /// Every kind, with the referrers first.
    pub const ALL: [Self; 4] = [
        Self::Referrers,
        Self::Signature,
        Self::Attestation,
        Self::Sbom,
    ];

    /// Returns the suffix of the tag, with its dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Referrers => "",
            Self::Signature => ".sig",
            Self::Attestation => ".att",
            Self::Sbom => ".sbom",
        }
    }
}

/// A digest tag: the manifest it belongs to, and what it holds.
///
/// ```
/// use longshore_copy::{DigestTag, DigestTagKind};
/// use longshore::model::{Digest, Tag};
///
/// let subject = Digest::sha256(b"{}");
/// let tag: Tag = format!("sha256-{}.sig", subject.encoded()).parse()?;
/// let digest_tag = DigestTag::new(subject, DigestTagKind::Signature);
/// assert_eq!(digest_tag.tag().as_ref(), Some(&tag));
/// assert_eq!(DigestTag::recognize(&tag), Some(digest_tag));
/// # Ok::<(), longshore::model::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub struct DigestTag {
    /// The digest of the manifest.
    pub subject: Digest,
    /// What the tag holds.
    pub kind: DigestTagKind,
}

impl DigestTag {
    /// Names the tag of this kind that belongs to a manifest.
    #[must_use]
    pub fn new(subject: Digest, kind: DigestTagKind) -> Self {
        Self { subject, kind }
    }

    /// Returns every digest tag of a manifest that is a valid tag, the one of the referrers first.
    pub fn all(subject: &Digest) -> impl Iterator<Item = (DigestTagKind, Tag)> {
        let tag = |kind| Some((kind, Self::new(subject.clone(), kind).tag()?));
        DigestTagKind::ALL.into_iter().filter_map(tag)
    }

    /// Returns the tag; `None` when the digest makes no valid tag: one of SHA-512 is too long for a
    /// tag of cosign.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        let Self { subject, kind } = self;
        if *kind == DigestTagKind::Referrers {
            return fallback_tag(subject);
        }
        let (algorithm, encoded) = (subject.algorithm(), subject.encoded());
        let suffix = kind.suffix();
        format!("{algorithm}-{encoded}{suffix}").parse().ok()
    }

    /// Recognizes a digest tag, for example in a list of tags. `None` for any other tag, and for a
    /// referrers tag that contains only the beginning of a digest, such as one of SHA-512.
    #[must_use]
    pub fn recognize(tag: &Tag) -> Option<Self> {
        let text = tag.as_str();
        let with_suffix = |kind: &DigestTagKind| text.ends_with(kind.suffix());
        // Every text ends with the empty suffix, so that one is tried last.
        let kind = DigestTagKind::ALL.into_iter().rev().find(with_suffix)?;
        let (algorithm, encoded) = text.strip_suffix(kind.suffix())?.split_once('-')?;
        let subject = format!("{algorithm}:{encoded}").parse().ok()?;
        let found = Self::new(subject, kind);
        (is_hash(&found.subject) && found.tag().as_ref() == Some(tag)).then_some(found)
    }
}

/// Returns whether the algorithm of a digest is computed here. Without this check, `build-7` would
/// be a digest tag, because the grammar of digests allows any algorithm.
fn is_hash(digest: &Digest) -> bool {
    Verifier::new(digest, None).is_ok()
}

#[cfg(test)]
mod tests {
    use longshore_model::Algorithm;

    use super::*;

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    #[test]
    fn a_manifest_has_a_tag_for_its_referrers_and_three_of_cosign() {
        let subject = Digest::sha256(b"keel");
        let stem = format!("sha256-{}", subject.encoded());
        let tags: Vec<_> = DigestTag::all(&subject).collect();
        let expected = [
            (DigestTagKind::Referrers, tag(&stem)),
            (DigestTagKind::Signature, tag(&format!("{stem}.sig"))),
            (DigestTagKind::Attestation, tag(&format!("{stem}.att"))),
            (DigestTagKind::Sbom, tag(&format!("{stem}.sbom"))),
        ];
        assert_eq!(tags, expected);
        for (kind, tag) in expected {
            let expected = DigestTag::new(subject.clone(), kind);
            assert_eq!(DigestTag::recognize(&tag), Some(expected), "{tag}");
        }
    }

    #[test]
    fn a_tag_that_cannot_hold_the_whole_digest_is_not_recognized() {
        let subject = Digest::of(&Algorithm::Sha512, b"keel").unwrap();
        let tags: Vec<_> = DigestTag::all(&subject).collect();
        let cut = subject.encoded().get(..64).unwrap();
        let referrers = tag(&format!("sha512-{cut}"));
        assert_eq!(tags, [(DigestTagKind::Referrers, referrers.clone())]);
        assert_eq!(DigestTag::recognize(&referrers), None);

        let subject = Digest::of(&Algorithm::Sha384, b"keel").unwrap();
        let whole = format!("sha384-{}", subject.encoded());
        assert_eq!(DigestTag::recognize(&tag(&whole)), None);
        let signature = DigestTag::new(subject, DigestTagKind::Signature);
        let whole = tag(&format!("{whole}.sig"));
        assert_eq!(DigestTag::recognize(&whole), Some(signature));
    }

    #[test]
    fn another_tag_is_not_recognized() {
        let hex = Digest::sha256(b"keel").encoded().to_owned();
        let upper = hex.to_uppercase();
        let short = hex.get(1..).unwrap();
        for text in [
            "latest",
            "build-7",
            "v1.sig",
            &hex,
            &format!("sha256_{hex}"),
            &format!("sha256-{hex}.sig.sig"),
            &format!("sha256-{hex}.pem"),
            &format!("sha256-{upper}"),
            &format!("sha256-{short}"),
            &format!("md5-{hex}"),
        ] {
            assert_eq!(DigestTag::recognize(&tag(text)), None, "{text}");
        }
    }
}
