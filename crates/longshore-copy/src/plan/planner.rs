//! Reading the manifests of a plan.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use longshore_model::{
    ContentKind, Digest, Manifest, MediaType, Reached, Tag, TagOrDigest, Walk, WalkLimits, WalkStep,
};
use longshore_store::Store;
use tokio::task::JoinSet;

use super::actions::{self, Claim};
use super::{Plan, PlannedBlob, PlannedDestination, PlannedManifest, stored_manifest};
use crate::copy::CopyOptions;
use crate::digest_tag::{DigestTag, DigestTagKind};
use crate::end::stored::put_document;
use crate::end::{End, RawManifest, TakeManifest};
use crate::error::TransferError;
use crate::failures::Failures;
use crate::platform::Chosen;
use crate::preflight::{Concern, preflight};

/// Number of manifests that are requested concurrently.
const CONCURRENT_MANIFESTS: usize = 16;

/// How many bytes of manifests are kept until they are written. Others are read again (LI2).
const KEPT_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// Maximum number of concerns that are kept.
const CONCERNS_LIMIT: usize = 20;

/// The parent of a manifest, and what it says about it.
#[derive(Clone, Copy, Debug)]
struct Listed {
    is_index: bool,
    parent: Option<usize>,
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

/// What the tasks that read manifests share.
struct Reading {
    ends: Ends,
    /// The store that gets the manifests while they are read.
    keeper: Option<Arc<dyn Store>>,
    /// Whether manifests are kept in memory: they come from elsewhere, and are to be sent.
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
        let listed = Listed {
            is_index: manifest.document().as_index().is_some(),
            parent: None,
        };
        let step = WalkStep::start_at(manifest, listed);
        self.walk
            .reach(step.clone())
            .map_err(TransferError::Graph)?;
        // The step is taken here, because the caller already has the manifest.
        let _ = self.walk.next();
        let place = self.place(&step);
        let claims = self.reading.claims(manifest.digest(), &self.named).await?;
        let is_finished = self.reading.is_complete(&step, &claims);
        let mut taken = self.reading.take(&step, manifest, claims).await?;
        // An index that is made here can be read nowhere else.
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
        self.follow_children(place, taken)
    }

    /// Follows every manifest that was reached.
    pub(super) async fn follow(&mut self) -> Result<(), TransferError> {
        let mut reading = JoinSet::new();
        loop {
            while reading.len() < CONCURRENT_MANIFESTS
                && let Some(step) = self.walk.next()
            {
                if step.kind == ContentKind::Blob {
                    let WalkStep { digest, size, .. } = step;
                    self.blobs.push(PlannedBlob { digest, size });
                    continue;
                }
                self.walk.check_depth(&step).map_err(TransferError::Graph)?;
                let place = self.place(&step);
                let shared = Arc::clone(&self.reading);
                reading.spawn(async move { (place, shared.read(&step).await) });
            }
            match reading.join_next().await {
                Some(Ok((place, taken))) => self.follow_children(place, taken?)?,
                Some(Err(_)) => return Err(TransferError::Worker),
                None => return Ok(()),
            }
        }
    }

    /// Follows the referrers of every manifest of the plan, their own referrers, and the manifests
    /// whose tags name the digest of one.
    pub(super) async fn follow_referrers(&mut self) -> Result<(), TransferError> {
        let mut next = 0;
        while let Some(subject) = self.manifests.get(next).map(|it| it.digest.clone()) {
            next += 1;
            let referrers = self.reading.ends.source.referrers(&subject).await?;
            for referrer in referrers {
                let listed = Listed {
                    is_index: referrer.media_type.is_index(),
                    parent: None,
                };
                self.reach(WalkStep::start(&referrer, ContentKind::Manifest, listed))?;
            }
            self.follow().await?;
        }
        self.follow_digest_tags().await
    }

    async fn follow_digest_tags(&mut self) -> Result<(), TransferError> {
        let source = Arc::clone(&self.reading.ends.source);
        let is_wanted = |tag: &Tag| {
            // The list of referrers is read and written as what it stands for.
            DigestTag::recognize(tag).is_some_and(|it| {
                it.kind != DigestTagKind::Referrers && self.places.contains_key(&it.subject)
            })
        };
        for tag in source.tags(&is_wanted).await? {
            let target = TagOrDigest::from(tag.clone());
            let manifest = crate::end::read_manifest(&*source, &target).await?;
            let listed = Listed {
                is_index: manifest.document().as_index().is_some(),
                parent: None,
            };
            self.reach(WalkStep::start_at(&manifest, listed))?;
            self.follow().await?;
            if let Some(&place) = self.places.get(manifest.digest()) {
                self.names.push((tag, place));
            }
        }
        Ok(())
    }

