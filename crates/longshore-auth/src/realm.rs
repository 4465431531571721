//! Which token endpoints a registry may name, and which of them may see credentials.
//!
//! A registry names its token endpoint in the challenge. TLS proves which registry names it, not
//! that the user agrees: a compromised registry, or a proxy in front of one, could have passwords
//! sent anywhere. So the realm passes a [`Guard`] before anything is sent to it. The rules, in the
//! order in which they are checked:
//!
//! | rule | without credentials | with credentials |
//! |---|---|---|
//! | RE1 | URL or path, no user information, no fragment; https if the registry is | the same |
//! | RE2 | http: registry plain http, and the same host or a pair | registry plain http (CR4) |
//! | RE3 | address class no narrower than the registry's | the same |
//! | RE4 | – | same origin; https and same host or registrable domain; a pair |
//!
//! A *pair* is a registry and the origin of a realm, built in ([`BUILT_IN_REALMS`]) or allowed by
//! the user ([`RegistrySettings::allow_realm`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use longshore_origin::{
    AddressClass, AddressPolicy, AddressRefused, AllowAddresses, Escaped, Hop, Origin, Peer,
    ResolveError, Scheme, resolve,
};

#[cfg(test)]
mod tests;

/// A well-formed realm: the absolute URL of a token endpoint (RE1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Realm {
    origin: Origin,
    path_and_query: Box<str>,
}

impl Realm {
    /// Reads a realm that is an absolute URL.
    ///
    /// # Errors
    ///
    /// [`RealmError`] for anything but an absolute http or https URL without user information and
    /// fragment (RE1, CR12).
    pub fn parse(text: &[u8]) -> Result<Self, RealmError> {
        let refused = |reason| RealmError {
            realm: text.into(),
            reason,
        };
        if !is_absolute(text) {
            return Err(refused(RealmReason::Relative));
        }
        // An absolute URL takes nothing from what it is resolved against.
        let base = Origin::from_authority(Scheme::Https, BASE);
        let base = base.map_err(|e| refused(RealmReason::Resolve(e.into())))?;
        Self::read((&base, "/"), text)
    }

    /// Reads the realm of a challenge that answered a request to this hop.
    ///
    /// It is an absolute URL, or a reference that begins with a slash or a dot. Such a reference is
    /// resolved against the URL of the request (RFC 3986 §5.2), so that a path leads to the same
    /// origin. Any other text is refused: in other schemes a realm is a human-readable name (RFC
    /// 9110 §11.5), which must not be resolved as a relative path.
    ///
    /// # Errors
    ///
    /// [`RealmError`] for any other text, and for a URL that is not http or https, or has user
    /// information or a fragment (RE1, CR12).
    pub fn resolve(hop: &Hop, text: &[u8]) -> Result<Self, RealmError> {
        let path = hop.uri().path_and_query().map_or("/", |path| path.as_str());
        let is_reference = matches!(text.first(), Some(b'/' | b'.'));
        if is_reference || is_absolute(text) {
            return Self::read((hop.origin(), path), text);
        }
        Err(RealmError {
            realm: text.into(),
            reason: RealmReason::NotAUrl,
        })
    }

    fn read(base: (&Origin, &str), text: &[u8]) -> Result<Self, RealmError> {
        let refused = |reason| RealmError {
            realm: text.into(),
            reason,
        };
        if text.contains(&b'#') {
            return Err(refused(RealmReason::Fragment));
        }
        let resolved = resolve(base, text);
        let (origin, path_and_query) = resolved.map_err(|e| refused(RealmReason::Resolve(e)))?;
        Ok(Self {
            origin,
            path_and_query: path_and_query.into(),
        })
    }

    /// The origin of the token endpoint, which the rules are about.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Path and query of the token endpoint, as the challenge has them.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }
}

/// Whether the text begins with a scheme and `://`.
fn is_absolute(text: &[u8]) -> bool {
    let scheme = text.iter().position(|byte| *byte == b':');
    let scheme = scheme.filter(|length| *length > 0);
    scheme.is_some_and(|at| text.get(at..).is_some_and(|rest| rest.starts_with(b"://")))
}

/// A realm that is not the URL of a token endpoint (RE1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the realm \"{}\" is not the URL of a token endpoint: {reason}", Escaped::new(.realm))]
#[non_exhaustive]
pub struct RealmError {
    /// The realm as sent.
    pub realm: Box<[u8]>,
    /// What is wrong with it.
    pub reason: RealmReason,
}

/// What is wrong with a realm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RealmReason {
    /// It has a fragment.
    #[error("it has a fragment")]
    Fragment,
    /// It is neither an absolute URL nor a path.
    #[error("it is neither an https:// or http:// URL nor a path")]
    NotAUrl,
    /// It is not an absolute URL, and there is no request to resolve it against.
    #[error("it does not begin with https:// or http://")]
    Relative,
    /// It is not a URL of a http or https origin.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

