//! Writes in the background, and hits that read no records.

use std::sync::atomic::{AtomicBool, Ordering};

use longshore_model::Tag;
use longshore_store::{Durability, FsStore};

use super::*;
use crate::name::ImageName;
use crate::records::{
    ContentRecord, ImageRecord, ListKey, ListRecord, MemoryRecords, Records, RecordsError,
    TagRecord,
};

/// Records that log each call, fail on command, and write only while a gate is open.
#[derive(Clone)]
struct Noted(Arc<Inner>);

struct Inner {
    records: MemoryRecords,
    store: BoundedStore,
    calls: Mutex<Vec<String>>,
    fails: AtomicBool,
    gate: Gate,
}

impl Noted {
    fn new(store: &BoundedStore) -> Self {
        let gate = Gate::new();
        gate.open();
        Self::gated(store, gate)
    }

    fn gated(store: &BoundedStore, gate: Gate) -> Self {
        Self(Arc::new(Inner {
            records: MemoryRecords::new(),
            store: store.clone(),
            calls: Mutex::default(),
            fails: AtomicBool::new(false),
            gate,
        }))
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.calls.lock().unwrap())
    }

    fn note(&self, call: &str) -> Result<&MemoryRecords, RecordsError> {
        self.0.calls.lock().unwrap().push(call.to_owned());
        match self.0.fails.load(Ordering::SeqCst) {
            true => Err(RecordsError::new("as the test wants", None)),
            false => Ok(&self.0.records),
        }
    }

    async fn write(&self, call: &str) -> Result<&MemoryRecords, RecordsError> {
        self.0.gate.passed().await;
        self.note(call)
    }
}

impl Records for Noted {
    async fn content(&self, digest: &Digest) -> Result<Option<ContentRecord>, RecordsError> {
        self.note("content")?.content(digest).await
    }

    async fn put_content(&self, record: ContentRecord) -> Result<(), RecordsError> {
        // CA1: content is written before records that refer to it.
        assert!(self.0.store.size(&record.digest).is_some());
        self.write("put_content").await?.put_content(record).await
    }

    async fn forget_content(&self, digest: &Digest) -> Result<(), RecordsError> {
        self.write("forget_content")
            .await?
            .forget_content(digest)
            .await
    }

    async fn contains(&self, image: &ImageName, digest: &Digest) -> Result<bool, RecordsError> {
        self.note("contains")?.contains(image, digest).await
    }

    async fn mark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        self.write("mark").await?.mark(image, digest).await
    }

    async fn unmark(&self, image: &ImageName, digest: &Digest) -> Result<(), RecordsError> {
        self.write("unmark").await?.unmark(image, digest).await
    }

    async fn tag(&self, image: &ImageName, tag: &Tag) -> Result<Option<TagRecord>, RecordsError> {
        self.note("tag")?.tag(image, tag).await
    }

    async fn set_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<(), RecordsError> {
        self.write("set_tag")
            .await?
            .set_tag(image, tag, record)
            .await
    }

    async fn refresh_tag(
        &self,
        image: &ImageName,
        tag: &Tag,
        digest: &Digest,
        validated: Duration,
    ) -> Result<bool, RecordsError> {
        let records = self.write("refresh_tag").await?;
        records.refresh_tag(image, tag, digest, validated).await
    }

    async fn drop_tag(&self, image: &ImageName, tag: &Tag) -> Result<(), RecordsError> {
        self.write("drop_tag").await?.drop_tag(image, tag).await
    }

    async fn drop_list(&self, image: &ImageName, key: &ListKey) -> Result<(), RecordsError> {
        self.write("drop_list").await?.drop_list(image, key).await
    }

    async fn list(
        &self,
        image: &ImageName,
        key: &ListKey,
    ) -> Result<Option<ListRecord>, RecordsError> {
        self.note("list")?.list(image, key).await
    }

    async fn put_list(
        &self,
        image: &ImageName,
        key: &ListKey,
        list: ListRecord,
    ) -> Result<(), RecordsError> {
        self.write("put_list")
            .await?
            .put_list(image, key, list)
            .await
    }

    async fn images(&self) -> Result<Vec<ImageName>, RecordsError> {
        self.note("images")?.images().await
    }

    async fn image(&self, image: &ImageName) -> Result<Option<ImageRecord>, RecordsError> {
        self.note("image")?.image(image).await
    }
}

fn store(limit: u64) -> BoundedStore {
    BoundedStore::open(Arc::new(MemoryStore::new()), limit).unwrap()
}

fn cache(store: &BoundedStore, records: &Noted) -> Cache {
    let records = records.clone();
    let setup = Setup::new().store(store.clone());
    setup.service(|it| it.records(records)).start()
}

fn layer() -> Digest {
    tree().blobs()[1].descriptor.digest.clone()
}

const WRITES: [&str; 7] = [
    "put_content",
    "forget_content",
    "mark",
    "set_tag",
    "refresh_tag",
    "drop_tag",
    "put_list",
];

