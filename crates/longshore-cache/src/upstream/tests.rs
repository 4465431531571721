use std::sync::{Arc, Mutex};

use longshore_testkit::image;
use longshore_testkit::registry::{Registry, Rule};
use longshore_transport::TestClock;

use super::*;

mod blobs;
mod calls;
mod limits;
mod logins;

/// An upstream at this URL, with a clock that the test controls.
fn builder(url: &str) -> (UpstreamBuilder, TestClock) {
    let clock = TestClock::default();
    let builder = Upstream::builder("registry.example".parse().unwrap(), url);
    (builder.clock(clock.clone()), clock)
}

fn upstream(registry: &Registry) -> (Upstream, TestClock) {
    let (builder, clock) = builder(&registry.url());
    (builder.build().unwrap(), clock)
}

/// A registry with an image `app:v1`.
fn registry() -> Registry {
    started(Registry::builder())
}

fn started(builder: longshore_testkit::registry::Builder) -> Registry {
    let builder = builder.image("app", "v1", &image::single(7));
    builder.start().unwrap()
}

fn app() -> RepositoryName {
    "app".parse().unwrap()
}

fn v1() -> TagOrDigest {
    "v1".parse().unwrap()
}

/// Calls as they were reported: kind, bytes and outcome.
type Reported = Arc<Mutex<Vec<(UpstreamCallKind, u64, UpstreamOutcome)>>>;

fn reporting(builder: UpstreamBuilder) -> (UpstreamBuilder, Reported) {
    let reported = Reported::default();
    let into = Arc::clone(&reported);
    let builder = builder.on_call(move |call| {
        assert_eq!(call.upstream.as_str(), "registry.example");
        let call = (call.kind, call.bytes, call.outcome);
        into.lock().unwrap().push(call);
    });
    (builder, reported)
}

fn taken(reported: &Reported) -> Vec<(UpstreamCallKind, u64, UpstreamOutcome)> {
    std::mem::take(&mut *reported.lock().unwrap())
}

/// Method, path and range of all requests.
fn lines(registry: &Registry) -> Vec<String> {
    let line = |request: &longshore_testkit::RecordedRequest| {
        let line = format!("{} {}", request.method, request.path());
        match request.header("range") {
            Some(range) => format!("{line} {range}"),
            None => line,
        }
    };
    registry.requests().all().iter().map(line).collect()
}

fn misbehaving(registry: &Registry, rules: impl IntoIterator<Item = Rule>) {
    rules.into_iter().for_each(|rule| registry.misbehave(rule));
}

/// The head of `app:v1`, with one attempt.
async fn head(upstream: &Upstream) -> Result<Option<ManifestHead>, UpstreamError> {
    let once = Patience::OneAttempt;
    upstream.manifest_head(&app(), &v1(), once).await
}

/// The manifest `app:v1`, with one attempt.
async fn pull(upstream: &Upstream) -> Result<Option<VerifiedDocument>, UpstreamError> {
    let once = Patience::OneAttempt;
    upstream.manifest(&app(), &v1(), once).await
}
