//! Blobs: resumed where they break off, and never ended cleanly unverified.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use longshore::model::{Algorithm, Digest, VerifyError};
use longshore::proto::download::DownloadError;
use longshore::transport::{
    Clock, Exchange, Phase, ScriptedTransport, TestClock, Timer, TransportErrorKind,
};
use longshore::{BlobReader, Cause, CopyError, Error, ErrorKind};

use crate::auth::CHALLENGE;
use crate::support::{
    EVIL, HOME, Net, Piece, Pieces, app, blob, blob_uri, builder, closed, poll_once, reply, timed,
};

/// More than what counts as progress, so that a resume does not wait (RT6).
const LONG: usize = 40_000;

fn content() -> Bytes {
    (0..LONG).map(|at| (at % 251) as u8).collect()
}

/// A script for one blob: all requests go to the same place.
struct Script {
    content: Bytes,
    uri: String,
}

impl Script {
    fn new() -> Self {
        let content = content();
        let uri = blob_uri(HOME, &content);
        Self { content, uri }
    }

    fn answer(&self, status: u16) -> Exchange {
        Exchange::new("GET", &self.uri, status)
    }

    fn part(&self, first: usize, last: usize) -> Exchange {
        let range = format!("bytes {first}-{last}/{LONG}");
        let answer = self.answer(206).wants("range", &format!("bytes={first}-"));
        answer
            .header("content-range", &range)
            .body(self.content.slice(first..=last))
    }

    async fn reader(&self, net: &Net) -> BlobReader {
        let app = app(builder(net).build().unwrap()).await;
        app.blob(&Digest::sha256(&self.content), Some(LONG as u64))
            .unwrap()
    }

    async fn read(&self, exchanges: impl IntoIterator<Item = Exchange>) -> Result<Bytes, Error> {
        let script = ScriptedTransport::new(exchanges);
        let result = self
            .reader(&Net::over(script.clone()))
            .await
            .bytes(LONG as u64)
            .await;
        script.finish();
        result
    }
}

#[tokio::test]
async fn rt6_a_blob_that_breaks_off_is_taken_up_where_it_was() {
    let script = Script::new();
    let read = script.read([
        script
            .answer(200)
            .lacks("range")
            .body(script.content.slice(..30_000))
            .broken(closed(Phase::Body)),
        script.part(30_000, LONG - 1),
    ]);
    assert_eq!(read.await.unwrap(), script.content);
}

// RT6: a body that ends cleanly but early, as HTTP/1.0 and some proxies have it.
#[tokio::test]
async fn rt6_a_blob_that_ends_early_is_taken_up_too() {
    let script = Script::new();
    let read = script.read([
        script.answer(200).body(script.content.slice(..20_000)),
        script.part(20_000, 35_999),
        script.part(36_000, LONG - 1),
    ]);
    assert_eq!(read.await.unwrap(), script.content);
}

#[tokio::test]
async fn rt6_a_whole_blob_instead_of_the_rest_is_read_from_where_we_were() {
    let script = Script::new();
    let whole = script.answer(200).wants("range", "bytes=30000-");
    let read = script.read([
        script
            .answer(200)
            .body(script.content.slice(..30_000))
            .broken(closed(Phase::Body)),
        whole
            .body(script.content.slice(..29_999))
            .body(script.content.slice(29_999..)),
    ]);
    assert_eq!(read.await.unwrap(), script.content);
}

// LI: without a descriptor, a limit ends an endless body.
#[tokio::test]
async fn li_a_blob_of_unknown_size_is_read_up_to_a_limit() {
    for announced in [false, true] {
        let script = Script::new();
        let answer = script.answer(200).body(script.content.clone());
        let answer = match announced {
            true => answer.header("content-length", &LONG.to_string()),
            false => answer,
        };
        let transport = ScriptedTransport::new([answer]);
        let app = app(builder(&Net::over(transport.clone())).build().unwrap()).await;
        let digest = Digest::sha256(&script.content);
        let mut reader = app.blob(&digest, None).unwrap().with_limit(LONG as u64 - 1);
        let error = reader.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
        let limit = LONG as u64 - 1;
        assert!(matches!(error.cause(), Cause::TooLarge { limit: l } if *l == limit));
        transport.finish();
    }
}

