//! What a token service may answer, and what is made of it.

use std::time::Duration;

use longshore::auth::AuthError;
use longshore::transport::{
    Exchange, Phase, ScriptedTransport, TestClock, TransportError, TransportErrorKind,
};
use longshore::{Cause, Client, ErrorKind};

use crate::auth::{CHALLENGE, MANIFEST_URI, TOKEN_URI, unauthorized};
use crate::support::{
    AUTH, BASIC, EVIL, HOME, MANIFEST, Net, PASSWORD, app, basic, builder, closed, timed,
};

fn token_conversation(answers: impl IntoIterator<Item = Exchange>) -> Net {
    let refused = Exchange::new("GET", MANIFEST_URI, 401).header("www-authenticate", CHALLENGE);
    Net::over(ScriptedTransport::new([refused].into_iter().chain(answers)))
}

async fn manifest_with(client: Client) -> Result<String, longshore::Error> {
    let pulled = app(client).await.manifest(&"v1".parse().unwrap()).await?;
    Ok(pulled.digest().to_string())
}

// RT1, RT3
#[tokio::test]
async fn a_token_service_that_cannot_answer_is_asked_again() {
    let net = token_conversation([
        Exchange::new("GET", TOKEN_URI, 503),
        Exchange::new("GET", TOKEN_URI, 429).header("retry-after", "3"),
        Exchange::failing("GET", TOKEN_URI, closed(Phase::Head)),
        Exchange::new("GET", TOKEN_URI, 200)
            .body(r#"{"token":"#)
            .broken(closed(Phase::Body)),
        Exchange::new("GET", TOKEN_URI, 200)
            .body(r#"{"token":"#)
            .body(r#""t"}"#),
        Exchange::new("GET", MANIFEST_URI, 200)
            .wants("authorization", "Bearer t")
            .body(MANIFEST),
    ]);
    let clock = TestClock::default();
    manifest_with(timed(&net, &clock).build().unwrap())
        .await
        .unwrap();
    let short = Duration::from_millis(100);
    assert_eq!(clock.slept(), [short, Duration::from_secs(3), short, short]);
    assert_eq!(net.lines().len(), 7);
}

// RT: a token request takes 30 s in all.
#[tokio::test]
async fn a_token_service_that_wants_too_much_patience_gets_none() {
    // RT3: also a point in time that is far away, in an answer without a date.
    for wait in ["30", "Tue, 06 Nov 2012 08:49:37 GMT"] {
        let answer = Exchange::new("GET", TOKEN_URI, 429).header("retry-after", wait);
        let net = token_conversation([answer]);
        let clock = TestClock::default();
        let error = manifest_with(timed(&net, &clock).build().unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert_eq!(clock.slept(), [], "{wait}");
    }
}

// Nothing is wrong with the token service where the transport cannot do what is asked of it.
#[tokio::test]
async fn a_failure_of_the_transport_is_classed_alike_for_calls_and_token_requests() {
    for (kind, expected) in [
        (TransportErrorKind::Unsupported, ErrorKind::Configuration),
        (TransportErrorKind::AddressRefused, ErrorKind::Protocol),
        (TransportErrorKind::HeaderLimit, ErrorKind::Protocol),
        (TransportErrorKind::Tls, ErrorKind::Unavailable),
    ] {
        let error = TransportError::new(kind, Phase::Connect);
        let net = token_conversation([Exchange::failing("GET", TOKEN_URI, error)]);
        let client = builder(&net).build().unwrap();
        let error = manifest_with(client).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{kind:?}");
    }
}

// CR7: accounts get locked.
#[tokio::test]
async fn cr7_a_401_from_the_token_service_is_final() {
    for status in [401, 403] {
        let net = token_conversation([Exchange::new("GET", TOKEN_URI, status)]);
        let client = builder(&net).credentials(basic()).build().unwrap();
        let error = manifest_with(client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth);
        let Cause::Auth(AuthError::CredentialsRefused { by, registry, .. }, _) = error.cause()
        else {
            panic!("{error:?}")
        };
        assert_eq!(
            (by.to_string(), registry.to_string()),
            (AUTH.into(), HOME.into())
        );
        assert_eq!(net.lines().len(), 2);
    }
}

#[tokio::test]
async fn no_credentials_and_wrong_credentials_are_told_apart() {
    let answers = || [Exchange::new("GET", TOKEN_URI, 401)];
    let error = manifest_with(builder(&token_conversation(answers())).build().unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.cause(),
            Cause::Auth(AuthError::CredentialsRequired { .. }, _)
        ),
        "{error:?}"
    );
    let net = Net::serving(|_| unauthorized("Basic realm=r"));
    let client = builder(&net).credentials(basic()).build().unwrap();
    let error = manifest_with(client).await.unwrap_err();
    assert!(
        matches!(
            error.cause(),
            Cause::Auth(AuthError::CredentialsRefused { .. }, _)
        ),
        "{error:?}"
    );
    // Once without and once with the password, never a second time with it.
    assert_eq!(net.lines().len(), 2);
}

// CR9, LI: a body that is no token is final, however often it is asked for.
#[tokio::test]
async fn cr9_an_answer_without_a_usable_token_is_final() {
    for body in [
        r#"{"token":"a b"}"#.to_owned(),
        r#"{"token":"a\r\nX-Evil: 1"}"#.to_owned(),
        r#"{"token":""}"#.to_owned(),
        "[]".to_owned(),
        format!(r#"{{"token":"{}"}}"#, "t".repeat(64 * 1024 + 1)),
        format!(r#"{{"token":"t","x":"{}"}}"#, "x".repeat(256 * 1024)),
    ] {
        let net = token_conversation([Exchange::new("GET", TOKEN_URI, 200).body(body)]);
        let error = manifest_with(builder(&net).build().unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        assert_eq!(net.lines().len(), 2);
    }
}

// RE6
#[tokio::test]
async fn re6_a_token_service_may_redirect_twice_and_only_to_itself() {
    let hop = |from: &str, to: &str| Exchange::new("GET", from, 307).header("location", to);
    let at = |path: &str| format!("{AUTH}{path}");
    let client = |net: &Net| builder(net).credentials(basic()).build().unwrap();

    let token = Exchange::new("GET", &at("/b"), 200).wants("authorization", BASIC);
    let net = token_conversation([
        hop(TOKEN_URI, "/a"),
        hop(&at("/a"), "/b"),
        token.body(r#"{"token":"t"}"#),
        Exchange::new("GET", MANIFEST_URI, 200).body(MANIFEST),
    ]);
    manifest_with(client(&net)).await.unwrap();

    let thrice = [
        hop(TOKEN_URI, "/a"),
        hop(&at("/a"), "/b"),
        hop(&at("/b"), "/c"),
    ];
    for answers in [
        thrice.into(),
        vec![hop(TOKEN_URI, "https://evil.example.net/token")],
    ] {
        let net = token_conversation(answers);
        let error = manifest_with(client(&net)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        assert_eq!(net.count(EVIL), 0);
        net.was_never_told(EVIL, &[PASSWORD]);
    }
}
