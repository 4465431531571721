//! The client.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_auth::Authenticator;
use longshore_model::{Reference, RepositoryName};
use longshore_origin::without_user_information;
use longshore_proto::call::CallPolicy;
use longshore_proto::endpoint::PingAnswer;
use longshore_proto::retry::{Jitter, RetryPolicy};
use longshore_transport::Clock;

use crate::builder::ClientBuilder;
use crate::credentials::DynCredentials;
use crate::error::{Cause, Error};
use crate::hosts::{Hosts, canonical};
use crate::limit::Limit;
use crate::list::{List, catalogue};
use crate::notice::Notices;
use crate::operation::Operation;
use crate::repository::Repository;
use crate::send::Sender;
use crate::site::Site;
use crate::tokens::TokenCache;

/// A client of any number of registries. Cheap to clone; clones share connections, tokens and
/// limits.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    policy: CallPolicy,
}

pub(crate) struct Shared {
    pub(crate) sender: Sender,
    pub(crate) jitter: Box<dyn Fn() -> u32 + Send + Sync>,
    pub(crate) auth: Mutex<Authenticator>,
    pub(crate) tokens: Option<TokenCache>,
    pub(crate) credentials: DynCredentials,
    pub(crate) notices: Notices,
    pub(crate) hosts: Hosts,
    pub(crate) limit: Limit,
}

impl Client {
    /// Begins a client with the defaults: no credentials, a token cache of its own, five
    /// attempts, and with feature `hyper` the transport of `longshore-hyper`.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) fn new(shared: Shared, policy: CallPolicy) -> Self {
        let shared = Arc::new(shared);
        Self { shared, policy }
    }

    /// The same client, but tries each request at most this many times; 1 disables retries (RT1).
    ///
    /// It shares connections, tokens and limits with this one. It is for requests whose answer is
    /// only useful soon.
    #[must_use]
    pub fn with_attempts(&self, attempts: u32) -> Self {
        let mut client = self.clone();
        client.policy.retry.attempts = RetryPolicy::with_attempts(attempts).attempts;
        client
    }

    /// The repository a reference names.
    ///
    /// Sends nothing, unless the registry is a loopback name without configuration: then one
    /// request finds out whether the registry speaks TLS.
    ///
    /// # Errors
    ///
    /// [`Cause::Host`] when the registry's name or settings cannot be used.
    pub async fn repository(&self, reference: &Reference) -> Result<Repository, Error> {
        let name = reference.repository();
        self.repository_of(reference.registry(), &name).await
    }

    /// The repository of this name, as [`repository`](Self::repository) without the rules for the
    /// text of references: `registry` is a host name with an optional port, or a name that
    /// [`ClientBuilder::host`] has settings for.
    ///
    /// # Errors
    ///
    /// As [`repository`](Self::repository).
    pub async fn repository_of(
        &self,
        registry: &str,
        name: &RepositoryName,
    ) -> Result<Repository, Error> {
        let site = self.site(registry).await?.of(name.clone());
        Ok(Repository::new(Arc::new(site), name.clone()))
    }

    /// Checks whether this is a registry that this client may use (distribution-spec v1.1.1
    /// "Determining Support"). Authenticates if the registry demands it.
    ///
    /// # Errors
    ///
    /// [`Error`] says why it is not a registry, or not one that this client may use.
    pub async fn ping(&self, registry: &str) -> Result<PingAnswer, Error> {
        self.site(registry).await?.ping().await
    }

    /// The names of the registry's repositories after `last`, at most `n` a page.
    ///
    /// Many registries do not offer this list, Docker Hub among them.
    ///
    /// # Errors
    ///
    /// [`Cause::Host`] when the registry's name or settings cannot be used.
    pub async fn repositories(
        &self,
        registry: &str,
        n: Option<u32>,
        last: Option<&str>,
    ) -> Result<List<String>, Error> {
        let site = self.site(registry).await?;
        Ok(catalogue(Arc::new(site), n, last))
    }

    async fn site(&self, registry: &str) -> Result<Site, Error> {
        let registry = &*canonical(registry);
        let failed = |error| {
            // CR12: what is not a registry may be a URL with a password.
            let shown = without_user_information(registry);
            Error::new(Operation::Connect, &shown, Cause::Host(error))
        };
        let hosts = &self.shared.hosts;
        let home = hosts.resolve(registry, &self.shared.sender).await;
        let home = home.map_err(failed)?;
        let Some(origin) = home.hosts.last().map(|host| host.origin().clone()) else {
            return Err(failed(crate::hosts::HostError::BaseUrl));
        };
        self.auth().configure(origin.clone(), home.settings.auth());
        Ok(Site::new(self.clone(), registry.to_owned(), home, origin))
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.shared.sender
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.shared.sender.clock()
    }

    pub(crate) fn jitter(&self) -> Jitter {
        Jitter::new(self.random()())
    }

    pub(crate) fn random(&self) -> &(dyn Fn() -> u32 + Send + Sync) {
        &*self.shared.jitter
    }

    /// For short calls only: the guard is never held across an `await`.
    pub(crate) fn auth(&self) -> MutexGuard<'_, Authenticator> {
        self.shared
            .auth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that decides whether a token has expired. It comes from the clock of the cache,
    /// which several clients may share.
    pub(crate) fn auth_now(&self) -> Duration {
        self.shared
            .tokens
            .as_ref()
            .map_or_else(|| self.clock().now(), TokenCache::now)
    }

    pub(crate) fn tokens(&self) -> Option<&TokenCache> {
        self.shared.tokens.as_ref()
    }

    pub(crate) fn credentials(&self) -> &DynCredentials {
        &self.shared.credentials
    }

    pub(crate) fn notices(&self) -> &Notices {
        &self.shared.notices
    }

    pub(crate) fn limit(&self) -> &Limit {
        &self.shared.limit
    }

    pub(crate) fn policy(&self) -> &CallPolicy {
        &self.policy
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}
