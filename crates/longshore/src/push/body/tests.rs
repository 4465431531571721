use super::*;

async fn read(
    bodies: &UploadBodies<'_>,
    offset: u64,
    length: Option<u64>,
) -> Result<String, String> {
    let mut body = bodies.open_body(BodyName { offset, length }).await.unwrap();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => return Err(bodies.failure().unwrap().to_string()),
        }
    }
    Ok(String::from_utf8(all).unwrap())
}

/// Content in pieces of three bytes.
struct Pieces {
    content: &'static str,
    size: Option<u64>,
}

impl Content for Pieces {
    fn size(&self) -> Option<u64> {
        self.size
    }

    fn open(&self, position: u64) -> crate::content::OpeningContent<'_> {
        let rest = self.content.as_bytes().get(position as usize..).unwrap();
        let mut pieces: Vec<_> = rest.chunks(3).map(Bytes::copy_from_slice).collect();
        pieces.reverse();
        let frames: ContentFrames = Box::pin(Frames(pieces));
        Box::pin(std::future::ready(Ok(frames)))
    }
}

struct Frames(Vec<Bytes>);

impl futures_core::Stream for Frames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

fn pieces(content: &'static str) -> Pieces {
    Pieces {
        content,
        size: Some(content.len() as u64),
    }
}

#[tokio::test]
async fn each_part_is_what_its_name_says() {
    let content = pieces("abcdefghij");
    let digest = Digest::sha256(b"abcdefghij");
    let bodies = UploadBodies::new(&content, Some(digest), false).unwrap();
    for (offset, length, expected) in [
        (0, Some(4), "abcd"),
        (4, Some(4), "efgh"),
        (2, Some(1), "c"),
        (8, Some(2), "ij"),
        (0, Some(10), "abcdefghij"),
        (10, Some(0), ""),
    ] {
        let found = read(&bodies, offset, length).await;
        assert_eq!(found.as_deref(), Ok(expected), "{offset}");
    }
}

#[tokio::test]
async fn a_part_behind_what_was_hashed_is_hashed_from_the_beginning() {
    let content = pieces("abcdefghij");
    let digest = Digest::sha256(b"another one");
    let bodies = UploadBodies::new(&content, Some(digest), false).unwrap();
    let name = BodyName {
        offset: 5,
        length: Some(2),
    };
    let body = bodies.open_body(name).await.unwrap();
    // Before the request is sent, not within it.
    assert!(lock(&bodies.hashed).position > 5);
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(2));
    assert_eq!(read(&bodies, 5, Some(2)).await.as_deref(), Ok("fg"));
    let found = read(&bodies, 7, Some(3)).await.unwrap_err();
    assert!(found.contains("its digest is sha256:72399361"), "{found}");
}

#[tokio::test]
async fn the_last_bytes_of_other_content_are_not_sent() {
    let content = pieces("abcdefghij");
    let bodies = UploadBodies::new(&content, Some(Digest::sha256(b"other")), false).unwrap();
    let name = BodyName {
        offset: 0,
        length: Some(10),
    };
    let mut body = bodies.open_body(name).await.unwrap();
    let mut sent = 0;
    while let Some(Ok(frame)) = body.frame().await {
        sent += frame.data_ref().unwrap().len();
    }
    assert_eq!(sent, 9);
    assert!(bodies.failure().is_some());
}

#[tokio::test]
async fn content_of_another_size_is_an_error() {
    for (size, expected) in [
        (8, "it has more than 8 bytes"),
        (11, "it ends after 10 of 11 bytes"),
    ] {
        let mut content = pieces("abcdefghij");
        content.size = Some(size);
        let bodies = UploadBodies::new(&content, None, false).unwrap();
        let found = read(&bodies, 0, Some(size)).await;
        assert_eq!(found, Err(expected.to_owned()));
    }
}

#[tokio::test]
async fn an_unknown_digest_is_computed_on_the_way() {
    let mut content = pieces("abcdefghij");
    content.size = None;
    let bodies = UploadBodies::new(&content, None, false).unwrap();
    assert_eq!(read(&bodies, 0, None).await.as_deref(), Ok("abcdefghij"));
    let digest = Digest::sha256(b"abcdefghij");
    assert_eq!(bodies.finish().unwrap(), (digest, 10));
}

