//! One token in one call, by the same rules as a client's.

use std::time::Duration;

use http::header::{HeaderMap, WWW_AUTHENTICATE};
use longshore::auth::{AuthError, RegistrySettings, ScopeSet};
use longshore::origin::{AddressClass, AddressPolicy, Peer, Secret};
use longshore::transport::{Exchange, Phase, ScriptedTransport, TestClock, TlsIdentity};
use longshore::{Cause, Credential, Error, ErrorKind, TokenRequest, fetch_token};

use crate::auth::{CHALLENGE, TOKEN_URI};
use crate::support::{
    AUTH, BASIC, EVIL, HOME, Net, PASSWORD, Piece, Pieces, USER, chain, closed, reply,
};

const TOKEN: &str = r#"{"token":"t","expires_in":300,"refresh_token":"r"}"#;

/// What the registry of these tests refuses with, and `app` is to be pulled from it.
fn asked(challenges: &[&str]) -> TokenRequest {
    asked_by(HOME, challenges)
}

fn asked_by(registry: &str, challenges: &[&str]) -> TokenRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "text/plain".parse().unwrap());
    for challenge in challenges {
        headers.append(WWW_AUTHENTICATE, challenge.parse().unwrap());
    }
    TokenRequest::new(registry.parse().unwrap(), &headers, ScopeSet::pull("app"))
}

fn user() -> Option<Credential> {
    let password = Secret::new(PASSWORD.to_owned());
    Some(Credential::basic(USER, password).unwrap())
}

fn identity() -> Option<Credential> {
    Some(Credential::IdentityToken(Secret::new("identity".into())))
}

fn script(answers: impl IntoIterator<Item = Exchange>) -> Net {
    Net::over(ScriptedTransport::new(answers))
}

fn get(status: u16) -> Exchange {
    Exchange::new("GET", TOKEN_URI, status)
}

/// The token and the seconds it lasts, or the error.
async fn token(
    net: &Net,
    request: &TokenRequest,
    credential: Option<Credential>,
) -> Result<(String, u64), Error> {
    let issued = fetch_token(net.clone(), TestClock::default(), request, credential).await?;
    Ok((issued.token.expose().to_owned(), issued.lifetime.as_secs()))
}

#[tokio::test]
async fn a_challenge_a_credential_and_a_transport_make_a_token() {
    let answer = || get(200).body(TOKEN);
    let expected = ("t".to_owned(), 300);
    let net = script([answer().wants("authorization", BASIC)]);
    assert_eq!(
        token(&net, &asked(&[CHALLENGE]), user()).await.unwrap(),
        expected
    );
    // RE5: a token is also requested without a credential.
    let net = script([answer().lacks("authorization")]);
    assert_eq!(
        token(&net, &asked(&[CHALLENGE]), None).await.unwrap(),
        expected
    );
    // Bearer before Basic, whatever their order and number.
    let net = script([answer()]);
    let both = asked(&["Basic realm=\"r\", Negotiate", CHALLENGE]);
    assert_eq!(token(&net, &both, user()).await.unwrap(), expected);
}

// CR8
#[tokio::test]
async fn cr8_no_more_is_asked_for_than_is_wanted() {
    let greedy = CHALLENGE.replace("app:pull", "app:pull,push,delete");
    let net = script([get(200).body(TOKEN)]);
    token(&net, &asked(&[&greedy]), user()).await.unwrap();
    assert_eq!(net.lines(), [format!("GET {TOKEN_URI} {BASIC}")]);
}

// RE1, RE2, RE4
#[tokio::test]
async fn re4_no_realm_is_asked_that_the_client_would_not_ask() {
    for realm in [
        "http://auth.example.com/token",
        "https://evil.example.net/token",
        "https://ahab@auth.example.com/token",
        "token",
    ] {
        let net = script([]);
        let challenge = format!("Bearer realm=\"{realm}\"");
        let error = token(&net, &asked(&[&challenge]), user())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RealmRefused, "{realm}");
    }
    let evil = format!("Bearer realm=\"{EVIL}/token\"");
    let error = token(&script([]), &asked(&[&evil]), user())
        .await
        .unwrap_err();
    assert_eq!(error.refused_realm().unwrap().to_string(), EVIL);
    assert_eq!(
        chain(&error),
        "cannot get a token from r.example.com: authentication failed: \
         https://r.example.com names https://evil.example.net as its token endpoint, which is not \
         known to belong to it, so no credentials are sent there"
    );
    // As the user has settled it.
    let settings = RegistrySettings::new().allow_realm(EVIL.parse().unwrap());
    let allowed = asked(&[&evil]).settings(settings);
    let uri = format!("{EVIL}/token?scope=repository%3Aapp%3Apull");
    let net = script([Exchange::new("GET", &uri, 200).body(TOKEN)]);
    token(&net, &allowed, user()).await.unwrap();
    // RE5: who has nothing to lose may ask.
    let net = script([Exchange::new("GET", &uri, 200).body(TOKEN)]);
    token(&net, &asked(&[&evil]), None).await.unwrap();
}

