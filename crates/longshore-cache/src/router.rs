//! Finds the upstream of a request, from all ways in which clients name it.
//!
//! One address serves many registries, and clients name the registry in four ways: in a path before
//! the API, in the first segments of the repository name, in the parameter `ns`, and in the host of
//! the request. A request may use several of them; they must agree. All of them are compared with
//! the configured names and never used as an address (CA11: no request parameter chooses a host).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::sync::Arc;

use http::StatusCode;
use longshore_model::RepositoryName;
use longshore_origin::Escaped;
use longshore_proto::Refusal;
use longshore_proto::error_code::{ErrorBody, ErrorCode};

pub use self::builder::{RouterBuilder, RouterError};
use crate::name::{ImageName, UpstreamName};

mod builder;
#[cfg(test)]
mod tests;

/// The names of Docker Hub. Clients use all of them; the first is the canonical one.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// The path of the official images of an upstream, which clients omit.
const OFFICIAL: &str = "library";

/// Maximum length in bytes of the list of configured upstreams in a refusal.
const LISTED_LIMIT_BYTES: usize = 512;

/// The upstreams of a cache, and the names by which requests choose one of them.
///
/// Cloning a router is cheap.
///
/// ```
/// use longshore_cache::{Address, Router, UpstreamName};
///
/// let hub: UpstreamName = "docker.io".parse()?;
/// let quay: UpstreamName = "quay.io".parse()?;
/// let router = Router::builder()
///     .upstream(hub.clone())?
///     .upstream(quay)?
///     .official_images(&hub)?
///     .default_upstream(&hub)?
///     .build();
///
/// let name = "quay.io/prometheus/busybox".parse()?;
/// let image = router.find(&Address::of_name(&name))?;
/// assert_eq!(image.upstream.as_str(), "quay.io");
/// assert_eq!(image.repository.as_str(), "prometheus/busybox");
///
/// let name = "alpine".parse()?;
/// let image = router.find(&Address::of_name(&name))?;
/// assert_eq!(image.to_string(), "docker.io/library/alpine");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Router {
    table: Arc<Table>,
}

/// Every name is in its canonical form.
#[derive(Default)]
struct Table {
    /// By prefix. No prefix begins with the segments of another one.
    prefixes: BTreeMap<Box<str>, UpstreamName>,
    namespaces: BTreeMap<Box<str>, UpstreamName>,
    hosts: BTreeMap<Box<str>, UpstreamName>,
    official: BTreeSet<UpstreamName>,
    default: Option<UpstreamName>,
}

/// How a request names a repository. All parts except the name are unchecked text of the client.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Address<'a> {
    /// The path before the API, without slashes at its ends.
    pub base: Option<&'a RepositoryName>,
    /// The name of the repository in the path; `None` if the request names none.
    pub name: Option<&'a RepositoryName>,
    /// The parameter `ns`, with which containerd and others name the registry of an image.
    pub namespace: Option<&'a str>,
    /// The host that the request was sent to, with or without a port.
    pub host: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// An address with only the name in the path.
    #[must_use]
    pub const fn of_name(name: &'a RepositoryName) -> Self {
        Self {
            base: None,
            name: Some(name),
            namespace: None,
            host: None,
        }
    }

    /// Adds the path before the API.
    #[must_use]
    pub const fn with_base(mut self, base: &'a RepositoryName) -> Self {
        self.base = Some(base);
        self
    }

    /// Adds a value of `ns`.
    #[must_use]
    pub const fn with_namespace(mut self, namespace: &'a str) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Adds a host.
    #[must_use]
    pub const fn with_host(mut self, host: &'a str) -> Self {
        self.host = Some(host);
        self
    }
}

