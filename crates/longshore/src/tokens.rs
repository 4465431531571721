//! Bearer tokens, kept while they are valid and shared while they are fetched.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_auth::{Token, TokenKey, TokenTable};
use longshore_transport::Clock;
use tokio::sync::OwnedMutexGuard;

/// Maximum number of tokens in a cache; to make room, expired ones are removed first, then the
/// least recently used.
pub const TOKENS_KEPT: usize = 1024;

/// Bearer tokens by registry, service, scope and account (CR6: a token never crosses any of them).
///
/// Clones share the tokens, and clients that are built with clones of one cache share them too:
/// a token that one client fetched is used by the others, and callers that miss the same token at
/// the same time make one request (RT7). The cache has its own clock, so that clients with
/// different clocks agree on what has expired.
///
/// # From a map keyed by registry and scope
///
/// A [`TokenKey`] is the pair *(registry, scope)* with two additions: the service that the
/// challenge names, and the account that the token is for. Its documentation has a function that
/// makes a key from such a pair.
///
/// ```
/// use std::time::Duration;
///
/// use longshore::auth::{Realm, ScopeSet, Token, TokenKey};
/// use longshore::hyper::TokioClock;
/// use longshore::{Credential, TokenCache};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = TokenCache::new(TokioClock::new()).with_ttl(Duration::from_secs(300));
///
/// // Before: tokens.insert(("registry.example", "repository:app:pull"), token)
/// let key = |scope: &str, account: Option<Credential>| -> Result<_, Box<dyn std::error::Error>> {
///     let registry = "https://registry.example".parse()?;
///     let realm = Realm::parse(b"https://auth.example/token")?;
///     Ok(TokenKey::new(registry, realm, "registry.example", &ScopeSet::parse(scope), account))
/// };
/// let token = Token::new("t1".to_owned())?;
/// cache.put(key("repository:app:pull", None)?, token.clone(), None);
/// assert_eq!(cache.get(&key("repository:app:pull", None)?), Some(token));
/// // Another scope, or another account, has its own token.
/// assert_eq!(cache.get(&key("repository:app:push", None)?), None);
/// let account = Credential::basic("ahab", "white-whale".to_owned().into())?;
/// assert_eq!(cache.get(&key("repository:app:pull", Some(account))?), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenCache {
    table: TokenTable,
    flights: Arc<Flights>,
    clock: Arc<dyn Clock>,
    ttl: Option<Duration>,
}

type Flights = Mutex<HashMap<TokenKey, Arc<tokio::sync::Mutex<()>>>>;

impl TokenCache {
    /// Makes an empty cache for at most [`TOKENS_KEPT`] tokens, with this clock.
    pub fn new(clock: impl Clock) -> Self {
        Self::with_capacity(Arc::new(clock), TOKENS_KEPT)
    }

    pub(crate) fn with_capacity(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self {
            table: TokenTable::new(capacity),
            flights: Arc::default(),
            clock,
            ttl: None,
        }
    }

    /// Sets the lifetime of tokens that are put without one.
    ///
    /// The default is 60 seconds, which RT7 prescribes for a token response whose `expires_in` is
    /// missing, below 60 or absurd. The client always puts tokens with the lifetime of their
    /// response, by that rule; this setting is for programs that call [`put`](Self::put). It
    /// applies to this handle and to clones made of it later.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }

    /// Returns the token of this key, unless it has expired or is about to.
    ///
    /// It counts as expired when less than a tenth of its lifetime is left, or less than ten
    /// seconds if that is shorter (RT7).
    #[must_use]
    pub fn get(&self, key: &TokenKey) -> Option<Token> {
        self.table.get(key, self.clock.now())
    }

    /// Stores a token and replaces any other token of this key.
    ///
    /// `ttl` is its lifetime from now on. Without `ttl` the lifetime is that of
    /// [`with_ttl`](Self::with_ttl), or else 60 seconds (RT7). A token with a lifetime of zero is
    /// never found.
    pub fn put(&self, key: TokenKey, token: Token, ttl: Option<Duration>) {
        self.table
            .put(key, token, ttl.or(self.ttl), self.clock.now());
    }

    /// Removes every token.
    pub fn clear(&self) {
        self.table.clear();
    }

    /// Number of tokens, including expired ones.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the cache holds no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn table(&self) -> &TokenTable {
        &self.table
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Waits until no other task fetches the token of this key. Dropping the guard, or the future
    /// that holds it, lets the next task in (RT9: dropping an operation leaves no stuck lock).
    pub(crate) async fn flight(&self, key: &TokenKey) -> Flight {
        let lock = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            // Locks without waiting tasks are removed here, so the map does not grow for ever.
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

    // RT7, RT9
    #[test]
    fn rt9_one_task_at_a_time_fetches_the_token_of_a_key() {
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

    // RT7: 60 s where no lifetime is known.
    #[test]
    fn rt7_a_token_is_kept_for_its_ttl_or_a_minute() {
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

    // RT7: a default lifetime replaces the 60 s, and yields to a lifetime that is given.
    #[test]
    fn rt7_a_default_ttl_is_for_tokens_put_without_one() {
        let clock = TestClock::default();
        let plain = TokenCache::new(clock.clone());
        let cache = plain.clone().with_ttl(Duration::from_secs(300));
        let token = Token::new("t".to_owned()).unwrap();
        for (cache, ttl, last) in [
            (&cache, None, 289),
            (&cache.clone(), None, 289),
            (&cache, Some(20), 17),
            (&plain, None, 53),
        ] {
            cache.put(key("app"), token.clone(), ttl.map(Duration::from_secs));
            clock.advance(Duration::from_secs(last));
            assert_eq!(cache.get(&key("app")), Some(token.clone()), "{ttl:?}");
            clock.advance(Duration::from_secs(1));
            assert_eq!(cache.get(&key("app")), None, "{ttl:?}");
        }
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
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
