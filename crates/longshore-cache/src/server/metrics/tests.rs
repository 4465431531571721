use std::time::Duration;

use http::{Method, StatusCode};
use longshore_model::Digest;
use longshore_proto::RateLimit;
use longshore_store::MemoryStore;

use super::*;
use crate::name::ImageName;
use crate::observer::{FillEnd, MissReason, Outcome, RequestId, Routed, Sent};
use crate::upstream::UpstreamOutcome;

/// Returns the value of one line of the metrics.
fn value(metrics: &Metrics, series: &str) -> String {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == series).then(|| value.to_owned())
    });
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}"))
}

fn answer(metrics: &Metrics, kind: RequestKind, outcome: Outcome) {
    let (id, get) = (RequestId::new(1), Method::GET);
    let answered = Answered::new(id, kind, &get, outcome, StatusCode::OK);
    metrics.event(&Event::Answered(answered));
}

fn upstream() -> UpstreamName {
    "quay.io".parse().unwrap()
}

#[test]
fn hits_and_misses_add_up_to_requests() {
    let metrics = Metrics::new();
    for outcome in [
        Outcome::Hit,
        Outcome::Revalidated,
        Outcome::Stale,
        Outcome::Negative,
        Outcome::Joined,
        Outcome::PassedThrough,
        Outcome::Miss(MissReason::Cold),
        Outcome::Miss(MissReason::Offline),
        Outcome::Refused,
    ] {
        answer(&metrics, RequestKind::Blob, outcome);
    }
    answer(&metrics, RequestKind::Manifest, Outcome::Hit);
    answer(&metrics, RequestKind::Tags, Outcome::Hit);
    answer(&metrics, RequestKind::Ping, Outcome::Hit);
    for (name, blobs, manifests) in [
        ("requests", "8", "1"),
        ("hits", "4", "1"),
        ("misses", "4", "0"),
    ] {
        let name = format!("registry_proxy_{name}_total");
        assert_eq!(value(&metrics, &format!("{name}{{type=\"blob\"}}")), blobs);
        assert_eq!(
            value(&metrics, &format!("{name}{{type=\"manifest\"}}")),
            manifests
        );
    }
    let refused = r#"longshore_cache_answers_total{kind="blob",outcome="refused"}"#;
    assert_eq!(value(&metrics, refused), "1");
    let stale = r#"longshore_cache_answers_total{kind="blob",outcome="stale"}"#;
    assert_eq!(value(&metrics, stale), "1");
}

