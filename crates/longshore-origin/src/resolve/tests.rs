use super::*;

const BASE: &str = "https://registry.example/v2/a/blobs/uploads/1?state=x";

#[test]
fn the_examples_of_rfc_3986_resolve_as_it_says() {
    // RFC 3986 §5.4, without the other schemes and with the fragment dropped.
    for (reference, expected) in [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("?y", "/b/c/d;p?y"),
        ("g?y", "/b/c/g?y"),
        ("#s", "/b/c/d;p?q"),
        ("g#s", "/b/c/g"),
        (";x", "/b/c/;x"),
        ("g;x?y#s", "/b/c/g;x?y"),
        ("", "/b/c/d;p?q"),
        (".", "/b/c/"),
        ("..", "/b/"),
        ("../..", "/"),
        ("../../../g", "/g"),
        ("/../g", "/g"),
        ("g.", "/b/c/g."),
        ("..g", "/b/c/..g"),
        ("./g/.", "/b/c/g/"),
        ("g;x=1/../y", "/b/c/y"),
        ("g?y/../x", "/b/c/g?y/../x"),
    ] {
        check(
            "http://a/b/c/d;p?q",
            reference,
            &format!("http://a{expected}"),
        );
    }
    check("http://a/b/c/d;p?q", "//g", "http://g/");
}

// RD4
#[test]
fn rd4_legal_bytes_are_kept_as_they_are() {
    let query = "/u?_state=a%2fb%2F&sig=AZ-._~!$&'()*+,;=:@/?%20&x=%e2&empty=&&=";
    check(BASE, query, &format!("https://registry.example{query}"));
    check(
        BASE,
        "/a//b/%2E%7e/",
        "https://registry.example/a//b/%2E%7e/",
    );
    check(BASE, "/u?", "https://registry.example/u?");
    check(
        BASE,
        "?n=1",
        "https://registry.example/v2/a/blobs/uploads/1?n=1",
    );
}

#[test]
fn bytes_no_url_allows_are_encoded() {
    check(
        BASE,
        "/a \"<>^`{|}\\[]?b=\u{e4}\t\u{7f}%zz%4",
        "https://registry.example/a%20%22%3C%3E%5E%60%7B%7C%7D%5C%5B%5D?b=%C3%A4%09%7F%25zz%254",
    );
    check_bytes(BASE, b"/\xff", Ok("https://registry.example/%FF"));
    check(BASE, "  /a\t", "https://registry.example/a");
    check(BASE, "/a #b ", "https://registry.example/a%20");
    // Browsers take a backslash for a slash; here it names no host.
    check(
        BASE,
        "/\\evil.example/x",
        "https://registry.example/%5Cevil.example/x",
    );
    check(
        BASE,
        "\\\\evil.example",
        "https://registry.example/v2/a/blobs/uploads/%5C%5Cevil.example",
    );
}

#[test]
fn absolute_references_name_their_own_origin() {
    check(
        BASE,
        "https://CDN.example:8443/x?y",
        "https://cdn.example:8443/x?y",
    );
    check(BASE, "HTTP://cdn.example:80", "http://cdn.example/");
    check(BASE, "//cdn.example?x=1", "https://cdn.example/?x=1");
    check(BASE, "https://cdn.example:/x", "https://cdn.example/x");
    check(BASE, "https://[::1]:5000/x", "https://[::1]:5000/x");
}

// RD7, RD2
#[test]
fn rd7_what_leads_nowhere_is_an_error() {
    let scheme = |scheme: &str| ResolveError::Scheme {
        scheme: scheme.into(),
    };
    let refused = [
        ("http://", OriginError::Empty.into()),
        ("https:/path", OriginError::Empty.into()),
        ("https:path", OriginError::Empty.into()),
        ("ftp://h/", scheme("ftp")),
        ("file:///etc/passwd", scheme("file")),
        ("javascript:alert(1)", scheme("javascript")),
        ("sha256:00", scheme("sha256")),
        ("unix://h/", scheme("unix")),
        ("https://a b/", ResolveError::Syntax { at: 9 }),
        (" \thttps://a b/", ResolveError::Syntax { at: 11 }),
        (
            "https://evil.example\\.registry.example/",
            ResolveError::Syntax { at: 20 },
        ),
        ("https://h:x/", ResolveError::Syntax { at: 10 }),
        ("https://[::1/", ResolveError::Syntax { at: 12 }),
        (
            "https://h:99999/",
            OriginError::Port {
                port: "99999".into(),
            }
            .into(),
        ),
        (
            "https://0x7f.1/",
            OriginError::Number {
                host: "0x7f.1".into(),
            }
            .into(),
        ),
        (
            "https://h%41/",
            OriginError::Host {
                host: "h%41".into(),
            }
            .into(),
        ),
        ("1:2/x", ResolveError::Syntax { at: 0 }),
        // The blank is encoded before the grammar is checked, and counts as one byte all the same.
        ("ab c:d", ResolveError::Syntax { at: 4 }),
        ("/a\r\nSet-Cookie: x", ResolveError::Control { at: 2 }),
        ("/a\0", ResolveError::Control { at: 2 }),
        (
            "https://h\u{e4}/",
            OriginError::NotAscii {
                host: "h\u{e4}".into(),
            }
            .into(),
        ),
    ];
    for (reference, expected) in refused {
        check_bytes(BASE, reference.as_bytes(), Err(expected));
    }
    check_bytes(
        BASE,
        b"https://h\xff/",
        Err(OriginError::NotAscii {
            host: "h\u{fffd}".into(),
        }
        .into()),
    );
}

// CR12
#[test]
fn cr12_user_information_is_refused_wherever_it_hides() {
    for reference in [
        "https://user@h/",
        "https://user:pass@h/",
        "https://registry.example@evil.example/",
        "https://good.example\\@evil.example/",
        "//user@h/",
        "https://@h/",
    ] {
        check_bytes(
            BASE,
            reference.as_bytes(),
            Err(OriginError::UserInformation.into()),
        );
    }
    check(BASE, "/@x?a@b", "https://registry.example/@x?a@b");
}

#[test]
fn longer_than_the_limit_is_refused_as_sent_and_as_resolved() {
    let path = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));
    check(
        BASE,
        &path(URL_LIMIT_BYTES),
        &format!("https://registry.example{}", path(URL_LIMIT_BYTES)),
    );
    let bytes = URL_LIMIT_BYTES + 1;
    check_bytes(
        BASE,
        path(bytes).as_bytes(),
        Err(ResolveError::TooLong { bytes }),
    );
    let blanks = format!("/{}a", " ".repeat(4_000));
    check_bytes(
        BASE,
        blanks.as_bytes(),
        Err(ResolveError::TooLong { bytes: 12_002 }),
    );
}

fn check(base: &str, reference: &str, expected: &str) {
    check_bytes(base, reference.as_bytes(), Ok(expected));
}

fn check_bytes(base: &str, reference: &[u8], expected: Result<&str, ResolveError>) {
    let slash = base.match_indices('/').nth(2).unwrap().0;
    let (origin, path_and_query) = base.split_at(slash);
    let actual = resolve((&origin.parse().unwrap(), path_and_query), reference)
        .map(|(origin, path_and_query)| format!("{origin}{path_and_query}"));
    let shown = String::from_utf8_lossy(reference);
    assert_eq!(actual.as_deref(), expected.as_ref().map(|e| *e), "{shown}");
}