#[tokio::test]
async fn rt6_a_range_that_is_refused_or_wrong_is_followed_by_the_whole() {
    let script = Script::new();
    let broken = || {
        let begun = script.answer(200).header("etag", "\"1\"");
        begun
            .body(script.content.slice(..30_000))
            .broken(closed(Phase::Body))
    };
    let whole = || {
        script
            .answer(200)
            .lacks("range")
            .body(script.content.clone())
    };
    for bad in [
        script.answer(400),
        script.answer(403),
        script.answer(404),
        script.answer(501),
        script.answer(416),
        script.answer(206),
        script
            .answer(206)
            .header("content-range", "bytes 29999-39999/40000"),
        script
            .answer(206)
            .header("content-range", "bytes 30000-39998/39999"),
        script
            .answer(206)
            .header("content-range", "bytes 30000-39999/40000")
            .header("etag", "\"2\""),
    ] {
        let read = script.read([broken(), bad.wants("if-range", "\"1\""), whole()]);
        assert_eq!(read.await.unwrap(), script.content);
    }
}

// RD1: each resume begins at the registry's own origin, because a signed URL may have expired.
#[tokio::test]
async fn a_blob_on_another_origin_is_resumed_through_home_and_told_no_secret() {
    let content = content();
    let bytes = content.clone();
    let clock = TestClock::default();
    let time = clock.clone();
    let net = Net::serving(move |seen| {
        if seen.uri.starts_with(EVIL) {
            return match seen.header("range") {
                None => {
                    let pieces = [
                        Piece::Bytes(bytes.slice(..30_000)),
                        Piece::Breaks(closed(Phase::Body)),
                    ];
                    reply(200, &[], Pieces::body(&time, pieces))
                }
                Some(_) => blob(seen, &bytes),
            };
        }
        if seen.uri.starts_with("https://auth.") {
            return reply(200, &[], r#"{"token":"t"}"#);
        }
        match seen.header("authorization") {
            None => reply(401, &[("www-authenticate", CHALLENGE)], ""),
            Some(_) => reply(307, &[("location", "https://evil.example.net/b?sig=1")], ""),
        }
    });
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let reader = app
        .blob(&Digest::sha256(&content), Some(LONG as u64))
        .unwrap();
    assert_eq!(reader.bytes(LONG as u64).await.unwrap(), content);
    let uri = blob_uri(HOME, &content);
    assert_eq!(
        net.lines()[2..],
        [
            format!("GET {uri} Bearer t"),
            format!("GET {EVIL}/b?sig=1"),
            format!("GET {uri} bytes=30000- Bearer t"),
            format!("GET {EVIL}/b?sig=1 bytes=30000-"),
        ]
    );
    net.was_never_told(EVIL, &["Bearer", "authorization"]);
}

/// All that a reader hands out, and how it ends.
async fn drain(mut reader: BlobReader) -> (Vec<u8>, Option<Error>) {
    let mut read = Vec::new();
    while let Some(bytes) = reader.next().await {
        match bytes {
            Ok(bytes) => read.extend_from_slice(&bytes),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

// DG3
#[tokio::test]
async fn dg3_a_blob_of_another_digest_does_not_end_cleanly() {
    for (body, size) in [(&b"other"[..], Some(5)), (b"other", None), (b"", None)] {
        let net = Net::serving(move |_| reply(200, &[], body.to_vec()));
        let app = app(builder(&net).build().unwrap()).await;
        let expected = Digest::sha256(b"hello");
        let (read, error) = drain(app.blob(&expected, size).unwrap()).await;
        assert_eq!(read, body);
        let error = error.expect("no clean end");
        assert_eq!(error.kind(), ErrorKind::Digest);
        let Cause::Digest(VerifyError::Digest {
            expected: e,
            actual,
        }) = error.cause()
        else {
            panic!("{error:?}")
        };
        assert_eq!((e, actual), (&expected, &Digest::sha256(body)));
        assert_eq!(net.lines().len(), 1);
    }
}

// An empty piece is not the end, and none is handed out for one.
#[tokio::test]
async fn empty_pieces_are_passed_over() {
    let net = Net::serving(|_| {
        let pieces = ["", "hel", "", "", "lo", ""].map(|text| Piece::Bytes(text.into()));
        reply(200, &[], Pieces::body(&TestClock::default(), pieces))
    });
    let app = app(builder(&net).build().unwrap()).await;
    let mut reader = app.blob(&Digest::sha256(b"hello"), Some(5)).unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "hel");
    assert_eq!(reader.next().await.unwrap().unwrap(), "lo");
    assert!(reader.next().await.is_none());
}

// DG3: unverified frames are for sinks that verify; they know nothing of digests.
#[tokio::test]
async fn frames_are_what_came() {
    let net = Net::serving(|_| reply(200, &[], "other"));
    let app = app(builder(&net).build().unwrap()).await;
    let mut frames = app.blob_frames(&Digest::sha256(b"hello"), Some(5));
    assert_eq!(frames.next().await.unwrap().unwrap(), "other");
    assert!(frames.next().await.is_none());
    assert!(frames.next().await.is_none());
}

// LI1, LI3
#[tokio::test]
async fn li3_no_more_is_read_than_the_descriptor_allows() {
    let expected = Digest::sha256(b"hello");
    let clock = TestClock::default();
    let time = clock.clone();
    // Says nothing of its length, and would go on for ever.
    let net = Net::serving(move |_| {
        let pieces = [
            Piece::Bytes("hell".into()),
            Piece::Bytes("oo".into()),
            Piece::Stalls,
        ];
        reply(200, &[], Pieces::body(&time, pieces))
    });
    let app_ = app(builder(&net).build().unwrap()).await;
    let (read, error) = drain(app_.blob(&expected, Some(5)).unwrap()).await;
    assert_eq!(
        (&read[..], error.map(|error| error.kind())),
        (&b"hell"[..], Some(ErrorKind::Digest))
    );

    // Says at once that it is too long, or too short to be the blob: not a byte is read.
    for (length, size) in [("6", 5), ("4", 5)] {
        let net = Net::serving(move |_| {
            reply(
                200,
                &[("content-length", length)],
                Pieces::body(&TestClock::default(), [Piece::Stalls]),
            )
        });
        let app = app(builder(&net).build().unwrap()).await;
        let (read, error) = drain(app.blob(&expected, Some(size)).unwrap()).await;
        assert_eq!(
            (read.len(), error.unwrap().kind()),
            (0, ErrorKind::Digest),
            "{length}"
        );
        assert_eq!(net.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_blob_in_memory_is_no_larger_than_it_may_be() {
    for size in [Some(5), None] {
        for (limit, expected) in [
            (4, Err(ErrorKind::TooLarge)),
            (5, Ok("hello")),
            (6, Ok("hello")),
        ] {
            let net = Net::serving(|_| reply(200, &[], "hello"));
            let app = app(builder(&net).build().unwrap()).await;
            let reader = app.blob(&Digest::sha256(b"hello"), size).unwrap();
            let result = reader.bytes(limit).await.map_err(|error| error.kind());
            assert_eq!(result, expected.map(Bytes::from));
            // What the descriptor says is enough to know.
            let asked = usize::from(limit > 4 || size.is_none());
            assert_eq!(net.lines().len(), asked);
        }
    }
}

struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_blob_is_copied_or_the_reason_is_told() {
    let net = Net::serving(|_| reply(200, &[], "hello"));
    let app = app(builder(&net).build().unwrap()).await;
    let reader = |text: &str| app.blob(&Digest::sha256(text.as_bytes()), Some(5)).unwrap();
    let mut sink = Vec::new();
    assert_eq!(reader("hello").copy_to(&mut sink).await.unwrap(), 5);
    assert_eq!(sink, b"hello");
    match reader("hello").copy_to(&mut Full).await {
        Err(CopyError::Write(error)) => assert_eq!(error.kind(), std::io::ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
    match reader("other").copy_to(&mut Vec::new()).await {
        Err(CopyError::Read(error)) => assert_eq!(error.kind(), ErrorKind::Digest),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_size_is_known_as_soon_as_anybody_tells_it() {
    let net = Net::serving(|_| reply(200, &[("content-length", "5")], "hello"));
    let app = app(builder(&net).build().unwrap()).await;
    let digest = Digest::sha256(b"hello");
    assert_eq!(app.blob(&digest, Some(5)).unwrap().size(), Some(5));
    let mut reader = app.blob(&digest, None).unwrap();
    assert_eq!((reader.size(), net.lines().len()), (None, 0));
    reader.next().await.unwrap().unwrap();
    assert_eq!(reader.size(), Some(5));
}

#[tokio::test]
async fn an_empty_blob_is_one() {
    for size in [Some(0), None] {
        let net = Net::serving(|_| reply(200, &[], ""));
        let app = app(builder(&net).build().unwrap()).await;
        let reader = app.blob(&Digest::sha256(b""), size).unwrap();
        assert_eq!(reader.bytes(0).await.unwrap(), "");
    }
}

// DG1
#[tokio::test]
async fn dg1_sha512_is_verified_and_what_cannot_be_is_refused() {
    let net = Net::serving(|_| reply(200, &[], "hello"));
    let app = app(builder(&net).build().unwrap()).await;
    let digest = Digest::of(&Algorithm::Sha512, b"hello").unwrap();
    assert_eq!(
        app.blob(&digest, None).unwrap().bytes(5).await.unwrap(),
        "hello"
    );
    let digest = Digest::of(&Algorithm::Sha512, b"other").unwrap();
    let error = app.blob(&digest, None).unwrap().bytes(5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Digest);
    let error = app
        .blob(
            &"sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564"
                .parse()
                .unwrap(),
            None,
        )
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

// DG2: whoever tells another digest is talking of another blob.
#[tokio::test]
async fn dg2_a_blob_whose_header_names_another_digest_is_refused() {
    let (right, wrong) = (Digest::sha256(b"hello"), Digest::sha256(b"other"));
    for (told, expected) in [(&right, Ok(())), (&wrong, Err(ErrorKind::Digest))] {
        let told = told.clone();
        let net =
            Net::serving(move |_| reply(200, &[("docker-content-digest", told.as_str())], "hello"));
        let app = app(builder(&net).build().unwrap()).await;
        let result = app.blob(&right, Some(5)).unwrap().bytes(5).await;
        assert_eq!(result.map(|_| ()).map_err(|error| error.kind()), expected);
    }
}

// RT6: 5 resumes without 16 KiB of progress each.
#[tokio::test]
async fn rt6_resumes_without_progress_come_to_an_end() {
    let clock = TestClock::default();
    let time = clock.clone();
    let content = content();
    let net = Net::serving(move |seen| {
        let first = seen.header("range").map_or(0, |range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .unwrap()
        });
        let pieces = [
            Piece::Bytes(content.slice(first..first + 9)),
            Piece::Breaks(closed(Phase::Body)),
        ];
        let range = format!("bytes {first}-{}/{LONG}", LONG - 1);
        let status = if first == 0 { 200 } else { 206 };
        reply(
            status,
            &[("content-range", &range)],
            Pieces::body(&time, pieces),
        )
    });
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let reader = app
        .blob(&Digest::sha256(&Script::new().content), Some(LONG as u64))
        .unwrap();
    let error = reader.bytes(LONG as u64).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    match error.cause() {
        Cause::Download(DownloadError::Resumes { resumes, received }, Some(last)) => {
            assert_eq!(
                (*resumes, *received, last.kind()),
                (5, 54, TransportErrorKind::Closed)
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(net.lines().len(), 6);
    // What led to it is told, and how often.
    let text = crate::support::chain(&error);
    assert!(text.contains("broke off 5 times"), "{text}");
    assert!(text.contains("the peer closed the connection"), "{text}");
    assert_eq!(clock.slept(), [Duration::from_millis(100); 5]);
}

// A connection that breaks behind the last byte has lost nothing.
#[tokio::test]
async fn a_blob_of_which_every_byte_came_is_not_asked_for_again() {
    let script = Script::new();
    let read = script.read([script
        .answer(200)
        .body(script.content.clone())
        .broken(closed(Phase::Body))]);
    assert_eq!(read.await.unwrap(), script.content);
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_not_found() {
    let body = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}"#;
    let net = Net::serving(move |_| reply(404, &[], body));
    let app = app(builder(&net).build().unwrap()).await;
    let error = app
        .blob(&Digest::sha256(b""), None)
        .unwrap()
        .bytes(0)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .ends_with("not found (status 404, BLOB_UNKNOWN (gone))"),
        "{error}"
    );
}

// RT9
#[tokio::test]
async fn rt9_a_dropped_next_loses_nothing() {
    let clock = TestClock::default();
    let time = clock.clone();
    let net = Net::over(longshore::transport::from_fn(move |_| {
        let pieces = [
            Piece::Late(Duration::ZERO),
            Piece::Bytes("hel".into()),
            Piece::Late(Duration::ZERO),
            Piece::Late(Duration::ZERO),
            Piece::Bytes("lo".into()),
            Piece::Late(Duration::ZERO),
        ];
        let body = Pieces::body(&time, pieces);
        async move {
            tokio::task::yield_now().await;
            Ok(reply(200, &[], body))
        }
    }));
    let app = app(timed(&net, &clock).build().unwrap()).await;
    let mut reader = app.blob(&Digest::sha256(b"hello"), Some(5)).unwrap();
    let mut read = Vec::new();
    let mut dropped = 0;
    loop {
        match poll_once(reader.next()) {
            Poll::Pending => dropped += 1,
            Poll::Ready(Some(bytes)) => read.extend_from_slice(&bytes.unwrap()),
            Poll::Ready(None) => break,
        }
    }
    assert_eq!(
        (&read[..], dropped, net.lines().len()),
        (&b"hello"[..], 9, 1)
    );
}

// LI2: a reader holds room for one request until it is dropped, fails or is at its end.
#[tokio::test]
async fn a_reader_that_is_dropped_makes_room_for_the_next() {
    let net = Net::serving(|_| {
        let pieces = [Piece::Bytes("hel".into()), Piece::Bytes("lo".into())];
        reply(200, &[], Pieces::body(&TestClock::default(), pieces))
    });
    let app = app(builder(&net).requests_per_origin(1).build().unwrap()).await;
    let reader = || app.blob(&Digest::sha256(b"hello"), Some(5)).unwrap();
    let (mut first, mut second) = (reader(), reader());
    first.next().await.unwrap().unwrap();
    assert!(poll_once(second.next()).is_pending());
    assert_eq!(net.lines().len(), 1);
    drop(first);
    second.next().await.unwrap().unwrap();
    assert_eq!(net.lines().len(), 2);

    let mut third = reader();
    assert!(poll_once(third.next()).is_pending());
    second.next().await.unwrap().unwrap();
    assert!(second.next().await.is_none());
    third.next().await.unwrap().unwrap();
    assert_eq!(net.lines().len(), 3);
}

// LI2: readers share the memory, whichever registry they read from; 8 MiB are for two large ones.
#[tokio::test]
async fn li2_readers_of_all_registries_share_the_memory() {
    let net = Net::serving(|_| {
        let pieces = [Piece::Bytes("hel".into()), Piece::Bytes("lo".into())];
        reply(200, &[], Pieces::body(&TestClock::default(), pieces))
    });
    let client = builder(&net).memory(8 * 1024 * 1024).build().unwrap();
    let mut readers = Vec::new();
    for registry in 0..3 {
        let reference = format!("r{registry}.example/app:1").parse().unwrap();
        let repository = client.repository(&reference).await.unwrap();
        readers.push(repository.blob(&Digest::sha256(b"hello"), None).unwrap());
    }
    let mut last = readers.pop().unwrap();
    for reader in &mut readers {
        reader.next().await.unwrap().unwrap();
    }
    assert!(poll_once(last.next()).is_pending());
    assert_eq!(net.lines().len(), 2);
    readers.truncate(1);
    last.next().await.unwrap().unwrap();
    assert_eq!(net.lines().len(), 3);
}

// LI2: whoever waits before the next attempt keeps nobody from theirs.
#[tokio::test]
async fn li2_a_wait_takes_no_room() {
    struct Still;
    impl Clock for Still {
        fn now(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) -> Timer {
            Box::pin(std::future::pending())
        }
        fn alarm(&self, _: Duration) -> Timer {
            Box::pin(std::future::pending())
        }
    }

    let net = Net::serving(|request| {
        if request.uri.contains("busy.example") {
            reply(503, &[("retry-after", "60")], "")
        } else {
            reply(200, &[], "hello")
        }
    });
    let client = builder(&net).clock(Still).memory(4 * 1024 * 1024);
    let client = client.build().unwrap();
    let mut readers = Vec::new();
    for registry in ["busy.example", "idle.example"] {
        let reference = format!("{registry}/app:1").parse().unwrap();
        let repository = client.repository(&reference).await.unwrap();
        readers.push(repository.blob(&Digest::sha256(b"hello"), None).unwrap());
    }
    let [busy, idle] = &mut readers[..] else {
        unreachable!()
    };
    assert!(poll_once(busy.next()).is_pending());
    assert_eq!(idle.next().await.unwrap().unwrap(), "hello");
}

// A reader is a stream, too, that can be moved about.
#[tokio::test]
async fn a_reader_is_a_stream() {
    fn poll_next<S: Stream + Send + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(stream).poll_next(&mut cx)
    }
    let net = Net::serving(|_| reply(200, &[], "hello"));
    let app = app(builder(&net).build().unwrap()).await;
    let digest = Digest::sha256(b"hello");
    let mut reader = app.blob(&digest, Some(5)).unwrap();
    let Poll::Ready(Some(Ok(bytes))) = poll_next(&mut reader) else {
        panic!("{reader:?}")
    };
    assert_eq!(bytes, "hello");
    assert!(matches!(poll_next(&mut reader), Poll::Ready(None)));
}
