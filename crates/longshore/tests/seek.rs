//! Blobs as byte streams: from the front, and wherever one looks.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "in a test, panicking is how to fail"
)]

#[path = "support/scripted.rs"]
mod scripted;

use std::io::SeekFrom;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use longshore::model::{Digest, Reference};
use longshore::transport::{
    Exchange, Phase, ScriptedTransport, TestClock, TransportError, TransportErrorKind,
};
use longshore::{Client, ErrorKind, SEEK_BLOCK_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use scripted::repository;

fn content() -> Vec<u8> {
    (0..SEEK_BLOCK_BYTES * 3 + 10)
        .map(|at| (at % 251) as u8)
        .collect()
}

fn uri(content: &[u8]) -> String {
    format!("https://r.example/v2/app/blobs/{}", Digest::sha256(content))
}

fn part(content: &[u8], first: usize, last: usize) -> Exchange {
    Exchange::new("GET", &uri(content), 206)
        .wants("range", &format!("bytes={first}-{last}"))
        .header(
            "content-range",
            &format!("bytes {first}-{last}/{}", content.len()),
        )
        .body(content[first..=last].to_vec())
}

#[tokio::test]
async fn a_blob_is_read_as_a_byte_stream() {
    let content = content();
    let get = Exchange::new("GET", &uri(&content), 200)
        .body(content[..1000].to_vec())
        .body(content[1000..].to_vec());
    let (repository, transport) = repository([get]).await;
    let size = Some(content.len() as u64);
    let mut reader = repository.blob(&Digest::sha256(&content), size).unwrap();
    let mut whole = Vec::new();
    reader.read_to_end(&mut whole).await.unwrap();
    assert_eq!(whole, content);
    transport.finish();
}

#[tokio::test]
async fn dg3_a_byte_stream_that_is_not_what_it_should_be_does_not_end_well() {
    let content = content();
    let mut other = content.clone();
    other[7] ^= 1;
    let get = Exchange::new("GET", &uri(&content), 200).body(other);
    let (repository, _) = repository([get]).await;
    let mut reader = repository.blob(&Digest::sha256(&content), None).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    let error = error
        .get_ref()
        .unwrap()
        .downcast_ref::<longshore::Error>()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Digest);
}

#[tokio::test]
async fn a_seeker_fetches_the_blocks_it_looks_into_once() {
    let content = content();
    let block = SEEK_BLOCK_BYTES as usize;
    let (repository, transport) = repository([
        part(&content, 3 * block, 3 * block + 9),
        part(&content, 0, block - 1),
        part(&content, block, 2 * block - 1),
    ])
    .await;
    let size = Some(content.len() as u64);
    let reader = repository.blob(&Digest::sha256(&content), size).unwrap();
    let mut seeker = reader.seek().await.unwrap();

    let mut end = [0; 4];
    assert_eq!(
        seeker.seek(SeekFrom::End(-4)).await.unwrap(),
        content.len() as u64 - 4
    );
    seeker.read_exact(&mut end).await.unwrap();
    assert_eq!(end, content[content.len() - 4..]);
    assert_eq!(seeker.read(&mut end).await.unwrap(), 0);

    let mut across = vec![0; 100];
    seeker
        .seek(SeekFrom::Start(block as u64 - 50))
        .await
        .unwrap();
    seeker.read_exact(&mut across).await.unwrap();
    assert_eq!(across, content[block - 50..block + 50]);
    seeker.seek(SeekFrom::Start(3)).await.unwrap();
    assert_eq!(seeker.read_u8().await.unwrap(), content[3]);
    assert!(seeker.seek(SeekFrom::Current(-5)).await.is_err());
    transport.finish();
}

