//! Ways to get the same token: by POST or GET, with or without a refresh token.

use std::time::Duration;

use longshore_auth::{AuthCall, Prepare, RegistrySettings, ScopeSet, TokenTable};
use longshore_origin::{AddressPolicy, AllowAddresses, Peer};

use super::{
    BASIC, BEARER, PASSWORD, TOKEN_1, TOKEN_2, TOKEN_3, TOKEN_REQUEST, anonymous, authenticator,
    client, home, identity_token, script, with_password,
};
use crate::world::{Sent, World};

/// `<token>:refresh`
const IDENTITY: &str = "Basic PHRva2VuPjpyZWZyZXNo";
const REALM: &str = "https://auth.example.com/token";
const SHOWN: &str = "https://r.example.com/v2/ Bearer t1";

fn with_identity() -> World {
    client(authenticator(), identity_token())
}

/// The token requests, each as `POST` or `GET` and whatever stands in front of its query.
fn methods(world: &World) -> Vec<&'static str> {
    let token = world.sent.iter().filter(|s| s.token_for.is_some());
    token
        .map(|s| if s.body.is_empty() { "GET" } else { "POST" })
        .collect()
}

// CR7
#[test]
fn a_refused_post_is_asked_again_by_get_and_never_posted_again() {
    let get = format!("{TOKEN_REQUEST} {IDENTITY}");
    let post = format!("{REALM} -");
    let asked = "https://r.example.com/v2/ -";
    for refused in ["404", "405"] {
        for cached in [false, true] {
            let mut world = with_identity();
            if cached {
                world = world.cached();
            }
            let answers = [BEARER, refused, TOKEN_1, "200"];
            world.ends(&answers, Ok(200), &[asked, &post, &get, SHOWN]);
            assert_eq!(methods(&world), ["POST", "GET"]);
            // It is remembered: for another scope, and for as long as the client lives.
            world.need = ScopeSet::push("app");
            world.sent.clear();
            world.run(&[BEARER, TOKEN_2, "200"], Ok(200));
            assert_eq!(methods(&world), ["GET"], "{refused}");
        }
    }
}

// That one realm refuses POST says nothing about another.
#[test]
fn which_method_a_realm_knows_is_remembered_for_that_realm() {
    let mut world = with_identity();
    world.run(&[BEARER, "405", TOKEN_1, "200"], Ok(200));
    world.sent.clear();
    let other = BEARER.replace("/token", "/other");
    world.run(&[&other, TOKEN_1, "200"], Ok(200));
    assert_eq!(methods(&world), ["POST"]);
}

// CR7: the POST that was refused counts.
#[test]
fn cr7_a_refused_post_and_its_get_are_two_token_requests() {
    let wrong = format!("{BEARER},error=\"invalid_token\"");
    let mut world = with_identity();
    let answers = [BEARER, "404", TOKEN_1, &wrong, TOKEN_2, "200"];
    let error = "https://r.example.com does not accept a token issued for the credentials \
                 (invalid_token)";
    world.run(&answers, Err(error));
    assert_eq!(methods(&world), ["POST", "GET"]);
    // The next call knows better, and has its renewal.
    world.sent.clear();
    world.run(&[BEARER, TOKEN_1, &wrong, TOKEN_2, "200"], Ok(200));
    assert_eq!(methods(&world), ["GET", "GET"]);

    // With one request left, and that for a realm not asked before, nothing more can be tried.
    let mut world = with_identity();
    let other = wrong.replace("/token", "/other");
    let answers = [BEARER, TOKEN_1, &other, "404", TOKEN_2, "200"];
    world.run(
        &answers,
        Err("the token endpoint https://auth.example.com issued no token"),
    );
    assert_eq!(methods(&world), ["POST", "POST"]);
}

// CR7: whatever a quirk may say, a refusal of the credentials is final.
#[test]
fn cr7_a_post_answered_401_or_403_is_not_asked_again_by_get() {
    // RFC 6749 §5.2: 400 is the answer to a refresh token that is not valid.
    for status in ["400", "401", "403"] {
        let mut world = with_identity();
        let error =
            "https://auth.example.com does not accept the credentials for https://r.example.com";
        world.run(&[BEARER, status, TOKEN_1, "200"], Err(error));
        assert_eq!(methods(&world), ["POST"]);
    }
}

#[test]
fn a_get_that_is_not_found_is_no_refused_post() {
    for mut world in [with_password(), anonymous()] {
        let error = "the token endpoint https://auth.example.com issued no token";
        world.run(&[BEARER, "404", TOKEN_1, "200"], Err(error));
        assert_eq!(methods(&world), ["GET"]);
    }
    let mut world = with_identity();
    let error = "the token endpoint https://auth.example.com issued no token";
    world.run(&[BEARER, "404", "404", TOKEN_1, "200"], Err(error));
    assert_eq!(methods(&world), ["POST", "GET"]);
}

