//! Reading the manifests of a plan.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use longshore_model::{
    ContentKind, Descriptor, Digest, INDEX_DEPTH_LIMIT, MANIFEST_LIMIT_BYTES, Manifest, MediaType,
    Reached, Tag, TagOrDigest, Walk, WalkError, WalkLimits, WalkStep,
};
use longshore_store::Store;

use super::actions::{self, Claim};
use super::{Plan, PlannedBlob, PlannedDestination, PlannedManifest, stored_manifest};
use crate::copy::CopyOptions;
use crate::digest_tag::{DigestTag, DigestTagKind};
use crate::end::stored::put_document;
use crate::end::{End, RawManifest, TakeManifest};
use crate::error::TransferError;
use crate::failures::Failures;
use crate::in_order::InOrder;
use crate::patience::answer_of;
use crate::platform::Chosen;
use crate::preflight::{Concern, preflight};
use crate::referrers::{REFERRERS_DEPTH_LIMIT, REFERRERS_LIMIT};

/// Number of manifests, and of lists of referrers, that are requested concurrently.
const CONCURRENT_MANIFESTS: usize = 16;

/// Maximum size of the manifests that are read concurrently, in bytes; a larger one is read alone.
/// Reading one takes several times its size (LI2).
const READ_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Maximum number of bytes of manifests that are kept until they are written. Other manifests are
/// read again (LI2).
const KEPT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Maximum number of concerns that are kept.
const CONCERNS_LIMIT: usize = 20;

/// The parent of a manifest, and what it says about it.
#[derive(Clone, Debug, Default)]
struct Listed {
    is_index: bool,
    /// A type that is neither that of an image manifest nor of an index: the content may be a blob.
    opaque: Option<MediaType>,
    parent: Option<usize>,
}

impl Listed {
    fn of(descriptor: &Descriptor) -> Self {
        let media_type = &descriptor.media_type;
        let is_known = media_type.is_manifest() || media_type.is_index() || media_type.is_generic();
        Self {
            is_index: media_type.is_index(),
            opaque: (!is_known).then(|| media_type.clone()),
            parent: None,
        }
    }

    fn of_read(manifest: &Manifest) -> Self {
        Self {
            is_index: manifest.document().as_index().is_some(),
            opaque: None,
            parent: None,
        }
    }

    /// What the content is read as.
    fn kind(&self) -> ContentKind {
        match self.opaque {
            Some(_) => ContentKind::Blob,
            None => ContentKind::Manifest,
        }
    }
}

/// What was read of a step.
enum Found {
    Blob(PlannedBlob),
    /// At its place.
    Manifest(usize, Taken),
    /// A manifest of a type that is not known here.
    Opaque(WalkStep<Listed>, Taken),
}

/// The data kept about a manifest that was read. The document itself may be large, so it is
/// dropped by the task that read it (LI2: memory is not sized by what a peer sends).
struct Taken {
    media_type: MediaType,
    kept: Option<RawManifest>,
    /// Whether it was written to the store that gets the manifests; `None` without such a store.
    written: Option<bool>,
    /// Which destinations have it.
    claims: Vec<bool>,
    children: Vec<WalkStep<Listed>>,
    foreign: u64,
    concerns: Vec<Concern>,
}

/// Data that the tasks that read manifests share.
struct Reading {
    ends: Ends,
    /// The store that gets the manifests while they are read.
    keeper: Option<Arc<dyn Store>>,
    /// Whether manifests are kept in memory, because they must be sent to a destination.
    keeps: bool,
    /// Whether each blob is looked at, also those of an image that a destination has.
    verify: bool,
    foreign_layers: bool,
}

/// The ends of a plan.
pub(super) struct Ends {
    pub(super) source: Arc<dyn End>,
    pub(super) destinations: Vec<Arc<dyn End>>,
    /// The destinations that were given up.
    pub(super) failures: Arc<Failures>,
}

/// A plan in the making.
pub(super) struct Planner {
    walk: Walk<Listed>,
    reading: Arc<Reading>,
    all: bool,
    named: Vec<bool>,
    /// Which children of the image are wanted, if not all are.
    wanted: Option<HashSet<Digest>>,
    manifests: Vec<PlannedManifest>,
    places: HashMap<Digest, usize>,
    /// For each destination, which manifests it has.
    claims: Vec<Vec<bool>>,
    kept_bytes: u64,
    written: (u64, u64),
    names: Vec<(Tag, usize)>,
    unlisted: Vec<usize>,
    blobs: Vec<PlannedBlob>,
    foreign: u64,
    concerns: Vec<Concern>,
}

