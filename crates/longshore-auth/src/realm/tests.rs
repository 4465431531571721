use super::*;

#[test]
fn re1_a_realm_without_a_request_is_an_absolute_url() {
    realm(
        "https://auth.example/token",
        "https://auth.example",
        "/token",
    );
    realm("https://auth.example", "https://auth.example", "/");
    realm(
        "https://a.example?x=y%20&z",
        "https://a.example",
        "/?x=y%20&z",
    );
    realm("HTTP://A.Example:80/t", "http://a.example", "/t");
    realm("https://[::1]:5001/t", "https://[::1]:5001", "/t");
    realm(
        "https://a.example/t?a=b c",
        "https://a.example",
        "/t?a=b%20c",
    );

    let relative = "it does not begin with https:// or http://";
    for text in [
        "",
        "token",
        "/zot/auth/token",
        "//auth.example/token",
        "https:/x",
        "://x",
    ] {
        refused(text, relative);
    }
    refused("https://a.example/#x", "it has a fragment");
    refused("null://x", "the scheme \"null\" is neither http nor https");
    refused("https:///token", "the host is empty");
    refused(
        "https://a b/token",
        "not a URL: unexpected character or end at byte 9",
    );
    // CR12
    let user = "there is user information before the host, which is not allowed";
    refused("https://auth.docker.io@evil.example/token", user);
    refused("https://@evil.example/token", user);
}

#[test]
fn re1_a_path_is_resolved_against_the_request_it_answers() {
    let hop = Hop::first("http://r.example:5000".parse().unwrap(), "/v2/app/tags?n=1").unwrap();
    for (text, resolved) in [
        ("/zot/auth/token", "http://r.example:5000/zot/auth/token"),
        ("/token?a=b", "http://r.example:5000/token?a=b"),
        ("./token", "http://r.example:5000/v2/app/token"),
        ("../../../token", "http://r.example:5000/token"),
        ("/", "http://r.example:5000/"),
        ("//auth.example/token", "http://auth.example/token"),
        ("https://a.example/token", "https://a.example/token"),
    ] {
        let realm = Realm::resolve(&hop, text.as_bytes()).unwrap();
        let found = format!("{}{}", realm.origin(), realm.path_and_query());
        assert_eq!(found, resolved, "{text:?}");
    }
    let name = "it is neither an https:// or http:// URL nor a path";
    let user = "there is user information before the host, which is not allowed";
    for (text, reason) in [
        ("", name),
        ("token", name),
        ("Sonatype Nexus", name),
        ("?service=r", name),
        ("https:/x", name),
        ("/token#x", "it has a fragment"),
        ("//me@r.example:5000/token", user),
        ("///token", "the host is empty"),
        ("/a\nb", "the URL has a line break or NUL at byte 2"),
    ] {
        let error = Realm::resolve(&hop, text.as_bytes()).unwrap_err();
        assert_eq!(error.reason.to_string(), reason, "{text:?}");
    }
}

fn realm(text: &str, origin: &str, path_and_query: &str) {
    let realm = Realm::parse(text.as_bytes()).unwrap();
    assert_eq!(realm.origin().to_string(), origin, "{text:?}");
    assert_eq!(realm.path_and_query(), path_and_query, "{text:?}");
}

fn refused(text: &str, reason: &str) {
    let error = Realm::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.reason.to_string(), reason, "{text:?}");
    // The reason is in the message, since the error has no source.
    let message = error.to_string();
    assert!(message.starts_with("the realm \"") && message.ends_with(reason));
    assert!(std::error::Error::source(&error).is_none());
}

#[test]
fn re1_an_https_registry_has_an_https_realm() {
    for with_credentials in [true, false] {
        let case = Case::new("https://r.example", "http://r.example").credentials(with_credentials);
        case.check(Err(RealmRule::Downgrade));
        // Not even where the user named it.
        case.allow("http://r.example")
            .check(Err(RealmRule::Downgrade));
    }
    Case::new("https://localhost", "http://localhost").check(Err(RealmRule::Downgrade));
}