// CR4
#[tokio::test]
async fn cr4_no_secret_goes_over_plain_http_that_is_not_meant_to() {
    let plain = "http://r.example.com";
    let challenge = format!("Bearer realm=\"{plain}/token\"");
    let request = asked_by(plain, &[&challenge]);
    let error = token(&script([]), &request, user()).await.unwrap_err();
    assert_eq!(
        chain(&error),
        "cannot get a token from r.example.com: authentication failed: no secrets are sent to \
         http://r.example.com, which is not encrypted"
    );
    let meant = request.settings(RegistrySettings::new().plain_http());
    let uri = format!("{plain}/token?scope=repository%3Aapp%3Apull");
    let net = script([Exchange::new("GET", &uri, 200).body(TOKEN)]);
    token(&net, &meant, user()).await.unwrap();
}

// RE3
#[tokio::test]
async fn re3_the_realm_may_be_no_nearer_than_the_registry() {
    for (class, expected) in [
        (None, AddressClass::Public),
        (Some(AddressClass::Public), AddressClass::Public),
        (Some(AddressClass::Private), AddressClass::Private),
    ] {
        let net = script([get(200).body(TOKEN)]);
        let request = asked(&[CHALLENGE]).peer(Peer::new(class, false));
        token(&net, &request, user()).await.unwrap();
        let Some(AddressPolicy::AtLeast { class, .. }) = &net.seen()[0].policy else {
            panic!("{:?}", net.seen())
        };
        assert_eq!(*class, expected);
    }
    let near = "Bearer realm=\"https://127.0.0.1/token\"";
    let error = token(&script([]), &asked(&[near]), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RealmRefused);
}

// CR5: a client certificate is for the registry's own origin.
#[tokio::test]
async fn cr5_the_tls_identity_goes_to_the_registrys_own_origin() {
    let tls = TlsIdentity::named("mine");
    let own = "Bearer realm=\"https://r.example.com/token\"";
    for (challenge, expected) in [(own, Some(tls.clone())), (CHALLENGE, None)] {
        let net = Net::serving(|_| reply(200, &[], TOKEN));
        let request = asked(&[challenge]).tls(tls.clone());
        token(&net, &request, user()).await.unwrap();
        assert_eq!(net.seen()[0].tls, expected);
    }
}

// CR7
#[tokio::test]
async fn cr7_a_refusal_is_final() {
    for status in [401, 403] {
        let net = script([get(status)]);
        let error = token(&net, &asked(&[CHALLENGE]), user()).await.unwrap_err();
        let refused = matches!(
            error.cause(),
            Cause::Auth(AuthError::CredentialsRefused { .. }, _)
        );
        assert!(refused && error.kind() == ErrorKind::Auth, "{error:?}");
        let net = script([get(status)]);
        let error = token(&net, &asked(&[CHALLENGE]), None).await.unwrap_err();
        let required = matches!(
            error.cause(),
            Cause::Auth(AuthError::CredentialsRequired { .. }, _)
        );
        assert!(required, "{error:?}");
    }
}

// CR7
#[tokio::test]
async fn a_refresh_token_is_given_to_the_caller_on_request() {
    let post = |status| Exchange::new("POST", &format!("{AUTH}/token"), status);
    let offline_uri = TOKEN_URI.replace("&scope", "&offline_token=true&client_id=longshore&scope");
    let by_get = Exchange::new("GET", &offline_uri, 200).wants("authorization", BASIC);
    let form = "grant_type=password&username=ahab&password=white-whale&client_id=longshore\
                &service=r&scope=repository%3Aapp%3Apull&access_type=offline";
    for answers in [
        vec![post(200).body(TOKEN)],
        vec![post(405), by_get.body(TOKEN)],
    ] {
        let net = script(answers);
        let request = asked(&[CHALLENGE]).offline();
        let clock = TestClock::default();
        let issued = fetch_token(net.clone(), clock, &request, user())
            .await
            .unwrap();
        assert_eq!(issued.refresh_token, Some(Secret::new("r".into())));
        assert_eq!(net.seen()[0].body, form.as_bytes());
    }
    // What is not asked for is not asked for in other words.
    let net = script([post(200).body(TOKEN)]);
    token(&net, &asked(&[CHALLENGE]), identity()).await.unwrap();
    let seen = net.seen();
    let sent = String::from_utf8_lossy(&seen[0].body);
    assert_eq!(
        sent,
        "grant_type=refresh_token&refresh_token=identity&client_id=longshore&service=r\
         &scope=repository%3Aapp%3Apull"
    );
}

