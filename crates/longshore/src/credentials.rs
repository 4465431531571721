//! Where credentials come from.
//!
//! A [`CredentialSource`] is asked once by each [`Repository`](crate::Repository), when a
//! challenge calls for it; what it gives is kept as long as that, and sent only to that registry
//! or to a token endpoint that the realm guard accepts (CR1, RE4).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use longshore_auth::Credential;

pub use self::docker::{DOCKER_CONFIG_LIMIT_BYTES, DockerConfig, DockerConfigError};

mod docker;

/// Gives the credential of a registry.
pub trait CredentialSource: Send + Sync + 'static {
    /// Looks up by the exact name of a registry (CR2): `docker.io`, `registry.example:5000`.
    /// `None` means anonymous.
    ///
    /// # Errors
    ///
    /// The source knows of a credential but cannot give it; nothing is then sent anonymously.
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

/// A credential exists or may exist, but cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the credentials for {registry} cannot be read")]
pub struct CredentialError {
    registry: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl CredentialError {
    /// An error of a source, for this registry.
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

/// Nobody: every registry is asked anonymously.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    async fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(None)
    }
}

/// One credential for one registry; every other is asked anonymously.
#[derive(Clone, Debug)]
pub struct OneCredential {
    registry: String,
    credential: Credential,
}

impl OneCredential {
    /// The credential of the registry of this name.
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
