//! What can be wrong with what the caller configured.

use std::path::PathBuf;

/// Why a transport's settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Certificates or a key are not valid PEM.
    #[error("the PEM text cannot be read")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// A file with certificates or a key has none.
    #[error("there is no certificate in the PEM text")]
    NoCertificate,
    /// The proxy URL is not one of `http`, `https`, `socks5` or `socks5h` with a host.
    ///
    /// The URL is not shown: it may hold a password.
    #[error("the proxy URL cannot be used; write http://host:port or socks5://host:port")]
    ProxyUrl,
    /// An environment variable that names a proxy cannot be understood.
    ///
    /// Its value is not shown: it may hold a password.
    #[error(
        "the environment variable {name} does not name a proxy that can be used; write \
         http://host:port or socks5://host:port"
    )]
    ProxyVariable {
        /// The variable's name.
        name: &'static str,
    },
    /// A file could not be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A root certificate that is not an X.509 certificate.
    #[error("a root certificate cannot be used")]
    Root(#[source] rustls::Error),
}
