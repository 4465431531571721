//! Names a registry gives: of repositories, and of what a tag points at.

use std::str::FromStr;
use std::sync::Arc;

use crate::digest::{Digest, DigestError};
use crate::text::text_traits;

/// The longest repository name, in bytes; longer names are refused (DG8).
///
/// Source: distribution-spec v1.1.1 "Pulling manifests", which notes that many clients limit
/// host and name together to 255 characters.
pub const REPOSITORY_NAME_LIMIT_BYTES: usize = 255;

/// The longest tag, in bytes; longer tags are refused (DG8).
///
/// Source: distribution-spec v1.1.1 "Pulling manifests".
pub const TAG_LIMIT_BYTES: usize = 128;

/// The name of a repository within its registry, `library/alpine` for example.
///
/// Cloning shares one allocation. Source: distribution-spec v1.1.1 "Pulling manifests".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// Makes a name of text that was checked.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_repository(text.as_bytes(), 0)?;
        Ok(Self(text.into()))
    }
}

text_traits!(RepositoryName, "a repository name");

/// A tag: a name for a manifest that may point elsewhere tomorrow.
///
/// Cloning shares one allocation. Source: distribution-spec v1.1.1 "Pulling manifests".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Makes a name of text that was checked.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_tag(text.as_bytes())?;
        Ok(Self(text.into()))
    }
}

text_traits!(Tag, "a tag");

/// The `<reference>` of the manifest endpoints, by which a manifest is requested.
///
/// Source: distribution-spec v1.1.1 "Pulling manifests" (end-3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the specification allows a tag or a digest"
)]
pub enum TagOrDigest {
    /// By tag: the registry says which manifest that is.
    Tag(Tag),
    /// By digest: the bytes prove which manifest it is.
    Digest(Digest),
}

impl TagOrDigest {
    /// Returns the tag or digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }

    /// Returns the digest, where it is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

impl FromStr for TagOrDigest {
    type Err = TagOrDigestError;

    /// Reads a digest where there is a colon, which no tag can have, and a tag otherwise.
    fn from_str(text: &str) -> Result<Self, TagOrDigestError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse().map_err(TagOrDigestError::Tag)?))
        }
    }
}

