//! Whole calls: what is sent to whom, and how they end.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what does not go as written is a failed test"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use longshore_auth::{
    AuthCall, AuthError, Authenticator, Credential, Prepare, PublicSuffixes, RegistrySettings,
    ScopeSet, TokenKey, TokenTable,
};
use longshore_origin::{Hop, Peer, Secret};

#[path = "authenticator/before.rs"]
mod before;
#[path = "authenticator/expired.rs"]
mod expired;
#[path = "authenticator/renewable.rs"]
mod renewable;
#[path = "authenticator/ways.rs"]
mod ways;
#[expect(dead_code, reason = "shared with tests that look at more of it")]
#[path = "support/world.rs"]
mod world;

use world::World;

const BEARER: &str = r#"401 Bearer realm="https://auth.example.com/token",service="r""#;
const BASIC: &str = r#"401 Basic realm="r""#;
const TOKEN_1: &str = r#"200 {"token":"t1","expires_in":300}"#;
const TOKEN_2: &str = r#"200 {"token":"t2","expires_in":300}"#;
const TOKEN_3: &str = r#"200 {"token":"t3","expires_in":300}"#;
/// `me:hunter2`
const PASSWORD: &str = "Basic bWU6aHVudGVyMg==";
const TOKEN_REQUEST: &str =
    "https://auth.example.com/token?service=r&scope=repository%3Aapp%3Apull";
const ASKED: &str = "https://r.example.com/v2/ -";

// ---------------------------------------------------------------- answers to a challenge

#[test]
fn nothing_is_sent_that_was_not_asked_for() {
    let mut world = with_password();
    world.ends(&["404"], Ok(404), &[ASKED]);
    assert_eq!(world.lookups, []);
}

// CR3
#[test]
fn cr3_a_basic_challenge_is_answered_with_basic() {
    let mut world = with_password();
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    world.ends(&[BASIC, "200"], Ok(200), &[ASKED, &basic]);
    assert_eq!(world.lookups.len(), 1);
    // The same again, without a cache; a retry within a call keeps what was learned.
    world.ends(&[BASIC, "503"], Ok(503), &[ASKED, &basic]);
}

#[test]
fn a_bearer_challenge_is_answered_with_a_token() {
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let answer = "https://r.example.com/v2/ Bearer t1";
    let mut world = with_password();
    world.ends(&[BEARER, TOKEN_1, "200"], Ok(200), &[ASKED, &token, answer]);
    assert_eq!(world.lookups.len(), 1);
    // The same without credentials.
    let token = format!("{TOKEN_REQUEST} -");
    anonymous().ends(&[BEARER, TOKEN_1, "200"], Ok(200), &[ASKED, &token, answer]);
}

#[test]
fn a_call_with_a_body_gets_its_token_before_the_first_request() {
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let call = || {
        let mut call = AuthCall::new();
        call.token_first();
        call
    };
    for mut world in [with_password(), with_password().cached()] {
        let home = "https://r.example.com".parse().unwrap();
        assert!(!world.auth.is_challenged_by(&home));
        // The client knows nothing about the registry yet.
        world.drive_to_end(call(), &["404"], Ok(404), &[ASKED]);
        world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
        assert!(world.auth.is_challenged_by(&home));
        world.now += Duration::from_secs(1000);
        let answer = "https://r.example.com/v2/ Bearer t2";
        world.drive_to_end(call(), &[TOKEN_2, "200"], Ok(200), &[&token, answer]);
        // If no token is issued, the request is sent without one; refused credentials end the call.
        world.now += Duration::from_secs(1000);
        world.drive_to_end(call(), &["500", "200"], Ok(200), &[&token, ASKED]);
        let refused = "https://auth.example.com does not accept the credentials for \
                       https://r.example.com";
        world.drive_to_end(call(), &["401"], Err(refused), &[&token]);
    }
}

#[test]
fn bearer_is_chosen_before_basic_in_whatever_order() {
    let bearer = BEARER.trim_start_matches("401 ");
    for challenges in [
        format!("401 {bearer}, Basic realm=\"r\""),
        format!("401 Basic realm=\"r\", {bearer}"),
        format!("401 Basic realm=\"r\" | {bearer}"),
        format!("401 Negotiate, Digest realm=\"x\" | {bearer}, Basic"),
        format!("401 \"broken | Bearer error=\"x\", {bearer}"),
    ] {
        let mut world = with_password();
        world.run(&[&challenges, TOKEN_1, "200"], Ok(200));
        assert_eq!(
            world.last(),
            "https://r.example.com/v2/ Bearer t1",
            "{challenges}"
        );
    }
}

#[test]
fn of_several_bearer_challenges_the_first_that_can_be_met_counts() {
    let first = r#"Bearer realm="https://one.example.com/",service="1""#;
    let second = r#"Bearer realm="https://two.example.com/",service="2""#;
    for (challenges, asked) in [
        (format!("401 {first}, {second}"), "https://one.example.com"),
        (
            format!("401 Bearer, {second}, {first}"),
            "https://two.example.com",
        ),
        (
            format!("401 Bearer realm=\"x\" | {second}"),
            "https://two.example.com",
        ),
    ] {
        let mut world = with_password();
        world.run(&[&challenges, TOKEN_1, "200"], Ok(200));
        assert_eq!(world.sent[1].to.to_string(), asked, "{challenges}");
    }
    let wrong = format!("401 {first},error=\"invalid_token\", {second},error=\"x\"");
    with_password().run(&[BEARER, TOKEN_1, &wrong, TOKEN_2, "200"], Ok(200));
}

