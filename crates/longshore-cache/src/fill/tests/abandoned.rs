use super::*;

const BIG: u64 = 64 * MIB;

#[tokio::test]
async fn ca5_a_fill_that_nobody_reads_is_kept_and_resumed() {
    let scene = memory();
    let content = content(BIG as usize);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content.clone());
    let fill = scene.begin(&digest, &source, Some(BIG));
    source.allow(8 * MIB);
    written(&fill, 8 * MIB - 64 * KIB).await;
    drop(fill.reader(0..BIG));
    scene.clock.ring(true);
    idle(&scene).await;
    scene.clock.ring(false);
    assert_eq!(scene.store.size(&digest), None);
    source.allow_all();
    let fill = scene.begin(&digest, &source, Some(BIG));
    fill.done().await.unwrap();
    assert_eq!(source.opened(), [0, 8 * MIB]);
    assert!(read_whole(fill.reader(0..BIG)).await == content);
}

#[tokio::test]
async fn ca5_a_fill_that_nobody_reads_is_finished_if_it_is_small_or_has_come_far() {
    for (size, allowed) in [(BIG - 1, 0), (BIG, 16 * MIB + 1)] {
        let scene = memory();
        let content = Bytes::from(vec![7; size as usize]);
        let digest = Digest::sha256(&content);
        let source = TestSource::new(content);
        let fill = scene.begin(&digest, &source, Some(size));
        source.allow(allowed);
        written(&fill, allowed.saturating_sub(64 * KIB)).await;
        drop(fill);
        source.allow_all();
        idle(&scene).await;
        assert_eq!(scene.store.size(&digest), Some(size));
        assert_eq!(source.opened(), [0]);
    }
}

#[tokio::test]
async fn ca5_a_reader_in_time_keeps_the_fill() {
    let scene = memory();
    let content = Bytes::from(vec![7; BIG as usize]);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content);
    let fill = scene.begin(&digest, &source, Some(BIG));
    source.allow(MIB);
    written(&fill, MIB - 64 * KIB).await;
    drop(fill);
    scene.clock.advance(Duration::from_secs(20));
    let fill = scene.fills.join(&key(&digest)).unwrap();
    scene.clock.advance(Duration::from_secs(20));
    source.allow_all();
    fill.done().await.unwrap();
    assert_eq!(source.opened(), [0]);
}

#[tokio::test]
async fn a_fill_ends_at_its_deadline_and_is_kept() {
    let scene = memory();
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content.clone());
    let fill = scene.begin(&digest, &source, Some(MIB));
    source.allow(512 * KIB);
    written(&fill, 448 * KIB).await;
    scene.clock.ring(true);
    wake(&scene);
    let (_, error) = read(fill.reader(0..MIB)).await;
    scene.clock.ring(false);
    let Some(CacheBodyError::Fill(error)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.kind(), FillErrorKind::Deadline);
    idle(&scene).await;
    source.allow_all();
    let fill = scene.begin(&digest, &source, Some(MIB));
    assert_eq!(read_whole(fill.reader(0..MIB)).await, content);
    assert_eq!(source.opened(), [0, 512 * KIB]);
}

#[tokio::test]
async fn ca12_stopped_fills_keep_what_arrived() {
    let scene = memory();
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content);
    let fill = scene.begin(&digest, &source, Some(MIB));
    source.allow(512 * KIB);
    written(&fill, 448 * KIB).await;
    scene.fills.stop().await;
    assert_eq!(
        fill.done().await.unwrap_err().kind(),
        FillErrorKind::Stopped
    );
    let late = scene.begin(&digest, &source, Some(MIB));
    assert_eq!(
        late.head().await.unwrap_err().kind(),
        FillErrorKind::Stopped
    );
    assert_eq!(source.opened(), [0]);
}

#[test]
fn a_runtime_that_ends_does_not_wait_for_an_upstream() {
    let directory = tempfile::tempdir().unwrap();
    let content = content(1 << 20);
    let digest = Digest::sha256(&content);
    let source = TestSource::new(content);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = FsStore::open(directory.path(), Durability::None).unwrap();
        let scene = Scene::new(store, ROOM);
        let fill = scene.begin(&digest, &source, Some(MIB));
        source.allow(512 * KIB);
        written(&fill, 448 * KIB).await;
    });
    drop(runtime);
    let store = FsStore::open(directory.path(), Durability::None).unwrap();
    let kept: Vec<_> = longshore_store::Store::partials(&store).unwrap().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].as_ref().unwrap().size, 512 * KIB);
}
