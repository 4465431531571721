use std::sync::Arc;

use http::{HeaderMap, Method};
use http_body::Body as _;
use longshore_model::Digest;
use longshore_proto::endpoint::{BlobBody, Endpoint, MultipartPiece};
use longshore_proto::route;
use longshore_store::{Durability, FsStore, MemoryStore, Store};

use super::*;
use crate::bounded::BoundedStore;
use crate::fill::testing::{Scene, TestSource, content, frame, read, read_whole};

const ROOM: u64 = 1 << 40;

/// A store with one blob.
fn stored(store: impl Store + 'static, content: &Bytes) -> StoredBlob {
    let store = BoundedStore::open(Arc::new(store), ROOM).unwrap();
    let digest = Digest::sha256(content);
    store.put(&digest, content).unwrap();
    store.get(&digest).unwrap().unwrap()
}

/// The parts that a request asks for.
fn parts(digest: &Digest, size: u64, ranges: &str) -> Multipart {
    let mut headers = HeaderMap::new();
    headers.insert("range", ranges.parse().unwrap());
    let path = format!("/v2/app/blobs/{digest}");
    let endpoint = route::read_only(&Method::GET, &path, &headers).unwrap();
    let Endpoint::Blob(request) = endpoint else {
        panic!("{endpoint:?}");
    };
    match request.answer(size).unwrap().into_parts() {
        (_, BlobBody::Multipart(parts)) => parts,
        (_, other) => panic!("{other:?}"),
    }
}

fn expected(parts: Multipart, content: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    for piece in parts {
        match piece {
            MultipartPiece::Delimiter(text) => whole.extend_from_slice(&text),
            MultipartPiece::Content(range) => {
                whole.extend_from_slice(&content[range.start as usize..range.end as usize]);
            }
        }
    }
    whole
}

#[tokio::test]
async fn a_body_of_bytes_has_its_exact_length() {
    let body = CacheBody::empty();
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert_eq!(read_whole(body).await, b"");
    assert_eq!(read_whole(CacheBody::full(Bytes::new())).await, b"");
    let body = CacheBody::from(Bytes::from_static(b"abc"));
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(3));
    assert_eq!(read_whole(body).await, b"abc");
}

#[tokio::test]
async fn a_range_of_a_stored_blob_is_read_in_frames() {
    let directory = tempfile::tempdir().unwrap();
    let content = content(1_000_000);
    let files = FsStore::open(directory.path(), Durability::None).unwrap();
    for blob in [
        stored(files, &content),
        stored(MemoryStore::new(), &content),
    ] {
        for range in [0..0, 0..1, 7..300_007, 999_999..1_000_000, 0..1_000_000] {
            let mut body = CacheBody::stored(blob.clone(), range.clone());
            let mut had = Vec::new();
            loop {
                let left = range.end - range.start - had.len() as u64;
                assert_eq!(body.size_hint().exact(), Some(left));
                assert_eq!(body.is_end_stream(), left == 0);
                match frame(&mut body).await {
                    None => break,
                    Some(frame) => {
                        let frame = frame.unwrap();
                        assert!((1..=128 * 1024).contains(&frame.len()));
                        had.extend_from_slice(&frame);
                    }
                }
            }
            assert_eq!(had, content[range.start as usize..range.end as usize]);
        }
        // A range beyond the end is cut at the end.
        let rest = CacheBody::stored(blob, 999_990..u64::MAX);
        assert_eq!(read_whole(rest).await, content[999_990..]);
    }
}