impl Planner {
    pub(super) fn new(
        limits: WalkLimits,
        ends: Ends,
        named: Vec<bool>,
        options: &CopyOptions,
    ) -> Self {
        let keeper = ends.keeper().filter(|_| !options.dry_run);
        let keeper = keeper.and_then(|number| ends.destinations.get(number)?.store());
        let claims = vec![Vec::new(); ends.destinations.len()];
        Self {
            walk: Walk::new(limits),
            reading: Arc::new(Reading {
                keeps: ends.source.store().is_none() && keeper.is_none(),
                keeper,
                ends,
                foreign_layers: options.foreign_layers,
                verify: options.run.verify_after,
            }),
            all: options.dry_run || options.run.verify_after,
            named,
            wanted: None,
            manifests: Vec::new(),
            places: HashMap::new(),
            claims,
            kept_bytes: 0,
            written: (0, 0),
            names: Vec::new(),
            unlisted: Vec::new(),
            blobs: Vec::new(),
            foreign: 0,
            concerns: Vec::new(),
        }
    }

    /// Takes the image itself, which was read already.
    pub(super) async fn take_top(&mut self, chosen: &Chosen) -> Result<(), TransferError> {
        let manifest = &chosen.manifest;
        self.wanted.clone_from(&chosen.children);
        let step = WalkStep::start_at(manifest, Listed::of_read(manifest));
        self.walk
            .reach(step.clone())
            .map_err(TransferError::Graph)?;
        // The step is taken here, because the caller already has the manifest.
        let _ = self.walk.next();
        self.place(&step);
        let claims = self.reading.claims(manifest.digest(), &self.named).await?;
        let is_finished = self.reading.is_complete(&step, &claims);
        let mut taken = self.reading.take(&step, manifest, claims).await?;
        // An index that is made here cannot be read from any end.
        taken.kept.get_or_insert_with(|| RawManifest::of(manifest));
        if is_finished {
            taken.children.clear();
        }
        if let Some(wanted) = &self.wanted {
            let listed = taken.children.len();
            taken.children.retain(|it| wanted.contains(&it.digest));
            let absent = listed - taken.children.len();
            if absent > 0 {
                taken.concerns.push(Concern::Sparse { absent });
            }
        }
        self.follow_children(0, taken)
    }

    /// Reads every manifest that was reached.
    pub(super) async fn follow(&mut self) -> Result<(), TransferError> {
        let mut reading = InOrder::new(CONCURRENT_MANIFESTS, READ_LIMIT_BYTES);
        let mut waiting = None;
        loop {
            while let Some(step) = waiting.take().or_else(|| self.walk.next()) {
                if step.kind == ContentKind::Blob && !may_be_manifest(&step) {
                    let WalkStep { digest, size, .. } = step;
                    self.blobs.push(PlannedBlob { digest, size });
                    continue;
                }
                self.walk.check_depth(&step).map_err(TransferError::Graph)?;
                if !reading.has_room(step.size) {
                    waiting = Some(step);
                    break;
                }
                let shared = Arc::clone(&self.reading);
                let place = self.places.get(&step.digest).copied();
                reading.start(step.size, async move { shared.find(place, step).await });
            }
            let Some(found) = reading.next().await else {
                return Ok(());
            };
            match found?? {
                Found::Blob(blob) => self.blobs.push(blob),
                Found::Manifest(place, taken) => self.follow_children(place, taken)?,
                Found::Opaque(step, taken) => self.follow_opaque(&step, taken)?,
            }
        }
    }

    /// Follows the referrers of every manifest of the plan, their own referrers, and the manifests
    /// whose tags name the digest of one.
    pub(super) async fn follow_referrers(&mut self) -> Result<(), TransferError> {
        let image = self.manifests.len();
        let mut subjects = 0..image;
        // Each round lists what refers to the manifests that the last one has found.
        for level in 0.. {
            let next = subjects.end;
            let mut listing = InOrder::new(CONCURRENT_MANIFESTS, u64::MAX);
            loop {
                while listing.has_room(1)
                    && let Some(place) = subjects.next()
                    && let Some(subject) = self.manifests.get(place)
                {
                    let (shared, subject) = (Arc::clone(&self.reading), subject.digest.clone());
                    listing.start(
                        1,
                        async move { shared.ends.source.referrers(&subject).await },
                    );
                }
                let Some(found) = listing.next().await else {
                    break;
                };
                for referrer in found?? {
                    self.reach_referrer(&referrer, level, image)?;
                }
            }
            self.follow().await?;
            subjects = next..self.manifests.len();
            if subjects.is_empty() {
                break;
            }
        }
        self.follow_digest_tags().await
    }

