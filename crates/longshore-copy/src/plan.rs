//! What a copy has to do, as a value that can be inspected before it runs.

use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use longshore_model::{
    Digest, INDEX_DEPTH_LIMIT, MANIFEST_LIMIT_BYTES, Manifest, MediaType, Platform, RepositoryName,
    Tag, TagOrDigest, WalkLimits,
};
use longshore_store::{Store, StoreError};

use self::planner::{Ends, Planner};
use crate::copy::CopyOptions;
use crate::end::{End, RawManifest, read_manifest};
use crate::error::TransferError;
use crate::failures::Failures;
use crate::patience::answer_of;
use crate::preflight::Concern;
use crate::run::{DestinationReport, RunOptions, Tally, run};

mod actions;
mod planner;

/// Maximum number of manifests and blobs that one plan follows. It bounds what a hostile nest of
/// indexes can make a copy remember (LI2: memory is not sized by what a peer sends).
pub const DESCRIPTORS_LIMIT: usize = 200_000;

/// Maximum size of the manifests of one plan together, in bytes. They are written to the
/// destination before anything refers to them.
pub const MANIFESTS_LIMIT_BYTES: u64 = 1024 * 1024 * 1024;

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

/// A manifest of a plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedManifest {
    /// The digest.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    /// The media type. It is that of an image manifest if the manifest was not read, because every
    /// destination already has it. One of a type that is not known here is copied as it is.
    pub media_type: MediaType,
    /// The manifest itself, if it was kept; otherwise it is read again before it is written.
    kept: Option<RawManifest>,
    /// How many levels of manifests are below it, or may be.
    height: usize,
    /// Whether its type is not known here, so that it lists nothing, and was kept.
    opaque: bool,
    /// The positions in the plan of the manifests that it lists.
    children: Vec<usize>,
}

/// How a blob gets to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobAction {
    /// The destination has it already.
    Existing,
    /// The registry is asked to mount it from another of its repositories.
    Mount {
        /// That repository.
        from: RepositoryName,
        /// Whether that repository is a destination of the same copy, which must get the blob
        /// first.
        after: bool,
    },
    /// It is moved.
    Move,
}

/// What a destination of a plan has and lacks.
pub struct PlannedDestination {
    end: Arc<dyn End>,
    /// Whether the end already has the image under its name.
    is_named: bool,
    /// For each manifest of the plan, whether the end has it.
    has_manifest: Vec<bool>,
    /// Number of manifests that were written while the plan was made, and their bytes; `None` if
    /// the manifests are written when the plan runs.
    written: Option<(u64, u64)>,
    blobs: Arc<[PlannedBlob]>,
    /// What to do for each blob.
    actions: Vec<BlobAction>,
}

/// The work that is needed so that destinations have an image of a source. It can be inspected
/// before it [runs](Self::run).
///
/// A destination with a [store](End::store) gets the manifests while the plan is made, when nothing
/// refers to them yet, unless it is a [dry run](CopyOptions::dry_run). Everything else is written
/// when the plan runs.
pub struct Plan {
    source: Arc<dyn End>,
    digest: Digest,
    manifest: Option<Manifest>,
    platform: Option<Platform>,
    new_index: bool,
    manifests: Vec<PlannedManifest>,
    /// Further names, each with the position of its manifest.
    names: Vec<(Tag, usize)>,
    /// The positions of the manifests that no other manifest lists, except for the image itself.
    unlisted: Vec<usize>,
    blobs: Arc<[PlannedBlob]>,
    /// Number of foreign layers that are left out (RD6).
    foreign: u64,
    concerns: Vec<Concern>,
    destinations: Vec<PlannedDestination>,
    failures: Arc<Failures>,
}

impl Plan {
    /// Finds out what has to be done to copy the image of `source` to all `destinations`.
    ///
    /// The manifest is read and the platform chosen first. Only then is a destination prepared,
    /// which may create a layout. All manifests below it are read, each once. If the first
    /// destination with a store has a manifest, it is read from there and hashed again. Must be
    /// called on a tokio runtime.
    ///
    /// With several destinations, a destination that fails is given up, and the plan is for the
    /// others.
    ///
    /// # Errors
    ///
    /// [`TransferError::Graph`] beyond [`INDEX_DEPTH_LIMIT`], [`DESCRIPTORS_LIMIT`] or
    /// [`MANIFESTS_LIMIT_BYTES`]; [`TransferError::SizeConflict`],
    /// [`TransferError::ManifestSize`], [`TransferError::ManifestType`] for an image that
    /// contradicts itself; [`TransferError::SeveralPlatforms`]; [`TransferError::SameDestination`];
    /// what the ends report.
    pub async fn make(
        source: Arc<dyn End>,
        destinations: Vec<Arc<dyn End>>,
        options: &CopyOptions,
    ) -> Result<Self, TransferError> {
        Self::make_within(LIMITS, source, destinations, options).await
    }

