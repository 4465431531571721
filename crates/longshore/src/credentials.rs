//! Sources of credentials.
//!
//! Each [`Repository`](crate::Repository) looks up its credential once, when a challenge requires
//! one, and keeps it for its own lifetime. The credential is sent only to that registry, or to a
//! token endpoint that the realm guard accepts (CR1, RE4).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use longshore_auth::Credential;

pub use self::docker::{DOCKER_CONFIG_LIMIT_BYTES, DockerConfig, DockerConfigError};

mod docker;

/// A source of credentials for registries.
pub trait CredentialSource: Send + Sync + 'static {
    /// Looks up a credential by the exact name of a registry (CR2), `docker.io` or
    /// `registry.example:5000` for example. `None` means anonymous.
    ///
    /// # Errors
    ///
    /// [`CredentialError`] when there is a credential that cannot be read. In that case no
    /// anonymous request is sent.
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
}

/// A credential that exists or may exist, but cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the credentials for {registry} cannot be read")]
pub struct CredentialError {
    registry: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl CredentialError {
    /// Makes the error of a source for this registry.
    pub fn new(
        registry: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            registry: registry.to_owned(),
            source: source.into(),
        }
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
            registry: crate::hosts::canonical(registry).to_owned(),
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
}

impl<T: CredentialSource> Erased for T {
    fn lookup_boxed<'a>(&'a self, registry: &'a str, repository: Option<&'a str>) -> Looking<'a> {
        match repository {
            Some(repository) => Box::pin(self.lookup_in(registry, repository)),
            None => Box::pin(self.lookup(registry)),
        }
    }
}

/// A source behind a pointer.
#[derive(Clone)]
pub(crate) struct DynCredentials(Arc<dyn Erased>);

impl DynCredentials {
    pub(crate) fn new(source: impl CredentialSource) -> Self {
        Self(Arc::new(source))
    }

    pub(crate) async fn lookup(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Credential>, CredentialError> {
        self.0.lookup_boxed(registry, repository).await
    }
}

impl fmt::Debug for DynCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynCredentials")
    }
}
