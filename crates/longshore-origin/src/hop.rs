//! Where a request goes, and how far that place is trusted.
//!
//! ```text
//!            same origin, or its host with another port
//!                    ┌──────┐
//!                    ▼      │            any
//! first ─────────► home ────┘         ┌──────┐
//!                    │                ▼      │
//!                    └─ other ───► foreign ──┘      (and never back: RD1)
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::PathAndQuery;

use crate::{
    AddressClass, AddressPolicy, AddressRefused, AllowAddresses, Escaped, Origin, RedactedUri,
    ResolveError, Scheme, resolve,
};

/// The URI of the next request, and whether secrets may go with it.
///
/// The first hop is made for the registry that the user named ([`first`](Self::first)), every other
/// one by following a `Location` that a server sent ([`follow`](Self::follow)). Cloning copies one
/// URI.
#[derive(Clone, PartialEq, Eq)]
pub struct Hop {
    home: Origin,
    origin: Origin,
    uri: Uri,
    /// The narrowest class a foreign hop may have; `None` while home was never left.
    floor: Option<AddressClass>,
    allow: AllowAddresses,
}

impl Hop {
    /// The first hop of a call: to the registry itself.
    ///
    /// # Errors
    ///
    /// [`HopError::PathAndQuery`] when the text is not what can follow an authority, beginning
    /// with `/`.
    pub fn first(origin: Origin, path_and_query: &str) -> Result<Self, HopError> {
        let uri = write_uri(&origin, path_and_query)?;
        Ok(Self {
            home: origin.clone(),
            origin,
            uri,
            floor: None,
            allow: AllowAddresses::default(),
        })
    }

    /// Permits these addresses to foreign hops, whatever their class except
    /// [`AddressClass::Never`].
    #[must_use]
    pub fn allowing(self, allow: AllowAddresses) -> Self {
        Self { allow, ..self }
    }

    /// Follows a redirect, by the value of its `Location`.
    ///
    /// `peer` is what the transport reported of the connection the answer came over.
    ///
    /// - Once away from home, no hop is home again (RD1).
    /// - A URL with the registry's host but not its scheme or port, which a proxy in front of an
    ///   https registry may produce, is rewritten to the registry's origin (RD2).
    /// - https does not lead to http (RD2).
    /// - The address class does not become narrower; what can be told without resolving a name is
    ///   checked here, the rest by the transport under [`policy`](Self::policy) (RD2).
    ///
    /// The *number* of hops is for the caller to limit.
    ///
    /// # Errors
    ///
    /// [`HopError::Empty`] and [`HopError::Resolve`] for text that is not a usable URL (RD7, CR12);
    /// [`HopError::Downgrade`] and [`HopError::Refused`] for a URL that must not be followed.
    pub fn follow(&self, location: &[u8], peer: Peer) -> Result<Self, HopError> {
        if location.trim_ascii().is_empty() {
            return Err(HopError::Empty);
        }
        let (target, path_and_query) = resolve((&self.origin, self.path_and_query()), location)?;
        let origin = if self.misspells_home(&target) {
            self.home.clone()
        } else {
            target
        };
        if self.origin.scheme() == Scheme::Https && origin.scheme() == Scheme::Http {
            return Err(HopError::Downgrade { to: origin });
        }
        let stays_home = self.is_home() && origin == self.home;
        let next = Self {
            home: self.home.clone(),
            uri: write_uri(&origin, &path_and_query)?,
            floor: (!stays_home).then(|| self.floor_after(peer)),
            allow: self.allow.clone(),
            origin,
        };
        next.check_known_addresses()?;
        Ok(next)
    }

    /// Returns to a URL that a hop from this one led to in an earlier run, and that a record kept
    /// together with that hop's [`floor`](Self::floor).
    ///
    /// The rules of [`follow`](Self::follow) apply again, whatever the record says: without a floor
    /// a URL of another origin is still foreign, and with one no URL is home (RD1).
    ///
    /// # Errors
    ///
    /// As [`follow`](Self::follow).
    pub fn revisit(&self, url: &[u8], floor: Option<AddressClass>) -> Result<Self, HopError> {
        let hop = self.follow(url, Peer::new(floor, false))?;
        let floor = hop.floor.or(floor);
        let hop = Self { floor, ..hop };
        hop.check_known_addresses()?;
        Ok(hop)
    }

    /// Returns a hop to the same origin with another path and query, with the same trust.
    ///
    /// # Errors
    ///
    /// [`HopError::PathAndQuery`] as for [`first`](Self::first).
    pub fn with_path_and_query(&self, path_and_query: &str) -> Result<Self, HopError> {
        Ok(Self {
            uri: write_uri(&self.origin, path_and_query)?,
            ..self.clone()
        })
    }

