//! The longshore transport over hyper, rustls and tokio.
//!
//! [`HyperTransport`] sends one request and gives its response: it resolves and connects (through
//! a proxy where one is set), speaks TLS, keeps connections for reuse, and reports what the rules
//! above it need to know of the peer. It is the only crate of the family whose public API shows
//! rustls.
//!
//! Left to the caller, as the contract of [`Transport`](longshore_transport::Transport) says:
//! redirects, repeating, credentials, decoding, and the time a request as a whole may take.
//!
//! ```no_run
//! use longshore_hyper::HyperTransport;
//! use longshore_transport::{Body, Transport};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = HyperTransport::builder().build()?;
//! let ping = http::Request::get("https://registry.example/v2/").body(Body::empty())?;
//! let response = transport.send(ping).await?;
//! println!("{}", response.status());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `http2` | yes | HTTP/2 where the server offers it in the TLS handshake |
//! | `ring` | yes | cryptography from ring |
//! | `aws-lc-rs` | no | cryptography from aws-lc-rs; with both features, ring is used |
//!
//! Without either of the last two, give the builder a provider of your own or install one for the
//! process; see [`HyperTransportBuilder::crypto_provider`].
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

mod clock;
mod connect;
mod failure;
#[cfg(feature = "http2")]
mod frames;
mod heard;
mod known;
mod pool;
mod proxy;
mod settings;
mod tls;
mod transport;
mod wire;

pub use clock::TokioClock;
pub use proxy::{ProxyError, ProxyFault, ProxySettings};
pub use settings::SettingsError;
pub use tls::TlsSettings;
pub use transport::{Http2, HyperTransport, HyperTransportBuilder};
