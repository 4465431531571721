//! Interrupted transfers of blobs, mirrors, and parts.

use futures_core::Stream;
use http::StatusCode;
use longshore_proto::HeadBlob;
use longshore_testkit::registry::{Misbehaviour, Part, Quirks};

use super::*;

const SIZE: u64 = 300_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8).collect()
}

fn digest() -> Digest {
    Digest::sha256(&content())
}

fn holding() -> Registry {
    let registry = Registry::builder().start().unwrap();
    registry.contents().set_blob("app", &digest(), content());
    registry
}

fn path() -> String {
    format!("/v2/app/blobs/{}", digest())
}

async fn read(frames: &mut UpstreamFrames) -> (Vec<u8>, Option<UpstreamError>) {
    let mut bytes = Vec::new();
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

#[tokio::test]
async fn the_size_is_known_after_the_head_and_no_byte_is_lost() {
    let registry = holding();
    let (builder, _) = builder(&registry.url());
    let (builder, reported) = reporting(builder);
    let upstream = builder.build().unwrap();
    let mut frames = upstream.blob(&app(), &digest(), None, 0);
    assert_eq!(frames.size(), None);
    assert_eq!(registry.requests().len(), 0);
    frames.head().await.unwrap();
    assert_eq!((frames.size(), frames.position()), (Some(SIZE), 0));
    frames.head().await.unwrap();
    let (bytes, error) = read(&mut frames).await;
    assert!(bytes == content() && error.is_none());
    assert_eq!(frames.position(), SIZE);
    assert!(frames.next().await.is_none());
    assert_eq!(lines(&registry), [format!("GET {}", path())]);
    let expected = [(UpstreamCallKind::Blob, SIZE, UpstreamOutcome::Found)];
    assert_eq!(taken(&reported), expected);
}

#[tokio::test]
async fn rt6_a_blob_that_breaks_off_is_resumed_at_the_same_host() {
    let registry = holding();
    let cut = Rule::on(Part::Blob, Misbehaviour::CutAfter(100_000)).times(1);
    registry.misbehave(cut);
    let (upstream, _) = upstream(&registry);
    let mut frames = upstream.blob(&app(), &digest(), Some(SIZE), 0);
    let (bytes, error) = read(&mut frames).await;
    assert!(bytes == content(), "{} bytes", bytes.len());
    assert!(error.is_none());
    let expected = [
        format!("GET {}", path()),
        format!("GET {} bytes=100000-", path()),
    ];
    assert_eq!(lines(&registry), expected);
    assert_eq!(upstream.health().consecutive_failures, 0);
}

#[tokio::test]
async fn the_next_mirror_continues_at_the_position_where_the_first_died() {
    let (mirror, home) = (holding(), holding());
    misbehaving(
        &mirror,
        [
            Rule::on(Part::Blob, Misbehaviour::CutAfter(100_000)).times(1),
            Rule::on(Part::Blob, Misbehaviour::Status(StatusCode::BAD_GATEWAY)).after(1),
        ],
    );
    let (builder, _) = builder(&home.url());
    let (builder, reported) = reporting(builder.mirror(&mirror.url()));
    let upstream = builder.build().unwrap();
    let mut frames = upstream.blob(&app(), &digest(), Some(SIZE), 0);
    let (bytes, error) = read(&mut frames).await;
    assert!(bytes == content(), "{} bytes", bytes.len());
    assert!(error.is_none());
    // One transfer, and three attempts to resume it (RT1).
    let resume = format!("GET {} bytes=100000-", path());
    assert_eq!(lines(&mirror).len(), 4);
    assert_eq!(lines(&mirror)[0], format!("GET {}", path()));
    assert!(lines(&mirror)[1..].iter().all(|line| *line == resume));
    assert_eq!(lines(&home), [resume]);
    let expected = [(UpstreamCallKind::Blob, SIZE, UpstreamOutcome::Found)];
    assert_eq!(taken(&reported), expected);
}

#[tokio::test]
async fn a_blob_fails_when_no_host_is_left() {
    let (mirror, home) = (Registry::builder().start().unwrap(), holding());
    misbehaving(
        &home,
        [
            Rule::on(Part::Blob, Misbehaviour::CutAfter(100_000)).times(1),
            Rule::on(Part::Blob, Misbehaviour::Status(StatusCode::BAD_GATEWAY)).after(1),
        ],
    );
    let (builder, _) = builder(&home.url());
    let upstream = builder.mirror(&mirror.url()).build().unwrap();
    let mut frames = upstream.blob(&app(), &digest(), Some(SIZE), 0);
    let (bytes, error) = read(&mut frames).await;
    assert_eq!(bytes, content()[..100_000]);
    assert_eq!(error.unwrap().kind(), UpstreamErrorKind::Unavailable);
    assert!(frames.next().await.is_none());
    let asked = (lines(&mirror).len(), lines(&home).len());
    assert_eq!(asked, (1, 4));
    let health = upstream.health();
    assert_eq!(health.consecutive_failures, 1);
    let failure = health.last_failure.unwrap();
    assert_eq!(failure.kind, UpstreamErrorKind::Unavailable);
}

#[tokio::test]
async fn a_blob_that_no_host_has_is_absent() {
    let registry = registry();
    let (upstream, _) = upstream(&registry);
    let mut frames = upstream.blob(&app(), &digest(), None, 0);
    let error = frames.head().await.unwrap_err();
    assert_eq!(error.kind(), UpstreamErrorKind::Absent);
    assert!(frames.next().await.is_none());
    assert_eq!(upstream.health().consecutive_failures, 0);
}

#[tokio::test]
async fn a_blob_continues_at_the_position_of_its_reader() {
    let registry = holding();
    let (upstream, _) = upstream(&registry);
    let mut frames = upstream.blob(&app(), &digest(), Some(SIZE), 299_000);
    let (bytes, _) = read(&mut frames).await;
    assert_eq!(bytes, content()[299_000..]);
    assert_eq!(lines(&registry), [format!("GET {} bytes=299000-", path())]);
}

#[tokio::test]
async fn a_range_is_streamed_and_nothing_else_is_requested() {
    let registry = holding();
    let (builder, _) = builder(&registry.url());
    let (builder, reported) = reporting(builder);
    let upstream = builder.build().unwrap();
    let mut frames = upstream.blob_range(&app(), &digest(), SIZE, 10, 109_999);
    frames.head().await.unwrap();
    assert_eq!((frames.size(), frames.position()), (Some(SIZE), 10));
    let (bytes, error) = read(&mut frames).await;
    assert!(bytes == content()[10..110_000] && error.is_none());
    assert_eq!(
        lines(&registry),
        [format!("GET {} bytes=10-109999", path())]
    );
    let kind = UpstreamCallKind::BlobRange;
    let expected = [(kind, 109_990, UpstreamOutcome::Found)];
    assert_eq!(taken(&reported), expected);
}

#[tokio::test]
async fn a_range_that_breaks_off_is_resumed_and_then_continued_by_the_next_mirror() {
    let (mirror, home) = (holding(), holding());
    misbehaving(
        &mirror,
        [
            Rule::on(Part::Blob, Misbehaviour::CutAfter(50_000)).times(2),
            Rule::on(Part::Blob, Misbehaviour::Status(StatusCode::BAD_GATEWAY)).after(2),
        ],
    );
    let (builder, _) = builder(&home.url());
    let upstream = builder.mirror(&mirror.url()).build().unwrap();
    let mut frames = upstream.blob_range(&app(), &digest(), SIZE, 10, 200_000);
    let (bytes, error) = read(&mut frames).await;
    assert!(bytes == content()[10..=200_000] && error.is_none());
    assert_eq!(
        lines(&mirror)[..3],
        [
            format!("GET {} bytes=10-200000", path()),
            format!("GET {} bytes=50010-200000", path()),
            format!("GET {} bytes=100010-200000", path()),
        ]
    );
    assert_eq!(
        lines(&home),
        [format!("GET {} bytes=100010-200000", path())]
    );
}

#[tokio::test]
async fn an_upstream_without_ranges_or_a_part_outside_of_the_blob_is_invalid() {
    let registry = holding();
    registry.misbehave(Rule::on(Part::Blob, Misbehaviour::IgnoreRange));
    let (upstream, _) = upstream(&registry);
    let mut frames = upstream.blob_range(&app(), &digest(), SIZE, 10, 19);
    let error = frames.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), UpstreamErrorKind::Invalid);
    let mut frames = upstream.blob_range(&app(), &digest(), SIZE, 10, SIZE);
    let error = frames.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), UpstreamErrorKind::Invalid);
    assert!(frames.next().await.is_none());
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_reader_that_leaves_is_reported() {
    let registry = holding();
    let (builder, _) = builder(&registry.url());
    let (builder, reported) = reporting(builder);
    let upstream = builder.build().unwrap();
    let mut frames = upstream.blob(&app(), &digest(), None, 0);
    let first = frames.next().await.unwrap().unwrap().len() as u64;
    drop(frames);
    let kind = UpstreamCallKind::Blob;
    let expected = [(kind, first, UpstreamOutcome::Abandoned)];
    assert_eq!(taken(&reported), expected);
    assert_eq!(upstream.health(), UpstreamHealth::default());
    drop(upstream.blob(&app(), &digest(), None, 0));
    assert_eq!(taken(&reported), []);
}