    /// The registry the call began at.
    pub fn home(&self) -> &Origin {
        &self.home
    }

    /// The origin this hop leads to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether this is the registry, and no hop before it was anywhere else.
    ///
    /// Only then may the registry's secrets go with the request (CR1, RD1).
    pub fn is_home(&self) -> bool {
        self.floor.is_none()
    }

    /// The narrowest class of address that this hop may be connected to; `None` at home, which may
    /// have any.
    pub fn floor(&self) -> Option<AddressClass> {
        self.floor
    }

    /// Path and query as they go onto the wire.
    pub fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    /// The whole URI, in absolute form.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The addresses that this hop may be connected to: any at home; elsewhere none of a class
    /// narrower than those of the peers that redirected to it.
    pub fn policy(&self) -> AddressPolicy {
        match self.floor {
            None => AddressPolicy::Any,
            Some(class) => AddressPolicy::AtLeast {
                class,
                allow: self.allow.clone(),
            },
        }
    }

    /// Whether `target` is the registry's origin with the wrong scheme or port, as a proxy that
    /// terminates TLS may write it.
    fn misspells_home(&self, target: &Origin) -> bool {
        self.home.scheme() == Scheme::Https
            && target.host() == self.home.host()
            && [80, 443, self.home.port()].contains(&target.port())
    }

    /// The narrowest class that the next hop may have: that of the peer that answered, and no
    /// narrower than the bound of this hop.
    fn floor_after(&self, peer: Peer) -> AddressClass {
        let answered = peer
            .class
            .or_else(|| self.origin.known_class())
            .unwrap_or(AddressClass::Public);
        self.floor.map_or(answered, |floor| floor.wider(answered))
    }

    fn check_known_addresses(&self) -> Result<(), HopError> {
        let known: &[IpAddr] = match self.origin.address() {
            Some(address) => &[address],
            None if self.origin.is_loopback_name() => &LOOPBACKS,
            None => return Ok(()),
        };
        let policy = self.policy();
        let mut refused = None;
        for address in known {
            match policy.check(*address) {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        let to = self.origin.clone();
        refused.map_or(Ok(()), |source| Err(HopError::Refused { to, source }))
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hop")
            .field("home", &self.home)
            .field("uri", &RedactedUri::new(&self.uri))
            .field("policy", &self.policy())
            .finish()
    }
}

fn write_uri(origin: &Origin, path_and_query: &str) -> Result<Uri, HopError> {
    let written = Uri::builder()
        .scheme(origin.scheme().as_str())
        .authority(origin.authority())
        .path_and_query(path_and_query)
        .build();
    match written {
        // Not so where the text has a fragment, which would silently be dropped.
        Ok(uri) if uri.path_and_query().is_some_and(|p| p == path_and_query) => Ok(uri),
        _ => {
            // The query may be signed, and this text is shown.
            let path = path_and_query.split('?').next().unwrap_or_default();
            Err(HopError::PathAndQuery { path: path.into() })
        }
    }
}

/// What a transport knows of the other end of a connection.
///
/// A fact that travels in the response's extensions. The default knows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Peer {
    /// The class of the address connected to; `None` where a proxy made the connection, or the
    /// class was not determined.
    pub class: Option<AddressClass>,
    /// Whether the connection had carried a request before.
    pub reused: bool,
}

impl Peer {
    /// States both facts.
    pub fn new(class: Option<AddressClass>, reused: bool) -> Self {
        Self { class, reused }
    }
}

/// Why a redirect is not followed, or why the first request is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HopError {
    /// The URL is http, and the request was https (RD2).
    #[error("the URL leads from https to {to}, which is not encrypted")]
    Downgrade {
        /// The origin of the URL.
        to: Origin,
    },
    /// The field has no URL.
    #[error("the URL is empty")]
    Empty,
    /// A path and query that cannot be written into a request.
    #[error(
        "the path \"{}\", or its query, cannot be written into a request",
        Escaped::text(.path)
    )]
    PathAndQuery {
        /// The path as given. The query is left out, since it may be a secret.
        path: Box<str>,
    },
    /// The host is an address, or a name for one, that this hop may not connect to (RD2).
    #[error("the URL leads to {to}, whose address is not permitted")]
    Refused {
        /// The origin of the URL.
        to: Origin,
        /// The address and its class.
        source: AddressRefused,
    },
    /// The URL cannot be used.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

/// What `localhost` and the names below it stand for.
const LOOPBACKS: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

#[cfg(test)]
mod tests;
