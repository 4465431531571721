//! What a client goes on with when a registry or its token service changes its mind.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::Response;
use longshore::auth::AuthError;
use longshore::model::TagOrDigest;
use longshore::origin::{AddressPolicy, AllowAddresses, Secret};
use longshore::transport::{Body, TestClock};
use longshore::{Cause, Client, Credential, HostSettings, OneCredential, Repository, TokenCache};

use crate::auth::{CHALLENGE, MANIFEST_URI, TOKEN_URI, unauthorized};
use crate::support::{
    AUTH, BASIC, EVIL, HOME, MANIFEST, Net, PASSWORD, Seen, app, basic, builder, reference, reply,
};

const EVIL_CHALLENGE: &str = r#"Bearer realm="https://evil.example.net/token",service="r""#;

/// A token service that answers all that is asked of it, and a registry whose refusals come one
/// after the other; whatever has a token or a password is let in, once it was refused before.
fn changing(refusals: &'static [&'static str]) -> Net {
    let refused = AtomicU32::new(0);
    Net::serving(move |seen| {
        if !seen.uri.starts_with(HOME) {
            return reply(200, &[], r#"{"token":"t"}"#);
        }
        let turn = refused.load(Ordering::SeqCst) as usize;
        match (seen.header("authorization"), refusals.get(turn)) {
            (None, Some(challenge)) => {
                refused.fetch_add(1, Ordering::SeqCst);
                refusal(challenge)
            }
            _ => reply(200, &[], MANIFEST),
        }
    })
}

fn refusal(challenge: &str) -> Response<Body> {
    match challenge {
        "" => reply(401, &[], ""),
        challenge => unauthorized(challenge),
    }
}

async fn read(app: &Repository) -> Result<(), longshore::Error> {
    let v1: TagOrDigest = "v1".parse().unwrap();
    app.manifest(&v1).await.map(|_| ())
}

/// A client that has to be refused each time.
fn client(net: &Net) -> Client {
    let builder = builder(net).credentials(basic()).no_token_cache();
    builder.build().unwrap()
}

// CR7
#[tokio::test]
async fn a_service_that_refuses_post_is_asked_by_get_from_then_on() {
    for status in [404, 405] {
        let net = Net::serving(move |seen| {
            if !seen.uri.starts_with(AUTH) {
                return match seen.header("authorization") {
                    None => unauthorized(CHALLENGE),
                    Some(_) => reply(200, &[], MANIFEST),
                };
            }
            match seen.method.as_str() {
                "GET" => reply(200, &[], r#"{"token":"t"}"#),
                _ => reply(status, &[], "no such thing"),
            }
        });
        let identity = Credential::IdentityToken(Secret::new("identity".to_owned()));
        let credential = OneCredential::new("r.example.com", identity);
        let client = builder(&net).credentials(credential).build().unwrap();
        for name in ["r.example.com/app", "r.example.com/other"] {
            let repository = client.repository(&reference(name)).await.unwrap();
            read(&repository).await.unwrap();
        }
        let to_service = net.lines().into_iter().filter(|line| line.contains(AUTH));
        // `<token>:identity`
        let shown = "Basic PHRva2VuPjppZGVudGl0eQ==";
        assert_eq!(
            to_service.collect::<Vec<_>>(),
            [
                format!("POST {AUTH}/token"),
                format!("GET {TOKEN_URI} {shown}"),
                format!("GET {} {shown}", TOKEN_URI.replace("app", "other")),
            ]
        );
    }
}

// RE4
#[tokio::test]
async fn re4_a_registry_that_names_another_realm_is_answered_from_the_one_before() {
    let net = changing(&[
        CHALLENGE,
        EVIL_CHALLENGE,
        "Bearer realm=\"token\"",
        "Bearer",
    ]);
    let app = app(client(&net)).await;
    for _ in 0..4 {
        read(&app).await.unwrap();
    }
    assert_eq!(net.count(AUTH), 4);
    assert_eq!(net.count(EVIL), 0);
    net.was_never_told(EVIL, &[PASSWORD, BASIC]);
    // Which is not so where there was none.
    let net = changing(&[EVIL_CHALLENGE]);
    let error = read(&crate::support::app(client(&net)).await)
        .await
        .unwrap_err();
    assert_eq!(error.refused_realm().unwrap().to_string(), EVIL);
    assert_eq!(net.lines().len(), 1);
}

// CR3
#[tokio::test]
async fn cr3_a_401_that_says_nothing_is_answered_as_the_one_before() {
    for (challenge, shown) in [(CHALLENGE, "Bearer t"), ("Basic realm=\"r\"", BASIC)] {
        let refusals: &'static [&'static str] = match challenge {
            CHALLENGE => &[CHALLENGE, ""],
            _ => &["Basic realm=\"r\"", ""],
        };
        let net = changing(refusals);
        let app = app(client(&net)).await;
        read(&app).await.unwrap();
        read(&app).await.unwrap();
        let last = format!("GET {MANIFEST_URI} {shown}");
        assert_eq!(net.lines().last(), Some(&last));
    }
    // From somebody who has never said anything.
    let net = changing(&[""]);
    let error = read(&app(client(&net)).await).await.unwrap_err();
    let Cause::Auth(AuthError::NoUsableChallenge { schemes, fault, .. }, _) = error.cause() else {
        panic!("{error:?}")
    };
    assert_eq!((schemes.len(), fault), (0, &None));
    assert_eq!(net.lines(), [format!("GET {MANIFEST_URI}")]);
    net.was_never_told(HOME, &[PASSWORD, BASIC]);
}

// RE3: clients that share tokens do not share what the user allows each of them.
#[tokio::test]
async fn re3_a_shared_cache_lends_nobody_the_addresses_of_another() {
    let net = Net::serving(|seen: &Seen| {
        if seen.uri.starts_with(AUTH) {
            return reply(200, &[], r#"{"token":"t","expires_in":300}"#);
        }
        match seen.header("authorization") {
            None => unauthorized(CHALLENGE),
            Some(_) => reply(200, &[], MANIFEST),
        }
    });
    let clock = TestClock::default();
    let cache = TokenCache::new(clock.clone());
    let inside: AllowAddresses = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let mut settings = HostSettings::default();
    settings.allow_addresses = inside.clone();
    let shared = || builder(&net).token_cache(cache.clone());
    let bold = shared().host("r.example.com", settings).build().unwrap();
    let (bold, careful) = (app(bold).await, app(shared().build().unwrap()).await);
    // Both know the registry, and the bold one has put the token there that has now expired.
    for client in [&careful, &bold, &careful] {
        read(client).await.unwrap();
        clock.advance(Duration::from_secs(290));
    }
    let seen = net.seen();
    let policies: Vec<_> = seen
        .iter()
        .filter(|seen| seen.uri.starts_with(AUTH))
        .map(|seen| match &seen.policy {
            Some(AddressPolicy::AtLeast { allow, .. }) => allow,
            other => panic!("{other:?}"),
        })
        .collect();
    let nothing = AllowAddresses::default();
    assert_eq!(policies, [&nothing, &inside, &nothing]);
}