    async fn make_within(
        limits: WalkLimits,
        source: Arc<dyn End>,
        destinations: Vec<Arc<dyn End>>,
        options: &CopyOptions,
    ) -> Result<Self, TransferError> {
        let failures = Arc::new(Failures::new(destinations.len()));
        let made = Self::make_unless_failed(limits, source, destinations, options, &failures);
        made.await.map_err(|error| failures.first_of(error))
    }

    async fn make_unless_failed(
        limits: WalkLimits,
        source: Arc<dyn End>,
        destinations: Vec<Arc<dyn End>>,
        options: &CopyOptions,
        failures: &Arc<Failures>,
    ) -> Result<Self, TransferError> {
        check_different(&destinations).await?;
        if !options.dry_run {
            destinations.iter().for_each(|end| end.expect_writes());
        }
        if options.skip_existing
            && options.platforms.keep_the_index()
            && let Some(digest) = source.digest().await?
            && !named(&destinations, &digest, failures)
                .await?
                .contains(&false)
        {
            return Ok(Self::finished(source, digest, destinations, failures));
        }
        let target = source.target().await?;
        let first = read_manifest(&*source, &target).await?;
        let chosen = options.platforms.choose(&*source, first).await?;
        let digest = chosen.manifest.digest();
        check_required(&destinations, &chosen.manifest)?;
        let named = named(&destinations, digest, failures).await?;
        if options.skip_existing && !named.contains(&false) {
            let digest = digest.clone();
            return Ok(Self::finished(source, digest, destinations, failures));
        }
        if !options.dry_run {
            for (number, end) in destinations.iter().enumerate() {
                if !failures.has(number) {
                    failures.unless(number, end.prepare().await)?;
                }
            }
        }
        let ends = Ends {
            source,
            destinations,
            failures: Arc::clone(failures),
        };
        let mut planner = Planner::new(limits, ends, named, options);
        planner.take_top(&chosen).await?;
        planner.follow().await?;
        if options.referrers {
            planner.follow_referrers().await?;
        }
        planner.plan(chosen).await
    }

    /// A plan with nothing to do.
    fn finished(
        source: Arc<dyn End>,
        digest: Digest,
        ends: Vec<Arc<dyn End>>,
        failures: &Arc<Failures>,
    ) -> Self {
        let destinations = ends.into_iter().map(|end| PlannedDestination {
            end,
            is_named: true,
            has_manifest: Vec::new(),
            written: None,
            blobs: Arc::default(),
            actions: Vec::new(),
        });
        Self {
            source,
            digest,
            manifest: None,
            platform: None,
            new_index: false,
            manifests: Vec::new(),
            names: Vec::new(),
            unlisted: Vec::new(),
            blobs: Arc::default(),
            foreign: 0,
            concerns: Vec::new(),
            destinations: destinations.collect(),
            failures: Arc::clone(failures),
        }
    }

    /// Returns the digest of the image at the destinations.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the manifest of the image; `None` if it was not read, because every destination has
    /// the image (see [`CopyOptions::skip_existing`]).
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Returns the platform that was chosen or checked, if any.
    #[must_use]
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// Returns whether the image at the destinations is a new index with a digest of its own.
    #[must_use]
    pub fn is_new_index(&self) -> bool {
        self.new_index
    }

    /// Returns the manifests of the image and of its referrers.
    #[must_use]
    pub fn manifests(&self) -> &[PlannedManifest] {
        &self.manifests
    }

    /// Returns the blobs of these manifests, each once.
    #[must_use]
    pub fn blobs(&self) -> &[PlannedBlob] {
        &self.blobs
    }

    /// Returns how many foreign layers are left out, because they may not be distributed (RD6).
    #[must_use]
    pub fn foreign_layers(&self) -> u64 {
        self.foreign
    }

    /// Returns properties of these manifests that some registries are known to refuse: the first
    /// few.
    #[must_use]
    pub fn concerns(&self) -> &[Concern] {
        &self.concerns
    }

    /// Returns what each destination has and lacks, in the order in which they were given.
    #[must_use]
    pub fn destinations(&self) -> &[PlannedDestination] {
        &self.destinations
    }

    /// Whether this destination, by its place among the destinations, was given up while the plan
    /// was made. What the plan says of it is not known to be true.
    #[must_use]
    pub fn has_given_up(&self, destination: usize) -> bool {
        self.failures.has(destination)
    }