// LI2: whoever seeks lets go of what it was reading first; where there is one turn, it is its own.
#[tokio::test]
async fn a_reader_that_seeks_does_not_wait_for_itself() {
    let content = content();
    let transport = ScriptedTransport::new([
        // Of no known length.
        Exchange::new("GET", &uri(&content), 200)
            .body(content[..1000].to_vec())
            .body(content[1000..].to_vec()),
        Exchange::new("HEAD", &uri(&content), 200)
            .header("content-length", &content.len().to_string()),
    ]);
    let client = Client::builder()
        .transport(transport.clone())
        .clock(TestClock::default())
        .requests_per_origin(1)
        .build()
        .unwrap();
    let reference: Reference = "r.example/app:1".parse().unwrap();
    let repository = client.repository(&reference).await.unwrap();
    let mut reader = repository.blob(&Digest::sha256(&content), None).unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap().len(), 1000);
    assert_eq!(reader.size(), None);
    // Everything that is asked for is there at once.
    let seeking = pin!(reader.seek());
    let Poll::Ready(seeker) = seeking.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits for ever");
    };
    assert_eq!(seeker.unwrap().size(), content.len() as u64);
    transport.finish();
}

#[tokio::test]
async fn a_registry_that_sends_no_parts_is_told_so() {
    let content = content();
    let size = content.len();
    for answer in [
        Exchange::new("GET", &uri(&content), 200).body(content.clone()),
        Exchange::new("GET", &uri(&content), 206)
            .header("content-range", &format!("bytes 1-5/{size}"))
            .body(content[1..6].to_vec()),
        Exchange::new("GET", &uri(&content), 416),
    ] {
        let (repository, transport) = repository([answer]).await;
        let reader = repository
            .blob(&Digest::sha256(&content), Some(size as u64))
            .unwrap();
        let error = reader
            .seek()
            .await
            .unwrap()
            .read_at(0, 5)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        transport.finish();
    }
}

#[tokio::test]
async fn the_size_is_asked_for_where_nobody_told_it() {
    let content = content();
    let head = Exchange::new("HEAD", &uri(&content), 200)
        .header("content-length", &content.len().to_string());
    let (repository, transport) = repository([head, part(&content, 5, 9)]).await;
    let reader = repository.blob(&Digest::sha256(&content), None).unwrap();
    let seeker = reader.seek().await.unwrap();
    assert_eq!(seeker.size(), content.len() as u64);
    assert_eq!(seeker.read_at(5, 5).await.unwrap(), content[5..10]);
    transport.finish();
}

#[tokio::test]
async fn what_is_there_already_is_not_asked_for() {
    let content = content();
    let (digest, size) = (Digest::sha256(&content), content.len() as u64);
    let rest = Exchange::new("GET", &uri(&content), 206)
        .wants("range", "bytes=1000-")
        .header("content-range", &format!("bytes 1000-{}/{size}", size - 1))
        .body(content[1000..].to_vec());
    let (repository, transport) = repository([rest]).await;
    let mut frames = repository.blob_frames_from(&digest, Some(size), 1000);
    assert_eq!(frames.next().await.unwrap().unwrap(), content[1000..]);
    assert!(frames.next().await.is_none());
    let mut all = repository.blob_frames_from(&digest, Some(size), size);
    assert!(all.next().await.is_none());
    transport.finish();
}

/// The part from `first` to `last`, of which only the bytes before `end` arrive.
fn cut(content: &[u8], first: usize, last: usize, end: usize) -> Exchange {
    let reset = TransportError::new(TransportErrorKind::Closed, Phase::Body);
    Exchange::new("GET", &uri(content), 206)
        .wants("range", &format!("bytes={first}-{last}"))
        .header(
            "content-range",
            &format!("bytes {first}-{last}/{}", content.len()),
        )
        .body(content[first..end].to_vec())
        .broken(reset)
}

#[tokio::test]
async fn rt6_a_part_that_breaks_off_is_resumed() {
    let content = content();
    let (repository, transport) = repository([
        cut(&content, 5, 60_004, 20_005),
        cut(&content, 20_005, 60_004, 50_005),
        part(&content, 50_005, 60_004),
    ])
    .await;
    let size = Some(content.len() as u64);
    let reader = repository.blob(&Digest::sha256(&content), size).unwrap();
    let seeker = reader.seek().await.unwrap();
    let read = seeker.read_at(5, 60_000).await.unwrap();
    assert_eq!(read, content[5..60_005]);
    transport.finish();
}