/// Why no repository of an upstream was found for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// The parts of the request name different upstreams.
    #[error("the request names two upstreams, {first} and {second}: name only one")]
    Conflict {
        /// One of them.
        first: UpstreamName,
        /// The other.
        second: UpstreamName,
    },
    /// The path names an upstream and no repository.
    #[error("`{0}` is an upstream; add the name of a repository after it")]
    NoRepository(UpstreamName),
    /// The request names no configured upstream.
    #[error("`{}` names no upstream of this cache{known}", Escaped::text(name))]
    NoUpstream {
        /// The part of the request that should name an upstream; text of the client.
        name: String,
        /// The configured upstreams.
        known: KnownUpstreams,
    },
    /// The complete name is longer than a repository name may be.
    #[error("the repository name `{name}` is too long")]
    TooLong {
        /// The complete name.
        name: String,
    },
}

impl RoutingError {
    /// The answer to a request with this error: 404 for an unknown name, 400 for an invalid one.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let (status, code) = match self {
            Self::NoUpstream { .. } => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown),
            Self::Conflict { .. } | Self::NoRepository(_) | Self::TooLong { .. } => {
                (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid)
            }
        };
        Refusal::new(status, ErrorBody::one(code, &self.to_string()))
    }
}

/// The upstreams of a router, as text for an error message: the first ones, and the number of
/// further ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUpstreams(Box<str>);

impl KnownUpstreams {
    fn of(table: &Table) -> Self {
        let mut text = String::new();
        let mut names = table.prefixes.values();
        let mut listed = 0;
        for name in names.by_ref() {
            if listed > 0 && text.len() + name.as_str().len() > LISTED_LIMIT_BYTES {
                break;
            }
            let separator = if listed == 0 { ", which has " } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{name}");
            listed += 1;
        }
        let more = table.prefixes.len() - listed;
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
        Self(text.into())
    }
}

impl fmt::Display for KnownUpstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Router {
    /// Starts to build a router without upstreams.
    pub fn builder() -> RouterBuilder {
        RouterBuilder::default()
    }

    /// The upstreams, sorted by the prefix that names them.
    pub fn upstreams(&self) -> impl Iterator<Item = &UpstreamName> {
        self.table.prefixes.values()
    }

    /// The upstream of names without a prefix.
    #[must_use]
    pub fn default_upstream(&self) -> Option<&UpstreamName> {
        self.table.default.as_ref()
    }

    /// Finds the repository that a request names.
    ///
    /// The base, the prefix of the name, `ns` and the host are read separately, and all that are
    /// present must name the same upstream. The prefix is then removed from the name. A host that
    /// is not configured is ignored; an unknown base or `ns` is an error.
    ///
    /// A name that begins with a prefix always belongs to the upstream of that prefix, even if the
    /// default upstream has a repository with the whole name. If nothing names an upstream and the
    /// first of several segments is a host by the rules of Docker references (it has a dot or is
    /// `localhost`), the name does not belong to the default upstream.
    ///
    /// # Errors
    ///
    /// [`RoutingError`]; its [`refusal`](RoutingError::refusal) is the answer.
    pub fn find(&self, address: &Address<'_>) -> Result<ImageName, RoutingError> {
        let written = address.name.map_or("", RepositoryName::as_str);
        let prefixed = self.prefixed(written);
        let named = self.named(address)?;
        let (upstream, rest) = match (prefixed, named) {
            (Some((found, _)), Some(named)) if found != named => {
                return Err(conflict(named, found));
            }
            (Some(found), _) => found,
            (None, Some(named)) => (named, written),
            (None, None) => match self.default_upstream() {
                Some(upstream) if !begins_with_host(written) => (upstream, written),
                _ => return Err(self.no_upstream(written)),
            },
        };
        if rest.is_empty() {
            return Err(RoutingError::NoRepository(upstream.clone()));
        }
        Ok(ImageName::new(
            upstream.clone(),
            self.complete(upstream, rest)?,
        ))
    }

