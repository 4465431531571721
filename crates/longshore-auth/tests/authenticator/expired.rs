//! A 400 or 403 that says that the token expired.

use longshore_auth::{AuthCall, AuthError, TokenTable};

use super::{
    ASKED, BASIC, BEARER, PASSWORD, TOKEN_1, TOKEN_2, TOKEN_3, TOKEN_REQUEST, anonymous,
    authenticator, client, given_token, home, with_password,
};
use crate::world::World;

const OLD: &str = "https://r.example.com/v2/ Bearer t1";
const NEW: &str = "https://r.example.com/v2/ Bearer t2";

#[test]
fn cr7_a_400_or_403_that_says_that_the_token_expired_renews_it_once() {
    for expired in ["400 expired", "403 expired"] {
        let token = format!("{TOKEN_REQUEST} {PASSWORD}");
        let mut world = with_password();
        let answers = [BEARER, TOKEN_1, expired, TOKEN_2, "200"];
        world.ends(&answers, Ok(200), &[ASKED, &token, OLD, &token, NEW]);
        // No third token request.
        let answers = [BEARER, TOKEN_1, expired, TOKEN_2, expired, TOKEN_3, "200"];
        let error = "https://r.example.com does not accept a token issued for the credentials \
                     (invalid_token)";
        world.ends(&answers, Err(error), &[ASKED, &token, OLD, &token, NEW]);
    }
}

// CR7: one renewal for all refusals of a call together.
#[test]
fn cr7_a_renewal_after_a_401_leaves_none_for_a_403() {
    let wrong = format!("{BEARER},error=\"invalid_token\"");
    for (first, second) in [(&*wrong, "403 expired"), ("403 expired", &*wrong)] {
        let mut world = with_password();
        let answers = [BEARER, TOKEN_1, first, TOKEN_2, second, TOKEN_3, "200"];
        let error = "https://r.example.com does not accept a token issued for the credentials \
                     (invalid_token)";
        world.run(&answers, Err(error));
        assert_eq!(world.token_requests(), 2);
    }
}

// CR7
#[test]
fn an_expired_token_is_thrown_away_for_every_call() {
    let mut world = with_password().cached();
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    // Sent without a challenge, so the next request asks for one.
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let answers = ["403 expired", BEARER, TOKEN_2, "200"];
    world.ends(&answers, Ok(200), &[OLD, ASKED, &token, NEW]);
    world.ends(&["200"], Ok(200), &[NEW]);
}

// CR7: a token that another call has fetched in the meantime is sent, not thrown away.
#[test]
fn a_token_that_another_call_renewed_is_kept() {
    let tokens = TokenTable::new(100);
    let shared = || World {
        auth: authenticator().with_tokens(tokens.clone()),
        ..with_password()
    };
    let (mut one, mut other) = (shared(), shared());
    one.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    let mut call = AuthCall::new();
    one.server = super::script(&["200"]);
    assert_eq!(one.drive(&mut call, home()).ok(), Some(200));
    other.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    other.run(&["403 expired", BEARER, TOKEN_2, "200"], Ok(200));
    // The answer to the request of the first call, which had the old token.
    one.auth.expired(&mut call, &home()).unwrap();
    one.sent.clear();
    one.server = super::script(&["200"]);
    assert_eq!(one.drive(&mut call, home()).ok(), Some(200));
    assert_eq!(one.last(), NEW);
}

#[test]
fn an_anonymous_token_that_expired_is_renewed_too() {
    let token = format!("{TOKEN_REQUEST} -");
    let mut world = anonymous();
    let answers = [BEARER, TOKEN_1, "400 expired", TOKEN_2, "200"];
    world.ends(&answers, Ok(200), &[ASKED, &token, OLD, &token, NEW]);
    let error = "https://r.example.com requires credentials, and there are none \
                 for it";
    let answers = [
        BEARER,
        TOKEN_1,
        "400 expired",
        TOKEN_2,
        "400 expired",
        TOKEN_3,
    ];
    world.run(&answers, Err(error));
}

#[test]
fn a_request_without_an_issued_token_renews_nothing() {
    let worlds = [
        (with_password(), &["403 expired", "200"][..]),
        (with_password(), &[BASIC, "403 expired", "200"]),
        (
            client(authenticator(), given_token()),
            &[BEARER, "403 expired", "200"],
        ),
    ];
    for (mut world, answers) in worlds {
        let error = "https://r.example.com says that a token expired, but nothing was sent that \
                     can be renewed";
        world.run(answers, Err(error));
        assert_eq!(world.token_requests(), 0);
    }
    // The call can continue: the driver may use the answer in another way.
    let mut world = with_password();
    let mut call = AuthCall::new();
    let error = world.auth.expired(&mut call, &home()).unwrap_err();
    assert!(matches!(error, AuthError::NotRenewable { .. }), "{error}");
    assert_eq!(world.drive(&mut call, home()).ok(), Some(200));
}
