//! Resolves names and filters the addresses by the policy of the request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use longshore::origin::{AddressPolicy, Origin, Scheme};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

/// Resolves names, and gives only the addresses that one policy permits.
///
/// reqwest connects to what its resolver gives and looks nothing up a second time, so what is
/// checked here is what is connected to. It does not ask a resolver for literal addresses; the
/// transport checks those.
pub(crate) struct PolicyResolver(pub(crate) AddressPolicy);

impl Resolve for PolicyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let found = if is_localhost(name.as_str()) {
                LOOPBACK.to_vec()
            } else {
                // reqwest replaces the port with that of the URL.
                let found = lookup_host((name.as_str(), 0)).await?;
                found.map(|address| address.ip()).collect()
            };
            let mut refused = None;
            let mut permitted = Vec::new();
            for address in found {
                match policy.check(address) {
                    Ok(()) => permitted.push(SocketAddr::new(address, 0)),
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                Some(error) if permitted.is_empty() => Err(error.into()),
                _ => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether the name is `localhost` or ends in it. Such a name is never looked up: a client sends
/// secrets to it over plain http, so its address must not come from the network (RFC 6761 §6.3).
fn is_localhost(name: &str) -> bool {
    Origin::from_authority(Scheme::Http, name).is_ok_and(|origin| origin.is_loopback_name())
}

const LOOPBACK: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];