    /// Takes the errors of the destinations that were given up while the plan was made, each with
    /// the position of its destination. With a single destination there are none, because its error
    /// is the error of the plan.
    pub fn take_errors(&self) -> Vec<(usize, TransferError)> {
        let numbers = 0..self.destinations.len();
        let error = |number| Some((number, self.failures.take(number)?));
        numbers.filter_map(error).collect()
    }

    /// Runs the plan, and returns the result at each destination.
    ///
    /// Must be called on a tokio runtime with a blocking pool. Dropping the future stops all
    /// transfers: nothing is visible that is not verified, and partial large blobs are kept for
    /// the next run (RT9: every operation may be dropped).
    ///
    /// With several destinations, a destination that fails is given up, and its result has the
    /// error; the copy to the others continues.
    ///
    /// # Errors
    ///
    /// The source failed, or every destination: then the error is that of the first one.
    /// [`TransferError::Store`], with content that does not match its digest twice;
    /// [`TransferError::Cancelled`].
    pub async fn run(self, options: &RunOptions) -> Result<Vec<DestinationReport>, TransferError> {
        run(self, options).await
    }
}

/// Checks that no two ends are one image of one repository, however they were written.
async fn check_different(ends: &[Arc<dyn End>]) -> Result<(), TransferError> {
    let mut seen = HashSet::new();
    for end in ends {
        let Some(repository) = end.repository() else {
            continue;
        };
        let target = end.target().await?.to_string();
        let name = (
            repository.origin().clone(),
            repository.name().clone(),
            target,
        );
        if !seen.insert(name) {
            let end = end.name();
            return Err(TransferError::SameDestination { end });
        }
    }
    Ok(())
}

/// Refuses to copy an image to an end that is named by the digest of another.
fn check_required(ends: &[Arc<dyn End>], manifest: &Manifest) -> Result<(), TransferError> {
    for end in ends {
        let Some(expected) = end.required_digest() else {
            continue;
        };
        let actual = Digest::of(&expected.algorithm(), manifest.bytes());
        let actual = actual.unwrap_or_else(|_| manifest.digest().clone());
        if actual != *expected {
            let (end, expected) = (end.name(), expected.clone());
            return Err(TransferError::OtherDigest {
                end,
                expected,
                actual,
            });
        }
    }
    Ok(())
}

/// Returns for each end whether it stands for the image with this digest already. An end that fails
/// to answer is given up, and counts as if it did.
async fn named(
    ends: &[Arc<dyn End>],
    digest: &Digest,
    failures: &Failures,
) -> Result<Vec<bool>, TransferError> {
    let mut named = Vec::with_capacity(ends.len());
    for (number, end) in ends.iter().enumerate() {
        let is_named = if failures.has(number) {
            true
        } else {
            let (alone, answered) = (ends.len() == 1, AtomicUsize::new(0));
            let found = answer_of(&**end, alone, &answered, end.digest()).await;
            let found = failures.unless(number, found)?;
            found.is_none_or(|found| found.as_ref() == Some(digest))
        };
        named.push(is_named);
    }
    Ok(named)
}

impl PlannedDestination {
    /// Returns the end.
    #[must_use]
    pub fn end(&self) -> &Arc<dyn End> {
        &self.end
    }

    /// Returns whether the end already has the image under its name, so that it is not named again.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.is_named
    }

    /// Returns each blob with the action for it.
    pub fn actions(&self) -> impl Iterator<Item = (&PlannedBlob, &BlobAction)> {
        self.blobs.iter().zip(&self.actions)
    }

    /// Returns the blobs that are moved to this end.
    pub fn missing(&self) -> impl Iterator<Item = &PlannedBlob> {
        self.with(|action| *action == BlobAction::Move)
    }

    /// Returns the blobs that the end already has, compared by their size. A store hashes them when
    /// the plan runs.
    pub fn existing(&self) -> impl Iterator<Item = &PlannedBlob> {
        self.with(|action| *action == BlobAction::Existing)
    }

    /// Returns the blobs that are mounted from another repository.
    pub fn mounted(&self) -> impl Iterator<Item = &PlannedBlob> {
        self.with(|action| matches!(action, BlobAction::Mount { .. }))
    }

    /// Returns the total size of the blobs that are moved, in bytes.
    #[must_use]
    pub fn missing_bytes(&self) -> u64 {
        bytes_of(self.missing())
    }

    /// Returns the number of manifests that the end lacks, or lacked before the plan was made.
    #[must_use]
    pub fn missing_manifests(&self) -> u64 {
        let missing = self.has_manifest.iter().filter(|has| !**has).count();
        missing as u64 + self.written.unwrap_or_default().0
    }

    fn with(&self, wanted: impl Fn(&BlobAction) -> bool) -> impl Iterator<Item = &PlannedBlob> {
        let wanted = self.actions().filter(move |(_, action)| wanted(action));
        wanted.map(|(blob, _)| blob)
    }

    /// Counts what the end has before the plan runs.
    pub(crate) fn tally(&self) -> Tally {
        let (written, bytes) = self.written.unwrap_or_default();
        let has = self.has_manifest.iter().filter(|has| **has).count() as u64;
        Tally {
            moved: written,
            present: has.saturating_sub(written),
            bytes,
            ..Tally::default()
        }
    }

    /// Returns whether the end has the manifest at this position, so that it is not written. The
    /// content of a store is trusted only if it was written or hashed while the plan was made.
    pub(crate) fn is_written(&self, place: usize) -> bool {
        self.has_manifest.get(place) == Some(&true)
            && (self.written.is_some() || self.end.store().is_none())
    }

    /// Returns the action for the blob at this position.
    pub(crate) fn action(&self, place: usize) -> &BlobAction {
        self.actions.get(place).unwrap_or(&BlobAction::Move)
    }

    /// Returns whether the end got its manifests while the plan was made.
    pub(crate) fn is_keeper(&self) -> bool {
        self.written.is_some()
    }
}

