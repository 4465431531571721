//! Building a client.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex};

use longshore_auth::Authenticator;
use longshore_proto::call::CallPolicy;
use longshore_proto::retry::RetryPolicy;
use longshore_transport::{Clock, DynTransport, Transport};

use crate::client::{Client, Shared};
use crate::credentials::{Anonymous, CredentialSource, DynCredentials};
use crate::hosts::{HostSettings, Hosts, canonical};
use crate::limit::{Limit, MEMORY_LIMIT_BYTES, REQUESTS_PER_ORIGIN};
use crate::notice::{Notice, Notices};
use crate::suffixes::Suffixes;
use crate::tokens::{TOKENS_KEPT, TokenCache};

/// A client in the making; begun with [`Client::builder`].
#[derive(Default)]
pub struct Builder {
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

impl Builder {
    /// Sends over this transport. Needs a [`clock`](Self::clock) too, where the feature `hyper`
    /// is off.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(DynTransport::new(transport));
        self
    }

    /// Tells the time and waits by this clock.
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

    /// Keeps tokens here; a clone given to another client shares them. The default is a cache of
    /// the client's own.
    #[must_use]
    pub fn token_cache(mut self, cache: TokenCache) -> Self {
        self.tokens = Tokens::Given(cache);
        self
    }

    /// Keeps no tokens: each request that needs one fetches its own.
    #[must_use]
    pub fn no_token_cache(mut self) -> Self {
        self.tokens = Tokens::None;
        self
    }

    /// Looks for credentials here. The default is to be anonymous.
    #[must_use]
    pub fn credentials(mut self, source: impl CredentialSource) -> Self {
        self.credentials = Some(DynCredentials::new(source));
        self
    }

    /// Tells this listener what registries say beside their answers: warnings and rate limits.
    /// It is called while an answer is read, so it should not take long. By default notices go
    /// to the log alone.
    #[must_use]
    pub fn on_notice(mut self, listener: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.notices.listener = Some(Box::new(listener));
        self
    }

    /// Speaks to the registry of this name as these settings say.
    #[must_use]
    pub fn host(mut self, registry: &str, settings: HostSettings) -> Self {
        self.hosts.insert(canonical(registry).to_owned(), settings);
        self
    }

    /// Sends a request at most this often; 1 repeats nothing. The default is 5 (RT1).
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.policy.retry = RetryPolicy::with_attempts(attempts);
        self
    }

    /// Keeps to these numbers.
    #[must_use]
    pub fn policy(mut self, policy: CallPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// So many requests may be in flight to one registry; the default is 32.
    #[must_use]
    pub fn requests_per_origin(mut self, requests: usize) -> Self {
        self.requests = Some(requests);
        self
    }

    /// All transfers together may have so many bytes in memory; the default is 64 MiB (LI2).
    ///
    /// Half is for documents while they arrive. The rest is for blobs, which count with what
    /// a transport may buffer of them, 2 MiB for a large one and 1 MiB for others, until their
    /// reader is dropped. What finds no room waits.
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
        Ok(Client::new(Shared {
            transport,
            clock,
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
            policy: self.policy,
        }))
    }
}

/// 32 bits that differ from call to call: the standard library seeds each state at random.
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

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}
