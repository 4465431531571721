//! One registry as a client uses it: where it is, which settings apply, and the credential for it.

use std::fmt;
use std::sync::Arc;

use longshore_auth::Credential;
use longshore_model::RepositoryName;
use longshore_origin::Origin;
use longshore_proto::call::{Ask, Take};
use longshore_proto::endpoint::{Endpoint, PingAnswer};
use longshore_proto::{Host, Quirks};
use longshore_transport::TlsIdentity;
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::credentials::CredentialError;
use crate::error::{Cause, Error};
use crate::hosts::Registry;
use crate::operation::Operation;

/// A registry as a client uses it.
pub(crate) struct Site {
    client: Client,
    /// The registry's canonical name.
    registry: String,
    home: Registry,
    /// The origin of the registry itself, which is the last host.
    origin: Origin,
    /// The only repository that the site is used for; `None` for the whole registry. A source may
    /// have a credential for a part of a registry (CR2: credentials are looked up by exact name and
    /// path).
    repository: Option<RepositoryName>,
    /// The answer of the source of credentials, once it was asked.
    credential: OnceCell<Option<Credential>>,
}

impl Site {
    pub(crate) fn new(client: Client, registry: String, home: Registry, origin: Origin) -> Self {
        Self {
            client,
            registry,
            home,
            origin,
            repository: None,
            credential: OnceCell::new(),
        }
    }

    /// The same registry, for one repository.
    pub(crate) fn of(self, name: RepositoryName) -> Self {
        let repository = Some(name);
        Self { repository, ..self }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn hosts(&self) -> Arc<[Host]> {
        Arc::clone(&self.home.hosts)
    }

    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What the registry itself does differently.
    pub(crate) fn quirks(&self) -> Quirks {
        let registry = self.home.hosts.last();
        registry.map_or_else(Quirks::default, |host| host.quirks().clone())
    }

    pub(crate) const fn tls(&self) -> &TlsIdentity {
        &self.home.settings.tls
    }

    /// The credential of the registry, if the source was asked before.
    pub(crate) fn known_credential(&self) -> Option<Option<Credential>> {
        self.credential.get().cloned()
    }

    /// The credential of the registry. An error is not remembered.
    pub(crate) async fn credential(&self) -> Result<Option<Credential>, CredentialError> {
        let repository = self.repository.as_ref().map(RepositoryName::as_str);
        let lookup = || self.client.credentials().lookup(&self.registry, repository);
        self.credential.get_or_try_init(lookup).await.cloned()
    }

    pub(crate) async fn ping(&self) -> Result<PingAnswer, Error> {
        let answer = self.drive(Ask::new(Endpoint::Ping, Take::Excerpt)).await?;
        let answer = answer.successful(self)?;
        match PingAnswer::read(&answer.head) {
            Ok(ping) if answer.is_web_page() && !ping.named => {
                Err(answer.failed(self, Cause::WebPage))
            }
            Ok(ping) => Ok(ping),
            Err(violation) => Err(answer.failed(self, violation.into())),
        }
    }

    pub(crate) fn error(&self, operation: Operation, cause: Cause) -> Error {
        let credential = self.credential.get().is_some_and(Option::is_some);
        Error::new(operation, &self.registry, cause).with_credentials(credential)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}
