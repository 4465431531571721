use longshore_transport::Clock as _;

use super::*;

#[tokio::test]
async fn ca9_without_room_a_blob_passes_through() {
    let scene = Scene::new(MemoryStore::new(), 100);
    let content = content(16 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::open(content.clone());
    let mut readers = Vec::new();
    for _ in 0..3 {
        let fill = scene.begin(&digest, &source, Some(16 * MIB));
        readers.push(tokio::spawn(async move {
            fill.head().await.unwrap();
            assert!(fill.passes_through());
            read_whole(fill.reader(0..16 * MIB)).await
        }));
    }
    for reader in readers {
        assert!(reader.await.unwrap() == content);
    }
    idle(&scene).await;
    assert_eq!(source.opened(), [0]);
    assert_eq!((scene.store.size(&digest), scene.store.used()), (None, 0));
}

#[tokio::test]
async fn ca9_a_disk_that_fills_up_ends_no_reader() {
    // The store has room within its limit, but writes fail.
    let scene = Scene::new(MemoryStore::with_limit_bytes(MIB), ROOM);
    let content = content(8 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content.clone());
    let early = scene.begin(&digest, &source, Some(8 * MIB));
    let tail = scene.begin(&digest, &source, Some(8 * MIB));
    source.allow(512 * KIB);
    written(&early, 448 * KIB).await;
    assert!(!early.passes_through());
    let mut early = early.reader(0..8 * MIB);
    let mut had = frame(&mut early).await.unwrap().unwrap().to_vec();
    let tail = tail.reader(7 * MIB..8 * MIB);
    source.allow(2 * MIB);
    let middle = scene.begin(&digest, &source, Some(8 * MIB));
    written(&middle, 2 * MIB - 64 * KIB).await;
    assert!(middle.passes_through());
    // All bytes can still be read, so a new reader can join.
    let late = scene
        .begin(&digest, &source, Some(8 * MIB))
        .reader(0..8 * MIB);
    let middle = middle.reader(100..8 * MIB);
    source.allow_all();
    let (rest, middle, late, tail) = tokio::join!(
        read_whole(early),
        read_whole(middle),
        read_whole(late),
        read_whole(tail),
    );
    had.extend(rest);
    assert!(had == content && middle == content[100..] && late == content);
    assert!(tail == content[7 << 20..]);
    idle(&scene).await;
    assert_eq!(source.opened(), [0]);
    assert_eq!((scene.store.size(&digest), scene.store.used()), (None, 0));
}

#[tokio::test]
async fn ca4_wrong_bytes_are_found_on_a_disk_that_fills_up() {
    let scene = Scene::new(MemoryStore::with_limit_bytes(MIB), ROOM);
    let content = content(2 << 20);
    let digest = Digest::sha256(&content);
    for at in [0, 1 << 20, (2 << 20) - 1] {
        let mut wrong = content.to_vec();
        wrong[at] ^= 1;
        let source = TestSource::open(wrong.into());
        let fill = scene.begin(&digest, &source, Some(2 * MIB));
        let (had, error) = read(fill.reader(0..2 * MIB)).await;
        assert!(had.len() as u64 <= 2 * MIB - 64 * KIB);
        assert!(matches!(error, Some(CacheBodyError::Fill(_))));
        idle(&scene).await;
        assert_eq!((scene.store.size(&digest), scene.store.used()), (None, 0));
    }
}

#[tokio::test]
async fn ca9_a_single_slow_reader_is_waited_for() {
    let scene = Scene::new(MemoryStore::new(), 100);
    let content = content(16 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::open(content.clone());
    let fill = scene.begin(&digest, &source, Some(16 * MIB));
    fill.head().await.unwrap();
    let mut body = fill.reader(0..16 * MIB);
    let mut had = Vec::new();
    while let Some(frame) = frame(&mut body).await {
        had.extend_from_slice(&frame.unwrap());
        scene.clock.advance(Duration::from_secs(10));
    }
    assert!(had == content);
}

#[tokio::test]
async fn ca5_a_slow_reader_of_what_is_not_stored_holds_up_the_others_for_a_while_only() {
    let scene = Scene::new(MemoryStore::new(), 100);
    let content = content(16 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::open(content.clone());
    let slow = scene.begin(&digest, &source, Some(16 * MIB));
    let fast = scene.begin(&digest, &source, Some(16 * MIB));
    slow.head().await.unwrap();
    let slow = slow.reader(0..16 * MIB);
    let mut fast = fast.reader(0..16 * MIB);
    let mut had = Vec::new();
    while had.len() < (4 << 20) - (64 << 10) {
        had.extend_from_slice(&frame(&mut fast).await.unwrap().unwrap());
    }
    // The ring is full. The slow reader needs the first byte of the ring, and the other reader has
    // read the last.
    let begin = scene.clock.now();
    let next = loop {
        tokio::select! {
            biased;
            next = frame(&mut fast) => break next,
            () = tokio::task::yield_now() => {
                scene.clock.advance(Duration::from_secs(1));
                wake(&scene);
            }
        }
    };
    assert!(scene.clock.now() - begin >= Duration::from_secs(10));
    had.extend_from_slice(&next.unwrap().unwrap());
    had.extend(read_whole(fast).await);
    assert!(had == content);
    let (had, error) = read(slow).await;
    assert!((had.len() as u64) < 16 * MIB);
    assert!(
        matches!(error, Some(CacheBodyError::FellBehind)),
        "{error:?}"
    );
    idle(&scene).await;
    assert_eq!(source.opened(), [0]);
}

#[tokio::test]
async fn ca9_one_that_comes_too_late_for_a_blob_that_is_not_stored_has_its_own_transfer() {
    let scene = Scene::new(MemoryStore::new(), 100);
    let content = content(16 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content.clone());
    let fill = scene.begin(&digest, &source, Some(16 * MIB));
    source.allow(8 * MIB);
    fill.head().await.unwrap();
    let mut early = fill.reader(0..16 * MIB);
    let mut had = Vec::new();
    while had.len() < 7 << 20 {
        had.extend_from_slice(&frame(&mut early).await.unwrap().unwrap());
    }
    assert!(scene.fills.join(&key(&digest)).is_none());
    let late = scene.begin(&digest, &source, Some(16 * MIB));
    source.allow_all();
    let (rest, late) = tokio::join!(read_whole(early), read_whole(late.reader(0..16 * MIB)));
    had.extend(rest);
    assert!(had == content && late == content);
    assert_eq!(source.opened(), [0, 0]);
    idle(&scene).await;
}

#[tokio::test]
async fn a_transfer_that_is_not_stored_ends_with_its_last_reader() {
    let scene = Scene::new(MemoryStore::new(), 100);
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content);
    let fill = scene.begin(&digest, &source, Some(MIB));
    source.allow(512 * KIB);
    fill.head().await.unwrap();
    drop(fill.reader(0..MIB));
    idle(&scene).await;
    assert_eq!((scene.store.size(&digest), scene.store.used()), (None, 0));
}

#[tokio::test]
async fn ca12_a_transfer_whose_place_another_one_took_is_stopped_too() {
    let scene = Scene::new(MemoryStore::new(), 100);
    let content = content(16 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content);
    let early = scene.begin(&digest, &source, Some(16 * MIB));
    source.allow(8 * MIB);
    early.head().await.unwrap();
    let mut early = early.reader(0..16 * MIB);
    let mut had = 0;
    while had < 7 << 20 {
        had += frame(&mut early).await.unwrap().unwrap().len();
    }
    let late = scene.begin(&digest, &source, Some(16 * MIB));
    late.head().await.unwrap();
    assert_eq!(source.opened(), [0, 0]);
    scene.fills.stop().await;
    for body in [early, late.reader(0..16 * MIB)] {
        let (_, error) = read(body).await;
        assert!(matches!(error, Some(CacheBodyError::Fill(_))), "{error:?}");
    }
}
