//! Quotas, and limits against abuse.

use http::{HeaderName, HeaderValue, StatusCode};
use longshore_testkit::ScriptedResponse;
use longshore_testkit::registry::Misbehaviour;

use super::*;

/// Keeps the quotas that it is told of.
#[derive(Clone, Default)]
struct Quotas(Arc<Mutex<Vec<(u64, Option<u64>)>>>);

impl Observer for Quotas {
    fn event(&self, event: &Event<'_>) {
        if let Event::Quota {
            upstream,
            remaining,
            limit,
        } = event
        {
            assert_eq!(upstream.as_str(), "registry.example");
            self.0.lock().unwrap().push((*remaining, *limit));
        }
    }
}

fn header(name: &'static str, value: &'static str) -> Misbehaviour {
    let (name, value) = (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    );
    Misbehaviour::Header(name, value)
}

fn quota(registry: &Registry, limit: &'static str, remaining: &'static str) {
    registry.behave();
    registry.misbehave(Rule::always(header("ratelimit-limit", limit)));
    registry.misbehave(Rule::always(header("ratelimit-remaining", remaining)));
}

#[tokio::test]
async fn rt8_the_quota_slows_down_revalidation() {
    let (registry, quotas) = (registry(), Quotas::default());
    let (builder, clock) = builder(&registry.url());
    let upstream = builder.observer(quotas.clone()).build().unwrap();
    assert_eq!(upstream.quota(), None);
    assert_eq!(upstream.revalidation_wait(), Duration::ZERO);
    quota(&registry, "100;w=21600", "76;w=21600");
    head(&upstream).await.unwrap();
    let hours = Duration::from_secs(21600);
    assert_eq!(upstream.quota(), Some(RateLimit::new(76, 100, hours)));
    assert_eq!(upstream.health().quota, upstream.quota());
    assert_eq!(upstream.revalidation_wait(), Duration::ZERO);
    quota(&registry, "100;w=21600", "10;w=21600");
    head(&upstream).await.unwrap();
    assert_eq!(upstream.revalidation_wait(), hours / 10);
    clock.advance(hours / 20);
    assert_eq!(
        upstream.revalidation_wait(),
        hours / 10 * 95 / 100 - hours / 20
    );
    clock.advance(hours / 20);
    assert_eq!(upstream.revalidation_wait(), Duration::ZERO);
    let told = [(76, Some(100)), (10, Some(100))];
    assert_eq!(*quotas.0.lock().unwrap(), told);
}

#[tokio::test]
async fn a_mirror_has_no_say_in_the_quota() {
    let (mirror, home) = (registry(), registry());
    quota(&mirror, "100;w=21600", "0;w=21600");
    let (builder, _) = builder(&home.url());
    let upstream = builder.mirror(&mirror.url()).build().unwrap();
    assert!(head(&upstream).await.unwrap().is_some());
    assert_eq!(upstream.quota(), None);
}

#[tokio::test]
async fn a_quota_that_is_used_up_does_not_stop_other_requests() {
    let registry = registry();
    let body = concat!(
        r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate "#,
        r#"limit."}]}"#,
    );
    let refusal = ScriptedResponse::status(StatusCode::TOO_MANY_REQUESTS)
        .header(
            HeaderName::from_static("ratelimit-remaining"),
            HeaderValue::from_static("0;w=21600"),
        )
        .body(body.as_bytes().to_vec());
    let refusal = Misbehaviour::Response(Box::new(refusal));
    registry.misbehave(Rule::always(refusal).method(http::Method::GET));
    let (upstream, _) = upstream(&registry);
    let error = pull(&upstream).await.unwrap_err();
    assert_eq!(
        error.kind(),
        UpstreamErrorKind::RateLimited { abuse: false }
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(21600)));
    assert_eq!(upstream.health().paused, None);
    assert!(head(&upstream).await.unwrap().is_some());
}

#[tokio::test]
async fn a_limit_against_abuse_pauses_all_requests() {
    for (retry_after, pause) in [(None, 60), (Some("7"), 7), (Some("86400"), 3600)] {
        let registry = registry();
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut refusal = ScriptedResponse::status(status).body(b"Too Many Requests".to_vec());
        if let Some(seconds) = retry_after {
            refusal = refusal.header(http::header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        registry.misbehave(Rule::always(Misbehaviour::Response(Box::new(refusal))));
        let (upstream, clock) = upstream(&registry);
        let abuse = UpstreamErrorKind::RateLimited { abuse: true };
        assert_eq!(pull(&upstream).await.unwrap_err().kind(), abuse);
        registry.behave();
        registry.requests().clear();
        clock.advance(Duration::from_secs(pause - 1));
        let error = pull(&upstream).await.unwrap_err();
        assert_eq!(error.kind(), abuse);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        let mut frames = upstream.blob(&app(), &Digest::sha256(b""), None, 0);
        assert_eq!(frames.head().await.unwrap_err().kind(), abuse);
        assert_eq!(upstream.health().paused, Some(Duration::from_secs(1)));
        assert_eq!(upstream.health().consecutive_failures, 1);
        assert_eq!(registry.requests().len(), 0, "{retry_after:?}");
        clock.advance(Duration::from_secs(1));
        assert_eq!(upstream.health().paused, None);
        assert!(pull(&upstream).await.unwrap().is_some());
    }
}
