//! Copies that break off.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use longshore::origin::Secret;
use longshore_copy::{
    CopyOptions, End, Journal, JournalEntry, JournalError, RegistryEnd, TransferError, UploadKey,
};
use longshore_model::Descriptor;
use longshore_testkit::RecordedRequest;
use longshore_testkit::image::Image;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};

use crate::support::{Scene, assert_registry_holds, copied, count, repository};

// DG3: digest and length must both match. RT2: one full re-fetch is allowed.
#[tokio::test]
async fn dg3_content_that_is_damaged_twice_never_reaches_a_registry() {
    for bytes in [500, 2 << 20] {
        let scene = Scene::set(Image::new(1).layers(2, bytes).build());
        let last = scene.tree.blobs().last().unwrap();
        let damaged = vec![7; usize::try_from(last.descriptor.size).unwrap()];
        scene
            .source
            .contents()
            .set_blob("a", &last.descriptor.digest, damaged);
        let to = scene.to("b:2").await;
        let error = copied(&scene.from().await, &to, &CopyOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(error, TransferError::Source(_)), "{error}");
        let digest = last.descriptor.digest.as_str();
        assert_eq!(count(&scene.source, "GET", digest), 2);
        assert_eq!(count(&scene.target, "PUT", "/manifests/"), 0);
        let (repository, _) = repository(&scene.target, "b:2").await;
        let head = repository.blob_head(&last.descriptor.digest).await.unwrap();
        assert!(head.is_none());
    }
}

#[tokio::test]
async fn an_error_of_the_source_is_told_as_one() {
    let scene = Scene::set(Image::new(1).layers(2, 500).build());
    scene.source.misbehave(Rule::on(
        Part::Blob,
        Misbehaviour::Status(StatusCode::FORBIDDEN),
    ));
    let to = scene.to("b:2").await;
    let error = copied(&scene.from().await, &to, &CopyOptions::default())
        .await
        .unwrap_err();
    let TransferError::Registry(error) = error else {
        panic!("another error: {error}");
    };
    assert_eq!(error.kind(), longshore::ErrorKind::Denied);
    assert_eq!(error.registry(), scene.source.authority());
}

/// Whether a request sends a chunk of the layer, and not the config, which is small.
fn is_chunk_of_layer(request: &RecordedRequest) -> bool {
    let length = request.header("content-length");
    let length: Option<u64> = length.and_then(|length| length.parse().ok());
    request.method == "PATCH" && length == Some(1 << 20)
}

/// A scene with a journal, and a layer that is sent in chunks.
struct Uploads {
    scene: Scene,
    journal: Arc<Journal>,
}

impl Uploads {
    fn set() -> Self {
        let scene = Scene::set(Image::new(1).layers(1, 4 << 20).build());
        let path = scene.place.path().join("state/uploads");
        let journal = Arc::new(Journal::in_dir(&path, Duration::ZERO).unwrap());
        Self { scene, journal }
    }

    fn path(&self) -> PathBuf {
        self.scene.place.path().join("state/uploads")
    }

    fn names(&self) -> Vec<OsString> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    async fn to(&self, name: &str) -> Arc<dyn End> {
        let (repository, reference) = repository(&self.scene.target, name).await;
        let end = RegistryEnd::new(repository, reference.target()).with_chunk(1 << 20);
        Arc::new(end.with_journal(Arc::clone(&self.journal)))
    }

    async fn key(&self, name: &str) -> UploadKey {
        let (repository, _) = repository(&self.scene.target, name).await;
        UploadKey {
            origin: repository.origin().clone(),
            repository: repository.name().clone(),
            digest: self.layer().digest.clone(),
        }
    }

    fn layer(&self) -> &Descriptor {
        &self.scene.tree.blobs().last().unwrap().descriptor
    }

