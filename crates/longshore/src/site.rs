//! One registry as a client uses it: where it is, which settings apply, and the credential for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use longshore_auth::{AuthCall, Credential};
use longshore_model::RepositoryName;
use longshore_origin::Origin;
use longshore_proto::call::{Ask, Take};
use longshore_proto::endpoint::{Endpoint, PingAnswer};
use longshore_proto::{Host, Quirks};
use longshore_transport::TlsIdentity;

use crate::client::Client;
use crate::credentials::{CredentialError, CredentialSource as _};
use crate::error::{Cause, Error, FoundCredentials};
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
    /// The last answer of the source of credentials.
    found: Mutex<Option<Found>>,
    /// Held while the source is queried.
    looking: tokio::sync::Mutex<()>,
    /// Whether the registry has accepted a write without a secret, or answered a ping without a
    /// challenge.
    open: AtomicBool,
    /// Whether the registry has shown that it ignores the tags of a manifest that is pushed by
    /// digest.
    one_tag: AtomicBool,
    pushes: AtomicBool,
}

/// An answer of the source of credentials.
#[derive(Clone)]
struct Found {
    credential: Option<Credential>,
    renewable: bool,
    /// The error of the source, if it did not work.
    failure: Option<CredentialError>,
}

impl Site {
    pub(crate) fn new(client: Client, registry: String, home: Registry, origin: Origin) -> Self {
        Self {
            client,
            registry,
            home,
            origin,
            repository: None,
            found: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            open: AtomicBool::new(false),
            one_tag: AtomicBool::new(false),
            pushes: AtomicBool::new(false),
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

    /// The quirks of the registry itself.
    pub(crate) fn quirks(&self) -> Quirks {
        let registry = self.home.hosts.last();
        registry.map_or_else(Quirks::default, |host| host.quirks().clone())
    }

    /// Whether a request with a body may be sent without a secret, and without asking for the
    /// registry's challenge first.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn set_open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    /// Whether every request asks for access to push.
    pub(crate) fn pushes(&self) -> bool {
        self.pushes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_pushes(&self) {
        self.pushes.store(true, Ordering::Relaxed);
    }

    /// Whether the registry is known to set only one tag with a request.
    pub(crate) fn sets_one_tag(&self) -> bool {
        self.one_tag.load(Ordering::Relaxed)
    }

    pub(crate) fn set_one_tag(&self) {
        self.one_tag.store(true, Ordering::Relaxed);
    }

    /// The header fields for requests to the registry itself.
    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.home.settings.headers
    }

    pub(crate) const fn tls(&self) -> &TlsIdentity {
        &self.home.settings.tls
    }

    /// Gives a call the credential of the registry, if the source was asked before. If the source
    /// did not work, a call that writes gets nothing and has to [look the credential
    /// up](Self::look_up).
    pub(crate) fn provide_known(&self, call: &mut AuthCall, writes: bool) {
        let found = self.found().clone();
        if let Some(found) = found.filter(|found| !writes || found.failure.is_none()) {
            self.provide(call, found);
        }
    }

    /// Gives a call the credential of the registry, from the source unless it was asked before. The
    /// source is asked again for a credential that was refused (CR7).
    ///
    /// If the source does not work, that is reported once, and a call that reads has no credential;
    /// one that writes fails (CR11). Other errors are not cached.
    pub(crate) async fn look_up(
        &self,
        call: &mut AuthCall,
        writes: bool,
    ) -> Result<(), CredentialError> {
        let _one_at_a_time = self.looking.lock().await;
        let refused = call.refused_credential(&self.origin);
        if let Some(refused) = refused {
            self.report_refused(refused);
        }
        let known = self.found().clone();
        let known = known.filter(|it| refused.is_none() || it.credential.as_ref() != refused);
        let found = match known {
            Some(found) => found,
            None => self.ask_source().await?,
        };
        *self.found() = Some(found.clone());
        match &found.failure {
            Some(failure) if writes => return Err(failure.clone()),
            Some(failure) => {
                let notices = self.client.notices();
                notices.no_credentials(&self.registry, failure);
            }
            None => {}
        }
        self.provide(call, found);
        Ok(())
    }

    async fn ask_source(&self) -> Result<Found, CredentialError> {
        let source = self.client.credentials();
        let repository = self.repository.as_ref().map(RepositoryName::as_str);
        let (credential, failure) = match source.find(&self.registry, repository).await {
            Ok(credential) => (credential, None),
            Err(error) if error.is_unavailable() => (None, Some(error)),
            Err(error) => return Err(error),
        };
        Ok(Found {
            credential,
            renewable: source.is_renewable(&self.registry),
            failure,
        })
    }

    /// Tells the source that the credential it gave last was refused.
    pub(crate) fn credential_refused(&self) {
        let found = self.found().as_ref().and_then(|it| it.credential.clone());
        if let Some(credential) = found {
            self.report_refused(&credential);
        }
    }

    fn report_refused(&self, credential: &Credential) {
        let repository = self.repository.as_ref().map(RepositoryName::as_str);
        let source = self.client.credentials();
        source.refused(&self.registry, repository, credential);
    }

    fn provide(&self, call: &mut AuthCall, found: Found) {
        if found.renewable {
            call.provide_renewable(&self.origin, found.credential);
        } else {
            call.provide(&self.origin, found.credential);
        }
    }

    /// For short uses only: the guard is never held across an `await`.
    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
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
        let credentials = match &*self.found() {
            Some(found) if found.credential.is_some() => FoundCredentials::Some,
            Some(found) => FoundCredentials::None(found.failure.clone()),
            None => FoundCredentials::None(None),
        };
        Error::new(operation, &self.registry, cause).with_credentials(credentials)
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}
