use super::*;

#[tokio::test]
async fn ca4_the_last_64_kib_are_held_back_to_the_byte() {
    for limit in [ROOM, 1] {
        let scene = Scene::new(MemoryStore::new(), limit);
        let size = 256 * KIB + 1;
        let content = content(size as usize);
        let digest = Digest::sha256(&content);
        let source = TestSource::new(content.clone());
        let fill = scene.begin(&digest, &source, Some(size));
        let tail = scene.begin(&digest, &source, Some(size));
        source.allow(64 * KIB);
        fill.head().await.unwrap();
        let mut tail = tail.reader(size - 64 * KIB..size);
        let watched = scene.fills.join(&key(&digest)).unwrap();
        let mut body = fill.reader(0..size);
        assert_eq!(read_released(&mut body, 0).await, b"");
        let mut had = Vec::new();
        for allowed in [64 * KIB + 1, 128 * KIB + 1, 256 * KIB + 1] {
            source.allow(allowed);
            written(&watched, allowed).await;
            let released = (allowed - 64 * KIB) as usize - had.len();
            had.extend(read_released(&mut body, released).await);
        }
        assert_eq!(read_released(&mut tail, 0).await, b"");
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(64 * KIB));
        source.allow_all();
        had.extend(read_whole(body).await);
        assert_eq!(had, content);
        assert_eq!(
            read_whole(tail).await,
            content[(size - 64 * KIB) as usize..]
        );
    }
}

/// A transfer of wrong bytes: what is wrong, what is sent, and the size that is announced.
fn wrong(content: &Bytes) -> Vec<(&'static str, Bytes, Option<u64>)> {
    let size = content.len();
    let changed = |at: usize| {
        let mut changed = content.to_vec();
        changed[at] ^= 1;
        Bytes::from(changed)
    };
    let longer = Bytes::from([content, &b"!"[..]].concat());
    let shorter = content.slice(..size - 1);
    vec![
        ("the first byte", changed(0), Some(size as u64)),
        ("a byte in the middle", changed(size / 2), Some(size as u64)),
        ("the last byte", changed(size - 1), Some(size as u64)),
        ("one byte too many", longer.clone(), Some(size as u64)),
        ("one byte too few", shorter.clone(), Some(size as u64)),
        ("a longer blob", longer, None),
        ("a shorter blob", shorter, None),
    ]
}

#[tokio::test]
async fn ca4_no_reader_gets_a_complete_body_of_wrong_bytes() {
    for (length, limit) in [
        (1_usize << 20, ROOM),
        (1 << 20, 1),
        (1000, ROOM),
        (70_000, ROOM),
    ] {
        let content = content(length);
        let digest = Digest::sha256(&content);
        for (what, sent, size) in wrong(&content) {
            let scene = Scene::new(MemoryStore::new(), limit);
            let source = TestSource::open(sent);
            let mut readers = Vec::new();
            for number in 0..9 {
                let fill = scene.begin(&digest, &source, size);
                let start = number * length as u64 / 9;
                readers.push(tokio::spawn(async move {
                    let end = match fill.head().await {
                        Ok(head) => head.size.unwrap(),
                        Err(error) => {
                            assert_eq!(error.kind(), FillErrorKind::Mismatch);
                            return;
                        }
                    };
                    let (had, error) = read(fill.reader(start..end)).await;
                    let error = error.unwrap();
                    assert!(matches!(&error, CacheBodyError::Fill(_)), "{error}");
                    assert!(had.len() as u64 <= (end - start).saturating_sub(64 * KIB));
                }));
            }
            for reader in readers {
                reader.await.unwrap();
            }
            idle(&scene).await;
            assert_eq!(scene.store.size(&digest), None, "{what} of {length}");
            assert_eq!(source.opened(), [0], "{what} of {length}");
            // No part is kept: the next fill starts at the first byte and succeeds.
            let right = TestSource::open(content.clone());
            let fill = scene.begin(&digest, &right, Some(length as u64));
            fill.head().await.unwrap();
            assert_eq!(read_whole(fill.reader(0..length as u64)).await, content);
            assert_eq!(right.opened(), [0], "{what} of {length}");
        }
    }
}

#[tokio::test]
async fn ca3_a_body_ends_with_an_error_when_the_upstream_fails_and_the_next_fill_resumes() {
    let directory = tempfile::tempdir().unwrap();
    let store = FsStore::open(directory.path(), Durability::None).unwrap();
    let scene = Scene::new(store, ROOM);
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::open(content.clone()).failing_at(700 * KIB, UNAVAILABLE);
    let fill = scene.begin(&digest, &source, Some(MIB));
    let (had, error) = read(fill.reader(0..MIB)).await;
    assert!(had.len() as u64 <= 636 * KIB);
    assert!(matches!(error, Some(CacheBodyError::Fill(error)) if error.kind() == UNAVAILABLE));
    idle(&scene).await;
    // Only the upstream states the size, so there is one request for it and one for the rest.
    let fill = scene.begin(&digest, &source, None);
    assert_eq!(fill.head().await.unwrap().size, Some(MIB));
    assert_eq!(read_whole(fill.reader(0..MIB)).await, content);
    assert_eq!(source.opened(), [0, 0, 700 * KIB]);
    idle(&scene).await;
    assert_eq!(scene.store.size(&digest), Some(MIB));
}

#[tokio::test]
async fn an_upstream_that_refuses_fails_the_head() {
    let scene = memory();
    for size in [None, Some(1), Some(MIB)] {
        let content = content(1 << 20);
        let digest = Digest::sha256(&content);
        let source = TestSource::open(content).failing_at(0, UNAVAILABLE);
        let fill = scene.begin(&digest, &source, size);
        assert_eq!(fill.head().await.unwrap_err().kind(), UNAVAILABLE);
        assert_eq!(fill.done().await.unwrap_err().kind(), UNAVAILABLE);
        assert!(scene.fills.join(&key(&digest)).is_none());
    }
}

#[tokio::test]
async fn dg1_a_digest_without_verifier_fails_the_head() {
    let scene = memory();
    let digest: Digest = format!("blake3:{}", "0".repeat(64)).parse().unwrap();
    for size in [Some(1), Some(MIB), None] {
        let source = TestSource::open(content(1 << 20));
        let fill = scene.begin(&digest, &source, size);
        let error = fill.head().await.unwrap_err();
        assert_eq!(error.kind(), FillErrorKind::Unsupported);
    }
}
