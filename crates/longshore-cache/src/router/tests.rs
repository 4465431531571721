use http::Method;

use super::*;

fn name(text: &str) -> UpstreamName {
    text.parse().unwrap()
}

fn router(prefixes: &[&str]) -> Result<RouterBuilder, RouterError> {
    let mut builder = Router::builder();
    for prefix in prefixes {
        builder = builder.upstream(name(prefix))?;
    }
    Ok(builder)
}

#[test]
fn prefixes_are_told_apart_by_whole_segments() {
    for prefixes in [
        &["gcr", "gcr-eu"][..],
        &["a/b", "a/c", "b", "a-b"],
        &["registry.example", "registry.example.org"],
        &["docker.io", "io"],
    ] {
        let router = router(prefixes).unwrap().build();
        let mut sorted = prefixes.to_vec();
        sorted.sort_unstable();
        let found: Vec<_> = router.upstreams().map(UpstreamName::as_str).collect();
        assert_eq!(found, sorted);
        for prefix in prefixes {
            let repository = format!("{prefix}/a/b").parse().unwrap();
            let image = router.find(&Address::of_name(&repository)).unwrap();
            assert_eq!(image.upstream.as_str(), *prefix);
            assert_eq!(image.repository.as_str(), "a/b");
        }
    }
    let overlap = |outer, inner| RouterError::Overlap {
        outer: name(outer),
        inner: name(inner),
    };
    for (prefixes, error) in [
        (["a", "a/b"], overlap("a", "a/b")),
        (["a/b/c", "a/b"], overlap("a/b", "a/b/c")),
        (["gcr", "gcr"], RouterError::Duplicate(name("gcr"))),
        (
            ["docker.io", "index.docker.io"],
            RouterError::Duplicate(name("index.docker.io")),
        ),
        (
            ["docker.io", "registry-1.docker.io/a"],
            overlap("docker.io", "registry-1.docker.io/a"),
        ),
        (["a", "b/v2"], RouterError::ApiSegment(name("b/v2"))),
    ] {
        assert_eq!(router(&prefixes).err(), Some(error));
    }
}

#[test]
fn a_name_cannot_be_given_to_two_upstreams() {
    let (a, b) = (name("a.example"), name("b.example"));
    let base = || router(&["a.example", "b.example"]).unwrap();
    let taken = |host: &str| {
        Some(RouterError::HostTaken {
            host: host.to_owned(),
            first: a.clone(),
            second: b.clone(),
        })
    };
    let add = |ns| base().namespace("c.example:5000", &a)?.namespace(ns, &b);
    assert_eq!(add("A.example").err(), taken("A.example"));
    assert_eq!(add("C.Example:5000").err(), taken("C.Example:5000"));
    assert_eq!(add("c.example").err(), None);
    let add = |host| base().host("cache.example", &a)?.host(host, &b);
    assert_eq!(add("cache.example").err(), taken("cache.example"));
    assert_eq!(add("cache.example:5000").err(), None);

    // A later prefix must not take over a namespace either.
    let hub = router(&["a.example"]).unwrap();
    let hub = hub.namespace("docker.io", &a).unwrap();
    let error = RouterError::HostTaken {
        host: "docker.io".to_owned(),
        first: a.clone(),
        second: name("registry-1.docker.io"),
    };
    assert_eq!(
        hub.upstream(name("registry-1.docker.io")).err(),
        Some(error)
    );

    let defaults = base().default_upstream(&a).unwrap().default_upstream(&b);
    let error = RouterError::Defaults {
        first: a,
        second: b,
    };
    assert_eq!(defaults.err(), Some(error));
    let other = name("c.example");
    for builder in [
        base().default_upstream(&other),
        base().official_images(&other),
        base().namespace("x", &other),
        base().host("x", &other),
    ] {
        assert_eq!(
            builder.err(),
            Some(RouterError::UnknownUpstream(other.clone()))
        );
    }
}

