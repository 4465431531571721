//! What a registry wanted before, where it now says nothing of use.

use std::collections::VecDeque;
use std::time::Duration;

use longshore_auth::{AuthError, TokenTable};
use longshore_origin::Hop;

use super::{
    ASKED, BASIC, BEARER, PASSWORD, TOKEN_1, TOKEN_2, TOKEN_REQUEST, anonymous, authenticator,
    client, given_token, password, with_password,
};
use crate::world::{DROPPED, World};

/// Every kind of realm that is not asked with credentials, or not at all.
const REFUSED: &[&str] = &[
    // RE1
    "http://auth.example.com/token",
    "https://me@auth.example.com/token",
    "token",
    "null://x",
    "",
    // RE3
    "https://127.0.0.1/token",
    "https://169.254.169.254/token",
    "https://localhost/token",
    // RE4
    "https://evil.example.net/token",
];

fn naming(realm: &str) -> String {
    format!("401 Bearer realm=\"{realm}\",service=\"r\",scope=\"repository:app:pull\"")
}

fn with_a_token_before(mut world: World) -> World {
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    world
}

// RE1, RE3, RE4
#[test]
fn re4_the_realm_that_issued_tokens_is_kept_when_a_later_one_is_refused() {
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let new = "https://r.example.com/v2/ Bearer t2";
    for realm in REFUSED {
        let later = naming(realm);
        let answers = [&*later, TOKEN_2, "200"];
        let mut world = with_a_token_before(with_password());
        world.ends(&answers, Ok(200), &[ASKED, &token, new]);
        // The same with a cache, where the token that was there is refused first.
        let old = "https://r.example.com/v2/ Bearer t1";
        let mut world = with_a_token_before(with_password().cached());
        world.server = super::script(&answers);
        let known = matches!(*realm, "token" | "null://x" | "") || realm.starts_with("https://me@");
        if known {
            // No challenge that can be met stands against a token nobody asked for.
            world.ends(
                &[&later, &later, TOKEN_2, "200"],
                Ok(200),
                &[old, ASKED, &token, new],
            );
        } else {
            world.ends(&answers, Ok(200), &[old, &token, new]);
        }
        // And in the middle of a call, when the first token is not good enough.
        let wrong = format!("{later},error=\"invalid_token\"");
        let mut world = with_password();
        let answers = [BEARER, TOKEN_1, &wrong, TOKEN_2, "200"];
        world.ends(&answers, Ok(200), &[ASKED, &token, old, &token, new]);
    }
}

// RE4
#[test]
fn re4_a_refused_realm_is_refused_where_there_was_none_before() {
    for realm in REFUSED {
        let mut world = with_password();
        world.ends(&[&naming(realm), TOKEN_1, "200"], Err(""), &[ASKED]);
        // A token that another registry issued does not help.
        let other = Hop::first("https://o.example.com".parse().unwrap(), "/v2/");
        world.server = super::script(&[BEARER, TOKEN_1, "200"]);
        assert_eq!(world.call(&other.unwrap()).unwrap(), 200);
        world.ends(&[&naming(realm), TOKEN_1, "200"], Err(""), &[ASKED]);
    }
}

// RE4: what was good enough to be asked by anybody is not good enough for a password.
#[test]
fn re4_a_realm_asked_anonymously_before_gets_no_credentials() {
    let strange = naming("https://tokens.example.net/token");
    let mut world = anonymous();
    world.run(&[&strange, TOKEN_1, "200"], Ok(200));
    world.credential = password("me");
    let later = naming("https://evil.example.net/token");
    let error = "https://r.example.com names https://evil.example.net as its token endpoint, \
                 which is not known to belong to it, so no credentials are sent there";
    world.ends(&[&later, TOKEN_2, "200"], Err(error), &[ASKED]);
    world.ends(&["401", TOKEN_2, "200"], Err(""), &[ASKED]);
}

// RE4
#[test]
fn re4_a_later_realm_that_may_be_asked_is_asked() {
    let later = naming("https://other.example.com/token");
    let mut world = with_a_token_before(with_password());
    world.run(&[&later, TOKEN_2, "200"], Ok(200));
    assert_eq!(world.sent[1].to.to_string(), "https://other.example.com");
    // And is from then on the one before.
    world.sent.clear();
    world.run(
        &[&naming("https://evil.example.net/"), TOKEN_1, "200"],
        Ok(200),
    );
    assert_eq!(world.sent[1].to.to_string(), "https://other.example.com");
}

// RE3: names become addresses beneath us, so the refusal is one of the transport.
#[test]
fn re3_the_realm_that_issued_tokens_is_asked_when_a_later_one_cannot_be() {
    let later = naming("https://cellar.example.com/token");
    let mut world = with_a_token_before(with_password());
    world.server = cellar(&[&later, TOKEN_2, "200"]);
    assert_eq!(world.call(&super::home()).unwrap(), 200);
    let asked: Vec<_> = world.sent.iter().map(|s| s.to.to_string()).collect();
    assert_eq!(
        asked,
        [
            "https://r.example.com",
            "https://cellar.example.com",
            "https://auth.example.com",
            "https://r.example.com",
        ]
    );
    // CR7: both count.
    assert_eq!(world.token_requests(), 2);
    // Where there was none before, or none for credentials (RE4), that is all.
    let mut world = anonymous();
    let strange = naming("https://tokens.example.net/token");
    world.run(&[&strange, TOKEN_1, "200"], Ok(200));
    world.credential = password("me");
    world.sent.clear();
    world.server = cellar(&[&later, TOKEN_2, "200"]);
    world.call(&super::home()).unwrap_err();
    assert_eq!(world.token_requests(), 1);
    let mut world = with_password();
    world.server = cellar(&[&later, TOKEN_2, "200"]);
    let error = world.call(&super::home()).unwrap_err();
    assert!(matches!(error, AuthError::Unreachable { .. }), "{error}");
    assert_eq!(world.token_requests(), 1);
}

