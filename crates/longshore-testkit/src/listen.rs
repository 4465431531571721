//! Where a server of this crate listens, and in which protocols.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::certificate::Identity;

/// Where a server listens: address, port, TLS.
///
/// The default is `127.0.0.1`, a port the system picks, and no TLS. HTTP/1.1 and HTTP/2 are both
/// understood; over TLS both are offered by ALPN, in the clear HTTP/2 needs prior knowledge.
#[derive(Clone, Debug)]
pub struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Option<Identity>,
    pub(crate) http2: bool,
}

impl Listen {
    /// Loopback, any free port, no TLS.
    #[must_use]
    pub fn loopback() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity: None,
            http2: true,
        }
    }

    /// Listens on `address`: all of 127.0.0.0/8 is loopback, which gives tests several hosts.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address.set_ip(address);
        self
    }

    /// Listens on `port`; 0 means any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.address.set_port(port);
        self
    }

    /// Speaks TLS with this certificate and key.
    #[must_use]
    pub fn tls(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Understands HTTP/1.1 alone.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.http2 = false;
        self
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::loopback()
    }
}
