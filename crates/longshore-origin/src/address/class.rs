//! Which address belongs to which class.
//!
//! The ranges are those of IANA's special-purpose address registries (RFC 6890, for IPv4 and for
//! IPv6) that are marked as not globally reachable, and the addresses of cloud metadata services.
//! Two kinds are left public on purpose: the ranges for documentation (RFC 5737, RFC 3849, RFC
//! 9637), which are not in use, and the anycast services within 192.0.0.0/24 and 2001::/23, whose
//! reach their operators limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::AddressClass;

/// Metadata and credential services: of Alibaba Cloud within the carrier-grade NAT block, of
/// Azure at an address that looks public, and of Oracle's older cloud. Those of most others are
/// link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same within the unique local block: of AWS, for machines and for pods, of Google Cloud,
/// Scaleway, Oracle, Linode and Alibaba Cloud.
const METADATA_V6: [Ipv6Addr; 7] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
];

pub(super) fn of(address: IpAddr) -> AddressClass {
    match address.to_canonical() {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => of_v6(v6),
    }
}

fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Never;
    }
    match address.octets() {
        [127, ..] => AddressClass::Loopback,
        // "This network" (RFC 791), link-local (RFC 3927), multicast (RFC 5771), broadcast.
        [0, ..] | [169, 254, ..] | [224..=239, ..] | [255, 255, 255, 255] => AddressClass::Never,
        // RFC 1918, and carrier-grade NAT (RFC 6598).
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            AddressClass::Private
        }
        // IETF protocol assignments (RFC 6890), benchmarking (RFC 2544) and reserved (RFC 1112):
        // used within sites, and never by a registry that all the world can reach. Some local
        // proxies answer every name with an address of the second.
        [192, 0, 0, _] | [198, 18..=19, ..] | [240..=255, ..] => AddressClass::Private,
        _ => AddressClass::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    if METADATA_V6.contains(&address) {
        return AddressClass::Never;
    }
    let v4 = |high: u16, low: u16| of_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressClass::Loopback,
        // Unspecified, multicast, link-local (RFC 4291).
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] | [0xfe80..=0xfebf, ..] => {
            AddressClass::Never
        }
        // Unique local (RFC 4193), the old site-local (RFC 3879), benchmarking (RFC 5180), and
        // segment routing within a domain (RFC 9602).
        [0xfc00..=0xfdff | 0xfec0..=0xfeff | 0x5f00, ..] | [0x2001, 2, 0, ..] => {
            AddressClass::Private
        }
        // IPv4-compatible (RFC 4291), IPv4-translated (RFC 2765), and NAT64 with the well-known
        // prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 1, ..] => of_local_nat64(address),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo (RFC 4380): the server, and the client with its bits inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            narrowest([v4(high, low), v4(!client_high, !client_low)])
        }
        _ => AddressClass::Public,
    }
}

/// NAT64 within a site, 64:ff9b:1::/48 (RFC 8215). Where in it the IPv4 address stands depends on
/// the length of the site's prefix (RFC 6052 §2.2), which is not known outside, so the narrowest of
/// the possible readings counts. A reading within 0.0.0.0/8 does not count: it is not routed.
fn of_local_nat64(address: Ipv6Addr) -> AddressClass {
    let [_, _, _, _, _, _, a, b, _, c, d, e, f, g, h, i] = address.octets();
    let readings = [[a, b, c, d], [b, c, d, e], [c, d, e, f], [f, g, h, i]];
    narrowest(
        readings
            .into_iter()
            .filter(|reading| !matches!(reading, [0, ..]))
            .map(|reading| of_v4(reading.into())),
    )
}

/// The class that lets least happen; public for none.
fn narrowest(classes: impl IntoIterator<Item = AddressClass>) -> AddressClass {
    let rank = |class: &AddressClass| match class {
        AddressClass::Never => 0,
        AddressClass::Loopback => 1,
        AddressClass::Private => 2,
        AddressClass::Public => 3,
    };
    let narrowest = classes.into_iter().min_by_key(rank);
    narrowest.unwrap_or(AddressClass::Public)
}
