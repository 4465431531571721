//! The optional parts of the transport contract, which a transport declares as capabilities.

use std::fmt;

/// A part of the [contract](crate::Transport#capabilities) that a transport may or may not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The transport connects to no address that the request's
    /// [`AddressPolicy`](longshore_origin::AddressPolicy) does not permit.
    AddressPolicy,
    /// Errors report the phase in which the exchange failed and whether the connection was reused.
    ErrorPhase,
    /// Responses say which class of address they came from.
    PeerClass,
    /// Requests can choose between named TLS settings, by a [`TlsIdentity`](crate::TlsIdentity).
    TlsIdentity,
}

impl Capability {
    const ALL: [Self; 4] = [
        Self::AddressPolicy,
        Self::ErrorPhase,
        Self::PeerClass,
        Self::TlsIdentity,
    ];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressPolicy => "address policy",
            Self::ErrorPhase => "error phase",
            Self::PeerClass => "peer class",
            Self::TlsIdentity => "TLS identity",
        })
    }
}

/// The set of capabilities that a transport declares.
///
/// ```
/// use longshore_transport::{Capabilities, Capability};
///
/// let declared = Capabilities::none().with(Capability::PeerClass);
/// assert!(declared.has(Capability::PeerClass));
/// assert!(!declared.has(Capability::AddressPolicy));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

impl Capabilities {
    /// No capability; the default.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Every capability, later ones included.
    ///
    /// Use it for a transport that opens no connection, such as a service in the same process. A
    /// transport that opens connections should name each capability, because later versions may add
    /// capabilities that it does not have.
    #[must_use]
    pub const fn all() -> Self {
        let [first, second, third, fourth] = Capability::ALL;
        Self::none()
            .with(first)
            .with(second)
            .with(third)
            .with(fourth)
    }

    /// Returns these capabilities together with `capability`.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// Whether this capability is declared.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }

    /// The capabilities that are declared, in alphabetical order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |it| self.has(*it))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A request needs a capability that its transport does not declare.
///
/// It is the source of a [`TransportError`](crate::TransportError) of the kind
/// [`Unsupported`](crate::TransportErrorKind::Unsupported).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a request to {host} needs the capability \"{capability}\", which the transport does not \
     declare"
)]
#[non_exhaustive]
pub struct MissingCapability {
    /// The capability that the transport does not declare.
    pub capability: Capability,
    /// The host of the request, escaped.
    pub host: Box<str>,
}
