//! References: the text a person names an image by.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError, UnsupportedAlgorithm};
use crate::name::{NameError, RepositoryName, Tag, TagOrDigest};
use crate::text::text_traits;

pub use parts::ReferenceParts;
#[cfg(feature = "oci-spec")]
pub(crate) use parts::is_docker_hub;

mod parts;

/// The longest reference accepted, in bytes; longer text is refused.
///
/// Repository name and tag have limits of their own; this one bounds the registry.
pub const REFERENCE_LIMIT_BYTES: usize = 2048;

/// An image reference with every default filled in, `docker.io/library/alpine:latest`.
///
/// Text is read by the rules of Docker: without a registry it is Docker Hub's, a repository
/// there with one component is in `library/`, and without tag and digest the tag is `latest`.
/// A reference may have both a tag and a digest; the digest is then what is requested.
///
/// ```
/// use longshore_model::Reference;
///
/// let reference: Reference = "alpine".parse()?;
/// assert_eq!(reference.to_string(), "docker.io/library/alpine:latest");
/// assert_eq!(reference.registry(), "docker.io");
/// # Ok::<(), longshore_model::ReferenceError>(())
/// ```
///
/// `Display` prints the canonical text, and parsing that gives the same value. The registry
/// follows the grammar of host and port, no more: whether the port is one, and which host is
/// meant, is decided where a connection is made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `registry "/" name [":" tag] ["@" digest]`, with the positions of the separators.
    text: Box<str>,
    registry_end: u16,
    name_end: u16,
    /// Where the tag ends; the end of the name when there is none.
    tag_end: u16,
}

impl Reference {
    /// Reads a reference by the rules of Docker.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] says which part leaves its grammar, and where.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > REFERENCE_LIMIT_BYTES {
            return Err(ReferenceError::TooLong { length: text.len() });
        }
        parts::normalized(text).map(|(registry, prefix, parts)| {
            let tag = match parts {
                ReferenceParts {
                    tag: None,
                    digest: None,
                    ..
                } => Some(DEFAULT_TAG),
                ReferenceParts { tag, .. } => tag,
            };
            Self::join(registry, [prefix, parts.path], tag, parts.digest)
        })
    }

    /// Returns the registry as host and optional port, `docker.io` or `[::1]:5000`.
    ///
    /// Capitals are kept as written, as Docker keeps them, but the names of hosts have no case: to
    /// look something up by the registry, compare without regard to case.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.slice(0, self.registry_end)
    }

    /// Returns the name of the repository within the registry.
    #[must_use]
    pub fn repository(&self) -> RepositoryName {
        RepositoryName::from_checked(self.repository_str())
    }

    /// Returns the name of the repository as text.
    #[must_use]
    pub fn repository_str(&self) -> &str {
        self.slice(self.registry_end + 1, self.name_end)
    }

    /// Returns the tag, where there is one.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.tag_str().map(Tag::from_checked)
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn tag_str(&self) -> Option<&str> {
        (self.tag_end > self.name_end).then(|| self.slice(self.name_end + 1, self.tag_end))
    }

    /// Returns the digest, where there is one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest_str().map(Digest::from_checked)
    }

    /// Returns the digest as text.
    #[must_use]
    pub fn digest_str(&self) -> Option<&str> {
        self.text.get(usize::from(self.tag_end) + 1..)
    }

    /// Returns what to ask the registry for: the digest if there is one, else the tag.
    #[must_use]
    pub fn target(&self) -> TagOrDigest {
        match self.digest() {
            Some(digest) => TagOrDigest::Digest(digest),
            // Without a digest there is a tag: parsing fills it in.
            None => TagOrDigest::Tag(Tag::from_checked(self.tag_str().unwrap_or(DEFAULT_TAG))),
        }
    }

    /// Returns this reference pinned to `digest`; the tag stays.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        let path = ["", self.repository_str()];
        Self::join(self.registry(), path, self.tag_str(), Some(digest.as_str()))
    }

    /// Returns this reference with `tag` instead of its tag and digest.
    ///
    /// The digest goes because it was what another tag, or the same at another time, stood for.
    #[must_use]
    pub fn with_tag(&self, tag: &Tag) -> Self {
        Self::join(
            self.registry(),
            ["", self.repository_str()],
            Some(tag.as_str()),
            None,
        )
    }

    /// Returns the canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the shortest text that parsing reads as this reference, but for the tag, which
    /// is always written.
    #[must_use]
    pub fn familiar(&self) -> &str {
        let Some(path) = self.text.strip_prefix(DEFAULT_REGISTRY_SLASH) else {
            return &self.text;
        };
        let name = self.repository_str();
        match name.strip_prefix(OFFICIAL) {
            Some(rest) if !rest.contains('/') => path.strip_prefix(OFFICIAL).unwrap_or(path),
            // A first component that reads as a registry has to keep its own in front.
            _ if parts::starts_with_registry(name) => &self.text,
            _ => path,
        }
    }

    /// Joins parts that were checked. They fit the offsets: registry, name and tag together are
    /// bounded by [`REFERENCE_LIMIT_BYTES`] and what the defaults add.
    fn join(
        registry: &str,
        [prefix, path]: [&str; 2],
        tag: Option<&str>,
        digest: Option<&str>,
    ) -> Self {
        let part = |part: Option<&str>| part.map_or(0, |part| part.len() + 1);
        let length = registry.len() + 1 + prefix.len() + path.len() + part(tag) + part(digest);
        let mut text = String::with_capacity(length);
        let end = |text: &String| u16::try_from(text.len()).unwrap_or(u16::MAX);
        text.push_str(registry);
        let registry_end = end(&text);
        text.push('/');
        text.push_str(prefix);
        text.push_str(path);
        let name_end = end(&text);
        if let Some(tag) = tag {
            text.push(':');
            text.push_str(tag);
        }
        let tag_end = end(&text);
        if let Some(digest) = digest {
            text.push('@');
            text.push_str(digest);
        }
        Self {
            text: text.into_boxed_str(),
            registry_end,
            name_end,
            tag_end,
        }
    }

    fn slice(&self, start: u16, end: u16) -> &str {
        // The offsets are those of separators in this very text.
        self.text
            .get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({})", self.as_str())
    }
}

