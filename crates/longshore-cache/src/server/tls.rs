//! TLS for listeners: certificates from files, which may change while the server runs.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use longshore_transport::Clock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WantsServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::drain::ServerHandle;

/// The files with the certificate and the key of a listener, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The certificate of the server, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Sets the paths of the files.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
        }
    }
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or has no certificate or key.
    #[error("{} has no {wanted} in PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
        /// Why, if there is more to say.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The key does not match the certificate, or its type is not supported.
    #[error(
        "cannot use the key in {} with the certificate in {}",
        key.display(),
        certificate.display()
    )]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The certificate of a listener. It is replaced when its files change.
pub(super) struct Identity {
    files: TlsFiles,
    config: ConfigBuilder<ServerConfig, WantsServerCert>,
    current: RwLock<Arc<CertifiedKey>>,
    stamp: Mutex<Stamp>,
}

/// The length and modification time of each file when it was read.
type Stamp = [Option<(u64, SystemTime)>; 2];

impl Identity {
    pub(super) fn load(files: &TlsFiles) -> Result<Arc<Self>, CertificateError> {
        let default = CryptoProvider::get_default().cloned();
        let provider =
            default.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let unusable = |source| unusable(files, source);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth();
        // Taken before the files are read, so that a later change is always noticed.
        let stamp = stamp(files);
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(read(files, config.crypto_provider())?)),
            files: files.clone(),
            config,
            stamp: Mutex::new(stamp),
        }))
    }

    /// Reads the files again if they changed, or, with `force`, in any case. If they cannot be
    /// used, the old certificate stays in use. Blocks.
    pub(super) fn reload(&self, force: bool) -> Result<bool, CertificateError> {
        let stamp = stamp(&self.files);
        let old = std::mem::replace(
            &mut *self.stamp.lock().unwrap_or_else(PoisonError::into_inner),
            stamp,
        );
        if !force && old == stamp {
            return Ok(false);
        }
        let new = Arc::new(read(&self.files, self.config.crypto_provider())?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// Returns the TLS acceptor of a listener. It offers HTTP/2 and HTTP/1.1.
    pub(super) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let certificates = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let mut config = self.config.clone().with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Reads certificates again when their files change and after a reload request; after a request it
/// also runs `actions`. Never returns.
pub(super) async fn keep_current(
    identities: Vec<Arc<Identity>>,
    actions: Vec<Box<dyn Fn() + Send + Sync>>,
    clock: Arc<dyn Clock>,
    handle: ServerHandle,
) {
    loop {
        let force = tokio::select! {
            () = handle.reload_requested() => true,
            () = clock.alarm(LOOK_EVERY) => false,
        };
        if force {
            actions.iter().for_each(|action| action());
        }
        for identity in &identities {
            let one = Arc::clone(identity);
            let result = tokio::task::spawn_blocking(move || one.reload(force)).await;
            let certificate = identity.files.certificate.display();
            match result {
                Ok(Ok(true)) => tracing::info!(%certificate, "read the certificate again"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let error: &dyn Error = &error;
                    tracing::warn!(
                        error,
                        "cannot use the new certificate; the old one stays in use"
                    );
                }
                // The runtime is shutting down.
                Err(_) => return,
            }
        }
    }
}

/// Time between two checks of the files.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    })
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let pem = |path: &Path, wanted, source| CertificateError::Pem {
        path: path.to_owned(),
        wanted,
        source,
    };
    let path = &files.certificate;
    let chain = CertificateDer::pem_slice_iter(&contents(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| pem(path, "certificate", Some(source.into())))?;
    if chain.is_empty() {
        return Err(pem(path, "certificate", None));
    }
    let path = &files.key;
    let key = PrivateKeyDer::from_pem_slice(&contents(path)?)
        .map_err(|source| pem(path, "private key", Some(source.into())))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| unusable(files, source))
}

fn unusable(files: &TlsFiles, source: rustls::Error) -> CertificateError {
    CertificateError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source: source.into(),
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Read {
        path: path.to_owned(),
        source,
    })
}