#[tokio::test]
async fn frames_are_a_stream_too() {
    let registry = holding();
    let (upstream, _) = upstream(&registry);
    let mut frames = upstream.blob(&app(), &digest(), None, 0);
    let mut bytes = Vec::new();
    let next = |frames: &mut UpstreamFrames, cx: &mut std::task::Context<'_>| {
        std::pin::Pin::new(frames).poll_next(cx)
    };
    while let Some(frame) = std::future::poll_fn(|cx| next(&mut frames, cx)).await {
        bytes.extend_from_slice(&frame.unwrap());
    }
    assert!(bytes == content());
}

#[tokio::test]
async fn a_registry_that_is_known_to_refuse_head_of_a_blob_is_asked_with_get_at_once() {
    let registry = holding();
    let mut quirks = longshore_proto::Quirks::default();
    quirks.head_blob = HeadBlob::Get;
    let (builder, _) = builder(&registry.url());
    let upstream = builder.quirks(quirks).build().unwrap();
    let (app, digest) = (app(), digest());
    let head = upstream.blob_head(&app, &digest, Patience::OneAttempt);
    assert_eq!(head.await.unwrap().unwrap().size, Some(SIZE));
    assert_eq!(lines(&registry), [format!("GET {}", path())]);
}

// ECR Public answers HEAD of a blob with 401, even to a good token.
#[tokio::test]
async fn dg2_a_registry_that_refuses_head_of_a_blob_is_asked_with_get() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::METHOD_NOT_ALLOWED] {
        let mut quirks = Quirks::default();
        quirks.blob_head = Some(status);
        let registry = Registry::builder().quirks(quirks).start().unwrap();
        registry.contents().set_blob("app", &digest(), content());
        let (upstream, _) = upstream(&registry);
        let (app, digest) = (app(), digest());
        let head = upstream.blob_head(&app, &digest, Patience::Normal);
        assert_eq!(head.await.unwrap().unwrap().size, Some(SIZE), "{status}");
        let expected = [format!("HEAD {}", path()), format!("GET {}", path())];
        assert_eq!(lines(&registry), expected);
    }
}
