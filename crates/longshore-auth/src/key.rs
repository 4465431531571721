//! The key under which a token is kept.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use longshore_origin::{AddressClass, AddressPolicy, AllowAddresses, Origin};

use crate::{Credential, Realm, ScopeSet};

/// What a token was issued for: two requests with equal keys may share one token (CR6: a token is
/// kept under registry, service, scope and account, and never crosses any of them).
///
/// | compared | where it comes from |
/// |---|---|
/// | registry | the origin that the user named, scheme and port included |
/// | service | the `service` parameter of the challenge; empty where there is none |
/// | scope | what the operation needs, as canonical text of a [`ScopeSet`] |
/// | account | the credential itself, so that a changed password is another account |
///
/// A token for a place that the registry redirected to is kept apart as well (RD1). Realm, scope
/// as the challenge words it, and permitted addresses are *not* compared: they only say how to
/// request the token. Cloning is cheap.
///
/// # From a map keyed by registry and scope
///
/// Where a program has kept tokens under the pair *(registry, scope)*, that pair is
/// [`registry`](Self::registry) and [`scope`](Self::scope). Service and account are the two parts
/// that such a map lacks: without them a token for one user could be shown for another.
///
/// ```
/// use longshore_auth::{Credential, Realm, ScopeSet, TokenKey};
///
/// /// `registry` and `scope` as in `("registry.example:5000", "repository:app:pull")`; realm and
/// /// service are those of the challenge that asked for the token.
/// fn key(
///     (registry, scope): (&str, &str),
///     (realm, service): (&[u8], &str),
///     account: Option<Credential>,
/// ) -> Result<TokenKey, Box<dyn std::error::Error>> {
///     let registry = format!("https://{registry}").parse()?;
///     let scope = ScopeSet::parse(scope);
///     Ok(TokenKey::new(registry, Realm::parse(realm)?, service, &scope, account))
/// }
///
/// let challenge = (b"https://auth.example/token".as_slice(), "registry.example");
/// let one = key(("registry.example:5000", "repository:app:pull,push"), challenge, None)?;
/// // The order of actions does not matter, and neither does the realm.
/// let challenge = (b"https://auth.example/v2/token".as_slice(), "registry.example");
/// let same = key(("registry.example:5000", "repository:app:push,pull"), challenge, None)?;
/// assert_eq!(one, same);
/// let other = key(("registry.example:5000", "repository:other:pull"), challenge, None)?;
/// assert_ne!(one, other);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TokenKey(Arc<Key>);

struct Key {
    registry: Origin,
    service: String,
    scope: String,
    account: Option<Credential>,
    foreign: bool,
    source: TokenSource,
}

/// The parts of a token request that are not compared: realm, scope text and permitted addresses.
#[derive(Clone, Debug)]
pub(crate) struct TokenSource {
    pub(crate) realm: Realm,
    /// The scope as the challenge words it, or in canonical text (CR8).
    pub(crate) scope: String,
    /// Addresses the realm may have (RE3).
    pub(crate) addresses: AddressPolicy,
}

impl TokenKey {
    /// Makes the key of a token for `scope` at `registry`, issued by `realm`.
    ///
    /// `service` is empty where the challenge names none; `account` is `None` for an anonymous
    /// token.
    pub fn new(
        registry: Origin,
        realm: Realm,
        service: &str,
        scope: &ScopeSet,
        account: Option<Credential>,
    ) -> Self {
        let scope = scope.to_string();
        let addresses = if *realm.origin() == registry {
            AddressPolicy::Any
        } else {
            AddressPolicy::AtLeast {
                class: registry.known_class().unwrap_or(AddressClass::Public),
                allow: AllowAddresses::default(),
            }
        };
        let source = TokenSource {
            realm,
            scope: scope.clone(),
            addresses,
        };
        Self::with_source(registry, service, scope, account, source)
    }

    /// Makes the key of a token for the registry that the user named.
    pub(crate) fn with_source(
        registry: Origin,
        service: &str,
        scope: String,
        account: Option<Credential>,
        source: TokenSource,
    ) -> Self {
        Self(Arc::new(Key {
            registry,
            service: service.to_owned(),
            scope,
            account,
            foreign: false,
            source,
        }))
    }

    /// Makes the key of a token for an origin that the registry redirected to; it never has an
    /// account (CR5: stored credentials are not used for a foreign origin).
    pub(crate) fn foreign(
        origin: Origin,
        service: &str,
        scope: String,
        source: TokenSource,
    ) -> Self {
        Self(Arc::new(Key {
            registry: origin,
            service: service.to_owned(),
            scope,
            account: None,
            foreign: true,
            source,
        }))
    }

    /// The origin that receives the token.
    pub fn registry(&self) -> &Origin {
        &self.0.registry
    }

    /// The token endpoint.
    pub fn realm(&self) -> &Realm {
        &self.0.source.realm
    }

    /// The name of the registry at its token endpoint; empty where the challenge gives none.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The scope the operation needs, in canonical text.
    pub fn scope(&self) -> &str {
        &self.0.scope
    }

    /// Whether the token is requested without credentials.
    pub fn is_anonymous(&self) -> bool {
        self.0.account.is_none()
    }

    /// Whether the token is for an origin that the registry redirected to, not for the registry.
    ///
    /// The request for such a token carries no secret of the user (CR5).
    /// [`Authenticator::begin`](crate::Authenticator::begin) leaves out the credentials; the driver
    /// must leave out the client certificate.
    pub fn is_foreign(&self) -> bool {
        self.0.foreign
    }

    /// This key, with the scope worded as for `other` if both have the same realm (CR8).
    pub(crate) fn in_the_words_of(self, other: &Self) -> Self {
        let (mine, others) = (self.source(), other.source());
        if mine.realm != others.realm {
            return self;
        }
        let source = TokenSource {
            scope: others.scope.clone(),
            ..mine.clone()
        };
        Self(Arc::new(Key {
            registry: self.0.registry.clone(),
            service: self.0.service.clone(),
            scope: self.0.scope.clone(),
            account: self.0.account.clone(),
            foreign: self.0.foreign,
            source,
        }))
    }

    pub(crate) fn account(&self) -> Option<&Credential> {
        self.0.account.as_ref()
    }

    pub(crate) fn source(&self) -> &TokenSource {
        &self.0.source
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
            .field("source", &self.0.source)
            .finish()
    }
}