#[test]
fn unknown_schemes_never_receive_credentials() {
    let error = "https://r.example.com answers 401 without a usable challenge \
                 (it offers Digest, Basicx, Bearer2)";
    let script = [r#"401 Digest realm="r", Basicx realm="r" | Bearer2 realm="https://x.example""#];
    with_password().ends(&script, Err(error), &[ASKED]);
    let error = "https://r.example.com answers 401 without a usable challenge \
                 (there is none)";
    with_password().ends(&["401"], Err(error), &[ASKED]);
    let error = "https://r.example.com answers 401 without a usable challenge \
                 (malformed: no scheme where a challenge should begin \
                 (WWW-Authenticate field 0, byte 0))";
    with_password().ends(&["401 \"nonsense"], Err(error), &[ASKED]);
}

#[test]
fn a_bearer_challenge_without_realm_is_an_error() {
    let error =
        "the Bearer challenge of https://r.example.com has no realm, so there is no token endpoint";
    for challenge in [
        "401 Bearer",
        "401 Bearer realm=\"\"",
        "401 Bearer error=\"invalid_token\"",
    ] {
        with_password().ends(&[challenge], Err(error), &[ASKED]);
    }
    // Where Basic is offered besides, that can be met.
    let mut world = with_password();
    world.run(&["401 Bearer service=\"r\", Basic", "200"], Ok(200));
    assert_eq!(
        world.last(),
        format!("https://r.example.com/v2/ {PASSWORD}")
    );
}

#[test]
fn re1_a_realm_that_is_a_path_is_on_the_registry_itself() {
    let challenge = r#"401 Bearer realm="/zot/auth/token",service="r""#;
    let token = format!(
        "https://r.example.com/zot/auth/token?service=r&scope=repository%3Aapp%3Apull {PASSWORD}"
    );
    let answer = "https://r.example.com/v2/ Bearer t1";
    let answers = [challenge, TOKEN_1, "200"];
    with_password().ends(&answers, Ok(200), &[ASKED, &token, answer]);
    // RE4: a network-path reference names another host, so it is refused.
    let elsewhere = r#"401 Bearer realm="//evil.example.net/token",service="r""#;
    let error = "https://r.example.com names https://evil.example.net as its token endpoint, \
                 which is not known to belong to it, so no credentials are sent there";
    with_password().ends(&[elsewhere, TOKEN_1, "200"], Err(error), &[ASKED]);
}

// RE1, CR5: a path in the challenge of another origin is resolved against that origin.
#[test]
fn re1_a_path_in_the_challenge_of_another_origin_is_resolved_there() {
    let mut world = with_password();
    let moved = "307 https://cdn.example.net/blob";
    let answers = [moved, r#"401 Bearer realm="/token""#, TOKEN_1, "200"];
    let cdn = |path: &str| format!("https://cdn.example.net/{path}");
    let asked = cdn("blob -");
    let token = cdn("token?scope=repository%3Aapp%3Apull -");
    let answer = cdn("blob Bearer t1");
    world.ends(&answers, Ok(200), &[ASKED, &asked, &token, &answer]);
}

// RE1
#[test]
fn re1_a_realm_that_is_no_url_is_an_error() {
    let error = "the token endpoint that https://r.example.com names cannot be used";
    for realm in [
        "token",
        "null://x",
        "https://me@auth.example.com/",
        "https://a/#b",
    ] {
        let challenge = format!("401 Bearer realm=\"{realm}\"");
        with_password().ends(&[&challenge], Err(error), &[ASKED]);
    }
    let mut world = with_password();
    world.run(&["401 Bearer realm=\"token\", Basic", "200"], Ok(200));
    assert_eq!(
        world.last(),
        format!("https://r.example.com/v2/ {PASSWORD}")
    );
}

// CR8
#[test]
fn cr8_no_more_is_asked_for_than_the_request_needs() {
    for (challenged, asked) in [
        ("repository:app:pull", "repository%3Aapp%3Apull"),
        ("repository:app:pull,push", "repository%3Aapp%3Apull"),
        ("repository:other:pull", "repository%3Aapp%3Apull"),
        ("registry:catalog:*", "repository%3Aapp%3Apull"),
        // The realm is neither the registry nor built in.
        ("aws", "repository%3Aapp%3Apull"),
    ] {
        let challenge = format!("{BEARER},scope=\"{challenged}\"");
        let mut world = with_password();
        world.run(&[&challenge, TOKEN_1, "200"], Ok(200));
        let scope = format!("&scope={asked}");
        assert!(
            world.sent[1].path.ends_with(&scope),
            "{challenged}: {}",
            world.sent[1]
        );
    }
    let challenge = r#"401 Bearer realm="https://r.example.com/token",scope="aws""#;
    let mut world = with_password();
    world.run(&[challenge, TOKEN_1, "200"], Ok(200));
    assert_eq!(world.sent[1].path, "/token?scope=aws");
}

#[test]
fn an_identity_token_is_exchanged_in_a_form() {
    let mut world = client(authenticator(), identity_token());
    let token = "https://auth.example.com/token -";
    let answer = "https://r.example.com/v2/ Bearer t1";
    world.ends(&[BEARER, TOKEN_1, "200"], Ok(200), &[ASKED, token, answer]);
    let form = "grant_type=refresh_token&refresh_token=refresh&client_id=longshore&service=r\
                &scope=repository%3Aapp%3Apull";
    assert_eq!(world.sent[1].body, form);
    let error = "the credentials for https://r.example.com are not of the kind that its Basic \
                 challenge requires";
    client(authenticator(), identity_token()).ends(&[BASIC], Err(error), &[ASKED]);
}

#[test]
fn a_token_of_the_users_is_shown_as_it_is() {
    let given = "https://r.example.com/v2/ Bearer given";
    let mut world = client(authenticator(), given_token());
    world.ends(&[BEARER, "200"], Ok(200), &[ASKED, given]);
    // At once, if it is known at once.
    let mut call = AuthCall::new();
    call.provide(&"https://r.example.com".parse().unwrap(), given_token());
    world.drive_to_end(call, &["200"], Ok(200), &[given]);
    // And if it is refused, that is that.
    let error = "https://r.example.com does not accept the credentials for https://r.example.com";
    world.ends(&[BEARER, BEARER], Err(error), &[ASKED, given]);
}

#[test]
fn an_earned_token_can_be_handed_to_another_client() {
    let mut world = with_password();
    let mut call = AuthCall::new();
    world.server = script(&[BEARER, TOKEN_1, "200"]);
    assert_eq!(world.drive(&mut call, home()).unwrap(), 200);
    let token = call.token().expect("a token was used").clone();
    let mut other = client(authenticator(), Some(token.into()));
    let shown = "https://r.example.com/v2/ Bearer t1";
    other.ends(&[BEARER, "200"], Ok(200), &[ASKED, shown]);
}

// CR1: what anybody can get of a foreign origin is not the registry's.
#[test]
fn cr1_a_token_of_a_foreign_origin_is_not_handed_on() {
    let mut world = with_password();
    let mut call = AuthCall::new();
    let bearer = r#"401 Bearer realm="https://cdn.example.net/t""#;
    world.server = script(&["307 https://cdn.example.net/", bearer, TOKEN_1, "200"]);
    assert_eq!(world.drive(&mut call, home()).unwrap(), 200);
    assert_eq!(world.last(), "https://cdn.example.net/ Bearer t1");
    assert_eq!(call.token(), None);
}

// ---------------------------------------------------------------- refusals and budgets

#[test]
fn no_credentials_and_refused_credentials_are_told_apart() {
    let none = "https://r.example.com requires credentials, and there are none \
                for it";
    anonymous().ends(&[BASIC], Err(none), &[ASKED]);
    anonymous().run(&[BEARER, TOKEN_1, BEARER], Err(none));
    anonymous().run(&[BEARER, "401"], Err(none));
    anonymous().run(&[BEARER, "403"], Err(none));

    let registry =
        "https://r.example.com does not accept the credentials for https://r.example.com";
    with_password().run(&[BASIC, BASIC], Err(registry));
    let realm =
        "https://auth.example.com does not accept the credentials for https://r.example.com";
    with_password().run(&[BEARER, "401"], Err(realm));
    let token = "https://r.example.com does not accept a token issued for the credentials";
    with_password().run(&[BEARER, TOKEN_1, BEARER], Err(token));
    let denied = format!("{BEARER},error=\"insufficient_scope\"");
    let token = "https://r.example.com does not accept a token issued for the credentials \
                 (insufficient_scope)";
    with_password().run(&[BEARER, TOKEN_1, &denied, TOKEN_2, &denied], Err(token));
}

// CR7
#[test]
fn cr7_a_second_401_is_final() {
    let mut world = with_password();
    let mut call = AuthCall::new();
    world.server = script(&[BEARER, TOKEN_1, BEARER, TOKEN_2, "200"]);
    let first = world.drive(&mut call, home()).unwrap_err().to_string();
    assert_eq!(world.sent.len(), 3);
    // And remembered for the call.
    let again = world.drive(&mut call, home()).unwrap_err().to_string();
    assert_eq!((first, world.sent.len()), (again, 3));
}

// CR7
#[test]
fn cr7_one_renewal_after_a_token_said_to_be_wrong() {
    for error in ["invalid_token", "insufficient_scope"] {
        let wrong = format!("{BEARER},error=\"{error}\"");
        let mut world = with_password();
        world.run(&[BEARER, TOKEN_1, &wrong, TOKEN_2, "200"], Ok(200));
        assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t2");
        assert_eq!(world.token_requests(), 2);
        let mut world = with_password();
        world.run(
            &[BEARER, TOKEN_1, &wrong, TOKEN_2, &wrong, TOKEN_3, "200"],
            Err(""),
        );
        assert_eq!(world.token_requests(), 2);
    }
    let mut world = with_password();
    let wrong = format!("{BEARER},error=\"invalid_request\"");
    world.run(&[BEARER, TOKEN_1, &wrong, TOKEN_2, "200"], Err(""));
    assert_eq!(world.token_requests(), 1);
}

// CR7
#[test]
fn cr7_a_refusal_by_the_token_endpoint_is_final() {
    for status in ["401", "401 Basic realm=\"auth\"", "403"] {
        let mut world = with_password();
        let mut call = AuthCall::new();
        world.server = script(&[BEARER, status, TOKEN_1, "200"]);
        let first = world.drive(&mut call, home()).unwrap_err().to_string();
        let again = world.drive(&mut call, home()).unwrap_err().to_string();
        assert_eq!(first, again);
        assert_eq!(world.token_requests(), 1);
    }
}

#[test]
fn a_password_is_shown_once_in_a_call() {
    let mut world = with_password().cached();
    world.run(&[BASIC, "200"], Ok(200));
    // Now it is known that the registry wants it, and refused at once.
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    let error = "https://r.example.com does not accept the credentials for https://r.example.com";
    world.ends(&[BASIC, BASIC, "200"], Err(error), &[&basic, ASKED]);
    // The token may not have been required for this request.
    world.ends(&[BASIC, "200"], Ok(200), &[&basic, ASKED]);
    // Unless the registry has changed its mind.
    world.sent.clear();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t1");
}

#[test]
fn other_failures_of_the_token_endpoint_end_the_call() {
    let endpoint = "the token endpoint https://auth.example.com issued no token";
    for answer in ["500", "404", "200 {}", "307 https://evil.example/token"] {
        with_password().run(&[BEARER, answer], Err(endpoint));
    }
    let error = "no answer from the token endpoint https://auth.example.com";
    with_password().run(&[BEARER], Err(error));
}

#[test]
fn a_token_that_expires_during_a_call_is_renewed_once() {
    let mut world = with_password();
    let mut call = AuthCall::new();
    world.server = script(&[BEARER, TOKEN_1, "503", TOKEN_2, "503", "503"]);
    for expected in ["t1", "t2", "t2"] {
        assert_eq!(world.drive(&mut call, home()).unwrap(), 503);
        assert_eq!(
            world.last(),
            format!("https://r.example.com/v2/ Bearer {expected}")
        );
        world.now += Duration::from_secs(290);
    }
    assert_eq!(world.token_requests(), 2);
}

// ---------------------------------------------------------------- foreign origins

// CR5
#[test]
fn cr5_a_foreign_401_never_gets_credentials() {
    let foreign = "https://cdn.example.net, to which https://r.example.com redirected, requires \
                   credentials, and none are sent there";
    let away = "307 https://cdn.example.net/blob";
    let cdn = "https://cdn.example.net/blob -";
    let mut world = with_password();
    world.ends(&[away, BASIC], Err(foreign), &[ASKED, cdn]);
    world.ends(&[away, "401"], Err(foreign), &[ASKED, cdn]);
    world.ends(&[away, "401 Bearer"], Err(foreign), &[ASKED, cdn]);
    assert_eq!(world.lookups, []);
    // What anybody can get may be got.
    let bearer = r#"401 Bearer realm="https://auth.example.net/t",service="cdn", Basic"#;
    let token = "https://auth.example.net/t?service=cdn&scope=repository%3Aapp%3Apull -";
    let shown = "https://cdn.example.net/blob Bearer t1";
    world.ends(
        &[away, bearer, TOKEN_1, "200"],
        Ok(200),
        &[ASKED, cdn, token, shown],
    );
    world.ends(
        &[away, bearer, TOKEN_1, bearer],
        Err(foreign),
        &[ASKED, cdn, token, shown],
    );
    assert_eq!(world.lookups, []);
}

// RD1
#[test]
fn rd1_nothing_is_home_again_once_left() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    let script = [
        "307 https://cdn.example.net/",
        "307 https://r.example.com/v2/",
        BASIC,
    ];
    let error = "https://r.example.com, to which https://r.example.com redirected, requires \
                 credentials, and none are sent there";
    let shown = "https://r.example.com/v2/ Bearer t1";
    world.ends(
        &script,
        Err(error),
        &[shown, "https://cdn.example.net/ -", ASKED],
    );
    // What was wanted at home is not shown to what only looks like it.
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    let [away, back, _] = script;
    with_password().ends(
        &[BASIC, away, back, "200"],
        Ok(200),
        &[ASKED, &basic, "https://cdn.example.net/ -", ASKED],
    );
}

// RD1, CR5
#[test]
fn rd1_a_token_got_at_home_is_not_shown_to_what_only_looks_like_it() {
    let mut world = anonymous().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    let away = "307 https://cdn.example.net/";
    let back = "307 https://r.example.com/v2/";
    let cdn = "https://cdn.example.net/ -";
    let mut call = AuthCall::new();
    call.provide(home().home(), None);
    let (old, new) = (
        "https://r.example.com/v2/ Bearer t1",
        "https://r.example.com/v2/ Bearer t2",
    );
    let token = format!("{TOKEN_REQUEST} -");
    let script = [away, back, BEARER, TOKEN_2, "200"];
    world.drive_to_end(call, &script, Ok(200), &[old, cdn, ASKED, &token, new]);
    // Nor the other way round.
    world.ends(&["200"], Ok(200), &[old]);
}

// CR1
#[test]
fn cr1_a_redirect_within_the_registry_keeps_the_token() {
    let mut world = with_password();
    world.run(&[BEARER, TOKEN_1, "307 /v2/other", "200"], Ok(200));
    assert_eq!(world.last(), "https://r.example.com/v2/other Bearer t1");
}

#[test]
fn a_call_chased_from_token_to_token_ends() {
    let bearer = |host| format!(r#"401 Bearer realm="https://{host}/t""#);
    let script = [
        BEARER,
        TOKEN_1,
        "307 https://a.example.net/",
        &bearer("a.example.net"),
        TOKEN_2,
        "307 https://b.example.net/",
        &bearer("b.example.net"),
        TOKEN_3,
    ];
    let error = "https://b.example.net requires more than 2 token requests for one call";
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let sent = [
        ASKED,
        &token,
        "https://r.example.com/v2/ Bearer t1",
        "https://a.example.net/ -",
        "https://a.example.net/t?scope=repository%3Aapp%3Apull -",
        "https://a.example.net/ Bearer t2",
        // What one foreign origin wants is no answer to another.
        "https://b.example.net/ -",
    ];
    with_password().ends(&script, Err(error), &sent);
}

// CR1
#[test]
fn a_call_that_moves_to_another_registry_takes_no_secret_along() {
    let mirror = Hop::first("https://mirror.example.com".parse().unwrap(), "/v2/").unwrap();
    for answers in [&[BASIC, "404"][..], &[BEARER, TOKEN_1, "404"]] {
        let mut world = with_password();
        let mut call = AuthCall::new();
        world.server = script(answers);
        assert_eq!(world.drive(&mut call, mirror.clone()).unwrap(), 404);
        world.credential = None;
        world.server = script(&[BASIC]);
        let error = world.drive(&mut call, home()).unwrap_err();
        assert!(matches!(error, AuthError::CredentialsRequired { .. }));
        assert_eq!(world.last(), ASKED);
        assert_eq!(
            world.lookups,
            [mirror.home().clone(), home().home().clone()]
        );
    }
}

// CR7
#[test]
fn cr7_what_failed_at_one_registry_is_not_held_against_the_next() {
    let mirror = Hop::first("https://mirror.example.com".parse().unwrap(), "/v2/").unwrap();
    let mut world = with_password();
    let mut call = AuthCall::new();
    let wrong = format!("{BEARER},error=\"invalid_token\"");
    world.server = script(&[BEARER, TOKEN_1, &wrong, TOKEN_2, &wrong]);
    let error = world.drive(&mut call, mirror.clone()).unwrap_err();
    world.server = script(&[BEARER, TOKEN_3, "200"]);
    assert_eq!(world.drive(&mut call, home()).unwrap(), 200);
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t3");
    // But it is held against itself.
    let sent = world.sent.len();
    let again = world.drive(&mut call, mirror).unwrap_err();
    assert_eq!(
        (again.to_string(), world.sent.len()),
        (error.to_string(), sent)
    );
    assert_eq!(world.drive(&mut call, home()).unwrap(), 200);
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t3");
}

// ---------------------------------------------------------------- realms

// RE4
#[test]
fn re4_credentials_go_to_no_strange_realm() {
    let strange = r#"401 Bearer realm="https://auth.example.net/token""#;
    let error = "https://r.example.com names https://auth.example.net as its token endpoint, \
                 which is not known to belong to it, so no credentials are sent there";
    with_password().ends(&[strange], Err(error), &[ASKED]);
    // Not even where Basic is offered, too: refused is refused.
    with_password().ends(&[&format!("{strange}, Basic")], Err(error), &[ASKED]);

    let mut world = with_password();
    let allowed = RegistrySettings::new().allow_realm("https://auth.example.net".parse().unwrap());
    world
        .auth
        .configure("https://r.example.com".parse().unwrap(), allowed);
    world.run(&[strange, TOKEN_1, "200"], Ok(200));
    assert_eq!(world.sent[1].authorization.as_deref(), Some(PASSWORD));
    // RE5: without credentials there is nothing to refuse.
    let mut world = anonymous();
    world.run(&[strange, TOKEN_1, "200"], Ok(200));
    assert_eq!(world.sent[1].authorization, None);
}

// CR4
#[test]
fn cr4_no_secret_goes_over_plain_http_unless_meant_to() {
    let hop = Hop::first("http://r.example.com".parse().unwrap(), "/v2/").unwrap();
    let error = "no secrets are sent to http://r.example.com, which is not encrypted";
    let bearer = r#"401 Bearer realm="http://r.example.com/token""#;
    for challenge in [BASIC, bearer] {
        let mut world = with_password();
        world.server = script(&[challenge, TOKEN_1, "200"]);
        assert_eq!(world.call(&hop).unwrap_err().to_string(), error);
        assert_eq!(world.sent.len(), 1);
        assert_eq!(world.lookups, []);
    }
    // A token of the user's is not shown unasked, either.
    let mut world = client(authenticator(), None);
    let mut call = AuthCall::new();
    call.provide(hop.home(), given_token());
    assert_eq!(world.drive(&mut call, hop.clone()).unwrap(), 200);
    assert_eq!(world.last(), "http://r.example.com/v2/ -");

    let mut world = with_password();
    let settings = RegistrySettings::new().plain_http();
    world.auth.configure(hop.origin().clone(), settings);
    world.server = script(&[bearer, TOKEN_1, "200"]);
    assert_eq!(world.call(&hop).unwrap(), 200);
    assert_eq!(world.sent[1].authorization.as_deref(), Some(PASSWORD));
    // Loopback is meant to.
    let hop = Hop::first("http://localhost:5000".parse().unwrap(), "/v2/").unwrap();
    let mut world = with_password();
    world.server = script(&[BASIC, "200"]);
    assert_eq!(world.call(&hop).unwrap(), 200);
    assert_eq!(
        world.last(),
        format!("http://localhost:5000/v2/ {PASSWORD}")
    );
}

// CR9
#[test]
fn cr9_credentials_that_would_break_a_header_are_not_sent() {
    let password = Secret::new("x\r\nX-Evil: 1".into());
    let username = "me".to_owned();
    let broken = Credential::Basic { username, password };
    let error = "the credentials for https://r.example.com cannot be sent";
    client(authenticator(), Some(broken.clone())).ends(&[BASIC], Err(error), &[ASKED]);
    client(authenticator(), Some(broken)).ends(&[BEARER], Err(error), &[ASKED]);
    let broken = Credential::Token(Secret::new("a\r\nb".into()));
    client(authenticator(), Some(broken)).ends(&[BEARER], Err(error), &[ASKED]);
}

// ---------------------------------------------------------------- the cache

#[test]
fn a_kept_token_is_sent_before_any_challenge() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    world.ends(&["200"], Ok(200), &["https://r.example.com/v2/ Bearer t1"]);
}

#[test]
fn a_401_to_a_kept_token_does_one_fresh_handshake() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    let old = "https://r.example.com/v2/ Bearer t1";
    let new = "https://r.example.com/v2/ Bearer t2";
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    world.ends(&[BEARER, TOKEN_2, "200"], Ok(200), &[old, &token, new]);
    // Which is stored in place of the old one.
    world.sent.clear();
    world.ends(&["200"], Ok(200), &[new]);
    // Exactly one.
    world.sent.clear();
    let third = "https://r.example.com/v2/ Bearer t3";
    world.ends(
        &[BEARER, TOKEN_3, BEARER, TOKEN_1, "200"],
        Err(""),
        &[new, &token, third],
    );
}

