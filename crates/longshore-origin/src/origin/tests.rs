use super::*;

#[test]
fn equal_origins_have_equal_text() {
    check(
        "https://registry.example",
        Ok(("https://registry.example", "registry.example", 443)),
    );
    check(
        "https://Registry.EXAMPLE:443/",
        Ok(("https://registry.example", "registry.example", 443)),
    );
    check(
        "HTTPS://registry.example.",
        Ok(("https://registry.example", "registry.example", 443)),
    );
    check(
        "http://registry.example.:80",
        Ok(("http://registry.example", "registry.example", 80)),
    );
    check(
        "http://registry.example:443",
        Ok(("http://registry.example:443", "registry.example", 443)),
    );
    check("https://h:0005000", Ok(("https://h:5000", "h", 5000)));
    check(
        "http://127.0.0.1:5000",
        Ok(("http://127.0.0.1:5000", "127.0.0.1", 5000)),
    );
    check("http://[::1]:5000", Ok(("http://[::1]:5000", "::1", 5000)));
    check("https://[0:0::0001]", Ok(("https://[::1]", "::1", 443)));
    check(
        "https://[2001:DB8::A]/",
        Ok(("https://[2001:db8::a]", "2001:db8::a", 443)),
    );
    check(
        "http://my_registry-1:5000",
        Ok(("http://my_registry-1:5000", "my_registry-1", 5000)),
    );
    check(
        "https://xn--bcher-kva.example",
        Ok((
            "https://xn--bcher-kva.example",
            "xn--bcher-kva.example",
            443,
        )),
    );
}

#[test]
fn what_no_resolver_should_see_is_refused() {
    let host = |host: &str| Err(OriginError::Host { host: host.into() });
    let number = |host: &str| Err(OriginError::Number { host: host.into() });
    let port = |port: &str| Err(OriginError::Port { port: port.into() });
    check("registry.example", Err(OriginError::Scheme));
    check("ftp://registry.example", Err(OriginError::Scheme));
    check("https://", Err(OriginError::Empty));
    check("https://:443", Err(OriginError::Empty));
    check("https://.", Err(OriginError::Empty));
    check("https://a..b", host("a..b"));
    check("https://.a", host(".a"));
    check("https://a/b", host("a/b"));
    check("https://a b", host("a b"));
    check("https://a%41", host("a%41"));
    check("https://a\\b", host("a\\b"));
    check("https://*.example", host("*.example"));
    check("https://[::1", host("[:"));
    check("https://[::1%25lo]", host("[::1%25lo]"));
    check("https://[v1.x]", host("[v1.x]"));
    check("https://[127.0.0.1]", host("[127.0.0.1]"));
    check("https://::1", host(":"));
    check("https://127.1", number("127.1"));
    check("https://2130706433", number("2130706433"));
    check("https://0x7f.0.0.1", number("0x7f.0.0.1"));
    check("https://0x7F000001", number("0x7F000001"));
    check("https://0177.0.0.1", number("0177.0.0.1"));
    check("https://127.0.0.1.5", number("127.0.0.1.5"));
    check("https://h:", port(""));
    check("https://h:0", port("0"));
    check("https://h:65536", port("65536"));
    check("https://h:+80", port("+80"));
    check("https://h:80x", port("80x"));
    let long = "a".repeat(64);
    check(&format!("https://{long}"), host(&long));
    let long = format!("{}a", "a.".repeat(127));
    check(&format!("https://{long}"), host(&long));
}

// CR12
#[test]
fn cr12_user_information_is_refused() {
    check(
        "https://user:pass@registry.example",
        Err(OriginError::UserInformation),
    );
    check(
        "https://@registry.example",
        Err(OriginError::UserInformation),
    );
}

#[test]
fn a_host_outside_ascii_is_refused_with_a_hint() {
    let error = "https://b\u{fc}cher.example".parse::<Origin>().unwrap_err();
    assert_eq!(
        error,
        OriginError::NotAscii {
            host: "b\u{fc}cher.example".into()
        }
    );
    assert_eq!(
        error.to_string(),
        "the host \"b\u{fc}cher.example\" is not ASCII; write its A-label (xn--…)"
    );
}

// OU1
#[test]
fn ou1_errors_show_escaped_text() {
    let error = "https://a\u{1b}[2Jb".parse::<Origin>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the host \"a\\u{1b}[2Jb\" is neither an address nor a name of letters, digits, `-`, \
         `_` and `.`"
    );
}

#[test]
fn loopback_names_are_known_without_resolving() {
    let loopback = |text: &str| text.parse::<Origin>().unwrap().is_loopback_name();
    for text in [
        "http://localhost",
        "https://LOCALHOST.:5000",
        "http://registry.localhost",
        "http://127.0.0.1",
        "http://127.255.255.254",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
    ] {
        assert!(loopback(text), "{text}");
    }
    for text in [
        "http://notlocalhost",
        "http://localhost.example",
        "http://10.0.0.1",
        "http://[::2]",
    ] {
        assert!(!loopback(text), "{text}");
    }
}

#[test]
fn another_scheme_moves_only_a_default_port() {
    let to_http = |text: &str| text.parse::<Origin>().unwrap().with_scheme(Scheme::Http);
    assert_eq!(
        to_http("https://localhost"),
        "http://localhost".parse().unwrap()
    );
    assert_eq!(
        to_http("https://[::1]:5000"),
        "http://[::1]:5000".parse().unwrap()
    );
    assert_eq!(to_http("https://h:80"), "http://h".parse().unwrap());
    assert_eq!(to_http("https://h:5000").host(), "h");
}

type Expected<'a> = Result<(&'a str, &'a str, u16), OriginError>;

fn check(text: &str, expected: Expected<'_>) {
    let origin = text.parse::<Origin>();
    let shown = origin.as_ref().map(Origin::to_string);
    let actual = match (&origin, &shown) {
        (Ok(origin), Ok(shown)) => Ok((shown.as_str(), origin.host(), origin.port())),
        _ => Err(origin.clone().unwrap_err()),
    };
    assert_eq!(actual, expected, "{text}");
    if let Ok(origin) = origin {
        let again = Origin::from_authority(origin.scheme(), origin.authority());
        assert_eq!(again, Ok(origin), "{text}");
    }
}