    /// Reaches a manifest that refers to one of this level, when the image itself has this many.
    fn reach_referrer(
        &mut self,
        referrer: &Descriptor,
        level: usize,
        image: usize,
    ) -> Result<(), TransferError> {
        if level >= REFERRERS_DEPTH_LIMIT && !self.places.contains_key(&referrer.digest) {
            return Err(TransferError::Referrers(WalkError::TooDeep {
                digest: referrer.digest.clone(),
                limit: REFERRERS_DEPTH_LIMIT,
            }));
        }
        let listed = Listed::of(referrer);
        self.reach(WalkStep::start(referrer, listed.kind(), listed))?;
        if self.manifests.len() - image > REFERRERS_LIMIT {
            let limit = REFERRERS_LIMIT;
            return Err(TransferError::Referrers(WalkError::TooMany { limit }));
        }
        Ok(())
    }

    async fn follow_digest_tags(&mut self) -> Result<(), TransferError> {
        let source = Arc::clone(&self.reading.ends.source);
        let manifests = self.manifests.iter();
        let tags = manifests.flat_map(|it| DigestTag::all(&it.digest));
        // The list of referrers is read and written as what it stands for.
        let tags = tags.filter(|(kind, _)| *kind != DigestTagKind::Referrers);
        let tags: Vec<Tag> = tags.map(|(_, tag)| tag).collect();
        for tag in source.existing_tags(&tags).await? {
            let target = TagOrDigest::from(tag.clone());
            let manifest = crate::end::read_manifest(&*source, &target).await?;
            self.reach(WalkStep::start_at(&manifest, Listed::of_read(&manifest)))?;
            self.follow().await?;
            if let Some(&place) = self.places.get(manifest.digest()) {
                self.names.push((tag, place));
            }
        }
        Ok(())
    }

    /// Makes a place for a manifest when it is reached, so that each that lists it finds it there.
    fn place(&mut self, step: &WalkStep<Listed>) {
        let place = self.manifests.len();
        self.manifests.push(PlannedManifest {
            digest: step.digest.clone(),
            size: step.size,
            media_type: MediaType::OCI_MANIFEST,
            kept: None,
            height: 0,
            opaque: step.item.opaque.is_some(),
            children: Vec::new(),
        });
        // A digest with two sizes is an error, so each digest has one position.
        self.places.insert(step.digest.clone(), place);
        for claims in &mut self.claims {
            claims.push(false);
        }
        match step.item.parent {
            Some(parent) => self.adopt(Some(parent), place),
            None if place > 0 => self.unlisted.push(place),
            None => {}
        }
    }

    fn adopt(&mut self, parent: Option<usize>, child: usize) {
        if let Some(parent) = parent.and_then(|place| self.manifests.get_mut(place)) {
            parent.children.push(child);
        }
    }

    /// Counts a manifest that was read, and reaches what it refers to.
    fn follow_children(&mut self, place: usize, taken: Taken) -> Result<(), TransferError> {
        self.foreign += taken.foreign;
        for concern in taken.concerns {
            if self.concerns.len() < CONCERNS_LIMIT && !self.concerns.contains(&concern) {
                self.concerns.push(concern);
            }
        }
        for (claims, has) in self.claims.iter_mut().zip(taken.claims) {
            if let Some(claim) = claims.get_mut(place) {
                *claim = has;
            }
        }
        if let Some(manifest) = self.manifests.get_mut(place) {
            manifest.media_type = taken.media_type;
            let fits = self.kept_bytes.saturating_add(manifest.size) <= KEPT_LIMIT_BYTES;
            if manifest.opaque && !fits {
                let limit = KEPT_LIMIT_BYTES;
                return Err(TransferError::Graph(WalkError::TooLarge { limit }));
            }
            if (place == 0 || fits) && taken.kept.is_some() {
                self.kept_bytes = self.kept_bytes.saturating_add(manifest.size);
                manifest.kept = taken.kept;
            }
            if taken.written == Some(true) {
                self.written.0 += 1;
                self.written.1 += manifest.size;
            }
        }
        for mut child in taken.children {
            child.item.parent = Some(place);
            self.reach(child)?;
        }
        Ok(())
    }

