use super::*;

const PUBLIC: Option<AddressClass> = Some(AddressClass::Public);
const PRIVATE: Option<AddressClass> = Some(AddressClass::Private);
const LOOPBACK: Option<AddressClass> = Some(AddressClass::Loopback);

// RD1
#[test]
fn rd1_leaving_home_is_for_ever() {
    let home = hop("https://registry.example/v2/");
    assert!(home.is_home());
    let same = follow(&home, "/v2/other", PUBLIC).unwrap();
    assert!(same.is_home());
    let away = follow(&same, "https://cdn.example/x", PUBLIC).unwrap();
    assert!(!away.is_home());
    let back = follow(&away, "https://registry.example/v2/", PUBLIC).unwrap();
    assert_eq!(
        (back.origin() == back.home(), back.is_home()),
        (true, false)
    );
    let on = follow(&back, "/v2/x", PUBLIC).unwrap();
    assert!(!on.is_home());
}

// RD1, RD2, RD4 (a record of an earlier run makes no place more trusted)
#[test]
fn rd1_a_url_of_an_earlier_run_is_home_only_at_home_and_without_a_floor() {
    let home = hop("https://registry.example/v2/");
    for (url, floor, expected) in [
        ("https://registry.example/u?x=1", None, Some(None)),
        ("https://registry.example/u", PRIVATE, Some(PRIVATE)),
        ("https://store.example/u", None, Some(PUBLIC)),
        ("https://store.example/u", PRIVATE, Some(PRIVATE)),
        ("https://10.0.0.1/u", PRIVATE, Some(PRIVATE)),
        ("https://10.0.0.1/u", None, None),
        ("https://127.0.0.1/u", PRIVATE, None),
        ("http://store.example/u", PRIVATE, None),
    ] {
        let found = home.revisit(url.as_bytes(), floor);
        let found = found.ok();
        let found = found.map(|hop| (hop.floor(), hop.is_home()));
        let expected = expected.map(|floor| (floor, floor.is_none()));
        assert_eq!(found, expected, "{url} {floor:?}");
    }
}

// RD1
#[test]
fn rd1_another_port_or_scheme_or_host_is_not_home() {
    let home = hop("http://registry.example:5000/v2/");
    for (location, is_home) in [
        ("http://registry.example:5000/x", true),
        ("http://REGISTRY.example.:5000/x", true),
        ("http://registry.example/x", false),
        ("http://registry.example:5001/x", false),
        ("https://registry.example:5000/x", false),
        ("http://registry.example.evil.example:5000/x", false),
        ("http://sub.registry.example:5000/x", false),
    ] {
        assert_eq!(
            follow(&home, location, PUBLIC).unwrap().is_home(),
            is_home,
            "{location}"
        );
    }
}

// RD2
#[test]
fn rd2_our_own_host_misspelt_is_rewritten_to_our_origin() {
    for (home, location) in [
        (
            "https://registry.example/v2/",
            "http://registry.example/u?x=1",
        ),
        (
            "https://registry.example/v2/",
            "http://registry.example:443/u?x=1",
        ),
        (
            "https://registry.example/v2/",
            "https://registry.example:80/u?x=1",
        ),
        (
            "https://registry.example:5000/v2/",
            "http://registry.example/u?x=1",
        ),
        (
            "https://registry.example:5000/v2/",
            "https://registry.example/u?x=1",
        ),
        (
            "https://registry.example:5000/v2/",
            "https://registry.example:443/u?x=1",
        ),
        (
            "https://registry.example:5000/v2/",
            "http://registry.example:5000/u?x=1",
        ),
    ] {
        let home = hop(home);
        let next = follow(&home, location, PUBLIC).unwrap();
        assert_eq!(
            (next.origin(), next.path_and_query()),
            (home.origin(), "/u?x=1"),
            "{location}"
        );
        assert!(next.is_home());
    }
}