    /// Breaks a copy off when two chunks have arrived, and the third is on its way.
    async fn break_off(&self) {
        let options = CopyOptions::default();
        let (cancellation, patches) = (options.run.cancellation.clone(), AtomicUsize::new(0));
        self.scene.target.requests().watch(move |request| {
            if is_chunk_of_layer(request) && patches.fetch_add(1, Ordering::SeqCst) == 2 {
                cancellation.cancel();
            }
        });
        let error = copied(&self.scene.from().await, &self.to("b:2").await, &options).await;
        assert!(matches!(error, Err(TransferError::Cancelled)), "{error:?}");
        self.scene.target.requests().watch(|_| ());
        self.scene.target.requests().clear();
    }

    /// Copies the image, and returns where the first chunk of the layer starts.
    async fn copy(&self) -> u64 {
        let (from, to) = (self.scene.from().await, self.to("b:2").await);
        copied(&from, &to, &CopyOptions::default()).await.unwrap();
        assert_registry_holds(&self.scene.target, "b:2", &self.scene.tree).await;
        let patches = self.scene.target.requests().matching(is_chunk_of_layer);
        let first = patches.first().unwrap().header("content-range").unwrap();
        first.split('-').next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn an_upload_that_broke_off_is_continued_by_the_next_run() {
    let uploads = Uploads::set();
    uploads.break_off().await;
    let first = uploads.copy().await;
    assert!(first >= 2 << 20, "it starts at {first}");
    assert!(uploads.layer().size > 4 << 20);
    assert_eq!(uploads.names(), [""; 0]);
}

#[tokio::test]
async fn an_upload_that_another_run_continues_is_left_to_it() {
    let uploads = Uploads::set();
    uploads.break_off().await;
    let lock = uploads.journal.lock(&uploads.key("b:2").await).unwrap();
    assert_eq!(uploads.copy().await, 0);
    // The entry and its lock.
    assert_eq!(uploads.names().len(), 2);
    drop(lock);
    assert_eq!(uploads.names().len(), 1);
}

#[tokio::test]
async fn the_journal_forgets_what_the_registry_has() {
    let uploads = Uploads::set();
    uploads.copy().await;
    let entry = JournalEntry {
        size: uploads.layer().size,
        location: Secret::new("of a run that was killed".to_owned()),
        saved_at: Duration::ZERO,
    };
    // It is mounted in `c`, and found in `b`, which has lost the manifest.
    let contents = uploads.scene.target.contents();
    contents.remove("b", uploads.scene.tree.digest());
    contents.add("d", "4", &uploads.scene.tree);
    let (source, mounted) = (uploads.scene.from().await, uploads.to("d:4").await);
    for (from, name) in [(source, "b:2"), (mounted, "c:1")] {
        let key = uploads.key(name).await;
        uploads.journal.put(&key, &entry).unwrap();
        assert_eq!(uploads.names().len(), 1);
        let to = uploads.to(name).await;
        copied(&from, &to, &CopyOptions::default()).await.unwrap();
        assert_eq!(uploads.names(), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn an_upload_goes_on_without_a_journal_that_cannot_be_written() {
    let uploads = Uploads::set();
    uploads.break_off().await;
    // Nothing can take the place of a directory.
    let [name] = uploads.names().try_into().unwrap();
    std::fs::remove_file(uploads.path().join(&name)).unwrap();
    std::fs::create_dir(uploads.path().join(&name)).unwrap();
    assert_eq!(uploads.copy().await, 0);
    let failure = uploads.journal.take_failure().unwrap();
    assert!(matches!(failure, JournalError::Store(_)), "{failure}");
    assert!(uploads.journal.take_failure().is_none());
}

#[tokio::test]
async fn an_upload_in_chunks_reads_its_source_with_one_request() {
    let scene = Scene::set(Image::new(1).layers(1, 4 << 20).build());
    let layer = scene.tree.blobs().last().unwrap().descriptor.clone();
    let (repository, reference) = repository(&scene.target, "b:2").await;
    let to = RegistryEnd::new(repository, reference.target()).with_chunk(1 << 20);
    let to: Arc<dyn End> = Arc::new(to);
    copied(&scene.from().await, &to, &CopyOptions::default())
        .await
        .unwrap();
    assert!(count(&scene.target, "PATCH", "") >= 5);
    assert_eq!(count(&scene.source, "GET", layer.digest.as_str()), 1);
    assert_registry_holds(&scene.target, "b:2", &scene.tree).await;
}