#[test]
fn a_host_has_the_grammar_of_urls() {
    let a = name("a");
    let check = |host: &str| router(&["a"]).unwrap().namespace(host, &a).err();
    for host in [
        "b",
        "b.example:5000",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:5000",
        "my_cache:1",
    ] {
        assert_eq!(check(host), None, "{host}");
    }
    for host in [
        "",
        ":5000",
        "b:",
        "b:0",
        "b:65536",
        "b/c",
        "user@b",
        "https://b",
        "b c",
        "[::1",
        "::1",
        "[b]",
        "[::1]5",
        "bücher.example",
        "b?",
    ] {
        let error = RouterError::MalformedHost(host.to_owned());
        assert_eq!(check(host), Some(error), "{host}");
    }
}

// CA11: a request chooses between configured upstreams; an unknown name is a 404.
#[test]
fn ca11_an_unknown_upstream_is_404_and_the_known_ones_are_listed() {
    let router = router(&["quay.io", "docker.io"]).unwrap().build();
    let unknown = "ghcr.io/a/b".parse().unwrap();
    let error = router.find(&Address::of_name(&unknown)).unwrap_err();
    let refusal = error.refusal();
    assert_eq!(refusal.status, StatusCode::NOT_FOUND);
    assert!(refusal.body.names(&ErrorCode::NameUnknown), "{refusal}");
    assert_eq!(
        error.to_string(),
        "`ghcr.io/a/b` names no upstream of this cache, which has docker.io, quay.io"
    );
    let (head, body) = refusal.write(&Method::GET).into_parts();
    assert_eq!(head.headers["content-type"], "application/json");
    assert!(body.starts_with(br#"{"errors":[{"code":"NAME_UNKNOWN","message":"#));

    let none = Router::builder().build().find(&Address::of_name(&unknown));
    let message = none.unwrap_err().to_string();
    assert_eq!(message, "`ghcr.io/a/b` names no upstream of this cache");
}

// LI: everything whose length a peer or a configuration chooses has a limit.
#[test]
fn li_the_list_of_upstreams_is_cut() {
    let prefixes: Vec<_> = (0..500)
        .map(|at| format!("registry-{at:03}.example"))
        .collect();
    let prefixes: Vec<_> = prefixes.iter().map(String::as_str).collect();
    let router = router(&prefixes).unwrap().build();
    let long = "\u{1b}".repeat(100_000);
    let address = Address::default().with_namespace(&long);
    let message = router.named(&address).unwrap_err().to_string();
    assert!(message.ends_with(" and 478 more"), "{message}");
    assert!(message.len() < 4_096, "{message}");
    assert!(!message.contains('\u{1b}'), "{message}");
}

#[test]
fn a_host_is_matched_with_its_port_first() {
    let router = router(&["a", "b"]).unwrap();
    let router = router.host("cache.example", &name("a")).unwrap();
    let router = router.host("cache.example:5001", &name("b")).unwrap();
    let router = router.host("[::1]:5000", &name("b")).unwrap().build();
    for (host, upstream) in [
        ("cache.example", Some("a")),
        ("Cache.Example:5000", Some("a")),
        ("cache.example:5001", Some("b")),
        ("[::1]:5000", Some("b")),
        ("[::1]", None),
        ("other.example", None),
        ("", None),
        ("\u{fffd}:", None),
    ] {
        let address = Address::default().with_host(host);
        let found = router.named(&address).unwrap().map(UpstreamName::as_str);
        assert_eq!(found, upstream, "{host}");
    }
}

#[test]
fn a_name_that_is_too_long_once_complete_is_refused() {
    let router = router(&["docker.io"]).unwrap();
    let router = router.official_images(&name("docker.io")).unwrap().build();
    let short = "a".repeat(245);
    let written = format!("docker.io/{short}").parse().unwrap();
    let error = router.find(&Address::of_name(&written)).unwrap();
    assert_eq!(error.repository.as_str(), format!("library/{short}"));

    let long = "a".repeat(250);
    let written = long.parse().unwrap();
    let address = Address::of_name(&written).with_namespace("docker.io");
    let error = router.find(&address).unwrap_err();
    let name = format!("library/{long}");
    assert_eq!(error, RoutingError::TooLong { name });
    assert_eq!(error.refusal().status, StatusCode::BAD_REQUEST);
}
