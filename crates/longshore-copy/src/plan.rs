//! What a pull has to move: every manifest below the chosen one, and their blobs.

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;

use longshore::Repository;
use longshore_model::{
    ContentKind, Digest, INDEX_DEPTH_LIMIT, MANIFEST_LIMIT_BYTES, Manifest, Reached, TagOrDigest,
    Walk, WalkLimits, WalkStep,
};
use longshore_store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::cancellation::blocking;
use crate::error::TransferError;
use crate::run::{RunOptions, Tally, run};

/// Maximum number of manifests and blobs that one plan follows. It bounds what a hostile nest of
/// indexes can make a pull remember (LI2: memory is not sized by what a peer sends).
pub const DESCRIPTORS_LIMIT: usize = 200_000;

/// Maximum size of the manifests of one plan together, in bytes. They are written to the
/// destination before anything refers to them.
pub const MANIFESTS_LIMIT_BYTES: u64 = 1024 * 1024 * 1024;

/// Number of manifests that are requested concurrently.
const CONCURRENT_MANIFESTS: usize = 16;

const LIMITS: WalkLimits =
    WalkLimits::new(INDEX_DEPTH_LIMIT, DESCRIPTORS_LIMIT, MANIFESTS_LIMIT_BYTES);

/// A blob of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedBlob {
    /// The digest.
    pub digest: Digest,
    /// The size in bytes, by its descriptor.
    pub size: u64,
}

/// What to move from a repository to a store so that the store holds an image: a value that can be
/// looked at before it [runs](Self::run).
///
/// The manifests are part of making a plan: they are fetched, verified and written to the store,
/// where nothing refers to them. The blobs are moved by running it, each once.
pub struct Plan {
    repository: Repository,
    store: Arc<dyn Store>,
    manifests: Manifests,
    missing: Vec<PlannedBlob>,
    present: Vec<PlannedBlob>,
}

/// The manifests of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Manifests {
    /// How many were written to the store, and their bytes.
    written: u64,
    bytes: u64,
    /// How many the store had already.
    present: u64,
}

impl Plan {
    /// Fetches all manifests below `top` into `store` and collects their blobs.
    ///
    /// Manifests that the store has are read from there and hashed again; their registry is not
    /// asked. One manifest at a time is in memory for each request. Must be called on a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// [`TransferError::Graph`] beyond [`INDEX_DEPTH_LIMIT`], [`DESCRIPTORS_LIMIT`] or
    /// [`MANIFESTS_LIMIT_BYTES`]; [`TransferError::SizeConflict`],
    /// [`TransferError::ManifestSize`], [`TransferError::ManifestType`] for an image that
    /// contradicts itself; [`TransferError::Registry`], [`TransferError::Store`].
    pub async fn make(
        repository: &Repository,
        store: Arc<dyn Store>,
        top: &Manifest,
    ) -> Result<Self, TransferError> {
        Self::make_within(LIMITS, repository, store, top).await
    }

    async fn make_within(
        limits: WalkLimits,
        repository: &Repository,
        store: Arc<dyn Store>,
        top: &Manifest,
    ) -> Result<Self, TransferError> {
        let mut planner = Planner {
            walk: Walk::new(limits),
            plan: Self {
                repository: repository.clone(),
                store,
                manifests: Manifests::default(),
                missing: Vec::new(),
                present: Vec::new(),
            },
        };
        planner.take_top(top).await?;
        planner.follow().await?;
        Ok(planner.plan)
    }

    /// Returns the blobs that the store lacks: running the plan moves these.
    #[must_use]
    pub fn missing(&self) -> &[PlannedBlob] {
        &self.missing
    }

    /// Returns the blobs that the store has already, with the right size; running the plan hashes
    /// them.
    #[must_use]
    pub fn present(&self) -> &[PlannedBlob] {
        &self.present
    }

    /// Returns how many bytes the missing blobs have.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        let sizes = self.missing.iter().map(|blob| blob.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Returns how many manifests the image has, and how many of them the store lacked before the
    /// plan was made.
    #[must_use]
    pub fn manifests(&self) -> (u64, u64) {
        let Manifests {
            written, present, ..
        } = self.manifests;
        (written + present, written)
    }