#[tokio::test]
async fn a_known_digest_is_compared_where_the_size_is_not_known() {
    let mut content = pieces("abcdefghij");
    content.size = None;
    let other = Digest::sha256(b"other");
    let bodies = UploadBodies::new(&content, Some(other), false).unwrap();
    assert_eq!(read(&bodies, 0, None).await.as_deref(), Ok("abcdefghij"));
    let failed = bodies.finish().unwrap_err().to_string();
    assert!(failed.contains("its digest is sha256:72399361"), "{failed}");
}

#[tokio::test]
async fn verified_content_is_not_hashed_and_is_read_where_it_is_needed() {
    let mut content = pieces("abcdefghij");
    let other = Digest::sha256(b"other");
    let bodies = UploadBodies::new(&content, Some(other.clone()), true).unwrap();
    assert_eq!(lock(&bodies.hashed).first_needed(7), 7);
    assert_eq!(read(&bodies, 7, Some(3)).await.as_deref(), Ok("hij"));
    assert_eq!(
        read(&bodies, 0, Some(10)).await.as_deref(),
        Ok("abcdefghij")
    );
    assert_eq!(bodies.finish().unwrap(), (other, 10));

    content.size = Some(9);
    let bodies = UploadBodies::new(&content, Some(Digest::sha256(b"other")), true).unwrap();
    let found = read(&bodies, 7, Some(2)).await;
    assert_eq!(found, Err("it has more than 9 bytes".to_owned()));

    // Without a digest there is nothing that the caller could have verified.
    let content = pieces("abcdefghij");
    let bodies = UploadBodies::new(&content, None, true).unwrap();
    read(&bodies, 0, Some(10)).await.unwrap();
    let digest = Digest::sha256(b"abcdefghij");
    assert_eq!(bodies.finish().unwrap(), (digest, 10));
}

#[derive(Default)]
struct Events(Mutex<Vec<(&'static str, u64)>>);

impl PushObserver for Events {
    fn sent(&self, bytes: u64) {
        self.0.lock().unwrap().push(("sent", bytes));
    }

    fn resumed(&self, position: u64) {
        self.0.lock().unwrap().push(("resumed", position));
    }
}

#[tokio::test]
async fn an_observer_hears_what_is_sent_and_where_it_is_sent_again() {
    let content = pieces("abcdefghij");
    let bodies = UploadBodies::new(&content, None, false).unwrap();
    let events = Arc::new(Events::default());
    let bodies = bodies.with_observer(Some(events.clone()));
    for (offset, length, expected) in [
        // What is read only to be hashed does not count.
        (4, 3, &[("resumed", 4), ("sent", 2), ("sent", 1)][..]),
        (7, 3, &[("sent", 3)]),
        (9, 1, &[("resumed", 9), ("sent", 1)]),
        (0, 3, &[("resumed", 0), ("sent", 3)]),
    ] {
        read(&bodies, offset, Some(length)).await.unwrap();
        assert_eq!(*events.0.lock().unwrap(), expected, "{offset}");
        events.0.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_file_is_read_from_any_position() {
    let file = tempfile::tempfile().unwrap();
    let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    io::Write::write_all(&mut &file, &content).unwrap();
    let file = crate::FileContent::new(file).unwrap();
    assert_eq!(file.size(), Some(700_000));
    for position in [0, 1, 262_144, 699_999, 700_000] {
        let mut frames = file.open(position).await.unwrap();
        let mut all = Vec::new();
        while let Some(piece) = poll_fn(|cx| frames.as_mut().poll_next(cx)).await {
            all.extend_from_slice(&piece.unwrap());
        }
        assert!(all == content[position as usize..], "{position}");
    }
}

#[tokio::test]
async fn a_stream_is_read_once() {
    let frames = Frames(vec![Bytes::from_static(b"abc")]);
    let content = crate::StreamContent::new(frames, None);
    assert!(!content.is_seekable());
    let mut frames = content.open(0).await.unwrap();
    let first = poll_fn(|cx| frames.as_mut().poll_next(cx)).await;
    assert_eq!(first.unwrap().unwrap(), "abc");
    let again = content.open(7).await.map(|_| ()).unwrap_err();
    assert_eq!(
        again.to_string(),
        "it can be read only once, and is needed from byte 7"
    );
}