#[test]
fn a_kept_token_refused_without_a_challenge_is_left_out_once() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    let old = "https://r.example.com/v2/ Bearer t1";
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let new = "https://r.example.com/v2/ Bearer t2";
    world.ends(
        &["401", BEARER, TOKEN_2, "200"],
        Ok(200),
        &[old, ASKED, &token, new],
    );
    // Without, it is refused as well: then a token is wanted, and that from where it was before.
    let third = "https://r.example.com/v2/ Bearer t3";
    let script = ["401", "401", TOKEN_3, "401", TOKEN_1, "200"];
    world.ends(&script, Err(""), &[new, ASKED, &token, third]);
}

// CR7
#[test]
fn a_late_401_about_one_token_does_not_discard_the_next() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    // This call shows the old token, and its answer is slow to come.
    let mut slow = AuthCall::new();
    let shown = attached(&mut world, &mut slow);
    assert_eq!(shown, "Bearer t1");
    // Meanwhile another renews it.
    world.run(&[BEARER, TOKEN_2, "200"], Ok(200));
    let requests = world.token_requests();
    refused(&mut world, &mut slow, BEARER).unwrap();
    assert_eq!(attached(&mut world, &mut slow), "Bearer t2");
    assert_eq!(world.token_requests(), requests);
    // If that is refused, too, one more is got.
    refused(&mut world, &mut slow, BEARER).unwrap();
    world.server = script(&[TOKEN_3, "200"]);
    assert_eq!(world.drive(&mut slow, home()).unwrap(), 200);
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t3");
    // And that is final: a third refused token ends every call.
    let wrong = format!("{BEARER},error=\"invalid_token\"");
    refused(&mut world, &mut slow, &wrong).unwrap_err();
}

