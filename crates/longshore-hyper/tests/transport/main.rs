//! The transport against peers on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in a test, panicking is how to fail; the peers' own functions do it too"
)]

#[cfg(feature = "http2")]
mod http2;
mod plain;
mod proxy;
mod socks;
mod support;
mod tls;