#[tokio::test]
async fn ca3_a_file_that_was_truncated_ends_the_body_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let content = content(1_000_000);
    let files = FsStore::open(directory.path(), Durability::None).unwrap();
    let path = files.path(&Digest::sha256(&content)).unwrap();
    let mut body = CacheBody::stored(stored(files, &content), 0..1_000_000);
    let first = frame(&mut body).await.unwrap().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(500_000).unwrap();
    let (rest, error) = read(body).await;
    let had = [&first[..], &rest].concat();
    assert_eq!(had, content[..500_000]);
    let error = error.unwrap();
    let expected = "the stored blob ends at byte 500000: it was truncated";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn several_parts_are_sent_with_the_text_between_them() {
    let content = content(1_000_000);
    let digest = Digest::sha256(&content);
    let ranges = "bytes=700000-899999,0-0,100-299,-50";
    let parts = || parts(&digest, 1_000_000, ranges);
    let expected = expected(parts(), &content);

    let blob = stored(MemoryStore::new(), &content);
    let body = CacheBody::stored_parts(blob, parts());
    assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
    assert_eq!(read_whole(body).await, expected);

    let scene = Scene::new(MemoryStore::new(), ROOM);
    let source = TestSource::open(content.clone());
    let fill = scene.begin(&digest, &source, Some(1_000_000));
    fill.head().await.unwrap();
    let body = CacheBody::filling_parts(fill, parts());
    assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
    assert_eq!(read_whole(body).await, expected);
}

/// Frames that an upstream sends.
struct Sent(Vec<&'static [u8]>);

impl Stream for Sent {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Bytes::from_static(self.0.remove(0)))))
    }
}

#[tokio::test]
async fn ca3_frames_that_are_passed_on_have_the_announced_length() {
    let relay =
        |frames: &[&'static [u8]], length| CacheBody::pass_on(Sent(frames.to_vec()), length);
    let mut body = relay(&[b"", b"abc", b"", b"def", b""], 6);
    for (frame_expected, left) in [(&b"abc"[..], 3), (b"def", 0)] {
        assert_eq!(frame(&mut body).await.unwrap().unwrap(), frame_expected);
        assert_eq!(body.size_hint().exact(), Some(left));
        assert_eq!(body.is_end_stream(), left == 0);
    }
    assert!(frame(&mut body).await.is_none());
    assert_eq!(read_whole(relay(&[], 0)).await, b"");
    for (frames, longer, expected) in [
        (&[&b"abc"[..], b"de"][..], false, &b"abcde"[..]),
        (&[b"abc", b"defg"], true, b"abc"),
        (&[b"abc", b"def", b"g"], true, b"abc"),
        (&[], false, b""),
    ] {
        let (had, error) = read(relay(frames, 6)).await;
        let Some(CacheBodyError::Length { longer: is_longer }) = error else {
            panic!("{error:?}");
        };
        assert_eq!((&*had, is_longer), (expected, longer));
    }
}

#[derive(Default)]
struct Reports(std::sync::Mutex<Vec<(u64, bool)>>);

impl Observer for Reports {
    fn event(&self, event: &crate::observer::Event<'_>) {
        if let crate::observer::Event::Sent(sent) = event {
            self.0.lock().unwrap().push((sent.bytes, sent.complete));
        }
    }
}

#[tokio::test]
async fn the_end_of_a_body_is_reported_once() {
    let reports = Arc::new(Reports::default());
    let reported = |body: CacheBody| {
        let observer = Arc::clone(&reports) as Arc<dyn Observer>;
        body.reported(RequestId::new(1), RequestKind::Blob, observer)
    };
    let blob = stored(MemoryStore::new(), &content(200_000));
    drop(reported(CacheBody::empty()));
    read_whole(reported(CacheBody::full(Bytes::from_static(b"abc")))).await;
    // A connection does not poll a body of known length for its end.
    for frames in [1, 2] {
        let mut body = reported(CacheBody::stored(blob.clone(), 0..200_000));
        for _ in 0..frames {
            frame(&mut body).await.unwrap().unwrap();
        }
    }
    // Polling again after an error does not make the body complete.
    let mut body = reported(CacheBody::pass_on(Sent(vec![b"ab"]), 6));
    assert_eq!(frame(&mut body).await.unwrap().unwrap(), "ab");
    assert!(frame(&mut body).await.unwrap().is_err());
    assert!(frame(&mut body).await.is_none());
    drop(body);
    let expected = [
        (0, true),
        (3, true),
        (131_072, false),
        (200_000, true),
        (2, false),
    ];
    assert_eq!(*reports.0.lock().unwrap(), expected);
}