/// The writing calls since the last check.
fn writes(records: &Noted) -> Vec<String> {
    let mut calls = records.calls();
    calls.retain(|call| WRITES.contains(&call.as_str()));
    calls
}

#[tokio::test]
async fn ca1_content_is_stored_before_its_record_its_mark_and_its_tag() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    let cache = cache(&store, &records);
    cache.get(&manifest("v1")).await;
    cache.settle().await;
    assert_eq!(writes(&records), ["put_content", "mark", "set_tag"]);
    cache.get(&blob(&layer())).await;
    cache.settle().await;
    assert_eq!(writes(&records), ["put_content", "mark"]);
    cache.advance(TTL);
    cache.get(&manifest("v1")).await;
    cache.settle().await;
    assert_eq!(writes(&records), ["refresh_tag"]);
    cache.advance(TTL);
    cache.misbehave(Rule::always(Misbehaviour::Status(StatusCode::NOT_FOUND)));
    cache.get(&manifest("v1")).await;
    cache.settle().await;
    assert_eq!(writes(&records), ["drop_tag"]);
}

#[tokio::test]
async fn a_hit_reads_and_writes_no_record() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    let cache = cache(&store, &records);
    let paths = [
        manifest("v1"),
        manifest(tree().digest()),
        blob(&layer()),
        path("app", "tags", "list"),
        path("app", "referrers", tree().digest()),
    ];
    for path in &paths {
        cache.get(path).await;
        cache.settle().await;
    }
    records.calls();
    cache.outcomes();
    for path in &paths {
        // A hit is ready at the first poll: it waits for nothing.
        let mut answering = cache
            .service
            .clone()
            .call(Request::get(path).body(()).unwrap());
        let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut answering).poll(cx))).await;
        assert!(polled.is_ready(), "{path}");
    }
    assert_eq!(records.calls(), [""; 0]);
    assert_eq!(cache.outcomes(), [Outcome::Hit; 5]);
}

// CA9: clients may ask for the referrers of any number of digests, so an empty list takes no file.
#[tokio::test]
async fn ca9_an_empty_list_is_remembered_and_not_written() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    let cache = cache(&store, &records);
    for repository in ["app", "missing"] {
        let path = path(repository, "referrers", Digest::sha256(b"anything"));
        for _ in 0..2 {
            let answer = cache.get(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            cache.settle().await;
        }
        let cold = Outcome::Miss(MissReason::Cold);
        assert_eq!(cache.outcomes(), [cold, Outcome::Hit], "{path}");
    }
    assert_eq!(writes(&records), [""; 0]);

    // The record of a list that has become empty is removed.
    let subject = tree();
    let image: ImageName = ImageName {
        upstream: "registry.example".parse().unwrap(),
        repository: "app".parse().unwrap(),
    };
    let key = ListKey::Referrers(subject.digest().clone());
    let list = ListRecord::new(vec!["{}".to_owned()], Duration::ZERO);
    let kept = &records.0.records;
    kept.put_list(&image, &key, list).await.unwrap();
    cache.advance(TTL);
    cache.get(&path("app", "referrers", subject.digest())).await;
    cache.settle().await;
    assert_eq!(kept.list(&image, &key).await.unwrap(), None);
}

#[tokio::test]
async fn li2_a_large_list_is_read_once() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    let image: ImageName = ImageName {
        upstream: "registry.example".parse().unwrap(),
        repository: "app".parse().unwrap(),
    };
    let tags: Vec<String> = (0..300_000).map(|at| format!("{at:0100}")).collect();
    let cache = cache(&store, &records);
    let list = ListRecord::new(tags, cache.service.shared.known.unix_time());
    let kept = &records.0.records;
    kept.put_list(&image, &ListKey::Tags, list).await.unwrap();
    let path = format!("{}?n=1", path("app", "tags", "list"));
    let (a, b, c) = tokio::join!(cache.get(&path), cache.get(&path), cache.get(&path));
    let expected = format!("{{\"name\":\"app\",\"tags\":[\"{:0100}\"]}}", 0);
    for answer in [a, b, c, cache.get(&path).await] {
        assert_eq!(*answer.bytes(), expected);
    }
    assert_eq!(records.calls(), ["list"]);
    assert_eq!(cache.upstream_requests(), [""; 0]);
}

#[tokio::test]
async fn ca9_concurrent_requests_for_the_catalogue_read_the_records_once() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    let cache = cache(&store, &records);
    cache.get(&manifest("v1")).await;
    cache.settle().await;
    records.calls();
    let catalogue = format!("/{API}/_catalog");
    let (a, b) = tokio::join!(cache.get(&catalogue), cache.get(&catalogue));
    for answer in [a, b] {
        assert_eq!(
            *answer.bytes(),
            r#"{"repositories":["registry.example/app"]}"#
        );
    }
    assert_eq!(records.calls(), ["images"]);
}