#[test]
fn pulled_bytes_are_those_of_upstreams_and_pushed_bytes_those_of_clients() {
    let metrics = Metrics::new();
    let upstream = upstream();
    let call = |kind, bytes, head| {
        metrics.event(&Event::UpstreamCall(&UpstreamCall {
            upstream: &upstream,
            kind,
            duration: Duration::from_secs(7),
            head,
            bytes,
            outcome: UpstreamOutcome::Found,
            quota: Some(RateLimit::new(3, 100, Duration::from_secs(60))),
        }));
    };
    let head = Some(Duration::from_millis(30));
    call(UpstreamCallKind::Blob, 1000, head);
    call(UpstreamCallKind::BlobRange, 24, head);
    call(UpstreamCallKind::Manifest, 9, None);
    call(UpstreamCallKind::ManifestHead, 0, None);
    call(UpstreamCallKind::Tags, 7, None);
    // Bytes of a fill are bytes of calls: they are not counted again.
    let digest = Digest::sha256(b"");
    metrics.event(&Event::FillStarted {
        upstream: &upstream,
        digest: &digest,
    });
    assert_eq!(value(&metrics, "longshore_cache_fills_running"), "1");
    metrics.event(&Event::FillEnded {
        upstream: &upstream,
        digest: &digest,
        bytes: 1024,
        end: FillEnd::Verified,
    });
    for kind in [RequestKind::Blob, RequestKind::Manifest, RequestKind::Tags] {
        metrics.event(&Event::Sent(Sent::new(RequestId::new(1), kind, 5, true)));
    }
    for (series, expected) in [
        (r#"registry_proxy_pulled_bytes_total{type="blob"}"#, "1024"),
        (r#"registry_proxy_pulled_bytes_total{type="manifest"}"#, "9"),
        (r#"registry_proxy_pushed_bytes_total{type="blob"}"#, "5"),
        (r#"registry_proxy_pushed_bytes_total{type="manifest"}"#, "5"),
        ("longshore_cache_fills_running", "0"),
        (
            r#"longshore_cache_fills_total{upstream="quay.io",end="verified"}"#,
            "1",
        ),
        (
            r#"longshore_cache_upstream_latency_seconds_count{upstream="quay.io"}"#,
            "5",
        ),
        (
            r#"longshore_cache_upstream_latency_seconds_bucket{le="0.025",upstream="quay.io"}"#,
            "0",
        ),
        (
            r#"longshore_cache_upstream_latency_seconds_bucket{le="0.05",upstream="quay.io"}"#,
            "2",
        ),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
    for (series, expected) in [
        (
            "longshore_cache_upstream_requests_total\
             {upstream=\"quay.io\",kind=\"manifest_head\",outcome=\"found\"}",
            "1",
        ),
        (
            r#"longshore_cache_upstream_quota_remaining{upstream="quay.io"}"#,
            "3",
        ),
        (
            r#"longshore_cache_upstream_quota_limit{upstream="quay.io"}"#,
            "100",
        ),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn every_other_event_has_a_metric() {
    let metrics = Metrics::new();
    let upstream = upstream();
    let digest = Digest::sha256(b"");
    let (upstream, digest) = (&upstream, &digest);
    for event in [
        Event::FillJoined { upstream, digest },
        Event::FillJoined { upstream, digest },
        Event::UnverifiedRange { upstream, digest },
        Event::StoreDegraded(true),
        Event::Connections(12),
        Event::ConnectionRefused,
        Event::RequestRefused,
    ] {
        metrics.event(&event);
    }
    for (series, expected) in [
        (
            r#"longshore_cache_fill_joins_total{upstream="quay.io"}"#,
            "2",
        ),
        (
            r#"longshore_cache_unverified_ranges_total{upstream="quay.io"}"#,
            "1",
        ),
        ("longshore_cache_store_degraded", "1"),
        ("longshore_cache_connections", "12"),
        ("longshore_cache_connections_refused_total", "1"),
        ("longshore_cache_requests_refused_total", "1"),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn the_store_is_shown_as_it_is_and_what_it_removes_is_counted() {
    let metrics = Metrics::new();
    let store = BoundedStore::open(Arc::new(MemoryStore::new()), 1000).unwrap();
    metrics.observe_store(&store);
    let blobs: Vec<_> = (0..4).map(|number| vec![number; 300]).collect();
    for blob in &blobs {
        assert!(store.put(&Digest::sha256(blob), blob).unwrap());
    }
    for (series, expected) in [
        ("longshore_cache_store_bytes", "900"),
        ("longshore_cache_store_limit_bytes", "1000"),
        ("longshore_cache_evictions_total", "1"),
        ("longshore_cache_evicted_bytes_total", "300"),
    ] {
        assert_eq!(value(&metrics, series), expected, "{series}");
    }
}

#[test]
fn repositories_and_targets_do_not_become_labels() {
    let metrics = Metrics::new();
    answer(&metrics, RequestKind::Manifest, Outcome::Hit);
    let before = metrics.encode().lines().count();
    for number in 0..100 {
        let repository = format!("team/app{number}").parse().unwrap();
        let image = ImageName::new(upstream(), repository);
        let (id, get) = (RequestId::new(number), Method::GET);
        let kind = RequestKind::Manifest;
        metrics.event(&Event::Routed(Routed::new(id, &image, kind)));
        let answered = Answered::new(id, kind, &get, Outcome::Hit, StatusCode::OK);
        metrics.event(&Event::Answered(answered.of(&image, Some("latest"))));
    }
    assert_eq!(metrics.encode().lines().count(), before);
}
