//! Scheme, host and port: the unit to which a secret belongs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crate::{AddressClass, Escaped};

/// The two schemes a registry is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: no other scheme is ever followed (RD2)"
)]
pub enum Scheme {
    /// Plain HTTP, default port 80.
    Http,
    /// HTTP over TLS, default port 443.
    Https,
}

impl Scheme {
    /// The scheme as written in a URI, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is meant when none is written.
    ///
    /// RFC 9110 §4.2.1 and §4.2.2.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// Reads a scheme in any case; `None` for every other scheme.
    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::Http, Self::Https]
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One peer as far as trust is concerned: scheme, host and effective port.
///
/// The host is lower-case ASCII without a trailing dot, and the default port is filled in, so that
/// two origins are equal exactly when RFC 6454 §5 calls them the same. Cloning is cheap.
///
/// Text forms: `https://registry.example`, `http://127.0.0.1:5000`, `https://[::1]:5000`; the
/// default port is left out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// `scheme://authority`; all other fields follow from it.
    text: Arc<str>,
    scheme: Scheme,
    host_bytes: usize,
    port: u16,
    address: Option<IpAddr>,
}

impl Origin {
    /// Makes an origin of a scheme and `host`, `host:port` or `[v6]:port`.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for user information (CR12), a host that is empty, not ASCII, or not a
    /// name or address, and for a port outside 1–65535.
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, OriginError> {
        if authority.contains('@') {
            return Err(OriginError::UserInformation);
        }
        // A colon inside brackets belongs to the address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = port.map(read_port).transpose()?;
        Self::from_parts(scheme, host, port)
    }

    /// Makes an origin of a host, in brackets if it is an IPv6 address, and perhaps a port.
    pub(crate) fn from_parts(
        scheme: Scheme,
        host: &str,
        port: Option<u16>,
    ) -> Result<Self, OriginError> {
        let port = port.unwrap_or_else(|| scheme.default_port());
        let host = Host::read(host)?;
        let mut text = format!("{scheme}://{host}");
        if port != scheme.default_port() {
            text.push_str(&format!(":{port}"));
        }
        let (host_bytes, address) = match host {
            Host::Address(IpAddr::V6(_)) => (host.to_string().len() - "[]".len(), host.address()),
            _ => (host.to_string().len(), host.address()),
        };
        Ok(Self {
            text: text.into(),
            scheme,
            host_bytes,
            port,
            address,
        })
    }

    /// The same host and port under another scheme, or with that scheme's port where this one has
    /// its own scheme's default.
    #[must_use]
    pub fn with_scheme(&self, scheme: Scheme) -> Self {
        let explicit = (self.port != self.scheme.default_port()).then_some(self.port);
        let mut text = format!("{scheme}://{}", self.bracketed_host());
        let port = explicit.unwrap_or_else(|| scheme.default_port());
        if port != scheme.default_port() {
            text.push_str(&format!(":{port}"));
        }
        Self {
            text: text.into(),
            scheme,
            port,
            ..self.clone()
        }
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case, without brackets and without a trailing dot.
    pub fn host(&self) -> &str {
        let bracket = usize::from(matches!(self.address, Some(IpAddr::V6(_))));
        self.authority()
            .get(bracket..bracket + self.host_bytes)
            .unwrap_or_default()
    }

    /// The port connected to, whether written or meant.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as written in a URI: IPv6 in brackets, the default port left out.
    pub fn authority(&self) -> &str {
        self.text
            .get(self.scheme.as_str().len() + "://".len()..)
            .unwrap_or_default()
    }

    /// The address, when the host is written as one.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether the host is in 127.0.0.0/8, or is `::1`, `localhost` or `*.localhost`.
    ///
    /// RFC 6761 §6.3 for the names. Whether such a name resolves to a loopback address is for the
    /// transport to check.
    pub fn is_loopback_name(&self) -> bool {
        self.known_class() == Some(AddressClass::Loopback)
    }

    /// The address class, as far as it is known without resolving a name.
    ///
    /// `None` for every name but `localhost` and `*.localhost`.
    pub fn known_class(&self) -> Option<AddressClass> {
        match self.address {
            Some(address) => Some(AddressClass::of(address)),
            None if self.host() == "localhost" || self.host().ends_with(".localhost") => {
                Some(AddressClass::Loopback)
            }
            None => None,
        }
    }

    fn bracketed_host(&self) -> &str {
        let brackets = 2 * usize::from(matches!(self.address, Some(IpAddr::V6(_))));
        self.authority()
            .get(..self.host_bytes + brackets)
            .unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.text)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads `scheme "://" host [":" port] ["/"]`.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::Scheme)?;
        let scheme = Scheme::read(scheme).ok_or(OriginError::Scheme)?;
        Self::from_authority(scheme, rest.strip_suffix('/').unwrap_or(rest))
    }
}