/// Finds the registrable domain of a host name: `example.co.uk` of `a.example.co.uk`.
///
/// Injected, so that this crate need not contain a copy of the public suffix list.
pub trait PublicSuffixes: Send + Sync {
    /// Returns the registrable domain of a lower-case host name: its public suffix and one more
    /// label.
    ///
    /// `None` where the host is itself a public suffix, or is not in the list. Suffixes of private
    /// registrations count: `a.github.io` and `b.github.io` belong to different people.
    fn registrable_domain<'a>(&self, host: &'a str) -> Option<&'a str>;
}

/// The user's settings for one registry.
///
/// The default is for a registry that is not configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    plain_http: bool,
    allow_realms: Vec<Origin>,
    allow_addresses: AllowAddresses,
}

impl RegistrySettings {
    /// Makes the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// The registry is used without TLS, and secrets are sent to it all the same (CR4).
    ///
    /// Loopback registries do not need this setting.
    #[must_use]
    pub fn plain_http(self) -> Self {
        Self {
            plain_http: true,
            ..self
        }
    }

    /// Credentials may be sent to a token endpoint of this origin (RE4), over http only if the
    /// registry itself is plain http (RE2).
    #[must_use]
    pub fn allow_realm(mut self, realm: Origin) -> Self {
        self.allow_realms.push(realm);
        self
    }

    /// Token endpoints may have these addresses, even if their class is narrower than the
    /// registry's (RE3).
    #[must_use]
    pub fn allow_addresses(self, allow_addresses: AllowAddresses) -> Self {
        Self {
            allow_addresses,
            ..self
        }
    }

    /// Whether secrets may be sent to this origin, as far as encryption goes (CR4).
    pub(crate) fn may_send_secrets_to(&self, origin: &Origin) -> bool {
        origin.scheme() == Scheme::Https || self.plain_http || origin.is_loopback_name()
    }

    /// The addresses that a token endpoint named by this hop may have (RE3).
    ///
    /// The registry itself may have any. Others must not be of a class narrower than that of the
    /// peer that answered, nor narrower than the policy of the hop.
    pub(crate) fn addresses_for(&self, hop: &Hop, peer: Peer, realm: &Origin) -> AddressPolicy {
        if hop.is_home() && realm == hop.origin() {
            return AddressPolicy::Any;
        }
        let answered = peer.class.or_else(|| hop.origin().known_class());
        let answered = answered.unwrap_or(AddressClass::Public);
        match hop.policy() {
            AddressPolicy::Any => AddressPolicy::AtLeast {
                class: answered,
                allow: self.allow_addresses.clone(),
            },
            AddressPolicy::AtLeast { class, allow } => AddressPolicy::AtLeast {
                class: if answered.is_narrower_than(class) {
                    class
                } else {
                    answered
                },
                allow,
            },
        }
    }
}

/// The rules for realms, with what they depend on.
pub(crate) struct Guard<'a> {
    pub(crate) settings: &'a RegistrySettings,
    pub(crate) suffixes: Option<&'a dyn PublicSuffixes>,
}

impl Guard<'_> {
    /// Whether the realm may be contacted at all (RE1–RE3), and with credentials if there are any
    /// (RE4, CR4).
    pub(crate) fn check(
        &self,
        registry: &Origin,
        realm: &Origin,
        addresses: &AddressPolicy,
        with_credentials: bool,
    ) -> Result<(), RealmRefused> {
        let refused = |rule| RealmRefused {
            registry: registry.clone(),
            realm: realm.clone(),
            rule,
        };
        // First, because no setting of RE4 permits an address.
        check_known_addresses(realm, addresses).map_err(|e| refused(RealmRule::Address(e)))?;
        if realm.scheme() == Scheme::Http {
            self.check_http(registry, realm, with_credentials)
                .map_err(refused)?;
        }
        if with_credentials && !self.is_trusted(registry, realm) {
            return Err(refused(RealmRule::OtherDomain));
        }
        Ok(())
    }

    /// Whether the realm is on the registry itself or built in, so that even an opaque scope of its
    /// challenges is used (CR8).
    pub(crate) fn is_own(registry: &Origin, realm: &Origin) -> bool {
        registry == realm || is_built_in(registry, realm)
    }

    fn check_http(
        &self,
        registry: &Origin,
        realm: &Origin,
        with_credentials: bool,
    ) -> Result<(), RealmRule> {
        if registry.scheme() == Scheme::Https {
            return Err(RealmRule::Downgrade);
        }
        let plain = self.settings.may_send_secrets_to(registry);
        if with_credentials && !plain {
            return Err(RealmRule::PlainHttp);
        }
        let both_loopback = registry.is_loopback_name() && realm.is_loopback_name();
        let same_host = registry.host() == realm.host() || both_loopback;
        if (plain && same_host) || self.is_pair(registry, realm) {
            return Ok(());
        }
        Err(RealmRule::OtherHost)
    }

    /// RE4
    fn is_trusted(&self, registry: &Origin, realm: &Origin) -> bool {
        let same_owner = || {
            registry.host() == realm.host()
                || self
                    .registrable_domain(registry)
                    .is_some_and(|domain| self.registrable_domain(realm) == Some(domain))
        };
        registry == realm
            || (realm.scheme() == Scheme::Https && same_owner())
            || self.is_pair(registry, realm)
    }

    fn is_pair(&self, registry: &Origin, realm: &Origin) -> bool {
        self.settings.allow_realms.contains(realm) || is_built_in(registry, realm)
    }

    fn registrable_domain<'o>(&self, origin: &'o Origin) -> Option<&'o str> {
        let host = origin.host();
        if origin.address().is_some() || !host.contains('.') {
            return None;
        }
        self.suffixes?.registrable_domain(host)
    }
}

