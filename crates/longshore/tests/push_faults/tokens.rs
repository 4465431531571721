//! Pushes that need several tokens.

use bytes::Bytes;
use http::{Method, StatusCode};
use longshore::model::Digest;
use longshore::origin::Secret;
use longshore::{Client, Credential, OneCredential, PushOptions, UploadOutcome};
use longshore_testkit::ScriptedResponse;
use longshore_testkit::registry::{Misbehaviour, Part, Quirks, Registry, Rule};
use longshore_testkit::token::TokenServer;

use crate::support::{BLOB, app, builder, chunked, stored, whole};

const USER: &str = "ahab";
const PASSWORD: &str = "white-whale";

fn tokens() -> TokenServer {
    TokenServer::builder().user(USER, PASSWORD).start().unwrap()
}

fn registry(tokens: &TokenServer, set: impl FnOnce(&mut Quirks)) -> Registry {
    let mut quirks = Quirks::default();
    set(&mut quirks);
    let builder = Registry::builder().writable().quirks(quirks);
    builder.bearer(tokens).start().unwrap()
}

fn client(registry: &Registry, tokens: &TokenServer) -> Client {
    let password = Secret::new(PASSWORD.to_owned());
    let credential = Credential::basic(USER, password).unwrap();
    let credentials = OneCredential::new(&registry.authority(), credential);
    let mut settings = longshore::HostSettings::default();
    settings.plain_http = true;
    let realm = format!("http://{}", tokens.address()).parse().unwrap();
    settings.allow_realm.push(realm);
    let builder = builder(registry).credentials(credentials);
    builder
        .host(&registry.authority(), settings)
        .build()
        .unwrap()
}

// CR7 (a refused token is renewed once in each call, and a push has many calls)
#[tokio::test]
async fn cr7_a_push_outlives_any_number_of_tokens() {
    let tokens = tokens();
    let registry = registry(&tokens, |quirks| quirks.token_uses = Some(2));
    let repository = app(&registry, &client(&registry, &tokens)).await;
    let content = Bytes::from_static(BLOB);
    let mut options = chunked();
    options.chunk = Some(4);
    let pushed = repository.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    // A POST, seven chunks and a PUT, two for each token.
    assert_eq!(tokens.requests().len(), 5);
    assert_eq!(stored(&registry).unwrap(), BLOB);
    assert!(!registry.requests().hold(PASSWORD));
}

// CR7 (a 400 or 403 that says the token expired counts as a refused token)
#[tokio::test]
async fn cr7_a_token_that_expired_without_a_challenge_is_renewed_in_the_middle() {
    for status in [StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST] {
        let tokens = tokens();
        let registry = registry(&tokens, |quirks| quirks.expired = Some(status));
        let ends = Rule::on(Part::Upload, Misbehaviour::RevokeTokens);
        registry.misbehave(ends.method(Method::PATCH).times(1));
        let repository = app(&registry, &client(&registry, &tokens)).await;
        let content = Bytes::from_static(BLOB);
        repository.put_blob(&content, chunked()).await.unwrap();
        let seen = registry.requests().all();
        let seen: Vec<_> = seen.iter().map(|seen| seen.status.unwrap()).collect();
        // The chunk is not sent without a token, only to be refused.
        assert_eq!(seen, [401, 202, 202, status.as_u16(), 202, 202, 201]);
        assert_eq!(tokens.requests().len(), 2);
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed_and_the_chunk_sent_again() {
    let tokens = tokens();
    let registry = registry(&tokens, |_| {});
    let ends = Rule::on(Part::Upload, Misbehaviour::RevokeTokens);
    registry.misbehave(ends.method(Method::PATCH).times(1));
    let repository = app(&registry, &client(&registry, &tokens)).await;
    let content = Bytes::from_static(BLOB);
    repository.put_blob(&content, chunked()).await.unwrap();
    let statuses = registry.requests().all();
    let statuses: Vec<_> = statuses.iter().map(|seen| seen.status.unwrap()).collect();
    assert_eq!(statuses, [401, 202, 202, 401, 202, 202, 201]);
    assert_eq!(tokens.requests().len(), 2);
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

#[tokio::test]
async fn a_token_is_there_before_the_body_is_sent() {
    let tokens = tokens();
    let registry = registry(&tokens, |quirks| quirks.early_refusal = true);
    let content = Bytes::from(vec![7; 16 * 1024 * 1024]);
    let mut options = PushOptions::default();
    options.digest = Some(Digest::sha256(&content));
    let repository = app(&registry, &client(&registry, &tokens)).await;
    repository.put_blob(&content, options).await.unwrap();
    let seen = registry.requests().all();
    let bodies: Vec<_> = seen.iter().map(|seen| seen.body.len()).collect();
    assert_eq!(bodies, [0, 0, content.len()]);
}

// CR8 (the scope is push on the own repository, and pull on a mount source)
#[tokio::test]
async fn cr8_a_mount_has_one_token_for_both_repositories() {
    let tokens = tokens();
    let registry = registry(&tokens, |_| {});
    let digest = Digest::sha256(BLOB);
    registry.contents().set_blob("base", &digest, BLOB);
    let repository = app(&registry, &client(&registry, &tokens)).await;
    let mut options = whole();
    options.mount = Some("base".parse().unwrap());
    let content = Bytes::from_static(BLOB);
    let pushed = repository.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Mounted);
    assert_eq!(tokens.requests().len(), 1);
    let query = tokens.requests().all()[0].query().to_owned();
    let own = query.find("repository%3Aapp%3A").unwrap();
    let source = query.find("repository%3Abase%3Apull").unwrap();
    assert!(own < source, "{query}");
}

#[tokio::test]
async fn a_mount_for_which_no_token_is_issued_is_replaced_by_an_upload() {
    let tokens = tokens();
    let registry = registry(&tokens, |_| {});
    tokens.answer_next(ScriptedResponse::status(StatusCode::UNAUTHORIZED));
    let repository = app(&registry, &client(&registry, &tokens)).await;
    let mut options = whole();
    options.mount = Some("base".parse().unwrap());
    let content = Bytes::from_static(BLOB);
    let pushed = repository.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    assert_eq!(pushed.mount_refused, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(stored(&registry).unwrap(), BLOB);
}

#[tokio::test]
async fn a_mount_that_is_refused_without_a_challenge_is_replaced_by_an_upload() {
    let tokens = tokens();
    let registry = registry(&tokens, |_| {});
    let refusal = Misbehaviour::Status(StatusCode::UNAUTHORIZED);
    registry.misbehave(Rule::on_writes(refusal).times(1));
    let repository = app(&registry, &client(&registry, &tokens)).await;
    let mut options = whole();
    options.mount = Some("base".parse().unwrap());
    let content = Bytes::from_static(BLOB);
    let pushed = repository.put_blob(&content, options).await.unwrap();
    assert_eq!(pushed.outcome, UploadOutcome::Sent);
    assert_eq!(pushed.mount_refused, Some(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_token_for_a_push_does_not_ask_for_deletion() {
    let tokens = TokenServer::builder()
        .user(USER, PASSWORD)
        .refuse_action("delete");
    let tokens = tokens.start().unwrap();
    let registry = registry(&tokens, |_| {});
    let repository = app(&registry, &client(&registry, &tokens)).await;
    let content = Bytes::from_static(BLOB);
    repository.put_blob(&content, whole()).await.unwrap();
    assert_eq!(stored(&registry).unwrap(), BLOB);
}