#[tokio::test]
async fn a_restart_finds_what_was_written() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    let first = cache(&store, &records);
    let paths = [manifest("v1"), blob(&layer()), path("app", "tags", "list")];
    for path in &paths {
        first.get(path).await;
    }
    first.handle.shutdown().await;
    let second = cache(&store, &records);
    for path in &paths {
        assert_eq!(second.get(path).await.status, StatusCode::OK);
    }
    assert_eq!(second.outcomes(), [Outcome::Hit; 3]);
    assert_eq!(second.upstream_requests(), [""; 0]);
}

#[tokio::test]
async fn ca9_records_that_fail_fail_no_request() {
    let store = store(1 << 30);
    let records = Noted::new(&store);
    records.0.fails.store(true, Ordering::SeqCst);
    let cache = cache(&store, &records);
    for _ in 0..2 {
        for path in [manifest("v1"), manifest(tree().digest()), blob(&layer())] {
            assert_eq!(cache.get(&path).await.status, StatusCode::OK, "{path}");
            assert_eq!(cache.head(&path).await.status, StatusCode::OK, "{path}");
        }
        let tags = cache.get(&path("app", "tags", "list")).await;
        assert_eq!(tags.status, StatusCode::OK);
        cache.settle().await;
        cache.advance(TTL);
    }
    let catalogue = cache.get(&format!("/{API}/_catalog")).await;
    assert_eq!(catalogue.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn ca9_a_store_that_fails_fails_no_request() {
    let directory = tempfile::tempdir().unwrap();
    let files = FsStore::open_sharded(directory.path(), Durability::None).unwrap();
    let store = BoundedStore::open(Arc::new(files), 1 << 30).unwrap();
    std::fs::remove_dir_all(directory.path()).unwrap();
    let content = BlobContent::random(1, 300_000);
    let digest = Digest::of(&"sha256".parse().unwrap(), &content.bytes()).unwrap();
    let cache = cache(&store, &Noted::new(&store));
    cache
        .registry
        .contents()
        .set_blob("app", &digest, content.clone());
    for _ in 0..2 {
        assert_eq!(*cache.get(&manifest("v1")).await.bytes(), tree().document());
        assert_eq!(cache.get(&blob(&layer())).await.status, StatusCode::OK);
        assert_eq!(*cache.get(&blob(&digest)).await.bytes(), content.bytes());
        cache.settle().await;
    }
}

#[tokio::test]
async fn a_slow_driver_of_records_delays_no_answer_and_a_shutdown_waits_for_it() {
    let store = store(1 << 30);
    let gate = Gate::new();
    let records = Noted::gated(&store, gate.clone());
    let cache = cache(&store, &records);
    assert_eq!(cache.get(&manifest("v1")).await.status, StatusCode::OK);
    assert_eq!(cache.get(&blob(&layer())).await.status, StatusCode::OK);
    assert_eq!(
        cache.head(&manifest(tree().digest())).await.status,
        StatusCode::OK
    );
    cache.advance(TTL);
    assert_eq!(cache.get(&manifest("v1")).await.status, StatusCode::OK);
    let mut shutdown = Box::pin(cache.handle.shutdown());
    until(|| gate.is_reached()).await;
    let polled = poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    gate.open();
    shutdown.await;
    let mut written = writes(&records);
    written.sort_unstable();
    written.dedup();
    let expected = ["mark", "put_content", "refresh_tag", "set_tag"];
    assert_eq!(written, expected);
}

#[tokio::test]
async fn what_was_evicted_is_forgotten_and_fetched_again_and_tags_stay() {
    let store = store(500_000);
    let records = Noted::new(&store);
    let cache = cache(&store, &records);
    let contents: Vec<_> = (0..2)
        .map(|seed| BlobContent::random(seed, 300_000))
        .collect();
    let digests: Vec<_> = contents
        .iter()
        .map(|it| Digest::of(&"sha256".parse().unwrap(), &it.bytes()).unwrap())
        .collect();
    for (digest, content) in digests.iter().zip(&contents) {
        cache
            .registry
            .contents()
            .set_blob("app", digest, content.clone());
        cache.get(&blob(digest)).await;
        cache.settle().await;
    }
    assert_eq!(store.size(&digests[0]), None);
    let kept = &records.0.records;
    assert_eq!(kept.content(&digests[0]).await.unwrap(), None);
    let image: ImageName = ImageName {
        upstream: "registry.example".parse().unwrap(),
        repository: "app".parse().unwrap(),
    };
    assert!(kept.contains(&image, &digests[0]).await.unwrap());
    cache.outcomes();
    let answer = cache.get(&blob(&digests[0])).await;
    assert_eq!(*answer.bytes(), contents[0].bytes());
    assert_eq!(cache.outcomes(), [Outcome::Miss(MissReason::Evicted)]);
    cache.settle().await;
    assert!(kept.content(&digests[0]).await.unwrap().is_some());
}