/// A script in which the second request gets no answer.
fn cellar(answers: &[&str]) -> VecDeque<String> {
    let mut script = super::script(answers);
    script.insert(1, DROPPED.to_owned());
    script
}

// CR7, RE4: what is not sent does not count.
#[test]
fn cr7_a_realm_that_is_not_asked_costs_no_token_request() {
    let cache = TokenTable::new(10);
    let [mut here, mut there] =
        [(); 2].map(|()| client(authenticator().with_tokens(cache.clone()), password("me")));
    // All this client knows of the registry is a realm it must not ask, and how the token in the
    // cache would be renewed, which somebody else put there.
    here.run(&[&naming("https://evil.example.net/token")], Err(""));
    there.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    here.now += Duration::from_secs(300);
    let wrong = format!("{BEARER},error=\"invalid_token\"");
    here.run(&[BEARER, TOKEN_1, &wrong, TOKEN_2, "200"], Ok(200));
    assert_eq!(here.last(), "https://r.example.com/v2/ Bearer t2");
    assert_eq!(here.token_requests(), 2);
}

// ---------------------------------------------------------------- a 401 that says nothing

#[test]
fn a_401_without_a_challenge_is_met_as_the_one_before() {
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let new = "https://r.example.com/v2/ Bearer t2";
    for nothing in ["401", "401 \"nonsense"] {
        let mut world = with_a_token_before(with_password());
        world.ends(&[nothing, TOKEN_2, "200"], Ok(200), &[ASKED, &token, new]);
        // Once.
        let answers = [nothing, TOKEN_2, nothing, TOKEN_1, "200"];
        world.ends(&answers, Err(""), &[ASKED, &token, new]);
    }
    // A scheme we do not speak is something, and is not answered with another.
    let mut world = with_a_token_before(with_password());
    let error = "https://r.example.com answers 401 without a usable challenge \
                 (it offers Negotiate)";
    world.ends(&["401 Negotiate", TOKEN_2, "200"], Err(error), &[ASKED]);
}

// CR3
#[test]
fn cr3_a_401_without_a_challenge_gets_a_password_only_where_one_was_asked_for() {
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    let error = "https://r.example.com answers 401 without a usable challenge \
                 (there is none)";
    let mut world = with_password();
    world.ends(&["401", "200"], Err(error), &[ASKED]);
    world.ends(&[BASIC, "200"], Ok(200), &[ASKED, &basic]);
    world.ends(&["401", "200"], Ok(200), &[ASKED, &basic]);
    let answers = ["401", "401", "200"];
    world.ends(&answers, Err(""), &[ASKED, &basic]);
    // Asked for by another registry, or by this one without TLS, it was not asked for.
    for other in ["https://o.example.com", "http://r.example.com"] {
        let other = Hop::first(other.parse().unwrap(), "/v2/").unwrap();
        world.server = super::script(&["401", "200"]);
        let error = world.call(&other).unwrap_err();
        assert!(
            matches!(error, AuthError::NoUsableChallenge { .. }),
            "{error}"
        );
    }
}

// CR5
#[test]
fn cr5_a_foreign_401_without_a_challenge_is_met_by_nothing() {
    let mut world = with_a_token_before(with_password());
    world.run(&[BASIC, "200"], Ok(200));
    world.sent.clear();
    let away = "307 https://cdn.example.net/blob";
    let error = "https://cdn.example.net, to which https://r.example.com redirected, requires \
                 credentials, and none are sent there";
    let cdn = "https://cdn.example.net/blob -";
    world.ends(&[away, "401", "200"], Err(error), &[ASKED, cdn]);
    // Nor is what only looks like home.
    let back = "307 https://r.example.com/v2/";
    let answers = [away, back, "401", "200"];
    world.ends(&answers, Err(""), &[ASKED, cdn, ASKED]);
}

// CR5: what issues tokens for the registry is nothing to those it sends us to.
#[test]
fn cr5_a_foreign_realm_that_is_refused_is_not_replaced() {
    let away = "307 https://cdn.example.net/blob";
    let cdn = "https://cdn.example.net/blob -";
    for realm in ["http://auth.example.net/t", "https://127.0.0.1/t", "t"] {
        let mut world = with_a_token_before(with_password());
        let answers = [away, &naming(realm), TOKEN_2, "200"];
        world.ends(&answers, Err(""), &[ASKED, cdn]);
    }
}

#[test]
fn a_token_of_the_users_is_shown_where_a_token_was_wanted_before() {
    let mut world = client(authenticator(), given_token());
    // Nothing was ever issued here, so it is not known what such a 401 means.
    world.run(&[BEARER, "200"], Ok(200));
    world.ends(&["401", "200"], Err(""), &[ASKED]);
}
