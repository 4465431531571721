//! Names of upstreams, and of repositories of upstreams.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use longshore_model::RepositoryName;

/// The name of an upstream registry in a cache, such as `docker.io`.
///
/// It is a prefix of repository names, so it consists of one or more whole path segments in the
/// grammar of repository names (distribution-spec v1.1.1 "Pulling manifests"): lower case, without
/// a port. It is also a part of the keys under which records are kept.
///
/// ```
/// use longshore_cache::UpstreamName;
///
/// let name: UpstreamName = "quay.io".parse()?;
/// assert_eq!(name.as_str(), "quay.io");
/// assert!("quay.io:443".parse::<UpstreamName>().is_err());
/// assert!("Quay.io".parse::<UpstreamName>().is_err());
/// # Ok::<(), longshore_cache::UpstreamNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamName(Arc<str>);

/// Why a text is not a valid name of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamNameError {
    /// It is empty.
    #[error("the name of an upstream is empty")]
    Empty,
    /// It has upper-case letters, a port, or other characters that no path segment has.
    #[error(
        "`{0}` is not an upstream name: use lower-case path segments without a port, such as \
         `registry.example` or `mirror/quay`"
    )]
    Malformed(String),
}

impl UpstreamName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UpstreamName {
    type Err = UpstreamNameError;

    fn from_str(text: &str) -> Result<Self, UpstreamNameError> {
        if text.is_empty() {
            return Err(UpstreamNameError::Empty);
        }
        match text.parse::<RepositoryName>() {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(UpstreamNameError::Malformed(text.to_owned())),
        }
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A repository of an upstream: the unit of visibility (CA6: a digest is served from a repository
/// only after an upstream answer proved that this repository contains it).
///
/// `Display` writes its name in the cache: `quay.io/a/b`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct ImageName {
    /// The upstream.
    pub upstream: UpstreamName,
    /// The name of the repository at the upstream.
    pub repository: RepositoryName,
}

impl ImageName {
    /// Names a repository of an upstream.
    #[must_use]
    pub const fn new(upstream: UpstreamName, repository: RepositoryName) -> Self {
        Self {
            upstream,
            repository,
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upstream, self.repository)
    }
}