    /// Moves the missing blobs into the store and returns what the plan and its run moved.
    ///
    /// Must be called on a tokio runtime with a blocking pool. Dropping the future stops all
    /// transfers: nothing is visible that is not verified, and partial large blobs are kept for
    /// the next run (RT9: every operation may be dropped).
    ///
    /// # Errors
    ///
    /// The first transfer that fails ends the others. [`TransferError::Registry`];
    /// [`TransferError::Store`], with content that does not match its digest twice;
    /// [`TransferError::Cancelled`].
    pub async fn run(self, options: &RunOptions) -> Result<Tally, TransferError> {
        let Manifests {
            written,
            bytes,
            present,
        } = self.manifests;
        let mut tally = run(
            self.repository,
            self.store,
            self.present,
            self.missing,
            options,
        )
        .await?;
        tally.moved += written;
        tally.present += present;
        tally.bytes = tally.bytes.saturating_add(bytes);
        Ok(tally)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("manifests", &self.manifests)
            .field("missing", &self.missing.len())
            .field("present", &self.present.len())
            .finish_non_exhaustive()
    }
}

/// What an index says about a manifest in it.
#[derive(Clone, Copy, Debug)]
struct Listed {
    is_index: bool,
}

/// The data kept about a manifest that is in the store. The document itself may be large, so it is
/// dropped by the task that read it (LI2: memory is not sized by what a peer sends).
struct Taken {
    /// The bytes that were written; `None` when the store had them.
    written: Option<u64>,
    children: Vec<WalkStep<Listed>>,
}

impl Taken {
    /// Writes a manifest to the store, unless it is there.
    async fn new(
        store: &Arc<dyn Store>,
        step: &WalkStep<Listed>,
        manifest: &Manifest,
    ) -> Result<Self, TransferError> {
        let is_present = write(store, manifest).await?;
        let written = (!is_present).then_some(manifest.bytes().len() as u64);
        let document = manifest.document();
        let kind = ContentKind::of_children(document);
        let children = document.children().map(|child| {
            let is_index = child.media_type.is_index();
            step.child(child, kind, Listed { is_index })
        });
        Ok(Self {
            written,
            children: children.collect(),
        })
    }
}

/// A plan in the making.
struct Planner {
    walk: Walk<Listed>,
    plan: Plan,
}

impl Planner {
    /// Follows every manifest that was reached.
    async fn follow(&mut self) -> Result<(), TransferError> {
        let mut fetching = JoinSet::new();
        loop {
            while fetching.len() < CONCURRENT_MANIFESTS
                && let Some(step) = self.walk.next()
            {
                if step.kind == ContentKind::Blob {
                    self.note(step)?;
                    continue;
                }
                self.walk.check_depth(&step).map_err(TransferError::Graph)?;
                let store = &self.plan.store;
                if let Some(manifest) = listed_in(&**store, &step)? {
                    let taken = Taken::new(store, &step, &manifest).await?;
                    self.follow_children(taken)?;
                    continue;
                }
                let (repository, store) = (self.plan.repository.clone(), Arc::clone(store));
                fetching.spawn(async move { fetch(&repository, &store, &step).await });
            }
            match fetching.join_next().await {
                Some(Ok(taken)) => self.follow_children(taken?)?,
                Some(Err(_)) => return Err(TransferError::Worker),
                None => return Ok(()),
            }
        }
    }

    async fn take_top(&mut self, top: &Manifest) -> Result<(), TransferError> {
        let is_index = top.document().as_index().is_some();
        let step = WalkStep::start_at(top, Listed { is_index });
        self.walk
            .reach(step.clone())
            .map_err(TransferError::Graph)?;
        // The step is taken here, because the caller already has the manifest.
        let _ = self.walk.next();
        let taken = Taken::new(&self.plan.store, &step, top).await?;
        self.follow_children(taken)
    }

    /// Counts a manifest that is in the store, and reaches what it refers to.
    fn follow_children(&mut self, taken: Taken) -> Result<(), TransferError> {
        let manifests = &mut self.plan.manifests;
        match taken.written {
            Some(bytes) => {
                manifests.written += 1;
                manifests.bytes += bytes;
            }
            None => manifests.present += 1,
        }
        taken.children.into_iter().try_for_each(|it| self.reach(it))
    }

