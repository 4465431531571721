//! The builder of a router, with a typed error for every ambiguous name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{Router, Table, canonical, canonical_host, split_port};
use crate::name::UpstreamName;

/// Builds a [`Router`].
#[derive(Default)]
#[must_use]
pub struct RouterBuilder {
    table: Table,
}

/// Why a name cannot be assigned to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A segment of the prefix is `v2`, the path of the API, which makes requests ambiguous.
    #[error("`{0}` has the path segment `v2`, which is the path of the API: use another prefix")]
    ApiSegment(UpstreamName),
    /// A default upstream is already set.
    #[error("{second} cannot be the default upstream: {first} is the default already")]
    Defaults {
        /// The default.
        first: UpstreamName,
        /// The upstream that should also be the default.
        second: UpstreamName,
    },
    /// The prefix is already used. `index.docker.io` and `registry-1.docker.io` count as
    /// `docker.io`.
    #[error("two upstreams have the prefix `{0}`: give one of them another prefix")]
    Duplicate(UpstreamName),
    /// A host or namespace already belongs to another upstream.
    #[error("`{host}` cannot name {second}: it already names {first}; use it for one of them")]
    HostTaken {
        /// The host or namespace.
        host: String,
        /// The upstream that has it.
        first: UpstreamName,
        /// The upstream that should also have it.
        second: UpstreamName,
    },
    /// A host or namespace is not a host with an optional port.
    #[error("`{0}` is not a host with an optional port, such as `registry.example:5000`")]
    MalformedHost(String),
    /// A prefix begins with the path segments of another one.
    #[error("the prefix `{inner}` is within the prefix `{outer}`: change one of them")]
    Overlap {
        /// The shorter prefix.
        outer: UpstreamName,
        /// The longer prefix.
        inner: UpstreamName,
    },
    /// The upstream was not added before.
    #[error("there is no upstream `{0}`: add the upstream before its other names")]
    UnknownUpstream(UpstreamName),
}

impl RouterBuilder {
    /// Adds an upstream. Its name is the prefix of repository names. A name of one segment is also
    /// a [namespace](Self::namespace).
    ///
    /// # Errors
    ///
    /// [`RouterError::Duplicate`] and [`RouterError::Overlap`], which compares whole segments:
    /// `gcr` and `gcr-eu` may both be prefixes, `a` and `a/b` may not. [`RouterError::ApiSegment`];
    /// [`RouterError::HostTaken`] if the name is a namespace of another upstream.
    pub fn upstream(mut self, prefix: UpstreamName) -> Result<Self, RouterError> {
        if prefix.as_str().split('/').any(|segment| segment == "v2") {
            return Err(RouterError::ApiSegment(prefix));
        }
        let key: Box<str> = canonical(prefix.as_str()).into();
        for (other_key, other) in &self.table.prefixes {
            if *other_key == key {
                return Err(RouterError::Duplicate(prefix));
            }
            if is_within(&key, other_key) {
                let outer = other.clone();
                return Err(RouterError::Overlap {
                    outer,
                    inner: prefix,
                });
            }
            if is_within(other_key, &key) {
                let inner = other.clone();
                return Err(RouterError::Overlap {
                    outer: prefix,
                    inner,
                });
            }
        }
        if !key.contains('/') {
            add(&mut self.table.namespaces, &key, &prefix)?;
        }
        self.table.prefixes.insert(key, prefix);
        Ok(self)
    }

    /// Adds a value of the parameter `ns` that selects this upstream: a host, and its port unless
    /// that is the default one. Case is ignored, and the three names of Docker Hub are equal.
    ///
    /// # Errors
    ///
    /// [`RouterError::MalformedHost`], [`RouterError::HostTaken`],
    /// [`RouterError::UnknownUpstream`].
    pub fn namespace(mut self, ns: &str, upstream: &UpstreamName) -> Result<Self, RouterError> {
        self.check_known(upstream)?;
        add(&mut self.table.namespaces, ns, upstream)?;
        Ok(self)
    }

    /// Adds a host of this cache that selects this upstream: all names in requests to that host
    /// belong to the upstream. A host without a port matches any port.
    ///
    /// # Errors
    ///
    /// As [`namespace`](Self::namespace).
    pub fn host(mut self, host: &str, upstream: &UpstreamName) -> Result<Self, RouterError> {
        self.check_known(upstream)?;
        add(&mut self.table.hosts, host, upstream)?;
        Ok(self)
    }

    /// States that this upstream keeps its official images below `library/`, as Docker Hub does:
    /// `alpine` is then `library/alpine`.
    ///
    /// # Errors
    ///
    /// [`RouterError::UnknownUpstream`].
    pub fn official_images(mut self, upstream: &UpstreamName) -> Result<Self, RouterError> {
        self.check_known(upstream)?;
        self.table.official.insert(upstream.clone());
        Ok(self)
    }

    /// Sets the upstream of names without a prefix.
    ///
    /// # Errors
    ///
    /// [`RouterError::Defaults`], [`RouterError::UnknownUpstream`].
    pub fn default_upstream(mut self, upstream: &UpstreamName) -> Result<Self, RouterError> {
        self.check_known(upstream)?;
        match self.table.default.replace(upstream.clone()) {
            Some(first) if first != *upstream => Err(RouterError::Defaults {
                first,
                second: upstream.clone(),
            }),
            _ => Ok(self),
        }
    }

    /// Makes the router.
    #[must_use]
    pub fn build(self) -> Router {
        Router {
            table: Arc::new(self.table),
        }
    }

    fn check_known(&self, upstream: &UpstreamName) -> Result<(), RouterError> {
        match self.table.prefixes.values().any(|known| known == upstream) {
            true => Ok(()),
            false => Err(RouterError::UnknownUpstream(upstream.clone())),
        }
    }
}

impl std::fmt::Debug for RouterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouterBuilder")
            .field("upstreams", &self.table.prefixes)
            .finish_non_exhaustive()
    }
}

/// Whether `inner` begins with all path segments of `outer` and has more.
fn is_within(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

fn add(
    hosts: &mut BTreeMap<Box<str>, UpstreamName>,
    host: &str,
    upstream: &UpstreamName,
) -> Result<(), RouterError> {
    if !is_host(host) {
        return Err(RouterError::MalformedHost(host.to_owned()));
    }
    match hosts.entry(canonical_host(host).into()) {
        Entry::Occupied(taken) if taken.get() != upstream => Err(RouterError::HostTaken {
            host: host.to_owned(),
            first: taken.get().clone(),
            second: upstream.clone(),
        }),
        Entry::Occupied(_) => Ok(()),
        Entry::Vacant(free) => {
            free.insert(upstream.clone());
            Ok(())
        }
    }
}

/// Whether a text is a host with an optional port, as in a URL (RFC 3986 §3.2). An underscore is
/// allowed, because names of containers have underscores.
fn is_host(text: &str) -> bool {
    let (host, port) = split_port(text);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    is_host && port.is_none_or(is_port)
}