fn is_built_in(registry: &Origin, realm: &Origin) -> bool {
    let https =
        |origin: &Origin, host| origin.scheme() == Scheme::Https && origin.authority() == host;
    BUILT_IN_REALMS
        .iter()
        .any(|(r, t)| https(registry, *r) && https(realm, *t))
}

/// Checks the addresses that are known without resolving a name; the transport checks the rest.
fn check_known_addresses(realm: &Origin, addresses: &AddressPolicy) -> Result<(), AddressRefused> {
    let known: &[IpAddr] = match realm.address() {
        Some(address) => &[address],
        None if realm.is_loopback_name() => &LOOPBACKS,
        None => return Ok(()),
    };
    let mut refused = Ok(());
    for address in known {
        match addresses.check(*address) {
            Ok(()) => return Ok(()),
            Err(error) => refused = Err(error),
        }
    }
    refused
}

/// Why a realm is not contacted, or is not sent credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RealmRefused {
    /// The registry whose challenge named the realm.
    pub registry: Origin,
    /// The origin of the realm.
    pub realm: Origin,
    /// The rule that refuses it.
    pub rule: RealmRule,
}

impl RealmRefused {
    /// Returns the setting under which the realm would be accepted, if there is one.
    pub fn remedy(&self) -> Option<RealmRemedy> {
        match self.rule {
            RealmRule::OtherDomain | RealmRule::OtherHost => {
                Some(RealmRemedy::AllowRealm(self.realm.clone()))
            }
            RealmRule::PlainHttp => Some(RealmRemedy::PlainHttp),
            RealmRule::Address(_) | RealmRule::Downgrade => None,
        }
    }
}

/// A setting of [`RegistrySettings`] under which a refused realm would be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RealmRemedy {
    /// [`RegistrySettings::allow_realm`] with this origin.
    AllowRealm(Origin),
    /// [`RegistrySettings::plain_http`].
    PlainHttp,
}

impl fmt::Display for RealmRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            registry,
            realm,
            rule,
        } = self;
        write!(f, "{registry} names {realm} as its token endpoint, ")?;
        f.write_str(match rule {
            RealmRule::Address(_) => "whose address is not permitted",
            RealmRule::Downgrade => "which is not encrypted",
            RealmRule::OtherDomain => {
                "which is not known to belong to it, so no credentials are sent there"
            }
            RealmRule::OtherHost => "which is another host and not encrypted",
            RealmRule::PlainHttp => "which is not encrypted, so no credentials are sent there",
        })
    }
}

impl std::error::Error for RealmRefused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.rule {
            RealmRule::Address(source) => Some(source),
            _ => None,
        }
    }
}

/// The rule by which a realm is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RealmRule {
    /// Its address is of a narrower class than the registry's, or of one that is never used (RE3).
    Address(AddressRefused),
    /// It is http, and the registry https (RE1).
    Downgrade,
    /// There are credentials, and the realm is not known to belong to the registry (RE4).
    OtherDomain,
    /// It is http, and on another host than the registry (RE2).
    OtherHost,
    /// There are credentials, and the registry is not configured as plain http (CR4).
    PlainHttp,
}

/// Registries whose token endpoint is on another domain by design: the authority of the registry,
/// and that of its token endpoint, both https (RE4).
pub const BUILT_IN_REALMS: &[(&str, &str)] = &[("registry-1.docker.io", "auth.docker.io")];

const LOOPBACKS: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

/// A name that never resolves, RFC 2606 §2.
const BASE: &str = "realm.invalid";