#[test]
fn a_refused_token_is_not_taken_from_the_cache_again() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    let mut slow = AuthCall::new();
    attached(&mut world, &mut slow);
    refused(&mut world, &mut slow, BEARER).unwrap();
    // A token endpoint that issues the same token whenever it is asked.
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    let prepared = world
        .auth
        .prepare(&mut slow, &home(), &world.need, world.now);
    assert!(matches!(prepared.unwrap(), Prepare::Fetch(_)));
}

#[test]
fn rt7_concurrent_misses_make_one_token_request() {
    let mut world = with_password().cached();
    let mut calls: Vec<_> = (0..10).map(|_| AuthCall::new()).collect();
    let keys: Vec<_> = calls
        .iter_mut()
        .map(|call| fetching(&mut world, call))
        .collect();
    // One after the other gets the lock on the key.
    world.server = script(&[TOKEN_1]);
    for (call, key) in calls.iter_mut().zip(keys) {
        world.fetch(call, key).unwrap();
        assert_eq!(attached(&mut world, call), "Bearer t1");
    }
    assert_eq!(world.token_requests(), 1);
}

// CR7
#[test]
fn cr7_a_call_that_waited_for_a_refusal_does_not_ask_again() {
    for mut world in [with_password(), with_password().cached()] {
        let mut calls: Vec<_> = (0..10).map(|_| AuthCall::new()).collect();
        let keys: Vec<_> = calls
            .iter_mut()
            .map(|call| fetching(&mut world, call))
            .collect();
        world.server = script(&["401", TOKEN_1]);
        for (call, key) in calls.iter_mut().zip(keys) {
            let error = world.fetch(call, key).unwrap_err();
            assert!(matches!(error, AuthError::CredentialsRefused { .. }));
        }
        assert_eq!(world.token_requests(), 1);
        // Later calls do: the user may have been let in by then.
        let mut later = AuthCall::new();
        let key = fetching(&mut world, &mut later);
        world.fetch(&mut later, key).unwrap();
        assert_eq!(attached(&mut world, &mut later), "Bearer t1");
    }
}