text_traits!(Reference, "an image reference");

/// Text that is not a reference. Positions are in bytes from 0, all from the start of the text; a
/// text that ends too early is reported at its length.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// What follows the `@` is not a digest.
    #[error("malformed digest, which starts at byte {start}: {reason}")]
    Digest {
        /// Where the digest starts.
        start: usize,
        /// What is wrong with the digest.
        reason: DigestError,
    },
    /// There is no text.
    #[error("the reference is empty")]
    Empty,
    /// The text is 64 hexadecimal digits, which Docker reads as the identifier of a local image.
    #[error("64 hexadecimal digits are the identifier of a local image, not of one in a registry")]
    Identifier,
    /// The repository name is malformed.
    #[error("malformed repository name, which starts at byte {start}: {reason}")]
    Name {
        /// Where the name starts.
        start: usize,
        /// What is wrong with the name.
        reason: NameError,
    },
    /// The registry is not a host with an optional port.
    #[error(
        "the registry is not a host with an optional port: unexpected character or end at byte {at}"
    )]
    Registry {
        /// Where the text leaves the grammar.
        at: usize,
    },
    /// There is a scheme, `https://` for example.
    #[error("there is a scheme such as `https://`, and a reference starts with the registry")]
    Scheme,
    /// What follows the `:` is not a tag.
    #[error("malformed tag, which starts at byte {start}: {reason}")]
    Tag {
        /// Where the tag starts.
        start: usize,
        /// What is wrong with the tag.
        reason: NameError,
    },
    /// The text is longer than [`REFERENCE_LIMIT_BYTES`].
    #[error("the reference has {length} bytes, and at most {REFERENCE_LIMIT_BYTES} are allowed")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// The digest is well formed, but nothing could be verified against it (DG1).
    #[error(transparent)]
    UnsupportedAlgorithm(#[from] UnsupportedAlgorithm),
}

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_REGISTRY_SLASH: &str = "docker.io/";
const DEFAULT_TAG: &str = "latest";
/// Where Docker Hub keeps the repositories named by one component.
const OFFICIAL: &str = "library/";

#[cfg(test)]
mod tests;
