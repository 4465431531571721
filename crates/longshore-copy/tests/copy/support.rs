//! Two registries, and copies between them.

use std::sync::{Arc, Mutex};

use longshore::{Client, Repository};
use longshore_copy::{
    CopyOptions, CopyReport, End, Event, LayoutEnd, LayoutEntry, MemoryEnd, Observer, Platforms,
    PullOptions, RegistryEnd, TransferError, copy, pull,
};
use longshore_model::Reference;
use longshore_store::{MemoryStore, Store as _};
use longshore_testkit::image::Tree;
use longshore_testkit::registry::{Builder, Registry};
use tempfile::TempDir;

/// A registry with an image, and an empty one.
pub(crate) struct Scene {
    pub(crate) tree: Tree,
    pub(crate) source: Registry,
    pub(crate) target: Registry,
    pub(crate) place: TempDir,
}

impl Scene {
    pub(crate) fn set(tree: Tree) -> Self {
        Self::with_target(tree, Registry::builder())
    }

    /// As [`set`](Self::set), with another registry to write to.
    pub(crate) fn with_target(tree: Tree, target: Builder) -> Self {
        let source = Registry::builder().image("a", "1", &tree).writable();
        Self {
            tree,
            source: source.start().unwrap(),
            target: target.writable().start().unwrap(),
            place: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) async fn from(&self) -> Arc<dyn End> {
        end(&self.source, "a:1").await
    }

    pub(crate) async fn to(&self, name: &str) -> Arc<dyn End> {
        end(&self.target, name).await
    }

    /// An image in a layout below the directory of the scene.
    pub(crate) fn layout(&self, name: &str) -> Arc<dyn End> {
        let entry = LayoutEntry::new(self.place.path().join(name)).named("1");
        Arc::new(LayoutEnd::new(entry))
    }

    /// Copies the image to one end.
    pub(crate) async fn copy_to(&self, end: Arc<dyn End>) -> CopyReport {
        let report = copy(self.from().await, vec![end], &CopyOptions::default()).await;
        report.unwrap()
    }
}

/// A client that retries without waiting.
pub(crate) fn client() -> Client {
    Client::builder().attempts(1).build().unwrap()
}

pub(crate) async fn repository(registry: &Registry, name: &str) -> (Repository, Reference) {
    let reference: Reference = format!("{}/{name}", registry.authority()).parse().unwrap();
    let repository = client().repository(&reference).await.unwrap();
    (repository, reference)
}

pub(crate) async fn end(registry: &Registry, name: &str) -> Arc<dyn End> {
    let (repository, reference) = repository(registry, name).await;
    Arc::new(RegistryEnd::new(repository, reference.target()))
}

pub(crate) fn memory() -> Arc<dyn End> {
    Arc::new(MemoryEnd::new(MemoryStore::new()))
}

pub(crate) async fn copied(
    source: &Arc<dyn End>,
    destination: &Arc<dyn End>,
    options: &CopyOptions,
) -> Result<CopyReport, TransferError> {
    copy(Arc::clone(source), vec![Arc::clone(destination)], options).await
}

/// Asserts that a registry has all of `tree` under this name, by pulling it.
pub(crate) async fn assert_registry_holds(registry: &Registry, name: &str, tree: &Tree) {
    let (repository, reference) = repository(registry, name).await;
    let store = MemoryStore::new();
    let options = PullOptions::default().with_platforms(Platforms::All);
    let report = pull(&repository, &reference.target(), &store, &options).await;
    assert_eq!(report.unwrap().manifest.digest(), tree.digest());
    assert_store_holds(&store, tree);
}

/// Asserts that the store holds exactly the documents and blobs of `tree`.
#[track_caller]
pub(crate) fn assert_store_holds(store: &MemoryStore, tree: &Tree) {
    let all = tree.documents().into_iter().chain(tree.all_blobs());
    let mut count = 0;
    for stored in all {
        let found = store.bytes(&stored.descriptor.digest).unwrap();
        assert!(found.is_some_and(|found| found == stored.content.bytes()));
        count += 1;
    }
    assert_eq!(store.list().unwrap().count(), count);
}

/// The method and path of each request, in order.
pub(crate) fn lines(registry: &Registry) -> Vec<String> {
    registry.requests().lines()
}

/// How many requests have this method, and a path with this part.
pub(crate) fn count(registry: &Registry, method: &str, part: &str) -> usize {
    registry
        .requests()
        .count(|request| request.method == method && request.path().contains(part))
}

/// Keeps the names of the events of a run.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    /// The events so far, sorted: blobs move concurrently.
    pub(crate) fn events(&self) -> Vec<String> {
        let mut events = self.0.lock().unwrap().clone();
        events.sort();
        events
    }
}

impl Observer for Recorder {
    fn observe(&self, event: Event<'_>) {
        let text = match event {
            Event::Planned { blobs, bytes, .. } => format!("planned {blobs} {bytes}"),
            Event::Mounted { blob } => format!("mounted {}", blob.digest),
            Event::Skipped { blob } => format!("skipped {}", blob.digest),
            Event::Resumed { blob, position } => {
                format!("resumed {} at {position}", blob.digest)
            }
            Event::Started { blob, resumed_at } => {
                format!("started {} at {resumed_at}", blob.digest)
            }
            Event::Finished { blob } => format!("finished {}", blob.digest),
            Event::Dropped { destination, .. } => format!("dropped {destination}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}
