//! What other origins get to see: nothing that is the user's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use longshore::auth::AuthError;
use longshore::model::{Digest, TagOrDigest};
use longshore::origin::{AddressClass, AddressPolicy, Peer, Secret};
use longshore::transport::{Body, Sensitivity, TestClock, TlsIdentity, from_fn};
use longshore::{
    Cause, Client, ClientBuilder, Credential, ErrorKind, HostSettings, OneCredential, Repository,
    TokenCache,
};

use crate::auth::{CHALLENGE, MANIFEST_URI, TOKEN_URI};
use crate::support::{
    AUTH, BASIC, EVIL, HOME, MANIFEST, Net, PASSWORD, Seen, USER, app, basic, blob_uri, builder,
    chain, credential, reference, reply,
};

/// What must not be seen anywhere but at home and at its token service.
const SECRETS: [&str; 4] = [USER, PASSWORD, BASIC, "home-token"];

/// A registry with tokens for whoever shows the password, which has no content of its own.
fn home(seen: &Seen, content: impl Fn() -> Response<Body>) -> Response<Body> {
    match seen.header("authorization") {
        Some(BASIC) if seen.uri.starts_with(AUTH) => reply(200, &[], r#"{"token":"home-token"}"#),
        Some("Bearer home-token") => content(),
        None => unauthorized(CHALLENGE),
        other => panic!("{other:?} at {}", seen.uri),
    }
}

fn unauthorized(challenge: &str) -> Response<Body> {
    reply(401, &[("www-authenticate", challenge)], "")
}

fn redirect(location: &str) -> Response<Body> {
    reply(307, &[("location", location)], "")
}

async fn manifest(app: &Repository) -> Result<Digest, longshore::Error> {
    let v1: TagOrDigest = "v1".parse().unwrap();
    Ok(app.manifest(&v1).await?.digest().clone())
}

async fn fails(builder: ClientBuilder) -> longshore::Error {
    manifest(&app(builder.build().unwrap()).await)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn cr1_a_redirect_takes_no_secret_along_and_brings_none_back() {
    let net = Net::serving(|seen| {
        let back = format!("{HOME}/v2/back");
        match seen.uri.as_str() {
            "https://evil.example.net/blob?sig=s" => redirect(&back),
            // RD1: home again, but sent there by somebody else.
            uri if uri == back => match seen.header("authorization") {
                None => reply(200, &[], MANIFEST),
                Some(_) => panic!("a secret came back: {seen:?}"),
            },
            _ => home(seen, || redirect("https://evil.example.net/blob?sig=s")),
        }
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    manifest(&app).await.unwrap();
    manifest(&app).await.unwrap();
    assert_eq!((net.count(EVIL), net.count(AUTH)), (2, 1));
    net.was_never_told(EVIL, &SECRETS);
}

#[tokio::test]
async fn cr3_a_foreign_basic_challenge_gets_nothing() {
    let net = Net::serving(|seen| match seen.uri.starts_with(EVIL) {
        true => unauthorized("Basic realm=\"r\""),
        false => home(seen, || redirect(EVIL)),
    });
    let error = fails(builder(&net).credentials(basic())).await;
    let Cause::Auth(AuthError::Foreign { origin, registry }, _) = error.cause() else {
        panic!("{error:?}")
    };
    assert_eq!(
        (origin.to_string(), registry.to_string()),
        (EVIL.into(), HOME.into())
    );
    assert_eq!(net.count(EVIL), 1);
    net.was_never_told(EVIL, &SECRETS);
}

#[tokio::test]
async fn cr5_a_foreign_401_gets_a_token_anybody_could_get() {
    let net = Net::serving(|seen| {
        let authorization = seen.header("authorization");
        match seen.uri.as_str() {
            "https://evil.example.net/token?service=evil&scope=repository%3Aapp%3Apull" => {
                assert_eq!(authorization, None);
                reply(200, &[], r#"{"token":"anybodys"}"#)
            }
            uri if uri.starts_with(EVIL) => match authorization {
                Some("Bearer anybodys") => reply(200, &[], MANIFEST),
                None => {
                    unauthorized(r#"Bearer realm="https://evil.example.net/token",service="evil""#)
                }
                other => panic!("{other:?}"),
            },
            _ => home(seen, || redirect("https://evil.example.net/x")),
        }
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    manifest(&app).await.unwrap();
    net.was_never_told(EVIL, &SECRETS);
    net.was_never_told(HOME, &["anybodys"]);
}

// CR1, CR5: a client certificate is a secret. If somebody else names our own token service, the
// token must not be one that our certificate earned.
#[tokio::test]
async fn cr5_a_foreign_401_makes_no_use_of_the_registrys_tls_identity() {
    let net = Net::serving(|seen| {
        let authorization = seen.header("authorization");
        match seen.uri.as_str() {
            uri if uri.starts_with("https://r.example.com/token") => match &seen.tls {
                Some(_) => reply(200, &[], r#"{"token":"home-token"}"#),
                None => reply(200, &[], r#"{"token":"anybodys"}"#),
            },
            uri if uri.starts_with(EVIL) => match authorization {
                Some("Bearer anybodys") => reply(200, &[], MANIFEST),
                None => unauthorized(r#"Bearer realm="https://r.example.com/token",service="e""#),
                other => panic!("{other:?}"),
            },
            _ => match authorization {
                Some("Bearer home-token") => redirect(EVIL),
                _ => unauthorized(r#"Bearer realm="https://r.example.com/token",service="r""#),
            },
        }
    });
    let mut settings = HostSettings::default();
    settings.tls = TlsIdentity::named("with a certificate");
    let client = builder(&net)
        .host("r.example.com", settings.clone())
        .build();
    manifest(&app(client.unwrap()).await).await.unwrap();
    net.was_never_told(EVIL, &["home-token"]);
    for seen in net.seen().iter().filter(|seen| seen.uri.starts_with(EVIL)) {
        assert_eq!(seen.tls, None, "{seen:?}");
    }
    let own = net
        .seen()
        .iter()
        .filter(|seen| seen.tls == Some(settings.tls.clone()))
        .count();
    assert_eq!(
        own, 3,
        "two requests for the manifest, and one for its token"
    );
}

// RE4, RE5
#[tokio::test]
async fn re4_credentials_go_to_no_foreign_token_service_unless_it_is_allowed() {
    let service = || {
        Net::serving(|seen| {
            let authorization = seen.header("authorization");
            match seen.uri.starts_with(EVIL) {
                true => reply(200, &[], r#"{"token":"home-token"}"#),
                false if authorization == Some("Bearer home-token") => reply(200, &[], MANIFEST),
                false => unauthorized(r#"Bearer realm="https://evil.example.net/token""#),
            }
        })
    };
    let net = service();
    let error = fails(builder(&net).credentials(basic())).await;
    assert_eq!(error.kind(), ErrorKind::RealmRefused);
    assert_eq!(error.refused_realm().unwrap().to_string(), EVIL);
    let text = chain(&error);
    assert!(
        text.contains("names https://evil.example.net as its token endpoint"),
        "{text}"
    );
    assert_eq!(net.count(EVIL), 0);

    let net = service();
    let mut settings = HostSettings::default();
    settings.allow_realm = vec![EVIL.parse().unwrap()];
    let allowed = builder(&net)
        .credentials(basic())
        .host("r.example.com", settings);
    manifest(&app(allowed.build().unwrap()).await)
        .await
        .unwrap();
    assert_eq!(net.seen()[1].header("authorization"), Some(BASIC));

    // RE5: without credentials there is nothing to lose.
    let net = service();
    manifest(&app(builder(&net).build().unwrap()).await)
        .await
        .unwrap();
    assert_eq!(net.count(EVIL), 1);
}

// RE4: what one client may do another may not, only because they share their tokens.
#[tokio::test]
async fn re4_a_shared_cache_lends_tokens_and_no_permission() {
    let net = Net::serving(|seen| {
        let authorization = seen.header("authorization");
        match seen.uri.starts_with(EVIL) {
            true => reply(200, &[], r#"{"token":"home-token","expires_in":60}"#),
            false if authorization == Some("Bearer home-token") => reply(200, &[], MANIFEST),
            false => unauthorized(r#"Bearer realm="https://evil.example.net/token""#),
        }
    });
    let clock = TestClock::default();
    let cache = TokenCache::new(clock.clone());
    let client = || {
        builder(&net)
            .token_cache(cache.clone())
            .credentials(basic())
    };
    let mut settings = HostSettings::default();
    settings.allow_realm = vec![EVIL.parse().unwrap()];
    let allowed = client().host("r.example.com", settings).build().unwrap();
    let other = app(client().build().unwrap()).await;
    manifest(&app(allowed).await).await.unwrap();
    manifest(&other).await.unwrap();
    clock.advance(Duration::from_secs(60));
    let error = manifest(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RealmRefused);
    assert_eq!(net.count(EVIL), 1);
}

// RE1, RE2
#[tokio::test]
async fn re1_an_unencrypted_token_service_of_an_encrypted_registry_is_not_asked() {
    for realm in [
        "http://auth.example.com/token",
        "http://r.example.com/token",
        "https://u:p@auth.example.com/token",
        "https://auth.example.com/token#x",
        "auth.example.com/token",
        "null://null/null",
    ] {
        let net = Net::serving(move |_| unauthorized(&format!("Bearer realm=\"{realm}\"")));
        for client in [builder(&net), builder(&net).credentials(basic())] {
            assert_eq!(
                fails(client).await.kind(),
                ErrorKind::RealmRefused,
                "{realm}"
            );
        }
        assert_eq!((net.count(HOME), net.seen().len()), (2, 2), "{realm}");
    }
}

// CR4: a transport must be able to tell which requests it may let a proxy read.
#[tokio::test]
async fn cr4_a_request_says_whether_it_carries_a_secret() {
    let sensitivities =
        |net: &Net| -> Vec<_> { net.seen().iter().map(|seen| seen.sensitivity).collect() };
    let net = Net::serving(|seen| home(seen, || reply(200, &[], MANIFEST)));
    let client = builder(&net).credentials(basic()).build().unwrap();
    manifest(&app(client).await).await.unwrap();
    // The first request, the token request with the password, the request with the token.
    let expected = [Sensitivity::Plain, Sensitivity::Secret, Sensitivity::Secret];
    assert_eq!(sensitivities(&net), expected);

    // An identity token is sent in the form of a POST, and no header shows that the request is
    // secret.
    let token = Secret::new("identity".to_owned());
    let identity = OneCredential::new("r.example.com", Credential::IdentityToken(token));
    let net = Net::serving(|seen| match seen.uri.starts_with(AUTH) {
        true => reply(403, &[], ""),
        false => unauthorized(CHALLENGE),
    });
    let error = fails(builder(&net).credentials(identity)).await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(net.seen()[1].holds("identity"));
    assert_eq!(
        sensitivities(&net),
        [Sensitivity::Plain, Sensitivity::Secret]
    );

    // An anonymous token request carries no secret.
    let net =
        Net::serving(
            |seen| match (seen.uri.starts_with(AUTH), seen.header("authorization")) {
                (true, _) => reply(200, &[], r#"{"token":"anybodys"}"#),
                (false, None) => unauthorized(CHALLENGE),
                (false, Some(_)) => reply(200, &[], MANIFEST),
            },
        );
    manifest(&app(builder(&net).build().unwrap()).await)
        .await
        .unwrap();
    let expected = [Sensitivity::Plain, Sensitivity::Plain, Sensitivity::Secret];
    assert_eq!(sensitivities(&net), expected);
}

// RE3: what the realm's name resolves to is for the transport to check, by the policy it is told.
#[tokio::test]
async fn re3_a_token_service_is_asked_under_the_class_of_the_registrys_address() {
    for (class, expected) in [
        (None, AddressClass::Public),
        (Some(AddressClass::Public), AddressClass::Public),
        (Some(AddressClass::Private), AddressClass::Private),
    ] {
        let net = Net::serving(move |seen| {
            let mut response = home(seen, || reply(200, &[], MANIFEST));
            response.extensions_mut().insert(Peer::new(class, false));
            response
        });
        let client = builder(&net).credentials(basic()).build().unwrap();
        manifest(&app(client).await).await.unwrap();
        let seen = net.seen();
        assert_eq!(seen[0].policy, Some(AddressPolicy::Any));
        match &seen[1].policy {
            Some(AddressPolicy::AtLeast { class, .. }) => assert_eq!(*class, expected),
            other => panic!("{other:?}"),
        }
    }
}

// RE3, RD2: a transport that does not declare that it checks addresses gets no request to a host
// name that a peer chose, and no second attempt.
#[tokio::test]
async fn re3_a_transport_that_checks_no_addresses_is_sent_nowhere_else() {
    for location in ["https://evil.example.net/x", "https://8.8.8.8/x"] {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&sent);
        let transport = from_fn(move |request: Request<Body>| {
            log.lock()
                .unwrap()
                .push(request.uri().host().unwrap().to_owned());
            let response = match request.uri().host() {
                Some("r.example.com") => redirect(location),
                _ => reply(200, &[], MANIFEST),
            };
            async { Ok(response) }
        });
        let client = Client::builder().transport(transport);
        let client = client.clock(TestClock::default()).build().unwrap();
        let answer = manifest(&app(client).await).await;
        let sent = sent.lock().unwrap();
        if location.contains("8.8.8.8") {
            assert_eq!(answer.unwrap(), Digest::sha256(MANIFEST.as_bytes()));
            assert_eq!(*sent, ["r.example.com", "8.8.8.8"]);
            continue;
        }
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{}", chain(&error));
        let missing = r#"evil.example.net needs the capability "address policy""#;
        assert!(chain(&error).contains(missing), "{}", chain(&error));
        assert_eq!(*sent, ["r.example.com"]);
    }
}

// RD2: the same for redirects, and an address that is known to be narrower is not tried at all.
#[tokio::test]
async fn rd2_a_redirect_leads_to_no_narrower_address() {
    let net = Net::serving(|seen| match seen.uri.starts_with(EVIL) {
        true => reply(200, &[], MANIFEST),
        false => redirect("https://evil.example.net/x"),
    });
    manifest(&app(builder(&net).build().unwrap()).await)
        .await
        .unwrap();
    match &net.seen()[1].policy {
        Some(AddressPolicy::AtLeast { class, .. }) => assert_eq!(*class, AddressClass::Public),
        other => panic!("{other:?}"),
    }
    for location in [
        "https://127.0.0.1/",
        "https://[::1]:5000/",
        "https://10.1.2.3/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "http://evil.example.net/",
        "ftp://evil.example.net/",
        "https://u:p@evil.example.net/",
        "https://evil.example.net:0x50/",
        "",
    ] {
        let net = Net::serving(move |_| redirect(location));
        let error = fails(builder(&net)).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{location}: {error:?}");
        assert_eq!(net.seen().len(), 1, "{location}");
    }
}

// RD2: proxies in front of a registry do not know that it is spoken to over TLS.
#[tokio::test]
async fn rd2_our_own_host_misspelt_is_still_home() {
    let net = Net::serving(|seen| match seen.uri.ends_with("v1") {
        true => home(seen, || redirect("http://r.example.com/v2/other")),
        false => home(seen, || reply(200, &[], MANIFEST)),
    });
    let client = builder(&net).credentials(basic()).build().unwrap();
    manifest(&app(client).await).await.unwrap();
    assert_eq!(
        net.lines()[3],
        format!("GET {HOME}/v2/other Bearer home-token")
    );
}

// RD1, RD7
#[tokio::test]
async fn rd1_at_most_five_redirects_are_followed() {
    let net = Net::serving(|seen| redirect(&format!("{}x", seen.uri)));
    let error = fails(builder(&net)).await;
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(net.seen().len(), 6);
    assert!(
        chain(&error).contains("more than 5 redirects"),
        "{}",
        chain(&error)
    );

    let net = Net::serving(|_| reply(307, &[("location", "/a"), ("location", "/b")], ""));
    assert_eq!(fails(builder(&net)).await.kind(), ErrorKind::Protocol);
    let net = Net::serving(|_| reply(307, &[], ""));
    assert_eq!(fails(builder(&net)).await.kind(), ErrorKind::Protocol);
    assert_eq!(net.seen().len(), 1);
}

// RD1: redirects count anew for each attempt, and a retry begins at home.
#[tokio::test]
async fn a_retry_begins_at_home_again() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let net = Net::serving(move |seen| {
        if !seen.uri.starts_with(EVIL) {
            return home(seen, || redirect("https://evil.example.net/x"));
        }
        match tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => reply(503, &[], ""),
            _ => reply(200, &[], MANIFEST),
        }
    });
    let client = builder(&net).credentials(basic()).build().unwrap();
    manifest(&app(client).await).await.unwrap();
    assert_eq!(
        net.lines()[2..],
        [
            format!("GET {MANIFEST_URI} Bearer home-token"),
            format!("GET {EVIL}/x"),
            format!("GET {MANIFEST_URI} Bearer home-token"),
            format!("GET {EVIL}/x"),
        ]
    );
}

// CR4
#[tokio::test]
async fn cr4_plain_http_gets_secrets_only_where_it_is_configured() {
    let service = || {
        Net::serving(|seen| match seen.header("authorization") {
            Some(BASIC) => reply(200, &[], MANIFEST),
            _ => unauthorized("Basic realm=r"),
        })
    };
    let mut plain = HostSettings::default();
    plain.plain_http = true;
    let net = service();
    let client = builder(&net)
        .credentials(basic())
        .host("r.example.com", plain.clone());
    manifest(&app(client.build().unwrap()).await).await.unwrap();
    assert_eq!(
        net.lines()[1],
        format!("GET http://r.example.com/v2/app/manifests/v1 {BASIC}")
    );

    // The setting is one registry's, and not that of another port or of a longer name.
    for other in ["r.example.com:80", "r.example.com:5000", "a.r.example.com"] {
        let net = service();
        let client = builder(&net).credentials(credential(other));
        let client = client.host("r.example.com", plain.clone()).build().unwrap();
        let reference = reference(&format!("{other}/app:v1"));
        let repository = client.repository(&reference).await.unwrap();
        repository.manifest(&reference.target()).await.unwrap();
        assert_eq!(net.count("http://"), 0, "{other}");
    }

    // A redirect to where the same host is spoken to in the clear is one to somebody else.
    let net = Net::serving(
        |seen| match seen.uri.starts_with("http://r.example.com:8080/") {
            true => unauthorized("Basic realm=r"),
            false => redirect("http://r.example.com:8080/"),
        },
    );
    let error = fails(
        builder(&net)
            .credentials(basic())
            .host("r.example.com", plain),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::Auth);
    net.was_never_told("http://r.example.com:8080", &SECRETS);
}

// CR2
#[tokio::test]
async fn cr2_a_credential_is_for_the_registry_of_exactly_this_name() {
    for stored in [
        "example.com",
        "r.example.com:5000",
        "evil.r.example.com",
        "r.example.co",
    ] {
        let net = Net::serving(|_| unauthorized("Basic realm=r"));
        let error = fails(builder(&net).credentials(credential(stored))).await;
        assert!(
            matches!(
                error.cause(),
                Cause::Auth(AuthError::CredentialsRequired { .. }, _)
            ),
            "{stored}: {error:?}"
        );
        assert_eq!(net.seen().len(), 1, "{stored}");
    }
}

// OU3, OU4
#[tokio::test]
async fn ou3_no_error_shows_a_secret() {
    let signed = "https://evil.example.net/b?X-Amz-Signature=home-token&x=white-whale";
    let endings: [fn(&Seen) -> Response<Body>; 6] = [
        |seen| home(seen, || reply(403, &[], "")),
        |seen| {
            home(seen, || {
                unauthorized("Bearer realm=x,error=\"invalid_token\"")
            })
        },
        |seen| home(seen, || redirect("http://evil.example.net/?sig=home-token")),
        |seen| {
            home(seen, || {
                redirect("ftp://ahab:white-whale@evil.example.net/?sig=home-token")
            })
        },
        |seen| {
            home(seen, || {
                reply(200, &[("content-encoding", "gzip")], MANIFEST)
            })
        },
        |seen| match seen.uri.starts_with(AUTH) {
            true => reply(200, &[], r#"{"token":"home-token white-whale"}"#),
            false => unauthorized(CHALLENGE),
        },
    ];
    for (index, ending) in endings.into_iter().enumerate() {
        let error = fails(builder(&Net::serving(ending)).credentials(basic())).await;
        let texts = [chain(&error), format!("{error:?}"), format!("{error:#?}")];
        for secret in SECRETS.iter().filter(|secret| **secret != USER) {
            for text in &texts {
                assert!(!text.contains(secret), "{index}: {secret} in {text}");
            }
        }
    }
    // What a redirect is signed with, too.
    let net = Net::serving(move |seen| match seen.uri.starts_with(EVIL) {
        true => reply(404, &[], ""),
        false => redirect(signed),
    });
    let error = fails(builder(&net)).await;
    let text = format!("{} {error:?}", chain(&error));
    assert!(
        !text.contains("home-token") && !text.contains("white-whale"),
        "{text}"
    );
}

// DG6, and no cookie or other header that nobody asked for.
#[tokio::test]
async fn dg6_every_request_asks_for_the_bytes_as_they_are() {
    let net = Net::serving(|seen| match seen.uri.starts_with(EVIL) {
        true => reply(200, &[("set-cookie", "a=b")], "one"),
        false => home(seen, || redirect("https://evil.example.net/one")),
    });
    let app = app(builder(&net).credentials(basic()).build().unwrap()).await;
    for _ in 0..2 {
        let blob = app.blob(&Digest::sha256(b"one"), None).unwrap();
        assert_eq!(blob.bytes(3).await.unwrap(), "one");
    }
    for seen in net.seen() {
        assert_eq!(seen.header("accept-encoding"), Some("identity"), "{seen:?}");
        let known = ["accept", "accept-encoding", "authorization"];
        assert!(
            seen.headers
                .keys()
                .all(|name| known.contains(&name.as_str())),
            "{seen:?}"
        );
    }
    assert_eq!(net.lines()[0], format!("GET {}", blob_uri(HOME, b"one")));
    assert_eq!(net.lines()[1], format!("GET {TOKEN_URI} {BASIC}"));
}

// RE3: a peer that is not known to be anywhere counts as public.
#[tokio::test]
async fn allowed_addresses_may_be_reached_from_anywhere() {
    let net = Net::serving(|seen| match seen.uri.starts_with("https://10.0.0.7/") {
        true => reply(200, &[], MANIFEST),
        false => redirect("https://10.0.0.7/x"),
    });
    let mut settings = HostSettings::default();
    settings.allow_addresses = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let client = builder(&net)
        .host("r.example.com", settings)
        .build()
        .unwrap();
    manifest(&app(client).await).await.unwrap();
    assert_eq!(net.seen().len(), 2);
}
