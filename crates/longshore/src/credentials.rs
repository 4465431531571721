//! Sources of credentials.
//!
//! Each [`Repository`](crate::Repository) looks up its credential once, when a challenge requires
//! one, and keeps it for its own lifetime. The credential is sent only to that registry, or to a
//! token endpoint that the realm guard accepts (CR1, RE4).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use longshore_auth::Credential;

pub use self::docker::{
    DOCKER_CONFIG_LIMIT_BYTES, DockerConfig, DockerConfigError, DockerCredentials,
};
pub use self::helper::{HELPER_LIMIT, HELPER_OUTPUT_LIMIT_BYTES, HelperError, HelperReason};

mod docker;
mod helper;

/// A source of credentials for registries.
pub trait CredentialSource: Send + Sync + 'static {
    /// Looks up a credential by the exact name of a registry (CR2), `docker.io` or
    /// `registry.example:5000` for example. `None` means anonymous.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] when there is a credential that cannot be read. In that case no
    /// anonymous request is sent, unless the error says that the whole source is
    /// [unavailable](CredentialError::is_unavailable).
    fn lookup(
        &self,
        registry: &str,
    ) -> impl Future<Output = Result<Option<Credential>, CredentialError>> + Send;

    /// Looks up for one repository, where the source has credentials for parts of a registry
    /// (CR2). By default the credential of the registry.
    ///
    /// # Errors
    ///
    /// As [`lookup`](Self::lookup).
    fn lookup_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> impl Future<Output = Result<Option<Credential>, CredentialError>> + Send {
        let _ = repository;
        self.lookup(registry)
    }

    /// Whether the source may replace a credential of this registry at any time. If it may, a
    /// refused credential is looked up once more (CR7). False by default.
    fn is_renewable(&self, registry: &str) -> bool {
        let _ = registry;
        false
    }

    /// Learns that the registry, or its token endpoint, refused this credential for a request that
    /// concerns this repository; `None` for a request that concerns the whole registry.
    ///
    /// The client calls this before it looks up a credential once more (CR7), and when the request
    /// has failed, so one refusal may be reported twice. By default nothing happens.
    fn refused(&self, registry: &str, repository: Option<&str>, credential: &Credential) {
        let _ = (registry, repository, credential);
    }
}

/// A credential that exists or may exist, but cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the credentials for {registry} cannot be read")]
pub struct CredentialError {
    registry: String,
    unavailable: bool,
    source: Arc<dyn std::error::Error + Send + Sync>,
}

impl CredentialError {
    /// Makes the error of a source that has an unusable credential for this registry.
    pub fn new(
        registry: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            registry: registry.to_owned(),
            unavailable: false,
            source: Arc::from(source.into()),
        }
    }

    /// Makes the error of a source that does not work at all, so that it is not known whether it
    /// has a credential for this registry.
    ///
    /// Public content is still read, without credentials. The client reports this once
    /// ([`Notice::NoCredentials`](crate::Notice::NoCredentials)), and an error that a credential
    /// might have avoided has this error as its source. A write to a registry that requires
    /// credentials fails with this error, and nothing is written without them (CR11).
    pub fn unavailable(
        registry: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            unavailable: true,
            ..Self::new(registry, source)
        }
    }

    /// Whether this is the error of a source that does not work at all.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }
}

/// No credentials: every registry is used anonymously.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    async fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(None)
    }
}

/// One credential for one registry; every other registry is used anonymously.
#[derive(Clone, Debug)]
pub struct OneCredential {
    registry: String,
    credential: Credential,
}

impl OneCredential {
    /// Makes a source with the credential of one registry.
    #[must_use]
    pub fn new(registry: &str, credential: Credential) -> Self {
        Self {
            registry: crate::hosts::canonical(registry).into_owned(),
            credential,
        }
    }
}

impl CredentialSource for OneCredential {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok((self.registry == registry).then(|| self.credential.clone()))
    }
}

type Looking<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Credential>, CredentialError>> + Send + 'a>>;

trait Erased: Send + Sync {
    fn lookup_boxed<'a>(&'a self, registry: &'a str, repository: Option<&'a str>) -> Looking<'a>;
    fn is_renewable(&self, registry: &str) -> bool;
    fn refused(&self, registry: &str, repository: Option<&str>, credential: &Credential);
}

impl<T: CredentialSource> Erased for T {
    fn lookup_boxed<'a>(&'a self, registry: &'a str, repository: Option<&'a str>) -> Looking<'a> {
        match repository {
            Some(repository) => Box::pin(self.lookup_in(registry, repository)),
            None => Box::pin(self.lookup(registry)),
        }
    }

    fn is_renewable(&self, registry: &str) -> bool {
        CredentialSource::is_renewable(self, registry)
    }

    fn refused(&self, registry: &str, repository: Option<&str>, credential: &Credential) {
        CredentialSource::refused(self, registry, repository, credential);
    }
}

/// A source of credentials behind a pointer: what a client holds, cheap to clone.
#[derive(Clone)]
pub struct DynCredentials(Arc<dyn Erased>);

impl DynCredentials {
    /// Hides the type of a source.
    pub fn new(source: impl CredentialSource) -> Self {
        Self(Arc::new(source))
    }

    /// Looks up for a repository, or for the whole registry.
    pub(crate) async fn find(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Credential>, CredentialError> {
        self.0.lookup_boxed(registry, repository).await
    }
}

impl CredentialSource for DynCredentials {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.find(registry, None).await
    }

    async fn lookup_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        self.find(registry, Some(repository)).await
    }

    fn is_renewable(&self, registry: &str) -> bool {
        self.0.is_renewable(registry)
    }

    fn refused(&self, registry: &str, repository: Option<&str>, credential: &Credential) {
        self.0.refused(registry, repository, credential);
    }
}

impl fmt::Debug for DynCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynCredentials")
    }
}