impl fmt::Debug for PlannedDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedDestination")
            .field("end", &self.end.name())
            .field("missing", &self.missing().count())
            .field("existing", &self.existing().count())
            .field("mounted", &self.mounted().count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("digest", &self.digest)
            .field("manifests", &self.manifests.len())
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

/// Returns the total size of these blobs, in bytes.
pub(crate) fn bytes_of<'a>(blobs: impl Iterator<Item = &'a PlannedBlob>) -> u64 {
    blobs.fold(0, |sum, blob| sum.saturating_add(blob.size))
}

/// Reads a manifest from a store and hashes it again; `None` when the store has no manifest with
/// this digest and size. Other programs may have written to the store, so its content is not
/// trusted.
///
/// # Errors
///
/// [`StoreError`] when the store cannot be read.
pub fn stored_manifest(
    store: &dyn Store,
    digest: &Digest,
    size: u64,
) -> Result<Option<Manifest>, StoreError> {
    let bytes = stored_document(store, digest, size)?;
    Ok(bytes.and_then(|bytes| Manifest::parse_verified(bytes, None, digest).ok()))
}

/// Reads a document from a store, not verified; `None` when the store has none with this digest and
/// size, or when it is larger than a manifest may be.
pub(crate) fn stored_document(
    store: &dyn Store,
    digest: &Digest,
    size: u64,
) -> Result<Option<Bytes>, StoreError> {
    if size > MANIFEST_LIMIT_BYTES as u64 || !store.reuse(digest, size)? {
        return Ok(None);
    }
    // One more byte than the limit at most; a vector that grows takes twice the memory.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    let reader = store.open(digest)?;
    if reader.take(size + 1).read_to_end(&mut bytes).is_err() {
        return Ok(None);
    }
    Ok(Some(bytes.into()))
}

/// The parts of a plan that its run takes.
pub(crate) struct Parts {
    pub(crate) source: Arc<dyn End>,
    /// The image itself comes first.
    pub(crate) manifests: Vec<PlannedManifest>,
    pub(crate) names: Vec<(Tag, usize)>,
    pub(crate) unlisted: Vec<usize>,
    pub(crate) blobs: Arc<[PlannedBlob]>,
    pub(crate) destinations: Vec<PlannedDestination>,
    pub(crate) failures: Arc<Failures>,
}

impl Plan {
    /// Takes the manifest out of the plan, which does not need it.
    pub(crate) fn take_manifest(&mut self) -> Option<Manifest> {
        self.manifest.take()
    }

    pub(crate) fn into_parts(self) -> Parts {
        Parts {
            source: self.source,
            manifests: self.manifests,
            names: self.names,
            unlisted: self.unlisted,
            blobs: self.blobs,
            destinations: self.destinations,
            failures: self.failures,
        }
    }
}

impl PlannedManifest {
    /// Reads the manifest to write it: the kept bytes, or from `end` again.
    pub(crate) async fn read(&self, end: &dyn End) -> Result<RawManifest, TransferError> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let target = TagOrDigest::from(self.digest.clone());
        let mut read = None;
        let slot = &mut read;
        let take: crate::end::TakeManifest<'_> = Box::new(move |manifest| {
            *slot = Some(RawManifest::of(&manifest));
            Box::pin(std::future::ready(Ok(())))
        });
        end.manifest(&target, take).await?;
        read.ok_or(TransferError::Closed)
    }

    /// How many levels of manifests are below it.
    pub(crate) fn height(&self) -> usize {
        self.height
    }
}

#[cfg(test)]
mod tests;