// A call that waited for the refused POST continues with the GET.
#[test]
fn a_refused_post_of_one_call_is_no_failure_of_another() {
    let mut world = with_identity().cached();
    let mut calls = [AuthCall::new(), AuthCall::new()];
    let keys = calls
        .each_mut()
        .map(|call| super::fetching(&mut world, call));
    world.server = script(&["405", TOKEN_1]);
    for (call, key) in calls.iter_mut().zip(keys) {
        world.fetch(call, key).unwrap();
    }
    // The first has its token from the second.
    for call in &mut calls {
        assert_eq!(super::attached(&mut world, call), "Bearer t1");
    }
    assert_eq!(methods(&world), ["POST", "GET"]);
}

#[test]
fn a_refresh_token_is_asked_for_on_request() {
    let access = "&access_type=offline";
    let offline = "&offline_token=true&client_id=longshore";
    let password = "grant_type=password&username=me&password=hunter2&client_id=longshore";
    let get = TOKEN_REQUEST.replace("service=r", &format!("service=r{offline}"));
    for refused in ["400", "404", "405"] {
        let mut world = with_password();
        world.server = script(&[BEARER, refused, TOKEN_1, "200"]);
        let mut call = AuthCall::new().offline();
        assert_eq!(world.drive(&mut call, home()).unwrap(), 200);
        assert_eq!(methods(&world), ["POST", "GET"], "{refused}");
        let form = &world.sent[1].body;
        assert!(
            form.starts_with(password) && form.ends_with(access),
            "{form}"
        );
        assert_eq!(world.sent[2].to_string(), format!("{get} {PASSWORD}"));
        world.sent.clear();
        world.server = script(&[BEARER, TOKEN_1, "200"]);
        let mut call = AuthCall::new().offline();
        assert_eq!(world.drive(&mut call, home()).unwrap(), 200);
        assert_eq!(methods(&world), ["GET"], "{refused}");
    }
    // An identity token may be replaced by a younger one.
    let mut world = with_identity();
    world.server = script(&[BEARER, TOKEN_1, "200"]);
    world.drive(&mut AuthCall::new().offline(), home()).unwrap();
    assert!(world.sent[1].body.ends_with(access));
    // Nobody asked: nothing of the kind is sent.
    for mut world in [with_password(), with_identity(), anonymous()] {
        world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
        let sent = &world.sent[1];
        assert!(
            !format!("{sent}{}", sent.body).contains("offline"),
            "{sent}"
        );
    }
}

// ---------------------------------------------------------------- realms and scopes

// RE1, RE4, RE6: the realm is written as nobody writes it, and is still the same place.
#[test]
fn re1_odd_realms_are_asked_as_they_are_written() {
    for (realm, asked) in [
        (
            "HTTPS://AUTH.Example.COM:443/token",
            "https://auth.example.com/token?",
        ),
        ("https://auth.example.com", "https://auth.example.com/?"),
        (
            "https://auth.example.com?a=b%20c",
            "https://auth.example.com/?a=b%20c&",
        ),
        (
            "https://auth.example.com/a/../t?",
            "https://auth.example.com/t?",
        ),
        (
            "https://auth.example.com/t\u{e4}",
            "https://auth.example.com/t%C3%A4?",
        ),
        (
            "https://auth.example.com./token",
            "https://auth.example.com/token?",
        ),
        (
            "https://r.example.com:8443/token",
            "https://r.example.com:8443/token?",
        ),
    ] {
        let mut world = with_password();
        let challenge = format!("401 Bearer realm=\"{realm}\",service=\"r\"");
        world.run(&[&challenge, TOKEN_1, "200"], Ok(200));
        let scope = "service=r&scope=repository%3Aapp%3Apull";
        assert_eq!(
            world.sent[1].to_string(),
            format!("{asked}{scope} {PASSWORD}")
        );
    }
}

// CR8
#[test]
fn the_source_of_a_mount_is_merged_into_one_token() {
    let mut world = with_password();
    world.need = ScopeSet::push("app").union(&ScopeSet::pull("source"));
    let challenge = format!("{BEARER},scope=\"repository:app:push,pull\"");
    world.run(&[&challenge, TOKEN_1, "200"], Ok(200));
    let scopes = "&scope=repository%3Aapp%3Apush%2Cpull&scope=repository%3Asource%3Apull";
    let token = TOKEN_REQUEST.replace("&scope=repository%3Aapp%3Apull", scopes);
    assert_eq!(world.sent[1].to_string(), format!("{token} {PASSWORD}"));
}

// CR6: a token that would do is not one that was asked for, and some registries mind.
#[test]
fn cr6_a_token_that_covers_more_is_not_shown_for_less() {
    let mut world = with_password().cached();
    world.need = ScopeSet::push("app");
    world.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    assert!(world.need.covers(&ScopeSet::pull("app")));
    world.need = ScopeSet::pull("app");
    world.run(&[BEARER, TOKEN_2, "200"], Ok(200));
    assert_eq!(world.last(), "https://r.example.com/v2/ Bearer t2");
}