    /// Counts a manifest of a type that is not known here, which lists nothing.
    fn follow_opaque(
        &mut self,
        step: &WalkStep<Listed>,
        taken: Taken,
    ) -> Result<(), TransferError> {
        if self.places.contains_key(&step.digest) {
            return Ok(());
        }
        let place = self.manifests.len();
        self.place(step);
        self.follow_children(place, taken)
    }

    fn reach(&mut self, child: WalkStep<Listed>) -> Result<(), TransferError> {
        let reached = self.walk.reach(child.clone());
        match reached.map_err(TransferError::Graph)? {
            Reached::OtherSize { first } => Err(TransferError::SizeConflict {
                digest: child.digest,
                first,
                second: child.size,
            }),
            _ if child.kind == ContentKind::Blob => Ok(()),
            Reached::First => {
                self.place(&child);
                // Counted before the manifests are read, so that the limit applies before they take
                // memory.
                let counted = self.walk.count_bytes(child.size);
                counted.map_err(TransferError::Graph)
            }
            Reached::Again => {
                if let Some(parent) = child.item.parent
                    && let Some(&place) = self.places.get(&child.digest)
                {
                    self.adopt(Some(parent), place);
                    self.walk.count_entry().map_err(TransferError::Graph)?;
                }
                Ok(())
            }
        }
    }