/// Why a text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// No host is given.
    #[error("the host is empty")]
    Empty,
    /// The host is neither a name made of letters, digits, `-`, `_` and `.`, nor an address.
    #[error(
        "the host \"{}\" is neither an address nor a name of letters, digits, `-`, `_` and `.`",
        Escaped::text(.host)
    )]
    Host {
        /// The host as given.
        host: Box<str>,
    },
    /// The host has characters outside ASCII.
    #[error("the host \"{}\" is not ASCII; write its A-label (xn--…)", Escaped::text(.host))]
    NotAscii {
        /// The host as given.
        host: Box<str>,
    },
    /// The host ends in a number but is not a dotted-decimal address.
    ///
    /// Resolvers read `127.1`, `0x7f000001` and `2130706433` as addresses; a rule that compares
    /// hosts or address classes would not.
    #[error(
        "the host \"{}\" ends in a number, but is not an address such as 192.0.2.1",
        Escaped::text(.host)
    )]
    Number {
        /// The host as given.
        host: Box<str>,
    },
    /// The port is not a number from 1 to 65535.
    #[error("the port \"{}\" is not a number from 1 to 65535", Escaped::text(.port))]
    Port {
        /// The port as given.
        port: Box<str>,
    },
    /// The scheme is missing, or neither `http` nor `https`.
    #[error("the scheme is missing, or neither http nor https")]
    Scheme,
    /// There is user information before the host (CR12).
    #[error("there is user information before the host, which is not allowed")]
    UserInformation,
}

/// A host in canonical form; its `Display` is the form inside an authority.
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    // host       = IP-literal / IPv4address / reg-name            RFC 3986 §3.2.2
    // IP-literal = "[" ( IPv6address / IPvFuture  ) "]"
    // Of reg-name only letters, digits, "-", "_" and "." are accepted: percent-encoding and
    // sub-delims never reach a resolver unchanged, and every layer would read them differently.
    fn read(text: &str) -> Result<Self, OriginError> {
        let refused = || OriginError::Host { host: text.into() };
        if let Some(inside) = text.strip_prefix('[') {
            let address = inside.strip_suffix(']').ok_or_else(refused)?;
            let address = address.parse::<Ipv6Addr>().map_err(|_| refused())?;
            return Ok(Self::Address(address.into()));
        }
        if !text.is_ascii() {
            return Err(OriginError::NotAscii { host: text.into() });
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(OriginError::Empty);
        }
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if name.len() > NAME_LIMIT_BYTES || !name.split('.').all(is_label) {
            return Err(refused());
        }
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(OriginError::Number { host: text.into() });
        }
        Ok(Self::Name(name))
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_LIMIT_BYTES).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Whether `inet_aton` would take the label for a number: decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

pub(crate) fn read_port(text: &str) -> Result<u16, OriginError> {
    // port = *DIGIT; `u16::from_str` alone would take a sign.
    Some(text)
        .filter(|t| t.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|t| t.parse().ok())
        .filter(|port| *port != 0)
        .ok_or_else(|| OriginError::Port { port: text.into() })
}

/// RFC 1035 §2.3.4, less the root label and its length byte.
const NAME_LIMIT_BYTES: usize = 253;
/// RFC 1035 §2.3.4.
const LABEL_LIMIT_BYTES: usize = 63;

#[cfg(test)]
mod tests;
