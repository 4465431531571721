//! TLS: whom to believe, who we are, and the handshake.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use longshore_transport::{Phase, TransportError, TransportErrorKind};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use crate::known::KnownOrChained;
use crate::settings::SettingsError;

/// One way to speak TLS: which certificates are believed, and which is shown.
///
/// The default believes what the platform believes and shows nothing. A transport has one default
/// setting and any number of named ones, which requests choose by a
/// [`TlsIdentity`](longshore_transport::TlsIdentity).
#[derive(Clone, Default)]
pub struct TlsSettings {
    roots: Vec<CertificateDer<'static>>,
    client: Option<Client>,
    verification: Verification,
}

#[derive(Clone)]
struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Verification {
    #[default]
    Full,
    None,
}

impl TlsSettings {
    /// Believes the roots in a PEM file **in addition to** the platform's.
    ///
    /// Reads the file at once.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Read`], and those of [`ca_pem`](Self::ca_pem).
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Self, SettingsError> {
        let path = path.as_ref();
        let pem = std::fs::read(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        self.ca_pem(&pem)
    }

    /// Believes the roots in a PEM text **in addition to** the platform's.
    ///
    /// A server that presents one of these certificates as its own is trusted too, even if that is
    /// a CA certificate, as `openssl req -x509` makes it. Its dates and names must still be right.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Pem`], [`SettingsError::NoCertificate`] and [`SettingsError::Root`].
    pub fn ca_pem(mut self, pem: &[u8]) -> Result<Self, SettingsError> {
        let roots = certificates(pem)?;
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(SettingsError::Root)?;
        }
        self.roots.extend(roots);
        Ok(self)
    }

    /// Shows a client certificate to servers that ask for one.
    ///
    /// `chain` begins with the client's own certificate. Whether the key fits is found out at the
    /// first handshake.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Pem`] and [`SettingsError::NoCertificate`].
    pub fn client_pem(mut self, chain: &[u8], key: &[u8]) -> Result<Self, SettingsError> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(SettingsError::Pem)?;
        self.client = Some(Client {
            chain,
            key: Arc::new(key),
        });
        Ok(self)
    }

    /// **Believes every certificate, whoever it names and whoever signed it.**
    ///
    /// Anybody between here and the server can then read and change everything, passwords and
    /// tokens first of all. For a test registry on a network you control; where the certificate
    /// is known, [`ca_file`](Self::ca_file) is the way.
    #[must_use]
    pub fn insecure_skip_verify(mut self) -> Self {
        self.verification = Verification::None;
        self
    }

    fn config(&self, provider: Arc<CryptoProvider>) -> Result<ClientConfig, rustls::Error> {
        let verifier: Arc<dyn ServerCertVerifier> = match self.verification {
            Verification::Full => {
                let roots = self.roots.clone();
                let chains: Arc<dyn ServerCertVerifier> =
                    match Verifier::new_with_extra_roots(roots, provider.clone()) {
                        Ok(verifier) => Arc::new(verifier),
                        // A machine without roots can still find out that a peer speaks no TLS.
                        Err(error) => Arc::new(NoRoots(error, Unverified(provider.clone()))),
                    };
                match self.roots.as_slice() {
                    [] => chains,
                    known => Arc::new(KnownOrChained::new(known, chains)),
                }
            }
            Verification::None => Arc::new(Unverified(provider.clone())),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match &self.client {
            None => Ok(config.with_no_client_auth()),
            Some(Client { chain, key }) => {
                config.with_client_auth_cert(chain.clone(), key.clone_key())
            }
        }
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("roots", &self.roots.len())
            .field("client", &self.client.as_ref().map(|_| "[redacted]"))
            .field("verification", &self.verification)
            .finish()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(SettingsError::Pem)?;
    if found.is_empty() {
        Err(SettingsError::NoCertificate)
    } else {
        Ok(found)
    }
}

/// Which protocols a handshake offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    Http1,
    Http1AndHttp2,
}

/// A setting in use: its configuration is made when the first handshake needs it, for reading the
/// platform's roots takes longer than a request on loopback.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    provider: Option<Arc<CryptoProvider>>,
    configs: OnceCell<Configs>,
}

#[derive(Clone, Debug)]
struct Configs {
    http1: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(settings: TlsSettings, provider: Option<Arc<CryptoProvider>>) -> Self {
        Self {
            settings,
            provider,
            configs: OnceCell::new(),
        }
    }

    /// What makes handshakes with this setting.
    pub(crate) async fn connector(&self, offer: Offer) -> Result<TlsConnector, TransportError> {
        let configs = self.configs.get_or_try_init(|| self.load()).await?;
        let config = match offer {
            Offer::Http1 => &configs.http1,
            Offer::Http1AndHttp2 => &configs.both,
        };
        Ok(TlsConnector::from(config.clone()))
    }

    async fn load(&self) -> Result<Configs, TransportError> {
        let provider = self.provider.clone().or_else(default_provider);
        let provider = provider.ok_or_else(|| refused(NoProvider))?;
        let settings = self.settings.clone();
        let loaded = tokio::task::spawn_blocking(move || settings.config(provider)).await;
        let config = loaded.map_err(refused)?.map_err(refused)?;
        let with_alpn = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Configs {
            http1: with_alpn(&[HTTP_1_1]),
            both: with_alpn(&[HTTP_2, HTTP_1_1]),
        })
    }
}

/// A failure of our own side of TLS, before anything was sent.
pub(crate) fn refused(
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TransportError {
    TransportError::new(TransportErrorKind::Tls, Phase::Connect).with_source(source)
}

/// The provider of the process, or else the one built in.
fn default_provider() -> Option<Arc<CryptoProvider>> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Some(provider.clone());
    }
    #[cfg(feature = "ring")]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    None
}

#[derive(Debug, thiserror::Error)]
#[error("this program was built without cryptography for TLS")]
struct NoProvider;

/// Believes every certificate; still checks that the peer holds the key of the one it shows.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes no certificate, for there is nothing to judge it by.
#[derive(Debug)]
struct NoRoots(rustls::Error, Unverified);

impl ServerCertVerifier for NoRoots {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(self.0.clone())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.1.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.1.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.supported_verify_schemes()
    }
}

/// RFC 7301 §6, the registry it opens.
const HTTP_1_1: &[u8] = b"http/1.1";
/// RFC 9113 §3.2.
pub(crate) const HTTP_2: &[u8] = b"h2";
