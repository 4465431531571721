//! How much of the manifests is held at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use longshore_copy::{
    CopyOptions, End, EndFuture, MemoryEnd, Plan, PlannedBlob, PublishedName, RawManifest,
    TakeManifest,
};
use longshore_model::{
    Descriptor, Digest, Document, ImageManifest, Index, Manifest, MediaType, Tag, TagOrDigest,
};
use longshore_store::{MemoryStore, Store};

/// What is held at once.
#[derive(Default)]
struct Held {
    now: AtomicU64,
    most: AtomicU64,
}

impl Held {
    /// Holds this many bytes while other tasks go on.
    async fn hold(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(bytes, Ordering::SeqCst);
    }
}

/// Memory, without a store, and slow enough that reads overlap.
struct Slow {
    memory: MemoryEnd,
    store: MemoryStore,
    read: Held,
}

impl Slow {
    fn new(store: MemoryStore) -> Self {
        Self {
            memory: MemoryEnd::new(store.clone()),
            store,
            read: Held::default(),
        }
    }
}

impl End for Slow {
    fn name(&self) -> String {
        "slow memory".to_owned()
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }

    fn target(&self) -> EndFuture<'_, TagOrDigest> {
        self.memory.target()
    }

    fn manifest<'a>(
        &'a self,
        target: &'a TagOrDigest,
        take: TakeManifest<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            let size = self.store.size(target.digest().unwrap())?;
            self.read.hold(size.unwrap()).await;
            self.memory.manifest(target, take).await
        })
    }

    fn digest(&self) -> EndFuture<'_, Option<Digest>> {
        self.memory.digest()
    }

    fn referrers<'a>(&'a self, subject: &'a Digest) -> EndFuture<'a, Vec<Descriptor>> {
        self.memory.referrers(subject)
    }

    fn existing_tags<'a>(&'a self, tags: &'a [Tag]) -> EndFuture<'a, Vec<Tag>> {
        self.memory.existing_tags(tags)
    }

    fn has_blobs<'a>(
        &'a self,
        blobs: &'a [&'a PlannedBlob],
        _: bool,
        _: &'a AtomicUsize,
    ) -> EndFuture<'a, Vec<bool>> {
        Box::pin(std::future::ready(Ok(vec![true; blobs.len()])))
    }

    fn put_manifest<'a>(&'a self, manifest: &'a RawManifest) -> EndFuture<'a, ()> {
        Box::pin(async move {
            self.store
                .put(&manifest.descriptor.digest, &manifest.bytes)?;
            Ok(())
        })
    }

    fn publish<'a>(
        &'a self,
        manifest: &'a RawManifest,
        name: PublishedName<'a>,
    ) -> EndFuture<'a, ()> {
        Box::pin(async move {
            self.store
                .put(&manifest.descriptor.digest, &manifest.bytes)?;
            self.memory.publish(manifest, name).await
        })
    }
}

/// A store with an index of `count` manifests without layers, each of more than this many bytes.
fn large(count: usize, bytes: usize) -> (MemoryStore, Digest) {
    let store = MemoryStore::new();
    let config = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
    store.put(&config.digest, b"{}").unwrap();
    let put = |document: Document| {
        let manifest = Manifest::from_document(&document).unwrap();
        store.put(manifest.digest(), manifest.bytes()).unwrap();
        manifest.descriptor()
    };
    let image = |number: usize| {
        let mut image = ImageManifest::new(config.clone(), Vec::new());
        let note = (number.to_string(), " ".repeat(bytes));
        image.annotations.extend([note]);
        put(Document::Image(image))
    };
    let images: Vec<_> = (0..count).map(image).collect();
    let digest = put(Document::Index(Index::new(images))).digest;
    (store, digest)
}

// LI2: memory is not sized by what a peer sends. Small manifests are read 16 at a time, large ones
// as many as fit in 8 MiB.
#[tokio::test]
async fn li2_only_some_of_the_manifests_are_held_at_once() {
    for (bytes, count) in [(100_000, 16), (3_000_000, 2)] {
        let (store, digest) = large(20, bytes);
        let source = Slow::new(store);
        let source = Arc::new(Slow {
            memory: source.memory.with_image(digest.clone()),
            ..source
        });
        let target = Arc::new(Slow::new(MemoryStore::new()));
        let ends = vec![target as Arc<dyn End>];
        let plan = Plan::make(Arc::clone(&source) as _, ends, &CopyOptions::default()).await;
        assert_eq!(plan.unwrap().manifests().len(), 21);
        let most = usize::try_from(source.read.most.load(Ordering::SeqCst)).unwrap();
        assert_eq!(most / bytes, count, "{most}");
    }
}
