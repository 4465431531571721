//! Whatever answers come, in whatever order: an end is reached, and no secret leaves home.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Response;
use longshore::model::Digest;
use longshore::origin::{AddressClass, Peer};
use longshore::transport::{Body, Phase, TestClock, TransportError, TransportErrorKind, from_fn};
use longshore::{Client, Credential, OneCredential};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{AUTH, BASIC, EVIL, HOME, MANIFEST, Net, PASSWORD, USER, app, basic, builder};

#[derive(Clone, Debug)]
enum Event {
    Answer(u16, Vec<(&'static str, &'static str)>, &'static str, bool),
    Fails(TransportErrorKind, Phase, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop_oneof![
        3 => select(&[200, 206, 401][..]),
        2 => select(&[301, 302, 303, 307, 308][..]),
        1 => select(&[204, 304, 400, 403, 404, 408, 416, 429, 500, 503][..]),
    ];
    let field = prop_oneof![
        3 => select(LOCATIONS).prop_map(|value| ("location", value)),
        3 => select(CHALLENGES).prop_map(|value| ("www-authenticate", value)),
        1 => select(&["0", "1", "61", "soon"][..]).prop_map(|value| ("retry-after", value)),
        1 => select(&["0", "5", "9", "x"][..]).prop_map(|value| ("content-length", value)),
        1 => select(RANGES).prop_map(|value| ("content-range", value)),
    ];
    let body = select(&["", "hel", "hello", "hello and more", "{}", MANIFEST][..]);
    let answer = (status, vec(field, 0..4), body, any::<bool>());
    let kind = select(
        &[
            TransportErrorKind::Closed,
            TransportErrorKind::Connect,
            TransportErrorKind::Timeout,
            TransportErrorKind::Tls,
        ][..],
    );
    let phase = select(&[Phase::Connect, Phase::Head, Phase::Body][..]);
    prop_oneof![
        8 => answer.prop_map(|(s, fields, body, cut)| Event::Answer(s, fields, body, cut)),
        1 => (kind, phase, any::<bool>()).prop_map(|(k, p, reused)| Event::Fails(k, p, reused)),
    ]
}

const LOCATIONS: &[&str] = &[
    "/v2/app/blobs/elsewhere",
    "https://r.example.com/v2/",
    "http://r.example.com/v2/",
    "https://r.example.com:8443/v2/",
    "https://evil.example.net/x?sig=1",
    "http://evil.example.net/",
    "//evil.example.net/y",
    "https://r.example.com@evil.example.net/",
    "https://auth.example.com/",
    "https://127.0.0.1/",
    "",
];

const CHALLENGES: &[&str] = &[
    "Basic realm=\"r\"",
    "Basic",
    "Bearer realm=\"https://auth.example.com/token\",service=\"r\"",
    "Bearer realm=\"https://auth.example.com/token\",service=\"r\",scope=\"repository:app:pull\"",
    "Bearer realm=\"https://auth.example.com/token\",service=\"r\",error=\"invalid_token\"",
    "Bearer realm=\"https://r.example.com/token\",service=\"r\",error=\"insufficient_scope\"",
    "Bearer realm=\"https://evil.example.net/token\",service=\"e\"",
    "Bearer realm=\"http://auth.example.com/token\"",
    "Bearer service=\"r\"",
    "Negotiate",
    "\"",
];

const RANGES: &[&str] = &[
    "bytes 3-4/5",
    "bytes 0-4/5",
    "bytes 3-8/9",
    "bytes */5",
    "x",
];

/// One call: five attempts and a stale one, each of six hops; three tokens refused on the way,
/// and two token requests of five attempts with two redirects each.
const CALL: usize = 6 * 6 + 2 * 3 + 2 * 5 * 3;

/// One blob: asked for, five times resumed without progress, once restarted.
const BLOB: usize = 7 * CALL;

/// Answers by the script, over and over. A token request that carries a secret gets a secret
/// token, as long as the script wants it to succeed.
fn net(script: Vec<Event>, class: Option<AddressClass>) -> Net {
    let at = AtomicUsize::new(0);
    let script = Arc::new(script);
    Net::over(from_fn(move |request| {
        let number = at.fetch_add(1, Ordering::SeqCst);
        let event = script[number % script.len()].clone();
        let uri = request.uri().to_string();
        let is_secret = request.headers().contains_key("authorization");
        async move {
            let (status, fields, body, cut) = match event {
                Event::Answer(status, fields, body, cut) => (status, fields, body, cut),
                Event::Fails(kind, phase, reused) => {
                    return Err(TransportError::new(kind, phase).on_reused(reused));
                }
            };
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(name, value);
            }
            let body = if uri.contains("/token") && status == 200 {
                let word = if is_secret { "treasure" } else { "anybodys" };
                format!(r#"{{"token":"{word}-{number}"}}"#)
                    .into_bytes()
                    .into()
            } else if cut {
                let end = TransportError::new(TransportErrorKind::Closed, Phase::Body);
                crate::support::Pieces::body(
                    &TestClock::default(),
                    [
                        crate::support::Piece::Bytes(body.into()),
                        crate::support::Piece::Breaks(end),
                    ],
                )
            } else {
                Body::from(body)
            };
            let mut response = response.body(body).unwrap();
            response.extensions_mut().insert(Peer::new(class, false));
            Ok(response)
        }
    }))
}

/// What one client does, in order, and how many requests each of it may cost.
async fn run(client: Client, net: &Net) -> Result<(), TestCaseError> {
    let app = app(client).await;
    let mut before = 0;
    let mut within = |budget: usize| {
        let now = net.seen().len();
        let spent = now - std::mem::replace(&mut before, now);
        prop_assert!(spent <= budget, "{} requests of {}", spent, budget);
        Ok(())
    };
    let (v1, hello) = ("v1".parse().unwrap(), Digest::sha256(b"hello"));
    for _ in 0..2 {
        if let Ok(pulled) = app.manifest(&v1).await {
            prop_assert_eq!(&pulled.manifest.bytes()[..], MANIFEST.as_bytes());
        }
        within(CALL)?;
        for size in [Some(5), None] {
            if let Ok(bytes) = app.blob(&hello, size).unwrap().bytes(9).await {
                prop_assert_eq!(&bytes[..], b"hello");
            }
            within(BLOB)?;
        }
        let _ = app.blob_head(&hello).await;
        within(CALL)?;
        let _ = app.token().await;
        within(CALL)?;
    }
    Ok(())
}

fn check(net: &Net, secrets: &[&str]) -> Result<(), TestCaseError> {
    for seen in net.seen() {
        let url: http::Uri = seen.uri.parse().unwrap();
        let origin = format!(
            "{}://{}",
            url.scheme_str().unwrap(),
            url.authority().unwrap()
        );
        let is_home = origin == HOME;
        // RE4: the token service of the same domain gets the password, but only as one.
        let allowed = match origin.as_str() {
            HOME => true,
            AUTH => seen.header("accept") == Some("application/json"),
            _ => false,
        };
        for secret in secrets {
            let holds = seen.holds(secret);
            prop_assert!(
                !holds || allowed,
                "{} was told {}: {:?}",
                origin,
                secret,
                seen
            );
            prop_assert!(!holds || is_home || *secret != "treasure", "{:?}", seen);
        }
        prop_assert!(
            origin != EVIL.replace("https", "http"),
            "downgraded: {:?}",
            seen
        );
    }
    Ok(())
}

proptest! {
    // CR1, CR3, CR5, RD1, RE4
    #[test]
    fn no_script_of_answers_is_endless_or_learns_a_secret(
        script in vec(event(), 1..24),
        class in select(&[None, Some(AddressClass::Public), Some(AddressClass::Private)][..]),
        cached: bool,
        token: bool,
    ) {
        let net = net(script, class);
        let client = builder(&net);
        let client = if cached { client } else { client.no_token_cache() };
        let client = if token {
            let token = longshore::origin::Secret::new("treasure-map".to_owned());
            client.credentials(OneCredential::new("r.example.com", Credential::Token(token)))
        } else {
            client.credentials(basic())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(client.build().unwrap(), &net))?;
        let (_, encoded) = BASIC.split_once(' ').unwrap();
        check(&net, &[USER, PASSWORD, encoded, "treasure"])?;
    }
}
