//! What holds for every input.

use std::net::IpAddr;

use longshore_origin::{
    AddressClass, AddressRange, ESCAPED_LIMIT_CHARS, Escaped, Hop, Origin, Peer, RedactedUri,
    Scheme, URL_LIMIT_BYTES, resolve,
};
use proptest::prelude::*;

proptest! {
    #[test]
    fn printing_and_parsing_an_origin_is_identity(text in origin_text()) {
        if let Ok(origin) = text.parse::<Origin>() {
            prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin.clone()));
            prop_assert_eq!(
                Origin::from_authority(origin.scheme(), origin.authority()),
                Ok(origin.clone()),
            );
            prop_assert!(!origin.host().ends_with('.') && !origin.host().contains('['));
        }
    }

    #[test]
    fn parsing_never_panics(text in ".{0,60}") {
        let _ = text.parse::<Origin>();
        let _ = text.parse::<AddressRange>();
        let _ = Origin::from_authority(Scheme::Https, &text);
    }

    // RD7, RD1, RD2
    #[test]
    fn rd1_rd2_rd7_no_chain_of_locations_comes_back_home_or_leaves_tls(
        home in prop::sample::select(HOMES),
        locations in prop::collection::vec(location(), 0..8),
    ) {
        let peer = Peer::new(Some(AddressClass::Public), false);
        let mut hop = Hop::first(home.parse().unwrap(), "/v2/").unwrap();
        for location in locations {
            let Ok(next) = hop.follow(&location, peer) else { continue };
            prop_assert!(hop.is_home() || !next.is_home());
            prop_assert_eq!(next.home(), hop.home());
            prop_assert!(!next.is_home() || next.origin() == next.home());
            prop_assert!(hop.origin().scheme() <= next.origin().scheme());
            prop_assert!(next.path_and_query().len() <= URL_LIMIT_BYTES);
            let class = next.origin().known_class().unwrap_or(AddressClass::Public);
            prop_assert!(next.is_home() || class == AddressClass::Public);
            let written: Origin = format!(
                "{}://{}", next.uri().scheme_str().unwrap(), next.uri().authority().unwrap(),
            ).parse().unwrap();
            prop_assert_eq!(&written, next.origin());
            hop = next;
        }
    }

    // RD4
    #[test]
    fn rd4_a_legal_query_is_kept_byte_for_byte(
        query in "([a-zA-Z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2}){0,80}",
    ) {
        let origin: Origin = "https://a.example".parse().unwrap();
        let reference = format!("/y?{query}");
        let resolved = resolve((&origin, "/v2/x?old"), reference.as_bytes());
        prop_assert_eq!(resolved, Ok((origin, reference)));
    }

    #[test]
    fn resolving_what_was_resolved_changes_nothing(reference in location()) {
        let base: Origin = "https://a.example".parse().unwrap();
        if let Ok((origin, path_and_query)) = resolve((&base, "/v2/x/y?q"), &reference) {
            let absolute = format!("{origin}{path_and_query}");
            let again = resolve((&base, "/"), absolute.as_bytes());
            prop_assert_eq!(again, Ok((origin, path_and_query)));
        }
    }

    /// Where both readers accept a reference, they mean the same origin, and after the encoding
    /// that `url` applies also the same path and query.
    #[test]
    fn the_url_crate_reads_references_alike(reference in shared_reference()) {
        let base: Origin = "https://a.example".parse().unwrap();
        let theirs = url::Url::parse("https://a.example/v2/x/y?q").unwrap().join(&reference);
        let ours = resolve((&base, "/v2/x/y?q"), reference.as_bytes());
        if let (Ok((origin, path_and_query)), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(origin.host(), theirs.host_str().unwrap().trim_end_matches('.'));
            prop_assert_eq!(Some(origin.port()), theirs.port_or_known_default());
            prop_assert_eq!(origin.scheme().as_str(), theirs.scheme());
            let again = url::Url::parse(&format!("{origin}{path_and_query}")).unwrap();
            // The WHATWG path set leaves these two alone; RFC 3986 does not allow them.
            let path = theirs.path().replace('^', "%5E").replace('|', "%7C");
            prop_assert_eq!(again.path(), path);
            prop_assert_eq!(again.query(), theirs.query());
        }
    }

    #[test]
    fn printing_and_parsing_a_range_is_identity(address in any::<IpAddr>(), prefix in 0u8..=128) {
        if let Ok(range) = format!("{address}/{prefix}").parse::<AddressRange>() {
            prop_assert_eq!(range.to_string().parse::<AddressRange>(), Ok(range));
            prop_assert!(range.contains(address) || address != address.to_canonical());
        }
        prop_assert!(AddressRange::from(address).contains(address));
    }

    // OU1
    #[test]
    fn ou1_escaped_text_is_short_and_has_no_controls(
        bytes in prop::collection::vec(any::<u8>(), 0..1500),
    ) {
        let shown = Escaped::new(&bytes).to_string();
        prop_assert!(shown.chars().count() <= ESCAPED_LIMIT_CHARS);
        prop_assert!(!shown.chars().any(char::is_control));
    }

    // OU4
    #[test]
    fn ou4_a_query_value_is_never_shown(name in "[a-zA-Z-]{1,12}", value in "hunter[0-9]{1,9}") {
        prop_assume!(!SHOWN.contains(&name.as_str()));
        let uri = format!("https://h/p?n=1&{name}={value}&last=x").parse().unwrap();
        prop_assert!(!RedactedUri::new(&uri).to_string().contains("hunter"));
    }
}