    /// Finds the upstream that a request names by its base, `ns` or host, if any.
    ///
    /// # Errors
    ///
    /// [`RoutingError::Conflict`] and [`RoutingError::NoUpstream`].
    pub fn named(&self, address: &Address<'_>) -> Result<Option<&UpstreamName>, RoutingError> {
        let base = address.base.map(|base| {
            let found = self.table.prefixes.get(canonical(base.as_str()).as_ref());
            found.ok_or_else(|| self.no_upstream(base.as_str()))
        });
        let namespace = address.namespace.map(|text| {
            let found = self.table.namespaces.get(canonical_host(text).as_ref());
            found.ok_or_else(|| self.no_upstream(text))
        });
        let host = address.host.and_then(|host| self.host(host)).map(Ok);
        let mut agreed: Option<&UpstreamName> = None;
        for found in [base, namespace, host].into_iter().flatten() {
            let found = found?;
            match agreed {
                Some(first) if first != found => return Err(conflict(first, found)),
                _ => agreed = Some(found),
            }
        }
        Ok(agreed)
    }

    /// Splits a name whose first segments are a prefix into the upstream and the rest, which is
    /// empty if nothing follows the prefix.
    fn prefixed<'a>(&self, name: &'a str) -> Option<(&UpstreamName, &'a str)> {
        let ends = name.match_indices('/').map(|(at, _)| at);
        ends.chain([name.len()]).find_map(|end| {
            let (prefix, rest) = name.split_at_checked(end)?;
            let upstream = self.table.prefixes.get(canonical(prefix).as_ref())?;
            Some((upstream, rest.strip_prefix('/').unwrap_or(rest)))
        })
    }

    /// The upstream of this host, which is looked up with its port and then without it.
    fn host(&self, host: &str) -> Option<&UpstreamName> {
        let host = canonical_host(host);
        let without_port = || self.table.hosts.get(split_port(&host).0);
        self.table.hosts.get(host.as_ref()).or_else(without_port)
    }

    /// Adds `library/` to the name of an official image.
    fn complete(
        &self,
        upstream: &UpstreamName,
        name: &str,
    ) -> Result<RepositoryName, RoutingError> {
        let is_official = !name.contains('/') && self.table.official.contains(upstream);
        let name: Cow<'_, str> = match is_official {
            true => format!("{OFFICIAL}/{name}").into(),
            false => name.into(),
        };
        // The rest of the name follows the grammar, as the whole name did. Only its length can be
        // wrong.
        name.parse().map_err(|_| RoutingError::TooLong {
            name: name.into_owned(),
        })
    }

    fn no_upstream(&self, name: &str) -> RoutingError {
        RoutingError::NoUpstream {
            name: name.chars().take(NAMED_LIMIT_CHARS).collect(),
            known: KnownUpstreams::of(&self.table),
        }
    }
}

/// Maximum number of characters of an unknown name in a refusal.
const NAMED_LIMIT_CHARS: usize = 255;

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("upstreams", &self.table.prefixes)
            .field("namespaces", &self.table.namespaces)
            .field("hosts", &self.table.hosts)
            .field("official_images", &self.table.official)
            .field("default_upstream", &self.table.default)
            .finish()
    }
}

fn conflict(first: &UpstreamName, second: &UpstreamName) -> RoutingError {
    RoutingError::Conflict {
        first: first.clone(),
        second: second.clone(),
    }
}

/// Whether a name of several segments begins with the host of a registry.
fn begins_with_host(name: &str) -> bool {
    let first = name.split_once('/').map_or("", |(first, _)| first);
    first.contains('.') || first == "localhost"
}

/// A prefix or path with the canonical name of Docker Hub as its first segment.
fn canonical(path: &str) -> Cow<'_, str> {
    let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    if DOCKER_HUB_ALIASES.contains(&first) {
        return format!("{DOCKER_HUB}{rest}").into();
    }
    path.into()
}

/// A host in lower case, with the canonical name of Docker Hub.
fn canonical_host(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let lower = host.to_ascii_lowercase();
        return canonical(&lower).into_owned().into();
    }
    canonical(host)
}

/// Splits a host and its port, which may be missing.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}
