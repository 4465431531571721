//! Bearer tokens, kept while they last and shared while they are fetched.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_auth::{Token, TokenKey};
use longshore_transport::Clock;
use tokio::sync::OwnedMutexGuard;

/// So many tokens are kept before the oldest make room.
pub const TOKENS_KEPT: usize = 1024;

/// Bearer tokens by registry origin, service, scope and credential (CR6).
///
/// Clones share the tokens, and clients that are built with clones of one cache share them too:
/// what one client fetched the other uses, and callers that miss the same token at the same time
/// make one request. The cache keeps its own clock, so that clients with clocks of their own
/// agree on what has expired.
#[derive(Clone)]
pub struct TokenCache {
    tokens: longshore_auth::TokenCache,
    flights: Arc<Flights>,
    clock: Arc<dyn Clock>,
}

type Flights = Mutex<HashMap<TokenKey, Arc<tokio::sync::Mutex<()>>>>;

impl TokenCache {
    /// An empty cache of [`TOKENS_KEPT`] tokens that tells the time by this clock.
    pub fn new(clock: impl Clock) -> Self {
        Self::with_capacity(Arc::new(clock), TOKENS_KEPT)
    }

    pub(crate) fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self {
            tokens: longshore_auth::TokenCache::new(capacity),
            flights: Arc::default(),
            clock,
        }
    }

    /// The token under this key, if it has not expired and does not expire within moments (RT7).
    #[must_use]
    pub fn get(&self, key: &TokenKey) -> Option<Token> {
        self.tokens.get(key, self.clock.now())
    }

    /// Keeps a token: for `ttl` where it is given, else for a minute (RT7). With a TTL of zero it
    /// is never found.
    pub fn put(&self, key: TokenKey, token: Token, ttl: Option<Duration>) {
        self.tokens.put(key, token, ttl, self.clock.now());
    }

    /// Forgets every token.
    pub fn clear(&self) {
        self.tokens.clear();
    }

    /// How many tokens are kept, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether no token is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn inner(&self) -> &longshore_auth::TokenCache {
        &self.tokens
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Waits until nobody else fetches the token of this key. Dropping the guard, also by
    /// dropping the future that holds it, lets the next one in (RT9).
    pub(crate) async fn flight(&self, key: &TokenKey) -> Flight {
        let lock = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            // Keys nobody waits for are swept here, so the map stays as small as the demand.
            flights.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(flights.entry(key.clone()).or_default())
        };
        Flight(lock.lock_owned().await)
    }
}

/// The right to fetch the token of one key.
#[derive(Debug)]
pub(crate) struct Flight(#[expect(dead_code, reason = "held, never read")] OwnedMutexGuard<()>);

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