#[test]
fn a_failure_followed_by_a_success_is_forgotten() {
    let mut world = with_password();
    let (mut one, mut two) = (AuthCall::new(), AuthCall::new());
    let keys = [
        fetching(&mut world, &mut one),
        fetching(&mut world, &mut two),
    ];
    let [first, second] = keys;
    world.server = script(&["401"]);
    world.fetch(&mut one, first).unwrap_err();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.server = script(&[TOKEN_2]);
    world.fetch(&mut two, second).unwrap();
    assert_eq!(attached(&mut world, &mut two), "Bearer t2");
}

#[test]
fn no_more_than_256_failures_are_remembered() {
    let mut world = with_password();
    let mut waiting = Vec::new();
    for i in 0..300 {
        world.need = ScopeSet::pull(&format!("app{i}"));
        let mut calls = [AuthCall::new(), AuthCall::new()];
        let key = fetching(&mut world, &mut calls[0]);
        fetching(&mut world, &mut calls[1]);
        waiting.push((calls, key));
    }
    for ([one, _], key) in &mut waiting {
        world.server = script(&["401"]);
        world.fetch(one, key.clone()).unwrap_err();
    }
    let asked = |([_, two], key): &mut ([AuthCall; 2], TokenKey)| {
        world.auth.begin(two, key, world.now).is_ok()
    };
    let asked: Vec<_> = waiting.iter_mut().map(asked).collect();
    let (forgotten, remembered) = asked.split_at(300 - 256);
    assert!(forgotten.iter().all(|asked| *asked));
    assert!(remembered.iter().all(|asked| !*asked));
}

