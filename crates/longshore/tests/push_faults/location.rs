//! Upload sessions at places where a client must not go, or not with its secrets.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use longshore::hyper::{HyperTransport, TlsSettings};
use longshore::origin::Secret;
use longshore::transport::TestClock;
use longshore::{Client, Credential, Error, ErrorKind, OneCredential, PushedBlob};
use longshore_testkit::certificate::Authority;
use longshore_testkit::hostile::LOCATIONS;
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::{LocationForm, Misbehaviour, Part, Quirks, Registry, Rule};
use longshore_testkit::{Listen, ScriptedResponse};

use crate::support::{BLOB, app, builder, chunked, lines, push, registry, stored, whole};

const USER: &str = "ahab";
const PASSWORD: &str = "white-whale";

/// A registry that requires a password, and names this place for a session once.
fn registry_at(location: &str) -> Registry {
    let registry = Registry::builder()
        .writable()
        .quirks(Quirks::default())
        .basic(USER, PASSWORD);
    let registry = registry.start().unwrap();
    let elsewhere = Misbehaviour::Location(location.to_owned());
    registry.misbehave(Rule::on(Part::Upload, elsewhere).times(1));
    registry
}

/// An origin that answers everything with this.
fn recorder(answer: ScriptedResponse) -> Recorder {
    Recorder::start(Listen::loopback(), move |_| answer.clone()).unwrap()
}

async fn push_with_password(registry: &Registry) -> Result<PushedBlob, Error> {
    let password = Secret::new(PASSWORD.to_owned());
    let credential = Credential::basic(USER, password).unwrap();
    let credentials = OneCredential::new(&registry.authority(), credential);
    let client = builder(registry).credentials(credentials).build().unwrap();
    let repository = app(registry, &client).await;
    repository
        .put_blob(&Bytes::from_static(BLOB), whole())
        .await
}

// RD4, CR1 (a foreign session gets no secret, and its 401 is final)
#[tokio::test]
async fn rd4_a_foreign_session_is_used_without_secrets() {
    let stored = ScriptedResponse::status(StatusCode::CREATED);
    let elsewhere = recorder(stored);
    let registry = registry_at(&format!("{}{{location}}?a=%2F+b", elsewhere.url()));
    push_with_password(&registry).await.unwrap();
    let seen = elsewhere.requests().all();
    assert_eq!(seen.len(), 1);
    let target = seen[0].uri.to_string();
    assert!(target.contains("session-1?a=%2F+b&digest="), "{target}");
    assert_eq!(seen[0].body, BLOB);
    assert!(!seen[0].is_authorized());
    assert!(!elsewhere.requests().hold(PASSWORD));
    assert!(registry.requests().hold(PASSWORD));
}

// CR5 (a 401 of a foreign origin never leads to the use of stored credentials)
#[tokio::test]
async fn cr5_a_foreign_session_that_asks_for_a_password_gets_none() {
    let challenge = HeaderValue::from_static("Basic realm=\"elsewhere\"");
    let refusal = ScriptedResponse::status(StatusCode::UNAUTHORIZED);
    let refusal = refusal.header(header::WWW_AUTHENTICATE, challenge);
    let elsewhere = recorder(refusal);
    let registry = registry_at(&format!("{}{{location}}", elsewhere.url()));
    let failed = push_with_password(&registry).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Auth, "{failed:?}");
    assert!(!elsewhere.requests().hold(PASSWORD));
    assert_eq!(elsewhere.requests().count(|seen| seen.is_authorized()), 0);
    assert_eq!(stored(&registry), None);
}

// RD2, CR12 (other schemes, forbidden addresses and user information are refused)
#[tokio::test]
async fn rd2_a_session_at_a_forbidden_place_is_refused() {
    for location in LOCATIONS
        .iter()
        .filter(|location| location.is_ascii() && !location.is_empty())
    {
        let registry = registry_at(location);
        let failed = push_with_password(&registry).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Protocol, "{location}: {failed:?}");
        let statuses = registry.requests().all();
        let statuses: Vec<_> = statuses.iter().map(|seen| seen.status.unwrap()).collect();
        assert_eq!(statuses, [401, 202], "{location}");
        assert_eq!(stored(&registry), None);
    }
}