#[test]
fn re2_an_http_realm_is_on_the_host_of_a_plain_http_registry() {
    let anonymous = |registry, realm| Case::new(registry, realm).credentials(false);
    let (r, other) = ("http://r.example", "http://r.example:81");
    anonymous(r, r).check(Err(RealmRule::OtherHost));
    anonymous(r, r).plain_http().check(Ok(()));
    anonymous(r, other).plain_http().check(Ok(()));
    let other = "http://auth.example";
    anonymous(r, other)
        .plain_http()
        .check(Err(RealmRule::OtherHost));
    anonymous(r, other).plain_http().allow(other).check(Ok(()));
    anonymous(r, other).allow(other).check(Ok(()));
    // All loopback names count as one, and as plain http.
    anonymous("http://localhost:5000", "http://127.0.0.1:5001").check(Ok(()));
    anonymous("http://[::1]:5000", "http://auth.localhost").check(Ok(()));
    anonymous("http://localhost:5000", other).check(Err(RealmRule::OtherHost));
}

#[test]
fn re3_known_addresses_are_not_narrower_than_the_registry() {
    let public = AddressPolicy::AtLeast {
        class: AddressClass::Public,
        allow: AllowAddresses::default(),
    };
    let anonymous = |realm| {
        Case::new("https://r.example", realm)
            .credentials(false)
            .addresses(public.clone())
    };
    anonymous("https://auth.example").check(Ok(()));
    anonymous("https://192.0.2.1").check(Ok(()));
    for realm in [
        "https://127.0.0.1",
        "https://localhost",
        "https://auth.localhost",
        "https://10.0.0.1",
        "https://[fd00::1]",
        "https://169.254.169.254",
        "https://[::ffff:10.0.0.1]",
    ] {
        let error = anonymous(realm).run().unwrap_err();
        assert!(matches!(error.rule, RealmRule::Address(_)), "{error}");
        assert_eq!(error.remedy(), None);
    }
    let allow = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let class = AddressClass::Public;
    let allowing = AddressPolicy::AtLeast { class, allow };
    let case = anonymous("https://10.0.0.1").addresses(allowing.clone());
    case.check(Ok(()));
    let error = anonymous("https://169.254.0.1").addresses(allowing).run();
    assert!(matches!(error.unwrap_err().rule, RealmRule::Address(_)));
}

#[test]
fn re3_the_reach_of_a_realm_follows_the_peer_that_named_it() {
    let allow: AllowAddresses = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let settings = RegistrySettings::new().allow_addresses(allow.clone());
    let addresses = |hop: &Hop, class: Option<AddressClass>, realm: &str| {
        settings.addresses_for(hop, Peer::new(class, false), &origin(realm))
    };
    let at_least = |class, allow: &AllowAddresses| AddressPolicy::AtLeast {
        class,
        allow: allow.clone(),
    };
    let home = Hop::first(origin("https://r.example"), "/v2/").unwrap();
    let (public, private) = (AddressClass::Public, AddressClass::Private);
    let elsewhere = "https://auth.example";
    // The registry itself may be anywhere: the user named it.
    assert_eq!(
        addresses(&home, None, "https://r.example"),
        AddressPolicy::Any
    );
    assert_eq!(
        addresses(&home, Some(private), elsewhere),
        at_least(private, &allow)
    );
    assert_eq!(
        addresses(&home, Some(public), elsewhere),
        at_least(public, &allow)
    );
    // Behind a proxy nothing is known but what is written.
    assert_eq!(addresses(&home, None, elsewhere), at_least(public, &allow));
    let local = Hop::first(origin("http://localhost:5000"), "/v2/").unwrap();
    let class = AddressClass::Loopback;
    assert_eq!(
        addresses(&local, None, "http://localhost:5001"),
        at_least(class, &allow)
    );
    // A foreign hop is held to what was asked of it, and allows what its home allows.
    let none = AllowAddresses::default();
    let away = home
        .follow(b"https://cdn.example/", Peer::new(Some(public), false))
        .unwrap();
    assert_eq!(
        addresses(&away, Some(private), elsewhere),
        at_least(public, &none)
    );
    let away = home
        .follow(b"https://cdn.example/", Peer::new(Some(private), false))
        .unwrap();
    assert_eq!(
        addresses(&away, Some(public), elsewhere),
        at_least(public, &none)
    );
    assert_eq!(
        addresses(&away, Some(private), "https://cdn.example"),
        at_least(private, &none)
    );
}

