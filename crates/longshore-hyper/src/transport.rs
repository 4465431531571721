//! The transport and its settings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use longshore_transport::{
    Body, Capabilities, Capability, TlsIdentity, Transport, TransportError, WireWish,
};
use rustls::crypto::CryptoProvider;

use crate::connect::{Shared, look_up};
use crate::pool::Pools;
use crate::proxy::ProxySettings;
use crate::settings::SettingsError;
use crate::tls::{Offer, Tls, TlsSettings};

/// Sends requests over TCP, with TLS and through proxies, and keeps connections for reuse.
///
/// Cloning is cheap and shares the connections. Requests must be sent inside a tokio runtime with
/// its I/O and time drivers enabled, and connections live on the runtime they were opened on.
///
/// Connections are shared only by requests of one origin, one
/// [`AddressPolicy`](longshore_origin::AddressPolicy), one [`TlsIdentity`], and one answer to
/// whether HTTP/2 will do. Response heads may have 64 KiB, 128 fields and 16 interim responses
/// before them. It declares every [`Capability`].
#[derive(Clone, Debug)]
pub struct HyperTransport(Arc<Pools>);

impl HyperTransport {
    /// A transport with settings of your own.
    pub fn builder() -> HyperTransportBuilder {
        HyperTransportBuilder {
            connect_timeout: CONNECT_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            http2: Http2::default(),
            provider: None,
            proxy: None,
            tls: TlsSettings::default(),
            identities: HashMap::new(),
        }
    }
}

impl Transport for HyperTransport {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        self.0.send(request).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .with(Capability::AddressPolicy)
            .with(Capability::ErrorPhase)
            .with(Capability::PeerClass)
            .with(Capability::TlsIdentity)
    }
}

/// When HTTP/2 is offered in the TLS handshake.
///
/// Without the feature `http2` it never is. Plain http is always HTTP/1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Http2 {
    /// For every request.
    Always,
    /// For no request.
    Never,
    /// For all but those that wish for [`WireWish::Bulk`]: a large body comes faster over an
    /// HTTP/1.1 connection of its own, which has no windows and no 16 KiB frames.
    #[default]
    Small,
}

impl Http2 {
    pub(crate) fn offer(self, wish: WireWish) -> Offer {
        match (self, wish) {
            _ if !cfg!(feature = "http2") => Offer::Http1,
            (Self::Never, _) | (Self::Small, WireWish::Bulk) => Offer::Http1,
            _ => Offer::Http1AndHttp2,
        }
    }
}

/// The settings of a [`HyperTransport`].
#[derive(Clone, Debug)]
#[must_use]
pub struct HyperTransportBuilder {
    connect_timeout: Duration,
    handshake_timeout: Duration,
    idle_timeout: Duration,
    http2: Http2,
    provider: Option<Arc<CryptoProvider>>,
    proxy: Option<ProxySettings>,
    tls: TlsSettings,
    identities: HashMap<TlsIdentity, TlsSettings>,
}

impl HyperTransportBuilder {
    /// How long one address may take to accept a connection, and a name to be looked up; 10 s by
    /// default.
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            ..self
        }
    }

    /// How long a TLS handshake may take; 10 s by default.
    ///
    /// On loopback the peer has 2 s of it for its first byte (RT12).
    pub fn handshake_timeout(self, handshake_timeout: Duration) -> Self {
        Self {
            handshake_timeout,
            ..self
        }
    }

    /// How long a connection is kept when nobody uses it; 30 s by default.
    pub fn idle_timeout(self, idle_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            ..self
        }
    }

    /// When to offer HTTP/2; [`Http2::Small`] by default.
    pub fn http2(self, http2: Http2) -> Self {
        Self { http2, ..self }
    }

    /// The cryptography TLS uses.
    ///
    /// By default that installed for the process
    /// ([`CryptoProvider::install_default`]), or else that of the feature `ring` or `aws-lc-rs`.
    pub fn crypto_provider(self, provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider: Some(provider),
            ..self
        }
    }

    /// Which proxy to use; by default the one the environment names
    /// ([`ProxySettings::from_env`]).
    pub fn proxy(self, proxy: ProxySettings) -> Self {
        Self {
            proxy: Some(proxy),
            ..self
        }
    }

    /// The TLS setting of requests that name none, and of https proxies.
    pub fn tls(self, tls: TlsSettings) -> Self {
        Self { tls, ..self }
    }

    /// The TLS setting of requests that carry this identity.
    ///
    /// A request that carries an identity nobody configured fails. The default identity is
    /// configured by [`tls`](Self::tls), and by this method just so.
    pub fn tls_for(mut self, identity: TlsIdentity, settings: TlsSettings) -> Self {
        if identity == TlsIdentity::default() {
            return self.tls(settings);
        }
        self.identities.insert(identity, settings);
        self
    }

    /// Makes the transport; it opens nothing and reads no trust roots yet.
    ///
    /// # Errors
    ///
    /// [`SettingsError::ProxyVariable`] when no proxy setting was given and the environment's
    /// cannot be understood.
    pub fn build(self) -> Result<HyperTransport, SettingsError> {
        let proxy = self.proxy.map_or_else(ProxySettings::from_env, Ok)?;
        let mut identities = self.identities;
        identities.insert(TlsIdentity::default(), self.tls);
        let provider = self.provider;
        let tls = identities
            .into_iter()
            .map(|(identity, settings)| (identity, Arc::new(Tls::new(settings, provider.clone()))))
            .collect();
        let shared = Arc::new(Shared {
            connect_timeout: self.connect_timeout,
            handshake_timeout: self.handshake_timeout,
            look_up,
            proxy,
            tls,
        });
        Ok(HyperTransport(Arc::new(Pools {
            shared,
            http2: self.http2,
            idle_timeout: self.idle_timeout,
            clients: Mutex::default(),
        })))
    }
}

/// Threats section 7, "connect (per address)".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Threats section 7, "TLS handshake".
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Threats section 7, "pool idle".
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
