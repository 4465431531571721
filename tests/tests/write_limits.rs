//! Writing to a registry of the test kit that revokes tokens or asks its client to slow down.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::time::Duration;

use http::{Method, StatusCode};
use longshore::hyper::HyperTransport;
use longshore::model::Tag;
use longshore::origin::Secret;
use longshore::{
    Client, ClientBuilder, Credential, HostSettings, OneCredential, PushOptions, Repository,
};
use longshore_testkit::image;
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_testkit::token::TokenServer;
use longshore_transport::TestClock;

/// A client of this registry on this clock, as the user `u` with the password `p`.
fn client(registry: &Registry, clock: &TestClock) -> ClientBuilder {
    let password = Secret::new("p".to_owned());
    let credential = Credential::basic("u", password).unwrap();
    Client::builder()
        .transport(HyperTransport::builder().build().unwrap())
        .clock(clock.clone())
        .jitter(|| 0)
        .credentials(OneCredential::new(&registry.authority(), credential))
}

async fn app(registry: &Registry, client: ClientBuilder) -> Repository {
    let reference = format!("{}/app", registry.authority()).parse().unwrap();
    let client = client.build().unwrap();
    client.repository(&reference).await.unwrap()
}

// CR7, RT7: a push succeeds with any number of revoked tokens, and each of its bodies is sent once.
#[tokio::test]
async fn rt7_a_push_continues_when_its_tokens_are_revoked() {
    let tokens = TokenServer::builder().user("u", "p").start().unwrap();
    let registry = Registry::builder().writable().bearer(&tokens);
    let registry = registry.start().unwrap();
    let clock = TestClock::default();
    let mut settings = HostSettings::default();
    settings
        .allow_realm
        .push(format!("http://{}", tokens.address()).parse().unwrap());
    let client = client(&registry, &clock).host(&registry.authority(), settings);
    let app = app(&registry, client).await;
    let tree = image::twenty_platforms(7);
    let mut sent = 0;
    for blob in tree.all_blobs() {
        let content = blob.content.bytes();
        sent += content.len();
        let mut options = PushOptions::default();
        options.digest = Some(blob.descriptor.digest.clone());
        registry.revoke_tokens();
        app.put_blob(&content, options).await.unwrap();
    }
    for document in tree.documents() {
        let (descriptor, bytes) = (&document.descriptor, document.content.bytes());
        sent += bytes.len();
        let target = descriptor.digest.clone().into();
        let stored = app.put_manifest(&target, &descriptor.media_type, bytes);
        assert_eq!(stored.await.unwrap().digest, descriptor.digest);
    }
    let bodies = registry.requests().all().into_iter();
    let bodies: usize = bodies.map(|request| request.body.len()).sum();
    assert_eq!(bodies, sent);
}

// RT2, RT3: after a 429, fewer requests are in flight, and none is sent before the time that the
// answer names.
#[tokio::test]
async fn rt3_every_request_succeeds_after_the_registry_answered_429() {
    let what = Misbehaviour::RetryAfter(StatusCode::TOO_MANY_REQUESTS, "5".to_owned());
    let rule = Rule::on(Part::Manifest, what)
        .method(Method::DELETE)
        .times(32);
    let registry = Registry::builder().writable().misbehave(rule);
    let registry = registry.start().unwrap();
    let clock = TestClock::default();
    let app = app(&registry, client(&registry, &clock)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let app = app.clone();
        let tag: Tag = format!("v{number}").parse().unwrap();
        tasks.spawn(async move { app.delete_tag(&tag).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await, [false; 64]);
    let deletions = registry
        .requests()
        .count(|request| request.method == Method::DELETE);
    assert_eq!(deletions, 64 + 32);
    let wait = Duration::from_secs(5);
    assert!(clock.slept().iter().all(|slept| *slept <= wait));
    assert!(clock.slept().contains(&wait));
}
