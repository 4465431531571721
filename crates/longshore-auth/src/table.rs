//! Tokens kept between calls.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{LIFETIME_FLOOR, Token, TokenKey};

#[cfg(test)]
mod tests;

/// Tokens by key, with the time at which each is renewed.
///
/// This is the part of a token cache that needs no clock: every method is told the time. A handle
/// may be cloned and shared between authenticators; the clones share the tokens. The client of the
/// facade wraps it as `longshore::TokenCache`, with a clock and single flight.
///
/// The number of keys is bounded: to make room, expired ones are removed first, then the least
/// recently used. Time is a duration since a start that the caller chose. All users of one table
/// share that start, and it must not change while there are tokens in the table.
///
/// ```
/// use std::time::Duration;
/// use longshore_auth::{Realm, ScopeSet, Token, TokenKey, TokenTable};
///
/// let table = TokenTable::new(100);
/// let realm = Realm::parse(b"https://auth.example/token")?;
/// let key = TokenKey::new("https://r.example".parse()?, realm, "r", &ScopeSet::pull("app"), None);
/// let now = Duration::from_secs(1_000);
/// table.put(key.clone(), Token::new("secret".into())?, Some(Duration::from_secs(300)), now);
/// assert!(table.get(&key, now).is_some());
/// assert!(table.get(&key, now + Duration::from_secs(290)).is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenTable(Arc<Mutex<Entries>>);

struct Entries {
    by_key: HashMap<TokenKey, Entry>,
    capacity: usize,
    /// Number of uses so far; the order of uses decides which key is removed first.
    uses: u64,
}

struct Entry {
    /// `None` once expired: the key is kept, so that a new token can be requested without waiting
    /// for a 401.
    token: Option<Token>,
    renew_at: Duration,
    last_use: u64,
}

/// What a look-up in the table found.
#[derive(Debug)]
pub(crate) enum Cached {
    /// A token that is still valid.
    Fresh(Token),
    /// The token has expired; this is the key under which it was requested.
    Expired(TokenKey),
    /// Nothing.
    Unknown,
}

impl TokenTable {
    /// Makes an empty table for at most `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Entries {
            by_key: HashMap::new(),
            capacity,
            uses: 0,
        })))
    }

    /// The token of this key, unless it has expired or is about to.
    ///
    /// It counts as expired when less than a tenth of its lifetime is left, or less than ten
    /// seconds if that is shorter (RT7).
    pub fn get(&self, key: &TokenKey, now: Duration) -> Option<Token> {
        match self.look_up(key, now) {
            Cached::Fresh(token) => Some(token),
            Cached::Expired(_) | Cached::Unknown => None,
        }
    }

    /// Keeps a token, in place of any other token of this key.
    ///
    /// `ttl` is its lifetime from `now` on; the default is [`LIFETIME_FLOOR`] (RT7). A token with a
    /// lifetime of zero is never found.
    pub fn put(&self, key: TokenKey, token: Token, ttl: Option<Duration>, now: Duration) {
        let ttl = ttl.unwrap_or(LIFETIME_FLOOR);
        let mut entries = self.entries();
        let last_use = entries.next_use();
        let entry = Entry {
            token: (!ttl.is_zero()).then_some(token),
            renew_at: renew_at(ttl, now),
            last_use,
        };
        // The old key is removed first: an equal key may hold another realm or scope text, because
        // equality does not compare these.
        entries.by_key.remove(&key);
        entries.make_room(now);
        if entries.capacity > 0 {
            entries.by_key.insert(key, entry);
        }
    }

    /// Removes all tokens and keys.
    pub fn clear(&self) {
        self.entries().by_key.clear();
    }

    /// Number of keys, including those of expired tokens.
    pub fn len(&self) -> usize {
        self.entries().by_key.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn look_up(&self, key: &TokenKey, now: Duration) -> Cached {
        let mut entries = self.entries();
        let this_use = entries.next_use();
        let Some(entry) = entries.by_key.get_mut(key) else {
            return Cached::Unknown;
        };
        entry.last_use = this_use;
        if now >= entry.renew_at {
            entry.token = None;
        }
        if let Some(token) = &entry.token {
            return Cached::Fresh(token.clone());
        }
        let known = entries.by_key.get_key_value(key);
        known.map_or(Cached::Unknown, |(known, _)| Cached::Expired(known.clone()))
    }

    /// Removes this token, but not another that has replaced it.
    pub(crate) fn discard(&self, key: &TokenKey, token: &Token) {
        let mut entries = self.entries();
        let found = entries.by_key.get(key);
        if found.is_some_and(|entry| entry.token.as_ref() == Some(token)) {
            entries.by_key.remove(key);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // No code that could panic runs with the lock held, so entries are never half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TokenTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenTable({} keys)", self.len())
    }
}

impl Entries {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    /// Makes room for one key.
    fn make_room(&mut self, now: Duration) {
        if self.by_key.len() < self.capacity {
            return;
        }
        self.by_key.retain(|_, entry| now < entry.renew_at);
        while self.by_key.len() >= self.capacity.max(1) {
            let oldest = self.by_key.iter().min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.by_key.remove(&oldest);
        }
    }
}

/// The time at which a token is renewed: when less than a tenth of its lifetime, or less than ten
/// seconds, is left (RT7).
pub(crate) fn renew_at(lifetime: Duration, received: Duration) -> Duration {
    let margin = (lifetime / 10).min(RENEWAL_MARGIN_LIMIT);
    received.saturating_add(lifetime - margin)
}

/// The earliest renewal before the end of a token's lifetime (RT7).
const RENEWAL_MARGIN_LIMIT: Duration = Duration::from_secs(10);