// CR6
#[test]
fn cr6_a_token_is_not_shared_between_accounts_scopes_or_registries() {
    let cache = TokenTable::new(100);
    let mut world = client(authenticator().with_tokens(cache.clone()), password("me"));
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));

    // Another need.
    world.need = ScopeSet::push("app");
    world.run(&[BEARER, TOKEN_2, "200"], Ok(200));
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t2");
    world.need = ScopeSet::pull("app");
    world.run(&["200"], Ok(200));
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t1");
    // Another account, in another client that shares the cache.
    for account in [password("you"), None, identity_token()] {
        let mut other = client(authenticator().with_tokens(cache.clone()), account);
        other.run(&[BEARER, TOKEN_3, "200"], Ok(200));
        assert_eq!(other.last(), "https://r.example.com/v2/ Bearer t3");
    }
    // The same account finds it.
    let mut other = client(authenticator().with_tokens(cache), password("me"));
    other.run(&[BEARER, "200"], Ok(200));
    assert_eq!(other.last(), "https://r.example.com/v2/ Bearer t1");
    // Another registry with the same realm and service.
    let hop = Hop::first("https://other.example.com".parse().unwrap(), "/v2/").unwrap();
    other.server = script(&[BEARER, TOKEN_2, "200"]);
    other.call(&hop).unwrap();
    assert_eq!(other.last(), "https://other.example.com/v2/ Bearer t2");
}

