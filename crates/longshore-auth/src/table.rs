//! Tokens kept between calls.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Origin};

use crate::{Credential, LIFETIME_FLOOR, Realm, ScopeSet, Token};

#[cfg(test)]
mod tests;

/// What a token was issued for: two requests with equal keys may share one token (CR6).
///
/// Equal keys have the same registry origin, service, scope as the operation needs it, and
/// account; an account is the credential itself, so a changed password is another account. What
/// is got for a foreign hop is kept apart, too (RD1). Not compared, and only there to ask for the
/// token: the realm and the words the scope is asked in. Cloning is cheap.
#[derive(Clone)]
pub struct TokenKey(Arc<Key>);

struct Key {
    registry: Origin,
    service: String,
    scope: String,
    account: Option<Credential>,
    foreign: bool,
    request: TokenRequest,
}

/// How the token of a key is asked for.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    pub(crate) realm: Realm,
    /// The scope in the server's words, or ours (CR8).
    pub(crate) scope: String,
    /// Where the realm may be (RE3).
    pub(crate) reach: AddressPolicy,
}

impl TokenKey {
    /// The key of a token for this scope at this registry, issued at this realm.
    ///
    /// `service` is empty where a challenge names none; `account` is `None` for an anonymous
    /// token.
    pub fn new(
        registry: Origin,
        realm: Realm,
        service: &str,
        scope: &ScopeSet,
        account: Option<Credential>,
    ) -> Self {
        let scope = scope.to_string();
        let reach = if *realm.origin() == registry {
            AddressPolicy::Any
        } else {
            AddressPolicy::AtLeast {
                class: registry.known_class().unwrap_or(AddressClass::Public),
                allow: AllowAddresses::default(),
            }
        };
        let request = TokenRequest {
            realm,
            scope: scope.clone(),
            reach,
        };
        Self::with_request(registry, service, scope, account, request)
    }

    /// The key of a token for the user's own registry.
    pub(crate) fn with_request(
        registry: Origin,
        service: &str,
        scope: String,
        account: Option<Credential>,
        request: TokenRequest,
    ) -> Self {
        Self(Arc::new(Key {
            registry,
            service: service.to_owned(),
            scope,
            account,
            foreign: false,
            request,
        }))
    }

    /// The key of a token for a place the registry has sent us to; never with an account (CR5).
    pub(crate) fn foreign(
        origin: Origin,
        service: &str,
        scope: String,
        request: TokenRequest,
    ) -> Self {
        Self(Arc::new(Key {
            registry: origin,
            service: service.to_owned(),
            scope,
            account: None,
            foreign: true,
            request,
        }))
    }

    /// The registry the token is shown to.
    pub fn registry(&self) -> &Origin {
        &self.0.registry
    }

    /// Where the token is issued.
    pub fn realm(&self) -> &Realm {
        &self.0.request.realm
    }

    /// What the registry calls itself there; empty where it says nothing.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The scope the operation needs, in canonical text.
    pub fn scope(&self) -> &str {
        &self.0.scope
    }

    /// Whether the token is issued to nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.0.account.is_none()
    }

    /// Whether the token is for a place the registry has sent us to, and not for the registry.
    ///
    /// Then nothing of the user's may go with the request for it: no credentials, which
    /// [`Authenticator::begin`](crate::Authenticator::begin) sees to, and no client certificate,
    /// which a driver has to (CR5).
    pub fn is_foreign(&self) -> bool {
        self.0.foreign
    }

    /// This key, asked for in the words the other was, if it was asked for at the same realm.
    pub(crate) fn in_the_words_of(self, other: &Self) -> Self {
        let (mine, others) = (self.request(), other.request());
        if mine.realm != others.realm {
            return self;
        }
        let request = TokenRequest {
            scope: others.scope.clone(),
            ..mine.clone()
        };
        Self(Arc::new(Key {
            registry: self.0.registry.clone(),
            service: self.0.service.clone(),
            scope: self.0.scope.clone(),
            account: self.0.account.clone(),
            foreign: self.0.foreign,
            request,
        }))
    }

    pub(crate) fn account(&self) -> Option<&Credential> {
        self.0.account.as_ref()
    }

    pub(crate) fn request(&self) -> &TokenRequest {
        &self.0.request
    }

    fn identity(&self) -> (&Origin, &str, &str, Option<&Credential>, bool) {
        let key = &*self.0;
        let account = key.account.as_ref();
        (
            &key.registry,
            &key.service,
            &key.scope,
            account,
            key.foreign,
        )
    }
}

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for TokenKey {}