fn origin_text() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,3}\\.?",
        any::<std::net::Ipv4Addr>().prop_map(|a| a.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|a| format!("[{a}]")),
    ];
    let port = prop_oneof![
        Just(String::new()),
        (0u32..70_000).prop_map(|p| format!(":{p}"))
    ];
    ("(https|http|HTTPS)", host, port, "/?").prop_map(|(s, h, p, e)| format!("{s}://{h}{p}{e}"))
}

fn location() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        shared_reference().prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..60),
        "https?://[^/]{0,20}/.{0,20}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "https://a.example/x",
            "http://a.example/x",
            "https://a.example:5000/x",
            "/x",
            "x?y",
            "http://a.example:8080/",
            "https://cdn.example/",
            "http://cdn.example/",
            "https://127.0.0.1/",
            "https://localhost:1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "//a.example/",
            "https://[::1]/",
            "https://u:p@a.example/",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
    ]
}

/// References without the bytes the two readers treat differently on purpose: backslashes, blanks
/// at the ends, a lone `%`, an empty authority, and encoded dots.
fn shared_reference() -> impl Strategy<Value = String> {
    let authority = proptest::option::of(
        "(https?:)?//[a-zA-Z0-9-]{1,8}(\\.[a-z][a-z0-9-]{0,8}){0,2}\\.?(:[0-9]{0,5})?",
    );
    let path =
        "(/(\\.|\\.\\.|([a-zA-Z0-9._~!$&'()*+,;=@ \"<>^`{|}-]|%[013-9a-f][0-9a-f]){1,12})){0,4}";
    let query = "(\\?([a-zA-Z0-9/?:@=&+;,.~_-]|%[0-9a-fA-F]{2}){0,20})?";
    (authority, path, query, "(#[a-z]{0,4})?").prop_map(|(authority, path, query, fragment)| {
        // Without an authority the path is tried as a relative one too.
        let path = match &authority {
            None if path.len() % 2 == 0 => path.trim_start_matches('/'),
            _ => path.as_str(),
        };
        format!("{}{path}{query}{fragment}", authority.unwrap_or_default())
            .trim()
            .to_owned()
    })
}

const HOMES: &[&str] = &[
    "https://a.example",
    "http://a.example",
    "https://a.example:5000",
];

/// Query parameters whose values are shown (OU4).
const SHOWN: [&str; 9] = [
    "scope",
    "service",
    "digest",
    "mount",
    "from",
    "n",
    "last",
    "ns",
    "artifactType",
];