    fn reach(&mut self, child: WalkStep<Listed>) -> Result<(), TransferError> {
        let (kind, size, digest) = (child.kind, child.size, child.digest.clone());
        match self.walk.reach(child).map_err(TransferError::Graph)? {
            Reached::Again => Ok(()),
            // Counted before the manifests are fetched, so that the limit applies in time.
            Reached::First if kind == ContentKind::Manifest => {
                self.walk.count_bytes(size).map_err(TransferError::Graph)
            }
            Reached::First => Ok(()),
            Reached::OtherSize { first } => Err(TransferError::SizeConflict {
                digest,
                first,
                second: size,
            }),
        }
    }

    /// Notes a blob.
    fn note(&mut self, step: WalkStep<Listed>) -> Result<(), TransferError> {
        let is_present = self.plan.store.reuse(&step.digest, step.size)?;
        let WalkStep { digest, size, .. } = step;
        let blobs = if is_present {
            &mut self.plan.present
        } else {
            &mut self.plan.missing
        };
        blobs.push(PlannedBlob { digest, size });
        Ok(())
    }
}

/// Reads a manifest from a store, hashed again; `None` when the store has no manifest with this
/// digest and size. Other programs may have written to the store, so its content is not trusted.
///
/// # Errors
///
/// [`StoreError`] when the store cannot be read.
pub fn stored_manifest(
    store: &dyn Store,
    digest: &Digest,
    size: u64,
) -> Result<Option<Manifest>, StoreError> {
    if size > MANIFEST_LIMIT_BYTES as u64 || !store.reuse(digest, size)? {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let reader = store.open(digest)?;
    if reader.take(size + 1).read_to_end(&mut bytes).is_err() {
        return Ok(None);
    }
    Ok(Manifest::parse_verified(bytes.into(), None, digest).ok())
}

/// Reads the manifest of a step from the store, if it is there and of the type that its index says.
fn listed_in(
    store: &dyn Store,
    step: &WalkStep<Listed>,
) -> Result<Option<Manifest>, TransferError> {
    let stored = stored_manifest(store, &step.digest, step.size)?;
    Ok(stored.filter(|manifest| is_as_listed(manifest, step)))
}

fn is_as_listed(manifest: &Manifest, step: &WalkStep<Listed>) -> bool {
    manifest.document().as_index().is_some() == step.item.is_index
}

/// Writes a manifest to the store unless the store already holds exactly these bytes; returns
/// whether it does. Runs on a thread of the blocking pool, because the first write waits for the
/// lock of the store.
async fn write(store: &Arc<dyn Store>, manifest: &Manifest) -> Result<bool, TransferError> {
    let (store, digest) = (Arc::clone(store), manifest.digest().clone());
    let bytes = manifest.bytes().clone();
    blocking(move |interrupt| {
        let store = store.interruptible(interrupt);
        let is_present = holds(&*store, &digest, &bytes)?;
        if !is_present {
            store.put(&digest, &bytes)?;
        }
        Ok::<_, StoreError>(is_present)
    })
    .await
}

/// Returns whether the store holds exactly these bytes as the blob `digest`.
fn holds(store: &dyn Store, digest: &Digest, bytes: &[u8]) -> Result<bool, StoreError> {
    if !store.reuse(digest, bytes.len() as u64)? {
        return Ok(false);
    }
    let mut found = Vec::new();
    let reader = store.open(digest)?;
    let read = reader.take(bytes.len() as u64 + 1).read_to_end(&mut found);
    Ok(read.is_ok() && found == *bytes)
}

/// Fetches the manifest of a step, whose size and type must be those of its descriptor, into the
/// store.
async fn fetch(
    repository: &Repository,
    store: &Arc<dyn Store>,
    step: &WalkStep<Listed>,
) -> Result<Taken, TransferError> {
    let target = TagOrDigest::from(step.digest.clone());
    let take = async |manifest: Manifest| {
        let actual = manifest.bytes().len() as u64;
        if actual != step.size {
            return Err(TransferError::ManifestSize {
                digest: step.digest.clone(),
                expected: step.size,
                actual,
            });
        }
        if !is_as_listed(&manifest, step) {
            return Err(TransferError::ManifestType {
                digest: step.digest.clone(),
            });
        }
        Taken::new(store, step, &manifest).await
    };
    let taken = repository.manifest_with(&target, |pulled| take(pulled.manifest));
    taken.await?
}

#[cfg(test)]
mod tests;