    /// Computes how many levels of manifests are below each, so that they can be written from the
    /// bottom up. The limit of the levels bounds the number of rounds.
    ///
    /// # Errors
    ///
    /// [`WalkError::TooDeep`]: the walk limits the shortest way to a manifest, this the longest.
    fn measure(&mut self) -> Result<(), TransferError> {
        let limit = INDEX_DEPTH_LIMIT;
        loop {
            let mut changed = false;
            for place in 0..self.manifests.len() {
                let height_of = |&it: &usize| self.manifests.get(it).map(|it| it.height + 1);
                let Some(manifest) = self.manifests.get(place) else {
                    continue;
                };
                let height = manifest.children.iter().filter_map(height_of).max();
                let height = height.unwrap_or_default();
                if height > limit {
                    let digest = manifest.digest.clone();
                    return Err(TransferError::Graph(WalkError::TooDeep { digest, limit }));
                }
                if height != manifest.height
                    && let Some(manifest) = self.manifests.get_mut(place)
                {
                    manifest.height = height;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        // The opaque ones are written first, because not all of their parents are known.
        if self.manifests.iter().any(|it| it.opaque) {
            for manifest in self.manifests.iter_mut().filter(|it| !it.opaque) {
                manifest.height += 1;
            }
        }
        Ok(())
    }

    /// Returns the manifests that an end with a list of its own has to list.
    fn listed(&self) -> Vec<Descriptor> {
        let places = iter::once(&0).chain(&self.unlisted);
        let manifests = places.filter_map(|&place| self.manifests.get(place));
        let descriptor = |it: &PlannedManifest| {
            Descriptor::new(it.media_type.clone(), it.digest.clone(), it.size)
        };
        manifests.map(descriptor).collect()
    }

    /// Finds out what each destination lacks, and returns the plan.
    pub(super) async fn plan(mut self, chosen: Chosen) -> Result<Plan, TransferError> {
        self.measure()?;
        let listed = self.listed();
        let blobs: Arc<[PlannedBlob]> = self.blobs.into();
        let source = Arc::clone(&self.reading.ends.source);
        let failures = Arc::clone(&self.reading.ends.failures);
        let mut destinations: Vec<PlannedDestination> = Vec::new();
        let keeper = self.reading.ends.keeper();
        let keeper = keeper.filter(|_| self.reading.keeper.is_some());
        let ends = self.reading.ends.destinations.iter();
        let is_alone = ends.len() == 1;
        let ends = ends.zip(self.named).zip(self.claims);
        for (number, ((end, is_named), has_manifest)) in ends.enumerate() {
            let claim = Claim {
                source: &*source,
                earlier: &destinations,
                end: &**end,
                blobs: &blobs,
                all: self.all,
                is_alone,
            };
            let mut actions = None;
            if !failures.has(number) && failures.unless(number, end.check_room(&listed))?.is_some()
            {
                actions = failures.unless(number, actions::find(claim).await)?;
            }
            let is_keeper = keeper == Some(number);
            destinations.push(PlannedDestination {
                actions: actions.unwrap_or_default(),
                end: Arc::clone(end),
                is_named,
                has_manifest: if is_keeper {
                    vec![true; self.manifests.len()]
                } else {
                    has_manifest
                },
                written: is_keeper.then_some(self.written),
                blobs: Arc::clone(&blobs),
            });
        }
        Ok(Plan {
            source,
            digest: chosen.manifest.digest().clone(),
            platform: chosen.platform,
            new_index: chosen.new_index,
            manifest: Some(chosen.manifest),
            manifests: self.manifests,
            names: self.names,
            unlisted: self.unlisted,
            blobs,
            foreign: self.foreign,
            concerns: self.concerns,
            failures,
            destinations,
        })
    }
}

impl Ends {
    /// Returns which destination has a store that gets the manifests while they are read.
    fn keeper(&self) -> Option<usize> {
        let mut ends = self.destinations.iter().enumerate();
        ends.position(|(number, end)| !self.failures.has(number) && end.store().is_some())
    }
}

impl Reading {
    /// Asks every destination whether it has a manifest, except those that are known to have the
    /// image. A destination that fails to answer is given up.
    async fn claims(&self, digest: &Digest, named: &[bool]) -> Result<Vec<bool>, TransferError> {
        let Ends {
            destinations,
            failures,
            ..
        } = &self.ends;
        let mut claims = Vec::with_capacity(destinations.len());
        for (number, end) in destinations.iter().enumerate() {
            let is_named = named.get(number) == Some(&true) && end.store().is_none();
            let has = if is_named || failures.has(number) {
                Some(is_named)
            } else {
                let (alone, answered) = (destinations.len() == 1, AtomicUsize::new(0));
                let asking = answer_of(&**end, alone, &answered, end.has_manifest(digest));
                failures.unless(number, asking.await)?
            };
            claims.push(has.unwrap_or_default());
        }
        Ok(claims)
    }

    /// Returns whether every destination has an image manifest, and with it the blobs below it,
    /// unless each of these is looked at.
    fn is_complete(&self, step: &WalkStep<Listed>, claims: &[bool]) -> bool {
        let mut ends = self.ends.destinations.iter().zip(claims).enumerate();
        !self.verify
            && !step.item.is_index
            && ends.all(|(number, (end, has))| {
                self.ends.failures.has(number) || (*has && end.store().is_none())
            })
    }

    /// Finds out what a step is. A manifest has this place.
    async fn find(
        &self,
        place: Option<usize>,
        step: WalkStep<Listed>,
    ) -> Result<Found, TransferError> {
        match (&step.item.opaque, place) {
            (None, Some(place)) => Ok(Found::Manifest(place, self.read(&step).await?)),
            (Some(media_type), _) => {
                let (digest, size) = (step.digest.clone(), step.size);
                let blob = PlannedBlob { digest, size };
                match self.ends.source.opaque_manifest(&blob, media_type).await? {
                    Some(bytes) => {
                        let taken = self.take_opaque(&step, media_type, bytes).await?;
                        Ok(Found::Opaque(step, taken))
                    }
                    None => Ok(Found::Blob(blob)),
                }
            }
            (None, None) => Err(TransferError::Worker),
        }
    }

    /// Takes a manifest of a type that is not known here: all of it, because only an end that keeps
    /// it as a manifest could give it again.
    async fn take_opaque(
        &self,
        step: &WalkStep<Listed>,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<Taken, TransferError> {
        check_size(step, bytes.len() as u64)?;
        let claims = self.claims(&step.digest, &[]).await?;
        let written = self.write(&step.digest, &bytes).await?;
        let descriptor = Descriptor::new(media_type.clone(), step.digest.clone(), step.size);
        Ok(Taken {
            media_type: media_type.clone(),
            kept: Some(RawManifest {
                descriptor,
                bytes,
                referrer: None,
            }),
            written,
            claims,
            children: Vec::new(),
            foreign: 0,
            concerns: Vec::new(),
        })
    }

    /// Writes a manifest to the store that gets the manifests, if there is one; returns whether it
    /// was absent.
    async fn write(&self, digest: &Digest, bytes: &Bytes) -> Result<Option<bool>, TransferError> {
        let Some(keeper) = &self.keeper else {
            return Ok(None);
        };
        let is_present = put_document(Arc::clone(keeper), digest, bytes).await?;
        Ok(Some(!is_present))
    }

    /// Reads the manifest of a step: from the store that gets the manifests, if it is there and of
    /// the type that its index says, or from the source. It is not read when every destination has
    /// it and what is below it.
    async fn read(&self, step: &WalkStep<Listed>) -> Result<Taken, TransferError> {
        let claims = self.claims(&step.digest, &[]).await?;
        if self.is_complete(step, &claims) {
            return Ok(Taken {
                media_type: MediaType::OCI_MANIFEST,
                kept: None,
                written: None,
                claims,
                children: Vec::new(),
                foreign: 0,
                concerns: Vec::new(),
            });
        }
        if let Some(store) = self.ends.source.store()
            && let Some(actual) = store.size(&step.digest)?
        {
            // LI2: how much is read at once is decided by the size in the descriptor.
            check_size(step, actual)?;
        }
        if let Some(keeper) = &self.keeper {
            let stored = stored_manifest(&**keeper, &step.digest, step.size)?;
            if let Some(manifest) = stored.filter(|manifest| is_as_listed(manifest, step)) {
                return self.take(step, &manifest, claims).await;
            }
        }
        let target = TagOrDigest::from(step.digest.clone());
        let mut taken = None;
        let slot = &mut taken;
        let take: TakeManifest<'_> = Box::new(move |manifest| {
            Box::pin(async move {
                check(&manifest, step)?;
                *slot = Some(self.take(step, &manifest, claims).await?);
                Ok(())
            })
        });
        self.ends.source.manifest(&target, take).await?;
        taken.ok_or(TransferError::Closed)
    }

    /// Keeps the data that is needed of a manifest, and writes the manifest to the store that gets
    /// them.
    async fn take(
        &self,
        step: &WalkStep<Listed>,
        manifest: &Manifest,
        claims: Vec<bool>,
    ) -> Result<Taken, TransferError> {
        let written = self.write(manifest.digest(), manifest.bytes()).await?;
        let document = manifest.document();
        let kind = ContentKind::of_children(document);
        let mut foreign = 0;
        let mut children = Vec::new();
        for child in document.children() {
            if child.media_type.is_foreign_layer() && !self.foreign_layers {
                foreign += 1;
                continue;
            }
            let (kind, listed) = match kind {
                ContentKind::Blob => (kind, Listed::default()),
                ContentKind::Manifest => {
                    let listed = Listed::of(child);
                    (listed.kind(), listed)
                }
            };
            children.push(step.child(child, kind, listed));
        }
        Ok(Taken {
            media_type: manifest.media_type().clone(),
            kept: (self.keeps && !claims.iter().all(|has| *has)).then(|| RawManifest::of(manifest)),
            written,
            claims,
            children,
            foreign,
            concerns: preflight(manifest),
        })
    }
}

/// Checks that the size and type of a manifest are those of its descriptor.
fn check(manifest: &Manifest, step: &WalkStep<Listed>) -> Result<(), TransferError> {
    check_size(step, manifest.bytes().len() as u64)?;
    if !is_as_listed(manifest, step) {
        return Err(TransferError::ManifestType {
            digest: step.digest.clone(),
        });
    }
    Ok(())
}

fn check_size(step: &WalkStep<Listed>, actual: u64) -> Result<(), TransferError> {
    if actual == step.size {
        return Ok(());
    }
    Err(TransferError::ManifestSize {
        digest: step.digest.clone(),
        expected: step.size,
        actual,
    })
}

/// Returns whether content of a type that is not known here may be a manifest.
fn may_be_manifest(step: &WalkStep<Listed>) -> bool {
    let is_blob = |it: &MediaType| it.is_layer() || it.is_config();
    let media_type = step.item.opaque.as_ref();
    media_type.is_some_and(|it| !is_blob(it)) && step.size <= MANIFEST_LIMIT_BYTES as u64
}

fn is_as_listed(manifest: &Manifest, step: &WalkStep<Listed>) -> bool {
    manifest.document().as_index().is_some() == step.item.is_index
}