#[test]
fn re4_credentials_go_only_where_they_belong() {
    let case = |registry, realm| Case::new(registry, realm).check(Ok(()));
    case("https://r.example", "https://r.example");
    case("https://r.example:5000", "https://r.example");
    case("https://192.0.2.1", "https://192.0.2.1:8443");
    case("https://registry:5000", "https://registry:5001");
    case("https://r.example.com", "https://auth.example.com");
    case("https://example.com", "https://a.b.example.com:8443");
    case("http://localhost:5000", "http://localhost:5000");
    case("http://localhost:5000", "https://localhost:5001");
    case("https://registry-1.docker.io", "https://auth.docker.io");

    let case = |registry, realm| Case::new(registry, realm).check(Err(RealmRule::OtherDomain));
    case("https://r.example.com", "https://r.example.net");
    case("https://r.example.com", "https://r.example.com.evil.net");
    case("https://r.example.com", "https://notexample.com");
    // Public suffixes have many owners.
    case("https://a.github.io", "https://b.github.io");
    case("https://a.co.uk", "https://b.co.uk");
    case("https://github.io", "https://evil.github.io");
    // Addresses and single labels have no registrable domain.
    case("https://192.0.2.1", "https://192.0.2.2");
    case("https://registry", "https://auth");
    case("http://localhost:5000", "http://localhost:5001");
    case("http://localhost:5000", "http://127.0.0.1:5000");
    // Built-in pairs are exact.
    case(
        "https://registry-1.docker.io",
        "https://auth.docker.io.evil.net",
    );
    case("https://evil.example", "https://auth.docker.io");
    case(
        "https://auth.docker.io:8443",
        "https://registry-1.docker.io.evil.net",
    );
}

#[test]
fn re4_the_built_in_pair_needs_no_suffix_list() {
    let settings = RegistrySettings::default();
    let guard = Guard {
        settings: &settings,
        suffixes: None,
    };
    let check = |registry, realm| {
        let (registry, realm) = (origin(registry), origin(realm));
        guard.check(&registry, &realm, &AddressPolicy::Any, true)
    };
    let hub = "https://registry-1.docker.io";
    assert_eq!(check(hub, "https://auth.docker.io"), Ok(()));
    assert!(check(hub, "https://auth.docker.io:8443").is_err());
    assert!(check(hub, "https://www.docker.io").is_err());
    assert!(check("https://a.example.com", "https://b.example.com").is_err());
    assert!(Guard::is_own(
        &origin(hub),
        &origin("https://auth.docker.io")
    ));
    assert!(Guard::is_own(&origin(hub), &origin(hub)));
    assert!(!Guard::is_own(
        &origin(hub),
        &origin("https://hub.docker.io")
    ));
}

#[test]
fn re4_a_refusal_names_the_setting_that_would_allow_it() {
    let case = Case::new("https://r.example.com", "https://auth.example.net:8443");
    let error = case.run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "https://r.example.com names https://auth.example.net:8443 as its token endpoint, which is \
         not known to belong to it, so no credentials are sent there"
    );
    let realm = "https://auth.example.net:8443";
    let remedy = RealmRemedy::AllowRealm(realm.parse().unwrap());
    assert_eq!(error.remedy(), Some(remedy));
    case.allow(realm).check(Ok(()));

    let case = Case::new("http://r.example", "http://auth.example").plain_http();
    let error = case.run().unwrap_err();
    assert_eq!(error.rule, RealmRule::OtherHost);
    let remedy = RealmRemedy::AllowRealm("http://auth.example".parse().unwrap());
    assert_eq!(error.remedy(), Some(remedy));
    case.allow("http://auth.example").check(Ok(()));
}

