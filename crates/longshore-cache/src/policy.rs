//! Settings that differ between upstreams.

use std::time::Duration;

use longshore_model::{RepositoryName, Tag};

/// How long answers of upstreams stay valid, and how long requests wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Freshness {
    /// How long a tag or a list is used without asking the upstream:
    /// [`DEFAULT_TAG_TTL`](crate::DEFAULT_TAG_TTL).
    pub tag_ttl: Duration,
    /// How long a request waits for the upstream if there is a stale copy: 2 s.
    pub stale_wait: Duration,
    /// How long after its TTL a copy is used if the upstream does not answer: 24 h.
    pub stale_if_error: Duration,
    /// How long the answer that something does not exist is remembered: 10 s.
    pub negative_ttl: Duration,
    /// Time within which a client gets a response head: 25 s. Clients such as containerd give up
    /// after 30 s.
    pub head_budget: Duration,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            tag_ttl: crate::DEFAULT_TAG_TTL,
            stale_wait: Duration::from_secs(2),
            stale_if_error: Duration::from_secs(24 * 60 * 60),
            negative_ttl: Duration::from_secs(10),
            head_budget: Duration::from_secs(25),
        }
    }
}

/// Whether a range of a blob may be answered before the whole blob was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnverifiedRanges {
    /// Yes; the answer is marked with `Longshore-Verified: no`. A client that reads such ranges
    /// must itself verify the whole content.
    #[default]
    Allow,
    /// No: the answer waits until the whole blob was verified.
    Wait,
}

/// How long a tag counts as fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a tag changes or never changes")]
pub enum TagTtl {
    /// For this long.
    For(Duration),
    /// Forever: the tag never changes.
    Never,
}

/// The settings of one upstream.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct UpstreamPolicy {
    /// How long tags count as fresh. The first pattern that matches a tag decides; tags without a
    /// match have the TTL of the service.
    pub tag_ttl: Vec<(Pattern, TagTtl)>,
    /// The repositories that may be requested; without patterns, all of them.
    pub repositories: Vec<Pattern>,
}

impl UpstreamPolicy {
    /// Returns the TTL of a tag; `None` if it never changes.
    pub(crate) fn tag_ttl(&self, tag: &Tag, otherwise: Duration) -> Option<Duration> {
        let mut rules = self.tag_ttl.iter();
        match rules.find(|(pattern, _)| pattern.matches(tag.as_str())) {
            Some((_, TagTtl::For(ttl))) => Some(*ttl),
            Some((_, TagTtl::Never)) => None,
            None => Some(otherwise),
        }
    }

    /// Whether the repository may be requested.
    pub(crate) fn allows(&self, repository: &RepositoryName) -> bool {
        let mut patterns = self.repositories.iter();
        self.repositories.is_empty() || patterns.any(|it| it.matches(repository.as_str()))
    }
}

/// A pattern of tags or repository names.
///
/// ```text
/// pattern = segment *( "/" segment )
/// segment = *( "*" / character )      ; "*": zero or more characters except "/"
///         / "**"                      ; zero or more whole segments
/// ```
///
/// ```
/// use longshore_cache::Pattern;
///
/// assert!(Pattern::new("library/*").matches("library/alpine"));
/// assert!(!Pattern::new("library/*").matches("library/a/b"));
/// assert!(Pattern::new("team/**").matches("team/a/b"));
/// assert!(Pattern::new("v*-rc*").matches("v1-rc2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Makes a pattern. Every text is a valid pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a tag or a repository name matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // No part of a character in UTF-8 is an ASCII character.
        let equals = |segment: &&str, text: &&str| {
            let (segment, text) = (segment.as_bytes(), text.as_bytes());
            is_match(segment, text, |it| *it == b'*', |a, b| a == b)
        };
        if !self.0.contains('/') && *self.0 != *"**" {
            // As every pattern of tags.
            return !text.contains('/') && equals(&&*self.0, &text);
        }
        let (pattern, text): (Vec<_>, Vec<_>) =
            (self.0.split('/').collect(), text.split('/').collect());
        is_match(&pattern, &text, |segment| *segment == "**", equals)
    }
}

/// Matches a sequence against a pattern in which some elements are wildcards for any number of
/// elements.
///
/// After a mismatch, only the last wildcard takes one more element; earlier wildcards need no
/// change. So the time is at most the product of the lengths.
fn is_match<P, T>(
    pattern: &[P],
    text: &[T],
    is_wild: impl Fn(&P) -> bool,
    equals: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut position, mut retry) = (0, 0, None);
    while position < text.len() {
        match (pattern.get(at), text.get(position)) {
            (Some(element), _) if is_wild(element) => {
                retry = Some((at, position));
                at += 1;
            }
            (Some(element), Some(found)) if equals(element, found) => {
                at += 1;
                position += 1;
            }
            _ => match &mut retry {
                Some((wild, taken)) => {
                    *taken += 1;
                    (at, position) = (*wild + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(is_wild)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_segments() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "latest", true),
            ("*", "a/b", false),
            ("a/*", "a", false),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "a/c", true),
            ("**", "a/b/c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "a/b/cc", false),
            ("a*b*c", "aXXbYYbZc", true),
            ("a*b*c", "aXXbYYbZ", false),
            ("v1.*", "v1.2", true),
            ("v1.*", "v12", false),
            ("***", "abc", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn the_first_pattern_sets_the_ttl() {
        let minute = Duration::from_secs(60);
        let policy = UpstreamPolicy {
            tag_ttl: vec![
                (Pattern::new("v*-rc*"), TagTtl::For(minute)),
                (Pattern::new("v*"), TagTtl::Never),
            ],
            ..UpstreamPolicy::default()
        };
        let ttl = |tag: &str| policy.tag_ttl(&tag.parse().unwrap(), minute * 5);
        assert_eq!(ttl("v1-rc1"), Some(minute));
        assert_eq!(ttl("v1"), None);
        assert_eq!(ttl("latest"), Some(minute * 5));
    }

    #[test]
    fn without_patterns_every_repository_is_allowed() {
        let mut policy = UpstreamPolicy::default();
        let (mine, other) = ("team/app".parse().unwrap(), "other/app".parse().unwrap());
        assert!(policy.allows(&mine) && policy.allows(&other));
        policy.repositories = vec![Pattern::new("library/*"), Pattern::new("team/**")];
        assert!(policy.allows(&mine) && !policy.allows(&other));
    }
}
