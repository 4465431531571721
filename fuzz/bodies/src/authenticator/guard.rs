//! A second opinion on who may be asked for a token, and who may see a secret.
//!
//! Written from the rules, without a look at how the crate applies them, and less exact: it knows
//! two-label domains only, and the one peer class the scripts have.

use std::net::IpAddr;

use longshore_auth::BUILT_IN_REALMS;
use longshore_origin::{AddressClass, Origin, Scheme};

use super::script::{ALLOWED_REALM, Setup};

/// CR4: https, or a plain http registry the user configured, or the loopback interface.
pub(super) fn is_secure(setup: &Setup, origin: &Origin) -> bool {
    let configured = setup.plain_http && origin.to_string() == setup.home;
    origin.scheme() == Scheme::Https || configured || is_loopback(origin)
}

/// RE1–RE3: whether a registry may name this realm at all.
pub(super) fn may_be_asked(setup: &Setup, registry: &Origin, home: bool, realm: &Origin) -> bool {
    let class = realm
        .host()
        .parse::<IpAddr>()
        .map(AddressClass::of)
        .ok()
        .or_else(|| is_loopback(realm).then_some(AddressClass::Loopback));
    // RE3: the peer was public, so whatever it names must be; its own address is its own affair.
    let reachable =
        (home && realm == registry) || class.is_none_or(|class| class == AddressClass::Public);
    let encrypted = match (realm.scheme(), registry.scheme()) {
        (Scheme::Https, _) => true,
        // RE1
        (Scheme::Http, Scheme::Https) => false,
        // RE2
        (Scheme::Http, Scheme::Http) => {
            let same =
                realm.host() == registry.host() || (is_loopback(realm) && is_loopback(registry));
            (is_secure(setup, registry) && same) || is_pair(setup, registry, realm)
        }
    };
    reachable && encrypted
}

/// RE4, CR4: whether the realm may see the user's credentials for the registry.
pub(super) fn may_see_credentials(setup: &Setup, registry: &Origin, realm: &Origin) -> bool {
    let secure = realm.scheme() == Scheme::Https || is_secure(setup, registry);
    let https = realm.scheme() == Scheme::Https;
    let related = realm.host() == registry.host()
        || (setup.suffixes && domain(realm).is_some() && domain(realm) == domain(registry));
    secure && (realm == registry || (https && related) || is_pair(setup, registry, realm))
}

/// The last two labels of a host name; none of an address or a single label.
fn domain(origin: &Origin) -> Option<&str> {
    let host = origin.host();
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let (before, _) = host.rsplit_once('.')?;
    let start = before.rfind('.').map_or(0, |dot| dot + 1);
    host.get(start..)
}

/// Whether the realm is the registry itself, or its own by a built-in pair.
pub(super) fn is_own(registry: &Origin, realm: &Origin) -> bool {
    registry == realm || is_built_in(registry, realm)
}

fn is_pair(setup: &Setup, registry: &Origin, realm: &Origin) -> bool {
    let allowed = setup.allow_realm
        && registry.to_string() == setup.home
        && realm.to_string() == ALLOWED_REALM;
    allowed || is_built_in(registry, realm)
}

fn is_built_in(registry: &Origin, realm: &Origin) -> bool {
    let https = |origin: &Origin, host: &str| origin.to_string() == format!("https://{host}");
    BUILT_IN_REALMS
        .iter()
        .any(|(r, t)| https(registry, r) && https(realm, t))
}

fn is_loopback(origin: &Origin) -> bool {
    let host = origin.host();
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
