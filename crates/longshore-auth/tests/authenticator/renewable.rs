//! Credentials that are looked up once more after they were refused, as those of a helper.

use longshore_auth::{Credential, ScopeSet};
use longshore_origin::Secret;

use super::{
    ASKED, BASIC, BEARER, PASSWORD, TOKEN_1, TOKEN_REQUEST, authenticator, client, password,
};
use crate::world::World;

/// `me:new`
const NEW_PASSWORD: &str = "Basic bWU6bmV3";
const REFUSED: &str =
    "https://r.example.com does not accept the credentials for https://r.example.com";
const REFUSED_BY_REALM: &str =
    "https://auth.example.com does not accept the credentials for https://r.example.com";

fn new_password() -> Option<Credential> {
    Some(Credential::basic("me", Secret::new("new".into())).unwrap())
}

/// A client that finds one password first, and this credential after that was refused.
fn renewing(renewed: Option<Credential>) -> World {
    World {
        renewed: Some(renewed),
        ..client(authenticator(), password("me"))
    }
}

fn sent(authorization: &str) -> String {
    format!("https://r.example.com/v2/ {authorization}")
}

#[test]
fn cr7_a_refused_password_is_looked_up_once_more() {
    let (old, new) = (sent(PASSWORD), sent(NEW_PASSWORD));
    for refusal in [BASIC, "403 expired"] {
        let mut world = renewing(new_password());
        let answers = [BASIC, refusal, "200"];
        world.ends(&answers, Ok(200), &[ASKED, &old, &new]);
        assert_eq!(world.lookups.len(), 2);
    }
    // A second refusal is final.
    let mut world = renewing(new_password());
    let answers = [BASIC, BASIC, BASIC, "200"];
    world.ends(&answers, Err(REFUSED), &[ASKED, &old, &new]);
    assert_eq!(world.lookups.len(), 2);
}

#[test]
fn cr7_credentials_refused_by_the_token_server_are_looked_up_once_more() {
    let token = |password: &str| format!("{TOKEN_REQUEST} {password}");
    let (old, new) = (token(PASSWORD), token(NEW_PASSWORD));
    let mut world = renewing(new_password());
    let answers = [BEARER, "401", TOKEN_1, "200"];
    world.ends(&answers, Ok(200), &[ASKED, &old, &new, &sent("Bearer t1")]);
    // Both count as token requests of the call.
    let mut world = renewing(new_password());
    let answers = [BEARER, "403", "401", TOKEN_1, "200"];
    world.ends(&answers, Err(REFUSED_BY_REALM), &[ASKED, &old, &new]);
}

// CR7: an account may be locked after a few wrong passwords.
#[test]
fn a_password_that_did_not_change_is_not_sent_again() {
    let mut world = renewing(password("me"));
    let answers = [BASIC, BASIC, "200"];
    world.ends(&answers, Err(REFUSED), &[ASKED, &sent(PASSWORD)]);
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let answers = [BEARER, "401", TOKEN_1, "200"];
    world.ends(&answers, Err(REFUSED), &[ASKED, &token]);
}

#[test]
fn without_another_credential_the_call_is_anonymous() {
    let mut world = renewing(None);
    let error = "https://r.example.com requires credentials, and there are none \
                 for it";
    world.ends(
        &[BASIC, BASIC, "200"],
        Err(error),
        &[ASKED, &sent(PASSWORD)],
    );
    let token = |password: &str| format!("{TOKEN_REQUEST} {password}");
    let answers = [BEARER, "401", TOKEN_1, "200"];
    let lines = [ASKED, &token(PASSWORD), &token("-"), &sent("Bearer t1")];
    world.ends(&answers, Ok(200), &lines);
}

// CR7: a password that is sent without a challenge may have become invalid in the meantime.
#[test]
fn a_password_sent_without_a_challenge_is_looked_up_once_more() {
    let mut world = renewing(new_password()).cached();
    world.run(&[BASIC, "200"], Ok(200));
    let answers = [BASIC, BASIC, "200"];
    let lines = [&*sent(PASSWORD), ASKED, &sent(NEW_PASSWORD)];
    world.need = ScopeSet::pull("other");
    world.ends(&answers, Ok(200), &lines);
}

#[test]
fn a_credential_that_is_not_renewable_is_looked_up_once() {
    let mut world = client(authenticator(), password("me"));
    world.ends(&[BASIC, BASIC], Err(REFUSED), &[ASKED, &sent(PASSWORD)]);
    assert_eq!(world.lookups.len(), 1);
}
