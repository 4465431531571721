use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn ca5_64_readers_of_one_blob_cost_one_transfer() {
    let directory = tempfile::tempdir().unwrap();
    let store = FsStore::open(directory.path(), Durability::None).unwrap();
    let scene = Scene::new(store, ROOM);
    let content = content(3 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::open(content.clone());
    let mut readers = Vec::new();
    for _ in 0..64 {
        let fill = scene.begin(&digest, &source, None);
        readers.push(tokio::spawn(async move {
            let head = fill.head().await.unwrap();
            assert_eq!(head.size, Some(3 * MIB));
            read_whole(fill.reader(0..3 * MIB)).await
        }));
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), content);
    }
    assert_eq!(source.opened(), [0]);
    idle(&scene).await;
    assert_eq!(scene.store.size(&digest), Some(3 * MIB));
    assert!(scene.fills.join(&key(&digest)).is_none());
}

#[tokio::test]
async fn ca5_a_reader_joins_in_the_middle_and_after_the_end() {
    let scene = memory();
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content.clone());
    let first = scene.begin(&digest, &source, Some(MIB));
    source.allow(512 * KIB + 1);
    written(&first, 512 * KIB + 1).await;
    let second = scene.fills.join(&key(&digest)).unwrap();
    let part = scene.begin(&digest, &source, Some(MIB));
    source.allow_all();
    // Also the last byte alone.
    assert_eq!(
        read_whole(part.reader(MIB - 1..MIB)).await,
        content[(MIB - 1) as usize..]
    );
    assert_eq!(read_whole(second.reader(0..MIB)).await, content);
    idle(&scene).await;
    // Its file was renamed; a new fill finds it in the store.
    assert_eq!(read_whole(first.reader(9..MIB)).await, content[9..]);
    let late = scene.begin(&digest, &source, None);
    assert_eq!(late.head().await.unwrap().size, Some(MIB));
    assert_eq!(read_whole(late.reader(0..u64::MAX)).await, content);
    assert_eq!(source.opened(), [0]);
}