// RD7 (a missing, repeated or malformed `Location` is an error)
#[tokio::test]
async fn rd7_a_session_without_one_location_is_an_error() {
    let second = HeaderValue::from_static("/v2/app/blobs/uploads/session-1");
    for what in [
        Misbehaviour::NoHeader(header::LOCATION),
        Misbehaviour::AddHeader(header::LOCATION, second),
        Misbehaviour::Location(String::new()),
        Misbehaviour::Location(format!("/{}", "x".repeat(8 * 1024))),
    ] {
        let registry = registry(|_| {});
        registry.misbehave(Rule::on(Part::Upload, what.clone()).times(1));
        let failed = push(&registry, whole()).await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Protocol, "{failed:?}");
        assert_eq!(lines(&registry), ["POST uploads/ 202"]);
    }
}

// RD4 (the answer to a chunk may move the session)
#[tokio::test]
async fn rd4_a_session_that_moves_takes_no_secret_with_it() {
    let accepted = ScriptedResponse::status(StatusCode::CREATED);
    let elsewhere = recorder(accepted);
    let registry = registry(|_| {});
    let moved = Misbehaviour::Location(format!("{}{{location}}", elsewhere.url()));
    let rule = Rule::on(Part::Upload, moved).method(http::Method::PATCH);
    registry.misbehave(rule.times(1));
    push(&registry, chunked()).await.unwrap();
    let bodies = elsewhere.requests().all();
    let bodies: Vec<_> = bodies.iter().map(|seen| seen.body.clone()).collect();
    assert_eq!(bodies, [&BLOB[10..20], &BLOB[20..], b""]);
}

/// A registry that speaks https, whose sessions are where the rule says, and a client that trusts
/// it.
async fn push_over_tls(location: LocationForm, rule: Option<Rule>) -> (Registry, Option<Error>) {
    let authority = Authority::new();
    let listen = Listen::loopback().tls(authority.server(&["127.0.0.1"]));
    let mut quirks = Quirks::default();
    quirks.location = location;
    let registry = Registry::builder().listen(listen).writable().quirks(quirks);
    let registry = registry.start().unwrap();
    rule.into_iter().for_each(|rule| registry.misbehave(rule));
    let tls = TlsSettings::default().ca_pem(authority.pem().as_bytes());
    let transport = HyperTransport::builder().tls(tls.unwrap()).build().unwrap();
    let client = Client::builder()
        .transport(transport)
        .clock(TestClock::default());
    let repository = app(&registry, &client.build().unwrap()).await;
    let content = Bytes::from_static(BLOB);
    let pushed = repository.put_blob(&content, whole()).await;
    (registry, pushed.err())
}

// RD2 (https never becomes http, except that the registry's own host is rewritten)
#[tokio::test]
async fn rd2_a_session_is_never_continued_over_http() {
    for location in [LocationForm::Absolute, LocationForm::Http] {
        let (registry, failed) = push_over_tls(location, None).await;
        assert!(failed.is_none(), "{location:?}: {failed:?}");
        assert_eq!(stored(&registry).unwrap(), BLOB);
    }
    let elsewhere = Recorder::silent().unwrap();
    let http = Misbehaviour::Location(format!("http://{}/s", elsewhere.address()));
    let rule = Rule::on(Part::Upload, http).times(1);
    let (registry, failed) = push_over_tls(LocationForm::Path, Some(rule)).await;
    assert_eq!(failed.unwrap().kind(), ErrorKind::Protocol);
    assert!(elsewhere.requests().is_empty());
    assert_eq!(stored(&registry), None);
}