// RT7
#[test]
fn rt7_an_expired_token_is_renewed_before_it_is_refused() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    world.now += Duration::from_secs(290);
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let new = "https://r.example.com/v2/ Bearer t2";
    world.ends(&[TOKEN_2, "200"], Ok(200), &[&token, new]);
    // The token was not asked for, so one fresh handshake may follow its refusal.
    world.now += Duration::from_secs(290);
    world.sent.clear();
    let third = "https://r.example.com/v2/ Bearer t3";
    let first = "https://r.example.com/v2/ Bearer t1";
    let script = [TOKEN_3, BEARER, TOKEN_1, "200"];
    world.ends(&script, Ok(200), &[&token, third, &token, first]);
}

#[test]
fn a_renewal_that_fails_leaves_the_call_as_without_a_token_table() {
    for failure in ["503", "200 {}"] {
        let mut world = with_password().cached();
        world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
        world.sent.clear();
        world.now += Duration::from_secs(300);
        let token = format!("{TOKEN_REQUEST} {PASSWORD}");
        world.ends(&[failure, "200"], Ok(200), &[&token, ASKED]);
    }
    // But refused credentials are not tried twice.
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    world.now += Duration::from_secs(300);
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    world.ends(&["401"], Err(""), &[&token]);
}

#[test]
fn without_a_token_table_nothing_is_kept_between_calls() {
    let mut world = with_password();
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    for (answer, shown) in [(TOKEN_1, "t1"), (TOKEN_2, "t2")] {
        let shown = format!("https://r.example.com/v2/ Bearer {shown}");
        world.ends(&[BEARER, answer, "200"], Ok(200), &[ASKED, &token, &shown]);
    }
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    for _ in 0..2 {
        world.ends(&[BASIC, "200"], Ok(200), &[ASKED, &basic]);
    }
}

#[test]
fn a_table_without_room_changes_nothing_but_the_number_of_requests() {
    let cache = TokenTable::new(0);
    let mut world = client(authenticator().with_tokens(cache), password("me"));
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    for _ in 0..2 {
        let shown = "https://r.example.com/v2/ Bearer t1";
        world.ends(&[BEARER, TOKEN_1, "200"], Ok(200), &[ASKED, &token, shown]);
    }
}

