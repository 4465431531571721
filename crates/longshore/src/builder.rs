//! Building a client.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_auth::Authenticator;
use longshore_proto::call::CallPolicy;
use longshore_proto::retry::{QUOTA_WAIT_LIMIT, RetryPolicy};
use longshore_transport::{Clock, DynTransport, Transport};

use crate::client::{Client, Shared};
use crate::credentials::{Anonymous, CredentialSource, DynCredentials};
use crate::hosts::{HostSettings, Hosts, canonical};
use crate::limit::{Limit, MEMORY_LIMIT_BYTES, REQUESTS_PER_ORIGIN};
use crate::notice::{Notice, Notices};
use crate::send::Sender;
use crate::suffixes::Suffixes;
use crate::tokens::{TOKENS_KEPT, TokenCache};

/// The settings of a client that is not built yet; see [`Client::builder`].
#[derive(Default)]
pub struct ClientBuilder {
    transport: Option<DynTransport>,
    clock: Option<Arc<dyn Clock>>,
    jitter: Option<Box<dyn Fn() -> u32 + Send + Sync>>,
    tokens: Tokens,
    credentials: Option<DynCredentials>,
    notices: Notices,
    hosts: HashMap<String, HostSettings>,
    policy: CallPolicy,
    requests: Option<usize>,
    memory: Option<usize>,
}

#[derive(Default)]
enum Tokens {
    Given(TokenCache),
    None,
    #[default]
    Own,
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No clock was given, and none comes with the features of this build.
    #[error("no clock was given, and this build has none of its own (feature `hyper`)")]
    NoClock,
    /// No transport was given, and none comes with the features of this build.
    #[error("no transport was given, and this build has none of its own (feature `hyper`)")]
    NoTransport,
    /// The default transport cannot be built.
    #[error("the transport cannot be built")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ClientBuilder {
    /// Sends over this transport. Without the feature `hyper`, a [`clock`](Self::clock) is needed
    /// too.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(DynTransport::new(transport));
        self
    }

    /// Uses this clock for the time, for waits and for limits.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Takes the random part of waits between attempts from here; any 32 random bits.
    #[must_use]
    pub fn jitter(mut self, jitter: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        self.jitter = Some(Box::new(jitter));
        self
    }

    /// Caches tokens here. Clients that get clones of one cache share its tokens. By default a
    /// client has a cache of its own.
    #[must_use]
    pub fn token_cache(mut self, cache: TokenCache) -> Self {
        self.tokens = Tokens::Given(cache);
        self
    }

    /// Caches no tokens: each request that needs a token fetches one.
    #[must_use]
    pub fn no_token_cache(mut self) -> Self {
        self.tokens = Tokens::None;
        self
    }

    /// Looks up credentials here. By default every request is anonymous.
    #[must_use]
    pub fn credentials(mut self, source: impl CredentialSource) -> Self {
        self.credentials = Some(DynCredentials::new(source));
        self
    }

    /// Calls this listener with the warnings and rate limits that registries send along with their
    /// answers. The call delays the answer, so it should return soon. By default notices only go to
    /// the log.
    #[must_use]
    pub fn on_notice(mut self, listener: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.notices.listener = Some(Box::new(listener));
        self
    }

    /// Uses these settings for the registry of this name.
    #[must_use]
    pub fn host(mut self, registry: &str, settings: HostSettings) -> Self {
        self.hosts
            .insert(canonical(registry).into_owned(), settings);
        self
    }

    /// Tries each request at most this many times; 1 disables retries. The default is 5 (RT1).
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.policy.retry.attempts = RetryPolicy::with_attempts(attempts).attempts;
        self
    }

    /// Maximum total time for which one request waits until rate limit windows end; at most
    /// [`QUOTA_WAIT_LIMIT`]. Other requests to the registry wait too. Each wait is reported to the
    /// listener ([`Notice::WaitingForQuota`](crate::Notice::WaitingForQuota)).
    ///
    /// Without this, a request fails at once when a registry asks to wait for more than 60 seconds
    /// ([`Error::retry_after`](crate::Error::retry_after), RT3).
    #[must_use]
    pub fn wait_for_quota(mut self, longest: Duration) -> Self {
        self.policy.retry.quota = Some(longest.min(QUOTA_WAIT_LIMIT));
        self
    }

    /// Uses these limits for retries, redirects and waits.
    #[must_use]
    pub fn policy(mut self, policy: CallPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Maximum number of requests in flight to one registry, counted separately for requests that
    /// send content. The default is 32 of each.
    #[must_use]
    pub fn requests_per_origin(mut self, requests: usize) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Maximum memory for all transfers and the documents that are being read together, in bytes.
    /// The default is 64 MiB (LI2).
    ///
    /// Half of it is for blobs that are read: a transport may buffer 2 MiB of a large blob and 1
    /// MiB of any other, until its reader is dropped. A quarter is for documents while they arrive
    /// and are parsed. A quarter is for content that is sent, with at most 2 MiB for each transfer.
    /// A transfer that would exceed the limit waits.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`BuildError`] when a part is missing, or the default transport cannot be built.
    pub fn build(self) -> Result<Client, BuildError> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport()?,
        };
        let clock = self
            .clock
            .or_else(default_clock)
            .ok_or(BuildError::NoClock)?;
        let tokens = match self.tokens {
            Tokens::Given(cache) => Some(cache),
            Tokens::None => None,
            Tokens::Own => Some(TokenCache::with_capacity(Arc::clone(&clock), TOKENS_KEPT)),
        };
        let mut auth = Authenticator::new().with_public_suffixes(Arc::new(Suffixes));
        if let Some(tokens) = &tokens {
            auth = auth.with_tokens(tokens.table().clone());
        }
        let shared = Shared {
            sender: Sender::new(transport, clock),
            jitter: self.jitter.unwrap_or_else(|| Box::new(random)),
            auth: Mutex::new(auth),
            tokens,
            credentials: self
                .credentials
                .unwrap_or_else(|| DynCredentials::new(Anonymous)),
            notices: self.notices,
            hosts: Hosts::new(self.hosts),
            limit: Limit::new(
                self.requests.unwrap_or(REQUESTS_PER_ORIGIN),
                self.memory.unwrap_or(MEMORY_LIMIT_BYTES),
            ),
        };
        Ok(Client::new(shared, self.policy))
    }
}

/// 32 random bits: the standard library seeds each state at random.
pub(crate) fn random() -> u32 {
    let bits = RandomState::new().hash_one(());
    u32::try_from(bits >> 32).unwrap_or_default()
}

#[cfg(feature = "hyper")]
fn default_transport() -> Result<DynTransport, BuildError> {
    let transport = longshore_hyper::HyperTransport::builder().build();
    transport
        .map(DynTransport::new)
        .map_err(|error| BuildError::Transport(error.into()))
}

#[cfg(not(feature = "hyper"))]
fn default_transport() -> Result<DynTransport, BuildError> {
    Err(BuildError::NoTransport)
}

#[cfg(feature = "hyper")]
#[expect(clippy::unnecessary_wraps, reason = "the other build has no clock")]
fn default_clock() -> Option<Arc<dyn Clock>> {
    Some(Arc::new(longshore_hyper::TokioClock::default()))
}

#[cfg(not(feature = "hyper"))]
fn default_clock() -> Option<Arc<dyn Clock>> {
    None
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}