// RD2
#[test]
fn rd2_https_never_goes_to_http() {
    let home = hop("https://registry.example/v2/");
    let downgrade = |to: &str| {
        Err(HopError::Downgrade {
            to: to.parse().unwrap(),
        })
    };
    for (location, to) in [
        ("http://cdn.example/x", "http://cdn.example"),
        (
            "http://registry.example:8080/x",
            "http://registry.example:8080",
        ),
        (
            "http://registry.example.evil.example/",
            "http://registry.example.evil.example",
        ),
        ("http://localhost/", "http://localhost"),
    ] {
        assert_eq!(follow(&home, location, PUBLIC), downgrade(to));
        let away = follow(&home, "https://cdn.example/", PUBLIC).unwrap();
        assert_eq!(follow(&away, location, PUBLIC), downgrade(to));
    }
    // Not even after a detour: http to https to http.
    let plain = hop("http://registry.example/v2/");
    let up = follow(&plain, "https://cdn.example/", PUBLIC).unwrap();
    assert_eq!(
        follow(&up, "http://registry.example/", PUBLIC),
        downgrade("http://registry.example")
    );
}

// RD2
#[test]
fn rd2_the_address_class_never_gets_narrower() {
    for (peer, location, passes) in [
        (PUBLIC, "https://10.0.0.1/", false),
        (PUBLIC, "https://127.0.0.1/", false),
        (PUBLIC, "https://[::ffff:127.0.0.1]/", false),
        (PUBLIC, "https://localhost/", false),
        (PUBLIC, "https://x.localhost/", false),
        (PUBLIC, "https://1.1.1.1/", true),
        (PRIVATE, "https://10.0.0.1/", true),
        (PRIVATE, "https://localhost/", false),
        (LOOPBACK, "https://localhost/", true),
        (LOOPBACK, "https://10.0.0.1/", true),
        (Some(AddressClass::Never), "https://10.0.0.1/", false),
        // Nobody looked: public is assumed.
        (None, "https://10.0.0.1/", false),
        (None, "https://1.1.1.1/", true),
    ] {
        let home = hop("https://registry.example/v2/");
        let next = follow(&home, location, peer);
        assert_eq!(next.is_ok(), passes, "{peer:?} {location}");
        if let Err(error) = next {
            assert!(matches!(error, HopError::Refused { .. }), "{error:?}");
        }
    }
    // A literal home is known whatever the transport reports.
    let home = hop("http://127.0.0.1:5000/v2/");
    let next = follow(&home, "http://127.0.0.1:5001/", None).unwrap();
    assert_eq!(next.origin().to_string(), "http://127.0.0.1:5001");
    let next = follow(&home, "http://10.0.0.1:5001/", None).unwrap();
    assert_eq!(next.origin().to_string(), "http://10.0.0.1:5001");
    // Once wide, for ever wide, even back to a narrow home.
    let home = hop("http://10.0.0.1/v2/");
    let away = follow(&home, "http://cdn.example/", PRIVATE).unwrap();
    assert_eq!(away.policy(), at_least(AddressClass::Private));
    let on = follow(&away, "http://other.example/", PUBLIC).unwrap();
    assert_eq!(on.policy(), at_least(AddressClass::Public));
    assert!(follow(&on, "http://10.0.0.1/v2/", PUBLIC).is_err());
    let narrow = follow(&on, "http://again.example/", PRIVATE).unwrap();
    assert_eq!(narrow.policy(), at_least(AddressClass::Public));
}

// RD2
#[test]
fn rd2_the_class_never_is_refused_unless_it_is_home_itself() {
    let home = hop("https://169.254.1.1/v2/");
    assert_eq!(
        follow(&home, "/v2/x", None).unwrap().policy(),
        AddressPolicy::Any
    );
    let allow: AllowAddresses = ["0.0.0.0/0".parse().unwrap()].into_iter().collect();
    for peer in [PUBLIC, PRIVATE, LOOPBACK, Some(AddressClass::Never)] {
        let home = hop("https://registry.example/v2/").allowing(allow.clone());
        for location in [
            "https://169.254.169.254/",
            "https://0.0.0.0/",
            "https://[fe80::1]/",
        ] {
            assert!(
                follow(&home, location, peer).is_err(),
                "{peer:?} {location}"
            );
        }
    }
}

