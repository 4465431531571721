use super::*;
use crate::testing::{Reply, get, get_with};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn claims(server: &TokenServer, reply: &Reply) -> Claims {
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    server.issuer().check(&token).unwrap()
}

#[test]
fn anyone_gets_what_they_ask_for_by_default() {
    let server = TokenServer::builder().start().unwrap();
    let url = format!(
        "{}?service=longshore-testkit&scope={}&scope=repository:c:pull%20x:y:*",
        server.realm(),
        "repository:a/b:pull,push"
    );
    let reply = get(&url);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["expires_in"], 300);
    let claims = claims(&server, &reply);
    assert_eq!(claims.access.len(), 3);
    assert!(claims.allow("a/b", "push"));
    assert!(claims.allow("c", "pull"));
    assert!(!claims.allow("c", "push"));
    assert!(!claims.allow("y", "pull"));
    assert_eq!(claims.subject, "");
    assert_eq!(claims.expires, claims.issued_at + 300);
}

#[test]
fn a_user_needs_the_right_password() {
    let server = TokenServer::builder()
        .user("alice", "pass:word")
        .start()
        .unwrap();
    for (authorization, status) in [
        (Some(basic("alice", "pass:word")), 200),
        (Some(basic("alice", "wrong")), 401),
        (Some(basic("bob", "pass:word")), 401),
        (Some("Bearer x".to_owned()), 401),
        (None, 401),
    ] {
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        assert_eq!(
            get_with(&server.realm(), &headers).status,
            status,
            "{authorization:?}"
        );
    }
    assert_eq!(server.requests().len(), 5);
    assert_eq!(server.requests().count(RecordedRequest::is_authorized), 4);
    let reply = get_with(
        &server.realm(),
        &[("authorization", &basic("alice", "pass:word"))],
    );
    assert_eq!(claims(&server, &reply).subject, "alice");
}

#[test]
fn what_is_granted_announced_and_named_can_be_chosen() {
    let server = TokenServer::builder()
        .user("alice", "x")
        .anonymous()
        .grant(|user, access| {
            access
                .actions
                .iter()
                .filter(|_| user.is_some())
                .cloned()
                .collect()
        })
        .expires_in(Some(json!("soon")))
        .member(Member::Both)
        .start()
        .unwrap();
    let url = format!("{}?scope=repository:a:pull", server.realm());
    let reply = get(&url);
    assert_eq!(reply.json()["token"], reply.json()["access_token"]);
    assert_eq!(reply.json()["expires_in"], "soon");
    assert!(!claims(&server, &reply).allow("a", "pull"));
    let reply = get_with(&url, &[("authorization", &basic("alice", "x"))]);
    assert!(claims(&server, &reply).allow("a", "pull"));
}

#[test]
fn scripted_answers_come_first() {
    let server = TokenServer::builder().start().unwrap();
    server.answer_next(ScriptedResponse::status(StatusCode::FORBIDDEN));
    server.answer_next(ScriptedResponse::status(StatusCode::OK).body("no json"));
    assert_eq!(get(&server.realm()).status, 403);
    assert_eq!(get(&server.realm()).body, "no json");
    assert_eq!(get(&server.realm()).status, 200);
    server.answer_always(ScriptedResponse::status(StatusCode::UNAUTHORIZED));
    assert_eq!(get(&server.realm()).status, 401);
    assert_eq!(get(&server.realm()).status, 401);
}

#[test]
fn another_service_another_path_and_a_form_are_refused() {
    let server = TokenServer::builder()
        .service("registry.test")
        .start()
        .unwrap();
    assert_eq!(
        get(&format!("{}?service=registry.test", server.realm())).status,
        200
    );
    assert_eq!(
        get(&format!("{}?service=other", server.realm())).status,
        400
    );
    assert_eq!(get(&server.realm().replace("/token", "/other")).status, 404);
}

#[test]
fn a_token_changed_in_one_character_is_worthless() {
    let issuer = Issuer::new("i");
    let token = issuer.issue("s", "a", Duration::from_secs(60), Vec::new());
    assert_eq!(issuer.check(&token).unwrap().subject, "s");
    assert_eq!(Issuer::new("i").check(&token), None);
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' {
        "B"
    } else {
        "A"
    };
    let changed = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    assert_eq!(issuer.check(&changed), None);
    let old = issuer.issue("s", "a", Duration::ZERO, Vec::new());
    assert_eq!(issuer.check(&old), None, "it has expired");
}