#[tokio::test]
async fn rt6_a_part_that_never_moves_is_given_up() {
    let content = content();
    let nothing = || cut(&content, 5, 60_004, 5);
    let (repository, transport) = repository((0..6).map(|_| nothing())).await;
    let size = Some(content.len() as u64);
    let reader = repository.blob(&Digest::sha256(&content), size).unwrap();
    let seeker = reader.seek().await.unwrap();
    let error = seeker.read_at(5, 60_000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    transport.finish();
}

#[tokio::test]
async fn dg6_a_coded_part_is_refused() {
    let content = content();
    let coded = part(&content, 0, 9).header("content-encoding", "gzip");
    let (repository, transport) = repository([coded]).await;
    let size = Some(content.len() as u64);
    let reader = repository.blob(&Digest::sha256(&content), size).unwrap();
    let seeker = reader.seek().await.unwrap();
    let error = seeker.read_at(0, 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    transport.finish();
}

#[tokio::test]
async fn rt6_a_refused_resume_of_a_part_is_followed_by_the_whole_part() {
    let content = content();
    for status in [400, 403, 501] {
        let refused =
            Exchange::new("GET", &uri(&content), status).wants("range", "bytes=20005-60004");
        let (repository, transport) = repository([
            cut(&content, 5, 60_004, 20_005),
            refused,
            part(&content, 5, 60_004),
        ])
        .await;
        let size = Some(content.len() as u64);
        let reader = repository.blob(&Digest::sha256(&content), size).unwrap();
        let seeker = reader.seek().await.unwrap();
        let read = seeker.read_at(5, 60_000).await.unwrap();
        assert_eq!(read, content[5..60_005], "{status}");
        transport.finish();
    }
}

#[tokio::test]
async fn a_part_is_read_as_frames_and_resumed() {
    let content = content();
    let (digest, size) = (Digest::sha256(&content), content.len() as u64);
    let (repository, transport) = repository([
        cut(&content, 5, 60_004, 20_005),
        part(&content, 20_005, 60_004),
    ])
    .await;
    let mut frames = repository
        .blob_part_frames(&digest, size, (5, 60_004))
        .unwrap();
    frames.head().await.unwrap();
    frames.head().await.unwrap();
    assert_eq!(frames.size(), Some(size));
    let mut read = Vec::new();
    while let Some(frame) = frames.next().await {
        read.extend_from_slice(&frame.unwrap());
    }
    assert_eq!(read, content[5..60_005]);
    transport.finish();
    for no_part in [(size, size), (0, size), (7, 6)] {
        let frames = repository.blob_part_frames(&digest, size, no_part);
        assert!(frames.is_none(), "{no_part:?}");
    }
}

#[tokio::test]
async fn rt6_a_restarted_part_does_not_repeat_bytes() {
    let content = content();
    let (digest, size) = (Digest::sha256(&content), content.len() as u64);
    let refused = Exchange::new("GET", &uri(&content), 400).wants("range", "bytes=20005-60004");
    let (repository, transport) = repository([
        cut(&content, 5, 60_004, 20_005),
        refused,
        cut(&content, 5, 60_004, 30_005),
        part(&content, 30_005, 60_004),
    ])
    .await;
    let frames = repository.blob_part_frames(&digest, size, (5, 60_004));
    let (mut frames, mut read) = (frames.unwrap(), Vec::new());
    while let Some(frame) = frames.next().await {
        read.extend_from_slice(&frame.unwrap());
    }
    assert_eq!(read, content[5..60_005]);
    transport.finish();
}

#[tokio::test]
async fn the_head_of_a_blob_is_awaited_before_its_bytes() {
    let content = content();
    let digest = Digest::sha256(&content);
    let get = Exchange::new("GET", &uri(&content), 200)
        .header("content-length", &content.len().to_string())
        .body(content.clone());
    let absent = Exchange::new("GET", &uri(&content), 404);
    let (repository, transport) = repository([get, absent]).await;
    let mut frames = repository.blob_frames(&digest, None);
    assert_eq!(frames.size(), None);
    frames.head().await.unwrap();
    assert_eq!(frames.size(), Some(content.len() as u64));
    assert_eq!(frames.next().await.unwrap().unwrap(), content);
    assert!(frames.next().await.is_none());
    let mut frames = repository.blob_frames(&digest, None);
    let error = frames.head().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(frames.next().await.is_none());
    transport.finish();
}