impl Hash for TokenKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("registry", &self.0.registry)
            .field("service", &self.0.service)
            .field("scope", &self.0.scope)
            .field("account", &self.0.account)
            .field("foreign", &self.0.foreign)
            .field("request", &self.0.request)
            .finish()
    }
}

/// Tokens by key, for as long as they are worth showing; a handle that may be cloned and shared
/// between clients.
///
/// Holds a bounded number of keys: where there is no room, expired ones go first, then those
/// unused for longest. Time is what the caller says it is, a duration since a start of its choice
/// that all users of one cache share; a start must not change while a token is in here.
///
/// ```
/// use std::time::Duration;
/// use longshore_auth::{Realm, ScopeSet, Token, TokenTable, TokenKey};
///
/// let cache = TokenTable::new(100);
/// let realm = Realm::parse(b"https://auth.example/token")?;
/// let key = TokenKey::new("https://r.example".parse()?, realm, "r", &ScopeSet::pull("app"), None);
/// let now = Duration::from_secs(1_000);
/// cache.put(key.clone(), Token::new("secret".into())?, Some(Duration::from_secs(300)), now);
/// assert!(cache.get(&key, now).is_some());
/// assert!(cache.get(&key, now + Duration::from_secs(290)).is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenTable(Arc<Mutex<Entries>>);

struct Entries {
    by_key: HashMap<TokenKey, Entry>,
    capacity: usize,
    /// Counts every use, so that there is an order among them.
    uses: u64,
}

struct Entry {
    /// `None` once expired: what is left tells how to get another without waiting for a 401.
    token: Option<Token>,
    renew_at: Duration,
    last_use: u64,
}

/// What the cache knows of a key.
#[derive(Debug)]
pub(crate) enum Cached {
    /// A token worth showing.
    Fresh(Token),
    /// There was one; here is how it was got.
    Expired(TokenKey),
    /// Nothing.
    Unknown,
}

impl TokenTable {
    /// An empty cache for so many keys.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Entries {
            by_key: HashMap::new(),
            capacity,
            uses: 0,
        })))
    }

    /// The token of this key, if it is still good for a while.
    ///
    /// "A while" is a tenth of its lifetime, or ten seconds if that is less (RT7).
    pub fn get(&self, key: &TokenKey, now: Duration) -> Option<Token> {
        match self.look_up(key, now) {
            Cached::Fresh(token) => Some(token),
            Cached::Expired(_) | Cached::Unknown => None,
        }
    }

    /// Keeps a token, in place of any other of this key.
    ///
    /// `ttl` is its lifetime from `now` on; [`LIFETIME_FLOOR`] where none is given. With a
    /// lifetime of zero the token is never found.
    pub fn put(&self, key: TokenKey, token: Token, ttl: Option<Duration>, now: Duration) {
        let ttl = ttl.unwrap_or(LIFETIME_FLOOR);
        let mut entries = self.entries();
        let last_use = entries.next_use();
        let entry = Entry {
            token: (!ttl.is_zero()).then_some(token),
            renew_at: renew_at(ttl, now),
            last_use,
        };
        // The old key goes, too: how to ask may have changed, which is no part of equality.
        entries.by_key.remove(&key);
        entries.make_room(now);
        if entries.capacity > 0 {
            entries.by_key.insert(key, entry);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries().by_key.clear();
    }

    /// How many keys there are, expired ones included.
    pub fn len(&self) -> usize {
        self.entries().by_key.len()
    }

    /// Whether there is nothing in it.
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

    /// Forgets this token, but not another that has taken its place since.
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

/// When less than a tenth of the lifetime, or ten seconds, is left (RT7).
pub(crate) fn renew_at(lifetime: Duration, received: Duration) -> Duration {
    let margin = (lifetime / 10).min(RENEWAL_MARGIN_LIMIT);
    received.saturating_add(lifetime - margin)
}

/// How long before the end of its life a token is renewed at the earliest (RT7).
const RENEWAL_MARGIN_LIMIT: Duration = Duration::from_secs(10);