// RD2
#[test]
fn rd2_allowed_addresses_may_be_narrower() {
    let allow: AllowAddresses = [
        "10.0.0.0/8".parse().unwrap(),
        "::1".parse::<IpAddr>().unwrap().into(),
    ]
    .into_iter()
    .collect();
    let home = hop("https://registry.example/v2/").allowing(allow.clone());
    let inner = follow(&home, "https://10.0.0.1/", PUBLIC).unwrap();
    assert_eq!(
        inner.policy(),
        AddressPolicy::AtLeast {
            class: AddressClass::Public,
            allow
        }
    );
    let next = follow(&home, "https://localhost/", PUBLIC).unwrap();
    assert_eq!(next.origin().to_string(), "https://localhost");
    // What was let through by exception does not open the door for others.
    let error = follow(&inner, "https://192.168.0.1/", PRIVATE).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the URL leads to https://192.168.0.1, whose address is not permitted"
    );
    let next = follow(&inner, "/x", PRIVATE).unwrap();
    assert_eq!(next.origin(), inner.origin());
}

// RD7, CR12
#[test]
fn rd7_an_unusable_location_is_an_error_value() {
    let home = hop("https://registry.example/v2/");
    assert_eq!(follow(&home, "", PUBLIC), Err(HopError::Empty));
    assert_eq!(follow(&home, " \t", PUBLIC), Err(HopError::Empty));
    assert_eq!(
        follow(&home, "https://a b/", PUBLIC),
        Err(ResolveError::Syntax { at: 9 }.into())
    );
    assert_eq!(
        follow(&home, "https://u@registry.example/", PUBLIC),
        Err(ResolveError::from(crate::OriginError::UserInformation).into())
    );
    assert_eq!(
        follow(&home, "gopher://registry.example/", PUBLIC),
        Err(ResolveError::Scheme {
            scheme: "gopher".into()
        }
        .into())
    );
}

// RD4
#[test]
fn rd4_a_signed_query_reaches_the_wire_byte_for_byte() {
    let home = hop("https://registry.example/v2/a/blobs/uploads/");
    let query = "_state=A%2fb%3D%3d+-~'()*!&sig=a/b?c:@$,;==";
    let next = follow(&home, &format!("7?{query}"), PUBLIC).unwrap();
    assert_eq!(
        next.path_and_query(),
        format!("/v2/a/blobs/uploads/7?{query}")
    );
    assert_eq!(
        next.uri().to_string(),
        format!("https://registry.example/v2/a/blobs/uploads/7?{query}")
    );
    assert_eq!(
        follow(&home, "7?", PUBLIC).unwrap().path_and_query(),
        "/v2/a/blobs/uploads/7?"
    );
}

#[test]
fn what_cannot_follow_an_authority_is_refused() {
    let home: Origin = "https://registry.example".parse().unwrap();
    for (text, path) in [
        ("", ""),
        ("v2/", "v2/"),
        ("/a b?sig=x", "/a b"),
        ("/a#b", "/a#b"),
        ("/\r\n", "/\r\n"),
    ] {
        assert_eq!(
            Hop::first(home.clone(), text),
            Err(HopError::PathAndQuery { path: path.into() }),
            "{text}"
        );
    }
}

// OU4
#[test]
fn ou4_debug_redacts_the_query() {
    let shown = format!("{:?}", hop("https://registry.example/u?sig=hunter2&n=1"));
    assert!(
        shown.contains("https://registry.example/u?sig=REDACTED&n=1"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"));
}

fn at_least(class: AddressClass) -> AddressPolicy {
    AddressPolicy::AtLeast {
        class,
        allow: AllowAddresses::default(),
    }
}

fn hop(url: &str) -> Hop {
    let slash = url.match_indices('/').nth(2).unwrap().0;
    let (origin, path_and_query) = url.split_at(slash);
    Hop::first(origin.parse().unwrap(), path_and_query).unwrap()
}

fn follow(hop: &Hop, location: &str, class: Option<AddressClass>) -> Result<Hop, HopError> {
    hop.follow(location.as_bytes(), Peer::new(class, false))
}