impl From<Tag> for TagOrDigest {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for TagOrDigest {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

text_traits!(TagOrDigest, "a tag or a digest");

/// Text that is not a name. Positions are in bytes from 0; a text that ends too early is reported
/// at its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// The text leaves the grammar.
    #[error("unexpected character or end at byte {at}")]
    Unexpected {
        /// Where the text leaves the grammar.
        at: usize,
    },
    /// The name has more bytes than its kind may have.
    #[error("it has {length} bytes, and at most {limit} are allowed")]
    TooLong {
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// There is an upper-case letter, which only tags may have.
    #[error("upper-case letter at byte {at}, and only tags may have them")]
    UpperCase {
        /// The position of the letter.
        at: usize,
    },
}

impl NameError {
    /// The same error with its position counted from `by` bytes before.
    pub(crate) fn shifted(self, by: usize) -> Self {
        match self {
            Self::Unexpected { at } => Self::Unexpected { at: by + at },
            Self::UpperCase { at } => Self::UpperCase { at: by + at },
            Self::Empty | Self::TooLong { .. } => self,
        }
    }
}

/// Text that is neither a tag nor a digest.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TagOrDigestError {
    /// There is a colon, but the text is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// There is no colon, and the text is not a tag.
    #[error("malformed tag: {0}")]
    Tag(NameError),
}

/// Checks a repository name before which `prefix` more bytes will stand.
//
// name      ::= component ("/" component)*
// component ::= [a-z0-9]+ (separator [a-z0-9]+)*
// separator ::= "." | "_" | "__" | "-"+
pub(crate) fn check_repository(name: &[u8], prefix: usize) -> Result<(), NameError> {
    /// What stands before the byte looked at.
    enum Before {
        Alphanumeric,
        Dash,
        Underscore,
        /// The start, a slash, a dot or two underscores: only a letter or digit may follow.
        Open,
    }

    if name.is_empty() {
        return Err(NameError::Empty);
    }
    check_length(prefix + name.len(), REPOSITORY_NAME_LIMIT_BYTES)?;
    let mut before = Before::Open;
    for (at, byte) in name.iter().enumerate() {
        before = match (before, byte) {
            (_, b'a'..=b'z' | b'0'..=b'9') => Before::Alphanumeric,
            (Before::Alphanumeric | Before::Dash, b'-') => Before::Dash,
            (Before::Alphanumeric, b'_') => Before::Underscore,
            (Before::Underscore, b'_') | (Before::Alphanumeric, b'.' | b'/') => Before::Open,
            (_, b'A'..=b'Z') => return Err(NameError::UpperCase { at }),
            _ => return Err(NameError::Unexpected { at }),
        };
    }
    match before {
        Before::Alphanumeric => Ok(()),
        _ => Err(NameError::Unexpected { at: name.len() }),
    }
}

// tag ::= [a-zA-Z0-9_] [a-zA-Z0-9._-]{0,127}
pub(crate) fn check_tag(tag: &[u8]) -> Result<(), NameError> {
    let [first, rest @ ..] = tag else {
        return Err(NameError::Empty);
    };
    check_length(tag.len(), TAG_LIMIT_BYTES)?;
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !word(*first) {
        return Err(NameError::Unexpected { at: 0 });
    }
    match rest
        .iter()
        .position(|byte| !word(*byte) && !matches!(byte, b'.' | b'-'))
    {
        Some(at) => Err(NameError::Unexpected { at: at + 1 }),
        None => Ok(()),
    }
}

fn check_length(length: usize, limit: usize) -> Result<(), NameError> {
    if length > limit {
        Err(NameError::TooLong { length, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::NameError::{Empty, TooLong, Unexpected, UpperCase};
    use super::*;

    fn check<T>(text: &str, expected: Result<(), NameError>)
    where
        T: FromStr<Err = NameError> + std::fmt::Display + std::fmt::Debug,
    {
        let parsed = text.parse::<T>();
        assert_eq!(
            parsed.as_ref().map(|_| ()),
            expected.as_ref().map(|&()| ()),
            "{text}"
        );
        if let Ok(name) = parsed {
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn dg8_repository_names_follow_the_grammar() {
        for name in ["a", "0", "a/b", "a.b-c_d__e---f/g", "a/b/c/d", "xn--n3h"] {
            check::<RepositoryName>(name, Ok(()));
        }
        check::<RepositoryName>("", Err(Empty));
        check::<RepositoryName>("/a", Err(Unexpected { at: 0 }));
        check::<RepositoryName>("a/", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a//b", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a/../b", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a..b", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a___b", Err(Unexpected { at: 3 }));
        check::<RepositoryName>("a_-b", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a-.b", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a-", Err(Unexpected { at: 2 }));
        check::<RepositoryName>("a%2Fb", Err(Unexpected { at: 1 }));
        check::<RepositoryName>("a\0", Err(Unexpected { at: 1 }));
        check::<RepositoryName>("ä", Err(Unexpected { at: 0 }));
        check::<RepositoryName>("aB", Err(UpperCase { at: 1 }));
    }

    #[test]
    fn dg8_tags_follow_the_grammar() {
        for tag in ["latest", "_", "0", "V1.0-rc_1", "a..b", "A"] {
            check::<Tag>(tag, Ok(()));
        }
        check::<Tag>("", Err(Empty));
        check::<Tag>(".a", Err(Unexpected { at: 0 }));
        check::<Tag>("-a", Err(Unexpected { at: 0 }));
        check::<Tag>("a/b", Err(Unexpected { at: 1 }));
        check::<Tag>("a:b", Err(Unexpected { at: 1 }));
        check::<Tag>("a\n", Err(Unexpected { at: 1 }));
        check::<Tag>("aé", Err(Unexpected { at: 1 }));
    }

    #[test]
    fn dg8_names_end_at_their_limits() {
        check::<RepositoryName>(&"a".repeat(255), Ok(()));
        check::<RepositoryName>(
            &"a".repeat(256),
            Err(TooLong {
                length: 256,
                limit: 255,
            }),
        );
        check::<Tag>(&"a".repeat(128), Ok(()));
        check::<Tag>(
            &"a".repeat(129),
            Err(TooLong {
                length: 129,
                limit: 128,
            }),
        );
    }

    #[test]
    fn a_colon_makes_it_a_digest() {
        let tag: TagOrDigest = "3.20".parse().unwrap();
        assert_eq!(tag, TagOrDigest::Tag("3.20".parse().unwrap()));
        assert_eq!(tag.digest(), None);
        let digest = Digest::sha256(b"");
        assert_eq!(digest.as_str().parse(), Ok(TagOrDigest::Digest(digest)));
        let error = "a:".parse::<TagOrDigest>().unwrap_err();
        assert_eq!(
            error,
            TagOrDigestError::Digest(DigestError::Encoded { at: 2 })
        );
        assert!(error.to_string().starts_with("malformed encoded part"));
        let error = "-".parse::<TagOrDigest>().unwrap_err();
        assert_eq!(error, TagOrDigestError::Tag(Unexpected { at: 0 }));
        let text = "malformed tag: unexpected character or end at byte 0";
        assert_eq!(error.to_string(), text);
    }
}