// CR7: a refusal whose body breaks off is not answered with the same password in the same form.
#[tokio::test]
async fn cr7_a_refusal_that_breaks_off_is_still_one() {
    let net = Net::serving(|seen| match seen.method.as_str() {
        "POST" => {
            let broken = [Piece::Breaks(closed(Phase::Body))];
            reply(400, &[], Pieces::body(&TestClock::default(), broken))
        }
        _ => reply(200, &[], TOKEN),
    });
    let request = asked(&[CHALLENGE]).offline();
    let issued = token(&net, &request, user()).await.unwrap();
    assert_eq!(issued, ("t".to_owned(), 300));
    let seen = net.seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(methods, ["POST", "GET"]);
}

// RT1, RT3, and 30 s in all
#[tokio::test]
async fn rt1_a_token_service_that_cannot_answer_is_asked_again() {
    let answers = || {
        [
            get(503),
            get(429).header("retry-after", "3"),
            Exchange::failing("GET", TOKEN_URI, closed(Phase::Head)),
            get(200).body(TOKEN),
        ]
    };
    let (net, clock) = (script(answers()), TestClock::default());
    let request = asked(&[CHALLENGE]);
    let issued = fetch_token(net.clone(), clock.clone(), &request, None).await;
    assert_eq!(issued.unwrap().token.expose(), "t");
    assert_eq!(clock.slept()[1], Duration::from_secs(3));
    assert_eq!(net.lines().len(), 4);
    // As often as it may be.
    let net = script(answers());
    let error = token(&net, &request.attempts(2), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(net.lines().len(), 2);
    let net = script([get(429).header("retry-after", "30")]);
    let error = token(&net, &asked(&[CHALLENGE]), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
}

// CR3
#[tokio::test]
async fn cr3_where_no_token_is_asked_for_none_is_fetched() {
    for (challenges, credential, expected) in [
        (
            &["Basic realm=\"r\""][..],
            user(),
            "https://r.example.com requires a password, not a token",
        ),
        (
            &["Basic realm=\"r\""],
            identity(),
            "the credentials for https://r.example.com are not of the kind that its Basic \
             challenge requires",
        ),
        (
            &[],
            user(),
            "https://r.example.com answers 401 without a usable challenge (there is none)",
        ),
        (
            &["Negotiate", "Digest realm=\"r\""],
            user(),
            "https://r.example.com answers 401 without a usable challenge \
             (it offers Negotiate, Digest)",
        ),
        (
            &["Bearer service=\"r\""],
            user(),
            "the Bearer challenge of https://r.example.com has no realm, so there is no token \
             endpoint",
        ),
    ] {
        let error = token(&script([]), &asked(challenges), credential).await;
        let Cause::Auth(error, None) = error.as_ref().unwrap_err().cause() else {
            panic!("{error:?}")
        };
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_token_the_user_has_is_given_back() {
    let given = |text: &str| Some(Credential::Token(Secret::new(text.to_owned())));
    let found = token(&script([]), &asked(&[CHALLENGE]), given("mine")).await;
    assert_eq!(found.unwrap(), ("mine".to_owned(), 60));
    // CR9
    let error = token(&script([]), &asked(&[CHALLENGE]), given("a b")).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error.cause(), Cause::Auth(AuthError::Credential { .. }, _)),
        "{error:?}"
    );
}

// OU3
#[tokio::test]
async fn ou3_what_was_asked_and_given_can_be_shown() {
    let request = asked(&[CHALLENGE]);
    let net = script([get(200).body(TOKEN)]);
    let fetching = fetch_token(net, TestClock::default(), &request, user());
    // And be done by any thread.
    fn is_send(_: &impl Send) {}
    is_send(&fetching);
    let issued = fetching.await;
    let text = format!("{request:?} {issued:?}");
    for secret in [PASSWORD, BASIC, "\"t\"", "\"r\""] {
        assert!(!text.contains(secret), "{text}");
    }
}
