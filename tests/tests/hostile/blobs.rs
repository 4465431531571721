//! Blobs: connections cut again and again, ranges ignored and mislabelled, bodies without an end.

use super::*;

/// As long as the ranges of [`hostile::CONTENT_RANGES`] take it to be.
const LENGTH: u64 = 200_000;

async fn read(scene: &Scene, digest: &Digest, size: u64) -> Result<(), Error> {
    let reader = scene.repository.blob(digest, Some(size)).unwrap();
    reader.bytes(size).await.map(drop)
}

// RT6
#[tokio::test]
async fn rt6_a_connection_cut_every_few_bytes_is_outlasted() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    for (every, requests) in [(50_000, 4), (16 * 1024, 13), (199_999, 2)] {
        scene.rule(Rule::on(Part::Blob, Misbehaviour::CutAfter(every)));
        read(&scene, &digest, LENGTH).await.unwrap();
        let ranges = scene.ranges();
        assert_eq!(ranges.len(), requests, "{ranges:?}");
        for (number, range) in (0..).zip(&ranges).skip(1) {
            assert_eq!(*range, Some(format!("bytes={}-", number * every)));
        }
    }
}

// RT6: at most 5 resumes in a row with less than 16 KiB progress, and 200 in all.
#[tokio::test]
async fn rt6_nobody_resumes_for_ever() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    for every in [0, 1, 16 * 1024 - 1] {
        scene.rule(Rule::on(Part::Blob, Misbehaviour::CutAfter(every)));
        let result = read(&scene, &digest, LENGTH).await;
        let error = scene.refused(result, ErrorKind::Unavailable, 6, "cut");
        assert!(matches!(error.cause(), Cause::Download(..)), "{error:?}");
    }
    let length = 202 * 16 * 1024;
    let digest = scene.blob(BlobContent::random(2, length));
    scene.rule(Rule::on(Part::Blob, Misbehaviour::CutAfter(16 * 1024)));
    let result = read(&scene, &digest, length).await;
    scene.refused(result, ErrorKind::Unavailable, 201, "cut 200 times");
}

// RT6: one restart from zero, and no second.
#[tokio::test]
async fn rt6_a_range_that_is_not_the_one_asked_for_costs_one_restart() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    let start = || {
        let cut = Misbehaviour::CutAfter(100_000);
        scene.rule(Rule::on(Part::Blob, cut).times(1));
    };
    let wrong = |what| {
        let rule = Rule::on(Part::Blob, what).after(1);
        scene.registry.misbehave(rule);
    };
    let part = Some("bytes=100000-".to_owned());
    let expected = [None, part, None];
    for range in hostile::CONTENT_RANGES {
        start();
        wrong(Misbehaviour::ContentRange(range.to_owned()));
        read(&scene, &digest, LENGTH).await.unwrap();
        assert_eq!(scene.ranges(), expected, "{range:?}");
    }
    let parts = HeaderValue::from_static("multipart/byteranges; boundary=x");
    for what in [
        vec![Misbehaviour::NoHeader(http::header::CONTENT_RANGE)],
        vec![
            Misbehaviour::NoHeader(http::header::CONTENT_RANGE),
            Misbehaviour::Header(http::header::CONTENT_TYPE, parts),
        ],
    ] {
        start();
        what.into_iter().for_each(wrong);
        read(&scene, &digest, LENGTH).await.unwrap();
        assert_eq!(scene.ranges(), expected);
    }
    // And where nothing but that comes, it is over.
    start();
    wrong(Misbehaviour::Status(status(416)));
    let result = read(&scene, &digest, LENGTH).await;
    scene.refused(result, ErrorKind::Protocol, 3, "416 and 416 again");
}

// RT6: a range that is ignored costs the bytes again, and no more.
#[tokio::test]
async fn rt6_a_range_that_is_ignored_is_read_again_and_dropped() {
    let scene = Scene::set().await;
    let content = BlobContent::random(1, LENGTH);
    let digest = scene.blob(content.clone());
    scene.rule(Rule::on(Part::Blob, Misbehaviour::CutAfter(100_000)).times(1));
    scene
        .registry
        .misbehave(Rule::on(Part::Blob, Misbehaviour::IgnoreRange));
    let reader = scene.repository.blob(&digest, Some(LENGTH)).unwrap();
    let bytes = reader.bytes(LENGTH).await.unwrap();
    assert!(bytes == content.bytes());
    assert_eq!(scene.ranges().len(), 2);
}

// LI1, LI3, DG3: no more is read than the descriptor says, and one byte.
#[tokio::test]
async fn li3_a_blob_without_an_end_is_read_to_the_one_it_should_have() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    for announced in [true, false] {
        let endless =
            Misbehaviour::Body(BlobContent::random(1, LENGTH).then(BlobContent::endless("x")));
        scene.rule(Rule::on(Part::Blob, endless));
        if !announced {
            scene
                .registry
                .misbehave(Rule::always(Misbehaviour::NoLength));
        }
        let result = read(&scene, &digest, LENGTH).await;
        scene.refused(result, ErrorKind::Digest, 1, "endless");
    }
}

// LI3, DG3
#[tokio::test]
async fn dg3_a_length_of_a_blob_that_is_a_lie_is_found_out() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    for claimed in [LENGTH + 1, LENGTH - 1, u64::MAX >> 1, 0] {
        scene.rule(Rule::on(Part::Blob, Misbehaviour::Length(claimed)));
        let result = read(&scene, &digest, LENGTH).await;
        scene.refused(result, ErrorKind::Digest, 1, &claimed.to_string());
    }
}

// DG2, DG3: other bytes of the right length, and a header that admits it.
#[tokio::test]
async fn dg3_other_bytes_are_never_handed_out_as_the_whole() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    let other = || Misbehaviour::Body(BlobContent::random(2, LENGTH));
    scene.rule(Rule::on(Part::Blob, other()));
    let result = read(&scene, &digest, LENGTH).await;
    scene.refused(result, ErrorKind::Digest, 1, "other bytes");
    let admitted = Misbehaviour::DigestHeader(Digest::sha256(b"other"));
    scene.rule(Rule::on(Part::Blob, admitted));
    let result = read(&scene, &digest, LENGTH).await;
    scene.refused(result, ErrorKind::Digest, 1, "another digest");
}

// DG6
#[tokio::test]
async fn dg6_a_blob_that_comes_coded_is_refused() {
    let scene = Scene::set().await;
    let digest = scene.blob(BlobContent::random(1, LENGTH));
    scene.rule(Rule::on(Part::Blob, Misbehaviour::Gzip));
    assert!(read(&scene, &digest, LENGTH).await.is_err());
    assert_eq!(scene.registry.requests().len(), 1);
    // Unless it is the very content.
    let name = HeaderName::from_static("content-encoding");
    let gzip = Misbehaviour::Header(name, HeaderValue::from_static("gzip"));
    scene.rule(Rule::on(Part::Blob, gzip));
    read(&scene, &digest, LENGTH).await.unwrap();
}
