//! Patterns of repository names and tags.

use std::fmt;
use std::str::FromStr;

use longshore_model::{RepositoryName, Tag};

/// A pattern of repository names, compared by whole path segments.
///
/// `*` stands for any one segment, and `**` at the end for one or more segments: `library/*` is
/// every official image of Docker Hub, `team/**` is everything below `team`, and `**` is every
/// repository.
///
/// ```
/// use longshore_cache::server::config::RepositoryPattern;
///
/// let pattern: RepositoryPattern = "team/*".parse()?;
/// assert!(pattern.matches(&"team/app".parse().unwrap()));
/// assert!(!pattern.matches(&"team/app/debug".parse().unwrap()));
/// assert!(!pattern.matches(&"team-b/app".parse().unwrap()));
/// # Ok::<(), longshore_cache::server::config::PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepositoryPattern(Box<str>);

/// A pattern of tags, in which `*` stands for any characters, also for none: `v1.*`, `*-rc`.
///
/// ```
/// use longshore_cache::server::config::TagPattern;
///
/// let pattern: TagPattern = "v*".parse()?;
/// assert!(pattern.matches(&"v1.2".parse().unwrap()));
/// assert!(!pattern.matches(&"latest".parse().unwrap()));
/// # Ok::<(), longshore_cache::server::config::PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TagPattern(Box<str>);

/// Why a text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is not a pattern of repository names.
    #[error(
        "expected a repository name in which a whole path segment may be `*`, and the last one \
         `**`, such as `library/*` or `team/**`"
    )]
    Repository,
    /// It is not a pattern of tags.
    #[error("expected a tag in which `*` stands for any characters, such as `v1.*`")]
    Tag,
}

/// Stands for one segment of a repository name, or for any characters of a tag.
const ANY: &str = "*";

/// Stands for one or more segments, at the end of a pattern.
const REST: &str = "**";

impl RepositoryPattern {
    /// Returns the pattern of every repository.
    #[must_use]
    pub fn all() -> Self {
        Self(REST.into())
    }

    /// Returns whether the pattern matches the whole name.
    #[must_use]
    pub fn matches(&self, name: &RepositoryName) -> bool {
        let mut segments = name.as_str().split('/');
        for pattern in self.0.split('/') {
            let Some(segment) = segments.next() else {
                return false;
            };
            match pattern {
                REST => return true,
                ANY => {}
                _ if pattern == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let first = text.strip_suffix(REST).unwrap_or(text);
        let is_separated = first.len() == text.len() || first.is_empty() || first.ends_with('/');
        // A name with a letter in place of each `*` has the grammar of repository names.
        let segments = text.split('/').map(|it| match it {
            REST | ANY => "a",
            _ => it,
        });
        let example = segments.collect::<Vec<_>>().join("/");
        let is_name = example.parse::<RepositoryName>().is_ok();
        if is_separated && is_name && !first.split('/').any(|it| it == REST) {
            Ok(Self(text.into()))
        } else {
            Err(PatternError::Repository)
        }
    }
}

impl TagPattern {
    /// Returns whether the pattern matches the whole tag.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        let tag = tag.as_str();
        let Some((first, rest)) = self.0.split_once(ANY) else {
            return *self.0 == *tag;
        };
        let Some(mut left) = tag.strip_prefix(first) else {
            return false;
        };
        let mut parts = rest.split(ANY).peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return left.ends_with(part);
            }
            // The first place is the best one: it leaves most for the other parts.
            match left.find(part).and_then(|at| left.get(at + part.len()..)) {
                Some(after) => left = after,
                None => return false,
            }
        }
        true
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.replace(ANY, "a").parse::<Tag>().is_ok() {
            Ok(Self(text.into()))
        } else {
            Err(PatternError::Tag)
        }
    }
}

macro_rules! as_text {
    ($($type:ident)+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )+};
}

as_text!(RepositoryPattern TagPattern);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_patterns_match_whole_segments() {
        for (pattern, name, expected) in [
            ("library/alpine", "library/alpine", true),
            ("library/alpine", "library/alpine-git", false),
            ("library/*", "library/alpine", true),
            ("library/*", "library", false),
            ("library/*", "library/a/b", false),
            ("*/app", "team/app", true),
            ("*/app", "app", false),
            ("team/**", "team/a/b", true),
            ("team/**", "team", false),
            ("team/**", "team2/a", false),
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("*", "a/b", false),
        ] {
            let found: RepositoryPattern = pattern.parse().unwrap();
            assert_eq!(
                found.matches(&name.parse().unwrap()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_star_is_a_whole_segment_of_a_repository_pattern() {
        for text in [
            "", "lib*", "a/b*", "**/a", "a/**/b", "a**", "A", "/a", "a/", "***",
        ] {
            assert_eq!(
                text.parse::<RepositoryPattern>(),
                Err(PatternError::Repository),
                "{text:?}"
            );
        }
    }

    #[test]
    fn tag_patterns_match_any_characters_with_a_star() {
        for (pattern, tag, expected) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("v*", "v1.2", true),
            ("v*", "v", true),
            ("v*", "1v", false),
            ("*", "anything", true),
            ("*-rc", "1.0-rc", true),
            ("*-rc", "1.0-rc1", false),
            ("1.*.*-alpine", "1.2.3-alpine", true),
            ("1.*.*-alpine", "1.2-alpine", false),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
        ] {
            let found: TagPattern = pattern.parse().unwrap();
            assert_eq!(
                found.matches(&tag.parse().unwrap()),
                expected,
                "{pattern} {tag}"
            );
        }
        for text in ["", "a b", "-*", "a/b"] {
            assert_eq!(
                text.parse::<TagPattern>(),
                Err(PatternError::Tag),
                "{text:?}"
            );
        }
    }
}