// OU3
#[test]
fn ou3_nothing_shown_for_debugging_has_a_secret_in_it() {
    let mut world = with_password().cached();
    let mut call = AuthCall::new();
    let key = fetching(&mut world, &mut call);
    let exchange = world
        .auth
        .begin(&mut call, &key, world.now)
        .unwrap()
        .unwrap();
    let mut texts = vec![format!("{key:?}{exchange:?}{call:?}")];
    world.server = script(&[r#"200 {"token":"t0ken","refresh_token":"t0ken"}"#]);
    let issued = world.exchange(exchange).unwrap();
    texts.push(format!("{issued:?}"));
    world
        .auth
        .finish(&mut call, key, Ok(issued), world.now)
        .unwrap();
    let prepared = world
        .auth
        .prepare(&mut call, &home(), &world.need, world.now);
    texts.push(format!("{prepared:?}{call:?}{:?}", world.auth));
    for text in texts {
        for secret in ["hunter2", "t0ken", "bWU6"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

// ---------------------------------------------------------------- steps by hand

/// Asks, is challenged, and wants a token.
fn fetching(world: &mut World, call: &mut AuthCall) -> TokenKey {
    let (hop, need, now) = (home(), world.need.clone(), world.now);
    let asked = world.auth.prepare(call, &hop, &need, now).unwrap();
    assert!(matches!(asked, Prepare::Anonymous | Prepare::Lookup(_)));
    if let Prepare::Lookup(registry) = asked {
        call.provide(&registry, world.credential.clone());
        let asked = world.auth.prepare(call, &hop, &need, now).unwrap();
        assert!(matches!(asked, Prepare::Anonymous));
    }
    refused(world, call, BEARER).unwrap();
    call.provide(hop.home(), world.credential.clone());
    match world.auth.prepare(call, &hop, &need, now).unwrap() {
        Prepare::Fetch(key) => key,
        other => panic!("{other:?}"),
    }
}

/// The header the call would send now.
fn attached(world: &mut World, call: &mut AuthCall) -> String {
    let (hop, need, now) = (home(), world.need.clone(), world.now);
    match world.auth.prepare(call, &hop, &need, now).unwrap() {
        Prepare::Attach(authorization) => {
            let value = authorization.header(&hop).unwrap();
            value.to_str().unwrap().to_owned()
        }
        Prepare::Lookup(registry) => {
            call.provide(&registry, world.credential.clone());
            attached(world, call)
        }
        other => panic!("{other:?}"),
    }
}

fn refused(world: &mut World, call: &mut AuthCall, answer: &str) -> Result<(), AuthError> {
    let challenge = answer.strip_prefix("401 ").unwrap();
    let head = http::Response::builder().status(401);
    let head = head.header("www-authenticate", challenge).body(()).unwrap();
    let (head, ()) = head.into_parts();
    world.auth.refused(call, &home(), &head, Peer::default())
}

// ---------------------------------------------------------------- the world

impl World {
    /// Runs a call and checks how it ends; an empty text stands for any error.
    #[track_caller]
    fn run(&mut self, answers: &[&str], expected: Result<u16, &str>) {
        self.server = script(answers);
        let ended = self.call(&home()).map_err(|e| e.to_string());
        self.check(ended, expected);
    }

    /// Also checks what was sent.
    #[track_caller]
    fn ends(&mut self, answers: &[&str], expected: Result<u16, &str>, sent: &[&str]) {
        self.drive_to_end(AuthCall::new(), answers, expected, sent);
    }

    #[track_caller]
    fn drive_to_end(
        &mut self,
        mut call: AuthCall,
        answers: &[&str],
        expected: Result<u16, &str>,
        sent: &[&str],
    ) {
        self.sent.clear();
        self.server = script(answers);
        let ended = self.drive(&mut call, home()).map_err(|e| e.to_string());
        self.check(ended, expected);
        let lines: Vec<_> = self.sent.iter().map(ToString::to_string).collect();
        assert_eq!(lines, sent);
    }

    #[track_caller]
    fn check(&self, ended: Result<u16, String>, expected: Result<u16, &str>) {
        if expected == Err("") && ended.is_err() {
            return;
        }
        assert_eq!(
            ended.as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|e| *e)
        );
    }

    fn cached(mut self) -> Self {
        self.auth = self.auth.with_tokens(TokenTable::new(100));
        self
    }

    fn last(&self) -> String {
        self.sent.last().unwrap().to_string()
    }

    fn token_requests(&self) -> usize {
        self.sent.iter().filter(|s| s.token_for.is_some()).count()
    }
}

fn client(auth: Authenticator, credential: Option<Credential>) -> World {
    World::new(auth, credential, VecDeque::new())
}

fn with_password() -> World {
    client(authenticator(), password("me"))
}

fn anonymous() -> World {
    client(authenticator(), None)
}

fn authenticator() -> Authenticator {
    Authenticator::new().with_public_suffixes(Arc::new(LastTwoLabels))
}

struct LastTwoLabels;

impl PublicSuffixes for LastTwoLabels {
    fn registrable_domain<'a>(&self, host: &'a str) -> Option<&'a str> {
        let (rest, _) = host.rsplit_once('.')?;
        host.get(rest.rfind('.').map_or(0, |at| at + 1)..)
    }
}

fn password(username: &str) -> Option<Credential> {
    let password = Secret::new("hunter2".into());
    Some(Credential::basic(username, password).unwrap())
}

fn identity_token() -> Option<Credential> {
    Some(Credential::IdentityToken(Secret::new("refresh".into())))
}

fn given_token() -> Option<Credential> {
    Some(Credential::Token(Secret::new("given".into())))
}

fn home() -> Hop {
    Hop::first("https://r.example.com".parse().unwrap(), "/v2/").unwrap()
}

fn script(answers: &[&str]) -> VecDeque<String> {
    answers.iter().map(|answer| (*answer).to_owned()).collect()
}
