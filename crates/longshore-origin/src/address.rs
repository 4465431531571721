//! Address classes, ranges, and the policy a connection is held to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::Escaped;

mod class;

/// The part of the network from which an address can be reached; a server must not name an address
/// of a narrower class than its own.
///
/// From wide to narrow: public, private, loopback. [`Never`](Self::Never) is separate: only a
/// registry that the user named is ever connected to at such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: every address has one of these classes"
)]
pub enum AddressClass {
    /// This machine: 127.0.0.0/8 and `::1`.
    Loopback,
    /// A site: RFC 1918, unique local (fc00::/7), the old site-local (fec0::/10),
    /// carrier-grade NAT (100.64.0.0/10), and what IANA keeps for special purposes within sites:
    /// 192.0.0.0/24, 198.18.0.0/15, 240.0.0.0/4, 2001:2::/48, 5f00::/16.
    Private,
    /// Everything else.
    Public,
    /// Link-local, unspecified (0.0.0.0/8 and `::`), multicast, broadcast, and the metadata
    /// services of clouds.
    Never,
}

impl AddressClass {
    /// The class of an address.
    ///
    /// An IPv6 address that carries an IPv4 one (mapped, compatible, translated, NAT64 of RFC 6052
    /// and RFC 8215, 6to4, Teredo) has the class of the IPv4 address, which it is routed to.
    pub fn of(address: IpAddr) -> Self {
        class::of(address)
    }

    /// Whether this class is narrower than `other`.
    ///
    /// As a bound, [`Never`](Self::Never) counts as public: it cannot be compared, and the widest
    /// bound permits the fewest addresses.
    pub fn is_narrower_than(self, other: Self) -> bool {
        self.reach() < other.reach()
    }

    pub(crate) fn wider(self, other: Self) -> Self {
        if self.is_narrower_than(other) {
            other
        } else {
            self
        }
    }

    fn reach(self) -> u8 {
        match self {
            Self::Loopback => 0,
            Self::Private => 1,
            Self::Public | Self::Never => 2,
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Public => "public",
            Self::Never => "link-local, unspecified, multicast or metadata",
        })
    }
}

/// An IPv4-mapped IPv6 address as the IPv4 address it is.
fn unmapped(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// A block of addresses in CIDR form.
///
/// Text forms: `10.0.0.0/8`, `fd00::/8`; a bare address stands for itself alone. An IPv4-mapped
/// IPv6 address is compared as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Whether the address lies in this range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, unmapped(address)) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()) & self.mask_v4() == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()) & self.mask_v6() == 0
            }
            _ => false,
        }
    }

    fn mask_v4(&self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0)
    }

    fn mask_v6(&self) -> u128 {
        u128::MAX
            .checked_shl(128 - u32::from(self.prefix))
            .unwrap_or(0)
    }

    fn host_bits_are_zero(&self) -> bool {
        match self.first {
            IpAddr::V4(first) => first.to_bits() & !self.mask_v4() == 0,
            IpAddr::V6(first) => first.to_bits() & !self.mask_v6() == 0,
        }
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        let first = unmapped(address);
        Self {
            first,
            prefix: bits(first),
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let refused = || AddressRangeError::Form { text: text.into() };
        let Some((first, prefix)) = text.split_once('/') else {
            return text
                .parse::<IpAddr>()
                .map(Self::from)
                .map_err(|_| refused());
        };
        let first: IpAddr = first.parse().map_err(|_| refused())?;
        let prefix = Some(prefix)
            .filter(|p| p.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|p| p.parse().ok())
            .filter(|p| *p <= bits(first))
            .ok_or_else(refused)?;
        let range = Self { first, prefix };
        if range.host_bits_are_zero() {
            Ok(range)
        } else {
            Err(AddressRangeError::HostBits { text: text.into() })
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Why a text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressRangeError {
    /// It is neither an address nor an address and a prefix length.
    #[error("\"{}\" is not an address, or a range such as 10.0.0.0/8", Escaped::text(.text))]
    Form {
        /// The text as given.
        text: Box<str>,
    },
    /// The address has bits set beyond its prefix, so it is not clear which range is meant.
    #[error("the address range \"{}\" has bits set beyond its prefix", Escaped::text(.text))]
    HostBits {
        /// The text as given.
        text: Box<str>,
    },
}

/// Addresses that a registry may name even though their class is narrower than its own.
///
/// Empty by default. It never permits [`AddressClass::Never`]. Two sets of the same ranges are
/// equal, in whatever order the ranges were given; cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AllowAddresses {
    /// Sorted and without repeats. `None` is the empty set, which so needs no allocation.
    ranges: Option<Arc<[AddressRange]>>,
}

impl AllowAddresses {
    /// Whether one of the ranges contains this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges
            .iter()
            .flat_map(|r| r.iter())
            .any(|range| range.contains(address))
    }
}

impl FromIterator<AddressRange> for AllowAddresses {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        ranges.dedup();
        Self {
            ranges: (!ranges.is_empty()).then(|| ranges.into()),
        }
    }
}

/// Which addresses a request may be sent to.
///
/// A wish that travels in the request's extensions; a transport checks it on the addresses it
/// connects to, literal ones included, and never reuses a connection opened under another policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: a transport must understand every policy"
)]
pub enum AddressPolicy {
    /// Any address: the user named the host.
    #[default]
    Any,
    /// No class narrower than the given one, and never [`AddressClass::Never`] (RE3, RD2).
    AtLeast {
        /// The narrowest class that is permitted.
        class: AddressClass,
        /// Exceptions to the class, but not to `Never`.
        allow: AllowAddresses,
    },
}

impl AddressPolicy {
    /// Checks one address against the policy.
    ///
    /// # Errors
    ///
    /// [`AddressRefused`] with the address and the class that is required.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let Self::AtLeast {
            class: at_least,
            allow,
        } = self
        else {
            return Ok(());
        };
        let class = AddressClass::of(address);
        let refused = match class {
            AddressClass::Never => true,
            _ => class.is_narrower_than(*at_least) && !allow.contains(address),
        };
        if refused {
            return Err(AddressRefused {
                address,
                class,
                at_least: *at_least,
            });
        }
        Ok(())
    }
}

/// An address that the policy of a request does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressRefused {
    /// The address.
    pub address: IpAddr,
    /// Its class.
    pub class: AddressClass,
    /// The narrowest class that is permitted.
    pub at_least: AddressClass,
}

impl std::error::Error for AddressRefused {}

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            class,
            at_least,
        } = self;
        match class {
            AddressClass::Never => write!(f, "{address} is a {class} address, which is never used"),
            _ => write!(
                f,
                "{address} is a {class} address, but the server that named it has a {at_least} one"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
