//! A registry with one image, a client, and a place for a layout.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use longshore::{Client, Repository};
use longshore_copy::{Event, LayoutEntry, Observer, PullOptions, Report, TransferError, pull};
use longshore_layout::{Layout, VerifyEvent};
use longshore_model::{Digest, Reference, TagOrDigest};
use longshore_store::{MemoryStore, Store as _};
use longshore_testkit::RecordedRequest;
use longshore_testkit::image::{DescribedContent, Tree};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use tempfile::TempDir;

pub(crate) struct Scene {
    pub(crate) registry: Registry,
    pub(crate) tree: Tree,
    pub(crate) place: TempDir,
    pub(crate) repository: Repository,
}

impl Scene {
    pub(crate) async fn set(tree: Tree) -> Self {
        let client = Client::builder().attempts(1).build().unwrap();
        Self::with_client(tree, &client).await
    }

    pub(crate) async fn with_client(tree: Tree, client: &Client) -> Self {
        let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
        let reference: Reference = format!("{}/a:1", registry.authority()).parse().unwrap();
        let repository = client.repository(&reference).await.unwrap();
        registry.requests().clear();
        Self {
            registry,
            tree,
            place: tempfile::tempdir().unwrap(),
            repository,
        }
    }

    pub(crate) fn target(&self) -> TagOrDigest {
        "1".parse().unwrap()
    }

    pub(crate) fn layout(&self) -> PathBuf {
        self.place.path().join("layout")
    }

    pub(crate) async fn pull_into_layout(
        &self,
        options: &PullOptions,
    ) -> Result<Report, TransferError> {
        let entry = LayoutEntry::new(self.layout()).named("v1");
        pull(&self.repository, &self.target(), entry, options).await
    }

    pub(crate) async fn pull_into(
        &self,
        store: &MemoryStore,
        options: &PullOptions,
    ) -> Result<Report, TransferError> {
        pull(&self.repository, &self.target(), store, options).await
    }

    /// The last blob of the image.
    pub(crate) fn last(&self) -> &DescribedContent {
        self.tree.blobs().last().unwrap()
    }

    /// Misbehaves when the last blob is requested.
    pub(crate) fn misbehave_at_last(&self, what: Misbehaviour) {
        let encoded = self.last().descriptor.digest.encoded().to_owned();
        let rule = Rule::on(Part::Blob, what).path(&encoded);
        self.registry.misbehave(rule);
    }

    /// The requests for one blob or manifest.
    pub(crate) fn requests_for(&self, digest: &Digest) -> Vec<RecordedRequest> {
        let requests = self.registry.requests();
        requests.matching(|request| request.path().ends_with(digest.as_str()))
    }

    /// The `Range` of each request for the last blob.
    pub(crate) fn ranges_of_last(&self) -> Vec<Option<String>> {
        let requests = self.requests_for(&self.last().descriptor.digest);
        let range = |request: &RecordedRequest| request.header("range").map(str::to_owned);
        requests.iter().map(range).collect()
    }

    /// Demands that the layout holds `tree` under the name, all of it and verified.
    #[track_caller]
    pub(crate) fn assert_layout_holds(&self, tree: &Tree) {
        let layout = Layout::open(&self.layout()).unwrap();
        assert_eq!(layout.resolve("v1").unwrap().digest, *tree.digest());
        let findings = Mutex::new(Vec::new());
        let report = layout
            .verify(|event| {
                if let VerifyEvent::Finding(finding) = event {
                    findings.lock().unwrap().push(finding);
                }
            })
            .unwrap();
        let findings = findings.into_inner().unwrap();
        assert!(findings.is_empty(), "{findings:?}");
        let parts = tree.documents().len() + tree.all_blobs().len();
        assert_eq!(report.blobs, parts as u64);
    }

    /// Demands a valid layout in which nothing is named.
    #[track_caller]
    pub(crate) fn assert_layout_names_nothing(&self) {
        let layout = Layout::open(&self.layout()).unwrap();
        assert_eq!(layout.entries().unwrap(), []);
        let report = layout.verify(|_| ()).unwrap();
        assert!(report.is_sound(), "{report:?}");
    }

    /// Returns where the layout has the last blob.
    pub(crate) fn path_of_last(&self) -> PathBuf {
        self.layout()
            .join(self.last().descriptor.digest.blob_path())
    }
}

/// Demands that the store holds exactly the documents and blobs of `tree`.
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

/// Keeps what a run reported.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

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
            Event::Skipped { blob } => format!("skipped {}", blob.digest),
            Event::Damaged { blob } => format!("damaged {}", blob.digest),
            Event::Started { blob, resumed_at } => {
                format!("started {} at {resumed_at}", blob.digest)
            }
            Event::TakenBack { blob, bytes } => format!("taken back {} {bytes}", blob.digest),
            Event::Finished { blob } => format!("finished {}", blob.digest),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

pub(crate) fn observed(recorder: &Arc<Recorder>) -> PullOptions {
    let mut options = PullOptions::default();
    options.run.observer = Some(Arc::clone(recorder) as Arc<dyn Observer>);
    options
}