#[tokio::test]
async fn ca5_a_reader_that_never_reads_slows_nobody() {
    let scene = memory();
    let content = content(8 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::open(content.clone());
    let slow = scene.begin(&digest, &source, Some(8 * MIB));
    let fast = scene.begin(&digest, &source, Some(8 * MIB));
    slow.head().await.unwrap();
    let slow = slow.reader(0..8 * MIB);
    assert_eq!(read_whole(fast.reader(0..8 * MIB)).await, content);
    idle(&scene).await;
    assert_eq!(read_whole(slow).await, content);
}

#[tokio::test]
async fn a_blob_whose_size_nobody_said_ends_with_the_verdict() {
    let scene = memory();
    for length in [0, 1, 64 << 10, (64 << 10) + 1, 300 << 10] {
        let content = content(length);
        let digest = Digest::sha256(&content);
        let source = TestSource::open(content.clone()).announcing(None);
        let fill = scene.begin(&digest, &source, None);
        fill.head().await.unwrap();
        assert_eq!(read_whole(fill.reader(0..u64::MAX)).await, content);
        idle(&scene).await;
        assert_eq!(scene.store.size(&digest), Some(length as u64));
        assert_eq!(source.opened(), [0]);
    }
}

#[tokio::test]
async fn the_same_digest_of_another_upstream_is_another_transfer() {
    let scene = memory();
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let (one, other) = (
        TestSource::new(content.clone()),
        TestSource::new(content.clone()),
    );
    let first = scene.begin(&digest, &one, Some(MIB));
    let mut foreign = key(&digest);
    foreign.upstream = "other.example".parse().unwrap();
    let second = scene.fills.begin(foreign, other.clone(), Some(MIB));
    assert_eq!(first.repository().as_str(), "library/app");
    for (source, fill) in [(&one, &first), (&other, &second)] {
        source.allow(128 * KIB);
        fill.head().await.unwrap();
    }
    one.allow_all();
    other.allow_all();
    assert_eq!(read_whole(first.reader(0..MIB)).await, content);
    assert_eq!(read_whole(second.reader(0..MIB)).await, content);
    assert_eq!((one.opened(), other.opened()), (vec![0], vec![0]));
}

#[tokio::test]
async fn transfers_above_the_limit_wait_for_their_turn() {
    let clock = longshore_transport::TestClock::default();
    let store = BoundedStore::open(Arc::new(MemoryStore::new()), ROOM).unwrap();
    let fills = Fills::builder(store, Arc::new(clock))
        .concurrency(1)
        .build();
    let (first, second) = (content(1 << 20), content(2 << 20));
    let sources = [
        TestSource::new(first.clone()),
        TestSource::open(second.clone()),
    ];
    let digests = [Digest::sha256(&first), Digest::sha256(&second)];
    let running = fills.begin(key(&digests[0]), sources[0].clone(), Some(MIB));
    let waiting = fills.begin(key(&digests[1]), sources[1].clone(), Some(2 * MIB));
    sources[0].allow(512 * KIB);
    written(&running, 400 * KIB).await;
    assert_eq!(sources[1].opened(), [0; 0]);
    sources[0].allow_all();
    assert_eq!(read_whole(waiting.reader(0..2 * MIB)).await, second);
    assert_eq!(read_whole(running.reader(0..MIB)).await, first);
}

#[tokio::test]
async fn ca5_an_upstream_that_hangs_takes_no_place_of_another_one() {
    let scene = memory();
    let hanging = TestSource::new(Bytes::new());
    let held: Vec<Fill> = (0..3 * CONCURRENT_FILLS)
        .map(|number| {
            let mut key = key(&Digest::sha256(&number.to_le_bytes()));
            key.upstream = "hanging.example".parse().unwrap();
            scene.fills.begin(key, hanging.clone(), Some(MIB))
        })
        .collect();
    // A small blob, a large one, and one of unknown size.
    for (length, size) in [(KIB, Some(KIB)), (MIB, Some(MIB)), (2 * MIB, None)] {
        let content = content(length as usize);
        let source = TestSource::open(content.clone());
        let fill = scene.begin(&Digest::sha256(&content), &source, size);
        fill.head().await.unwrap();
        assert!(read_whole(fill.reader(0..length)).await == content);
    }
    assert_eq!(hanging.opened(), [0; CONCURRENT_FILLS]);
    scene.fills.stop().await;
    for fill in held {
        let error = fill.done().await.unwrap_err();
        assert_eq!(error.kind(), FillErrorKind::Stopped);
    }
}

/// The range of one reader, and the number of frames after which it leaves.
type Visit = (u64, u64, Option<usize>);

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let visit = (0..300 * KIB, 0..300 * KIB, proptest::option::of(0..6_usize));
    vec(visit, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ca5_readers_that_leave_at_any_time_do_not_affect_the_others(
        visits in visits(),
        steps in vec(0..300 * KIB, 0..6),
        frame in 1..100_000_usize,
        limit in prop_oneof![Just(ROOM), Just(1)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(visit(visits, steps, frame, limit));
    }
}

async fn visit(visits: Vec<Visit>, steps: Vec<u64>, frame_bytes: usize, limit: u64) {
    let scene = Scene::new(MemoryStore::new(), limit);
    let size = 300 * KIB;
    let content = content(size as usize);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content.clone()).in_frames_of(frame_bytes);
    let mut readers = tokio::task::JoinSet::new();
    for (start, end, leaves_after) in visits {
        let fill = scene.begin(&digest, &source, Some(size));
        let range = start.min(end)..start.max(end);
        let expected = content.slice(range.start as usize..range.end as usize);
        readers.spawn(async move {
            fill.head().await.unwrap();
            let mut body = fill.reader(range);
            match leaves_after {
                None => assert_eq!(read_whole(body).await, expected),
                Some(frames) => {
                    let mut had = Vec::new();
                    for _ in 0..frames {
                        match frame(&mut body).await {
                            Some(frame) => had.extend_from_slice(&frame.unwrap()),
                            None => break,
                        }
                    }
                    assert_eq!(had, expected[..had.len()]);
                }
            }
        });
    }
    for step in steps {
        source.allow(step);
        tokio::task::yield_now().await;
    }
    source.allow_all();
    while let Some(ended) = readers.join_next().await {
        ended.unwrap();
    }
    idle(&scene).await;
    assert_eq!(source.opened(), [0]);
    let is_stored = limit == ROOM;
    assert_eq!(scene.store.size(&digest), is_stored.then_some(size));
}