// RE3: what is refused for its address is not permitted by another setting, so none is named.
#[test]
fn re3_an_address_that_is_never_permitted_has_no_remedy() {
    let class = AddressClass::Public;
    let allow = AllowAddresses::default();
    let addresses = AddressPolicy::AtLeast { class, allow };
    for realm in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://10.0.0.1",
    ] {
        for credentials in [true, false] {
            let case = Case::new("http://r.example", realm).addresses(addresses.clone());
            let case = case.plain_http().credentials(credentials);
            for case in [case.clone(), case.allow(realm)] {
                let error = case.run().unwrap_err();
                assert!(matches!(error.rule, RealmRule::Address(_)), "{error}");
                assert_eq!(error.remedy(), None);
            }
        }
    }
}

// RE5
#[test]
fn re5_anybody_may_be_asked_without_credentials() {
    let case = Case::new("https://r.example.com", "https://auth.example.net");
    case.check(Err(RealmRule::OtherDomain));
    case.credentials(false).check(Ok(()));
}

// CR4
#[test]
fn cr4_no_credentials_go_to_an_http_realm_of_a_registry_not_meant_to_be_http() {
    let case = Case::new("http://r.example", "http://r.example").allow("http://r.example");
    case.check(Err(RealmRule::PlainHttp));
    let remedy = case.run().unwrap_err().remedy();
    assert_eq!(remedy, Some(RealmRemedy::PlainHttp));
    case.plain_http().check(Ok(()));
}

#[derive(Clone)]
struct Case {
    registry: Origin,
    realm: Origin,
    settings: RegistrySettings,
    addresses: AddressPolicy,
    with_credentials: bool,
}

impl Case {
    fn new(registry: &str, realm: &str) -> Self {
        Self {
            registry: origin(registry),
            realm: origin(realm),
            settings: RegistrySettings::new(),
            addresses: AddressPolicy::Any,
            with_credentials: true,
        }
    }

    fn credentials(mut self, with_credentials: bool) -> Self {
        self.with_credentials = with_credentials;
        self
    }

    fn plain_http(&self) -> Self {
        let mut case = self.clone();
        case.settings = case.settings.plain_http();
        case
    }

    fn allow(&self, realm: &str) -> Self {
        let mut case = self.clone();
        case.settings = case.settings.allow_realm(origin(realm));
        case
    }

    fn addresses(mut self, addresses: AddressPolicy) -> Self {
        self.addresses = addresses;
        self
    }

    fn run(&self) -> Result<(), RealmRefused> {
        let guard = Guard {
            settings: &self.settings,
            suffixes: Some(&FewSuffixes),
        };
        guard.check(
            &self.registry,
            &self.realm,
            &self.addresses,
            self.with_credentials,
        )
    }

    #[track_caller]
    fn check(&self, expected: Result<(), RealmRule>) {
        assert_eq!(self.run().map_err(|e| e.rule), expected);
    }
}

/// A public suffix list of four.
struct FewSuffixes;

impl PublicSuffixes for FewSuffixes {
    fn registrable_domain<'a>(&self, host: &'a str) -> Option<&'a str> {
        let suffixes = [".co.uk", ".github.io", ".com", ".net"];
        let suffix = suffixes.iter().find(|s| host.ends_with(**s))?;
        let name = host.strip_suffix(suffix)?;
        let label = name.rfind('.').map_or(0, |at| at + 1);
        host.get(label..).filter(|_| !name.is_empty())
    }
}

fn origin(text: &str) -> Origin {
    text.parse().unwrap()
}