// CR7: RFC 6750 §3.1 has 403 for it; whether it is one is for the driver to see.
#[test]
fn cr7_a_403_that_asks_for_more_is_met_with_one_more_token() {
    let mut world = with_password();
    let mut call = AuthCall::new();
    let key = super::fetching(&mut world, &mut call);
    world.server = script(&[TOKEN_1, TOKEN_2]);
    world.fetch(&mut call, key).unwrap();
    assert_eq!(super::attached(&mut world, &mut call), "Bearer t1");
    let challenge = BEARER.replace("401 ", "") + ",error=\"insufficient_scope\"";
    let denied = http::Response::builder().status(403);
    let denied = denied.header("www-authenticate", challenge);
    let (head, ()) = denied.body(()).unwrap().into_parts();
    let (hop, peer) = (home(), Peer::default());
    world.auth.refused(&mut call, &hop, &head, peer).unwrap();
    let (need, now) = (world.need.clone(), world.now);
    let prepared = world.auth.prepare(&mut call, &hop, &need, now).unwrap();
    let Prepare::Fetch(key) = prepared else {
        panic!("{prepared:?}")
    };
    world.fetch(&mut call, key).unwrap();
    assert_eq!(super::attached(&mut world, &mut call), "Bearer t2");
    let error = world.auth.refused(&mut call, &hop, &head, peer);
    assert_eq!(
        error.unwrap_err().to_string(),
        "https://r.example.com does not accept a token issued for the credentials \
         (insufficient_scope)"
    );
}

// ---------------------------------------------------------------- one scheme after the other

#[test]
fn a_registry_may_want_basic_first_and_a_token_then() {
    let mut world = with_password();
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let asked = "https://r.example.com/v2/ -";
    let answers = [BASIC, BEARER, TOKEN_1, "200"];
    world.ends(&answers, Ok(200), &[asked, &basic, &token, SHOWN]);
    // But the password is not shown to it again.
    let answers = [BASIC, BEARER, TOKEN_1, BASIC, "200"];
    world.ends(&answers, Err(""), &[asked, &basic, &token, SHOWN]);
}

#[test]
fn a_registry_may_want_a_token_first_and_basic_then() {
    let mut world = with_password();
    let basic = format!("https://r.example.com/v2/ {PASSWORD}");
    let token = format!("{TOKEN_REQUEST} {PASSWORD}");
    let asked = "https://r.example.com/v2/ -";
    let answers = [BEARER, TOKEN_1, BASIC, "200"];
    world.ends(&answers, Ok(200), &[asked, &token, SHOWN, &basic]);
    let answers = [BEARER, TOKEN_1, BASIC, BASIC, "200"];
    world.ends(&answers, Err(""), &[asked, &token, SHOWN, &basic]);
    // Who has no password has none to show.
    let error = "https://r.example.com does not accept a token issued for the credentials";
    with_identity().run(&[BEARER, TOKEN_1, BASIC, "200"], Err(error));
}

// CR7: there and back again, but not for ever.
#[test]
fn cr7_a_registry_that_wants_now_this_and_now_that_is_left() {
    let mut world = with_password();
    let answers = [
        BASIC, BEARER, TOKEN_1, BASIC, BEARER, TOKEN_2, BASIC, BEARER, TOKEN_3, "200",
    ];
    world.run(&answers, Err(""));
    let password = |sent: &&Sent| sent.authorization.as_deref() == Some(PASSWORD);
    assert_eq!(world.sent.iter().filter(password).count(), 2);
}

// RE3: in a cache that two clients share, nobody asks where only the other may.
#[test]
fn re3_a_shared_cache_does_not_carry_one_clients_addresses_to_another() {
    let cache = TokenTable::new(10);
    let allowed: AllowAddresses = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let [mut bold, mut careful] =
        [(); 2].map(|()| client(authenticator().with_tokens(cache.clone()), None));
    let settings = RegistrySettings::new().allow_addresses(allowed.clone());
    bold.auth.configure(home().home().clone(), settings);
    // The careful one knows the registry, and the bold one puts the token there that it uses.
    careful.run(&[BEARER, TOKEN_1, "200"], Ok(200));
    careful.now += Duration::from_secs(290);
    bold.now = careful.now;
    bold.run(&[BEARER, TOKEN_2, "200"], Ok(200));
    careful.now += Duration::from_secs(290);

    let mut call = AuthCall::new();
    call.provide(home().home(), None);
    let (hop, need, now) = (home(), careful.need.clone(), careful.now);
    let prepared = careful.auth.prepare(&mut call, &hop, &need, now).unwrap();
    let Prepare::Fetch(key) = prepared else {
        panic!("{prepared:?}")
    };
    let exchange = careful.auth.begin(&mut call, &key, now).unwrap().unwrap();
    let AddressPolicy::AtLeast { allow, .. } = exchange.policy() else {
        panic!("{exchange:?}")
    };
    assert_ne!(*allow, allowed);
    assert_eq!(*allow, AllowAddresses::default());
}
