//! Addresses of this machine.

use std::net::{IpAddr, UdpSocket};

use crate::program;

/// An address of this machine other than loopback, because no proxy is used for loopback. `None`,
/// with a message that the test is skipped, if there is none.
///
/// # Panics
///
/// When there is none and the environment variable `CI` is set: in CI no test is skipped.
#[must_use]
pub fn address() -> Option<IpAddr> {
    let found = chosen().filter(|address| !address.is_loopback());
    if found.is_none() {
        program::skip("this machine has no address beyond loopback");
    }
    found
}

/// The address that this machine would use to send to other networks. Nothing is sent.
fn chosen() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // An address for documentation, which no network uses (RFC 5737).
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}
