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
    tokens: longshore_auth::TokenTable,
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
            tokens: longshore_auth::TokenTable::new(capacity),
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

    pub(crate) fn inner(&self) -> &longshore_auth::TokenTable {
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use longshore_auth::{Realm, ScopeSet};
    use longshore_transport::TestClock;

    use super::*;

    fn try_now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn key(name: &str) -> TokenKey {
        let realm = Realm::parse(b"https://auth.example/token").unwrap();
        let registry = "https://r.example".parse().unwrap();
        TokenKey::new(registry, realm, "r", &ScopeSet::pull(name), None)
    }

    // F22, RT9
    #[test]
    fn f22_one_at_a_time_fetches_the_token_of_a_key() {
        let cache = TokenCache::new(TestClock::default());
        let shared = cache.clone();
        let first = try_now(cache.flight(&key("app"))).unwrap();
        assert!(try_now(shared.flight(&key("app"))).is_none());
        let _other = try_now(cache.flight(&key("other"))).unwrap();
        drop(first);
        assert!(try_now(shared.flight(&key("app"))).is_some());
    }

    #[test]
    fn flights_that_are_over_leave_nothing_behind() {
        let cache = TokenCache::new(TestClock::default());
        for name in ["a", "b", "c"] {
            assert!(try_now(cache.flight(&key(name))).is_some());
        }
        let _held = try_now(cache.flight(&key("d"))).unwrap();
        let _last = try_now(cache.flight(&key("e"))).unwrap();
        assert_eq!(cache.flights.lock().unwrap().len(), 2);
    }

    // F20
    #[test]
    fn f20_a_token_is_kept_for_its_ttl_or_a_minute() {
        let clock = TestClock::default();
        let cache = TokenCache::new(clock.clone());
        let token = Token::new("t".to_owned()).unwrap();
        for (ttl, last) in [(None, 53), (Some(300), 289), (Some(20), 17)] {
            cache.put(key("app"), token.clone(), ttl.map(Duration::from_secs));
            clock.advance(Duration::from_secs(last));
            assert_eq!(cache.get(&key("app")), Some(token.clone()), "{ttl:?}");
            clock.advance(Duration::from_secs(1));
            assert_eq!(cache.get(&key("app")), None, "{ttl:?}");
        }
        assert!(!cache.is_empty());
        cache.clear();
        assert_eq!((cache.len(), cache.is_empty()), (0, true));
    }

    // F20: bounded, the least recently used goes first.
    #[test]
    fn f20_there_is_room_for_so_many_and_no_more() {
        let cache = TokenCache::new(TestClock::default());
        let token = Token::new("t".to_owned()).unwrap();
        for number in 0..=TOKENS_KEPT {
            cache.put(key(&format!("app{number}")), token.clone(), None);
        }
        assert_eq!(cache.len(), TOKENS_KEPT);
        assert_eq!(cache.get(&key("app0")), None);
        assert_eq!(cache.get(&key("app1")), Some(token));
    }
}