    /// Makes a place for a manifest that is read next.
    fn place(&mut self, step: &WalkStep<Listed>) -> usize {
        let place = self.manifests.len();
        self.manifests.push(PlannedManifest {
            digest: step.digest.clone(),
            size: step.size,
            media_type: MediaType::OCI_MANIFEST,
            kept: None,
            height: 0,
            children: Vec::new(),
        });
        // A digest that is listed with two sizes is an error, so each has one place.
        self.places.insert(step.digest.clone(), place);
        for claims in &mut self.claims {
            claims.push(false);
        }
        match step.item.parent {
            Some(parent) => self.adopt(Some(parent), place),
            None if place > 0 => self.unlisted.push(place),
            None => {}
        }
        place
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

    fn reach(&mut self, child: WalkStep<Listed>) -> Result<(), TransferError> {
        let (kind, size, digest) = (child.kind, child.size, child.digest.clone());
        let parent = child.item.parent;
        match self.walk.reach(child).map_err(TransferError::Graph)? {
            Reached::Again => {
                if kind == ContentKind::Manifest
                    && let Some(&place) = self.places.get(&digest)
                {
                    self.adopt(parent, place);
                }
                Ok(())
            }
            // Counted before the manifests are read, so that the limit applies in time.
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

    /// Computes how many levels of manifests are below each, so that they can be written from the
    /// bottom up. The limit of the depth bounds the number of rounds.
    fn measure(&mut self) {
        loop {
            let mut changed = false;
            for place in 0..self.manifests.len() {
                let height_of = |&it: &usize| self.manifests.get(it).map(|it| it.height + 1);
                let Some(manifest) = self.manifests.get(place) else {
                    continue;
                };
                let height = manifest.children.iter().filter_map(height_of).max();
                let height = height.unwrap_or_default();
                if height != manifest.height
                    && let Some(manifest) = self.manifests.get_mut(place)
                {
                    manifest.height = height;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Finds out what each destination lacks, and returns the plan.
    pub(super) async fn plan(mut self, chosen: Chosen) -> Result<Plan, TransferError> {
        self.measure();
        let blobs: Arc<[PlannedBlob]> = self.blobs.into();
        let source = Arc::clone(&self.reading.ends.source);
        let failures = Arc::clone(&self.reading.ends.failures);
        let mut destinations: Vec<PlannedDestination> = Vec::new();
        let keeper = self.reading.ends.keeper();
        let keeper = keeper.filter(|_| self.reading.keeper.is_some());
        let ends = self.reading.ends.destinations.iter();
        let ends = ends.zip(self.named).zip(self.claims);
        for (number, ((end, is_named), has_manifest)) in ends.enumerate() {
            let claim = Claim {
                source: &*source,
                earlier: &destinations,
                end: &**end,
                blobs: &blobs,
                all: self.all,
            };
            let actions = if failures.has(number) {
                None
            } else {
                failures.unless(number, actions::find(claim).await)?
            };
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
    /// Asks every destination whether it has a manifest, but for those that are known to have the
    /// image. One that cannot be asked is given up.
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
                failures.unless(number, end.has_manifest(digest).await)?
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

    /// Takes what is needed of a manifest, and writes it to the store that gets the manifests.
    async fn take(
        &self,
        step: &WalkStep<Listed>,
        manifest: &Manifest,
        claims: Vec<bool>,
    ) -> Result<Taken, TransferError> {
        let mut written = None;
        if let Some(keeper) = &self.keeper {
            let (digest, bytes) = (manifest.digest(), manifest.bytes());
            let is_present = put_document(Arc::clone(keeper), digest, bytes).await?;
            written = Some(!is_present);
        }
        let document = manifest.document();
        let kind = ContentKind::of_children(document);
        let mut foreign = 0;
        let mut children = Vec::new();
        for child in document.children() {
            if child.media_type.is_foreign_layer() && !self.foreign_layers {
                foreign += 1;
                continue;
            }
            let listed = Listed {
                is_index: child.media_type.is_index(),
                parent: None,
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
    let actual = manifest.bytes().len() as u64;
    if actual != step.size {
        return Err(TransferError::ManifestSize {
            digest: step.digest.clone(),
            expected: step.size,
            actual,
        });
    }
    if !is_as_listed(manifest, step) {
        return Err(TransferError::ManifestType {
            digest: step.digest.clone(),
        });
    }
    Ok(())
}

fn is_as_listed(manifest: &Manifest, step: &WalkStep<Listed>) -> bool {
    manifest.document().as_index().is_some() == step.item.is_index
}
