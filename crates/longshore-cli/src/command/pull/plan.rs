//! What a pull has to move: every manifest below the chosen one, and their blobs.

use std::collections::{HashMap, VecDeque};
use std::io::Read as _;

use longshore::Repository;
use longshore::model::{
    Descriptor, Digest, INDEX_DEPTH_LIMIT, ImageConfig, ImageManifest, MANIFEST_LIMIT_BYTES,
    Manifest, Platform, TagOrDigest,
};
use longshore_store::{FsStore, Store as _};
use tokio::task::JoinSet;

use crate::command::config;
use crate::exit::{Exit, Failure};

/// One pull follows at most this many descriptors: what a hostile nest of indexes can make it
/// remember.
const DESCRIPTORS_LIMIT: usize = 200_000;

/// One pull fetches at most so many bytes of manifests: they are written to disk unasked.
const MANIFESTS_LIMIT_BYTES: u64 = 1024 * 1024 * 1024;

/// So many manifests of one index are fetched at once.
const MANIFESTS_AT_ONCE: usize = 16;

/// What is known of something to fetch: a descriptor may say much more, and a peer decides how
/// much (LI2).
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) digest: Digest,
    pub(super) size: u64,
    is_index: bool,
}

impl Part {
    fn of(descriptor: &Descriptor) -> Self {
        Self {
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            is_index: descriptor.media_type.is_index(),
        }
    }
}

/// What was met so far, by digest and whether as a manifest or a blob, with its size.
type Seen = HashMap<(Digest, bool), u64>;

/// Blobs to move, each once.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) blobs: Vec<Part>,
    /// The sizes of the manifests that were met, by their descriptors.
    announced: u64,
    /// How many manifests were written to the store, and how many bytes they have.
    pub(super) manifests: u64,
    pub(super) bytes: u64,
    /// How many manifests were there already.
    pub(super) present: u64,
}

impl Plan {
    /// Fetches all manifests below this one into the store, and collects their blobs.
    ///
    /// A manifest is kept in memory only while it is read. In the store it harms nothing before
    /// its blobs are there, for nothing refers to it yet.
    pub(super) async fn make(
        repository: &Repository,
        store: &FsStore,
        top: Manifest,
    ) -> Result<Self, Failure> {
        let mut plan = Self::default();
        let size = top.bytes().len() as u64;
        let mut seen = Seen::from([((top.digest().clone(), true), size)]);
        let mut below = plan.take(store, &top, &mut seen)?;
        for _ in 0..INDEX_DEPTH_LIMIT {
            if below.is_empty() {
                return Ok(plan);
            }
            below = plan.descend(repository, store, below, &mut seen).await?;
        }
        if below.is_empty() {
            Ok(plan)
        } else {
            Err(Failure::nested())
        }
    }

    /// Fetches one level of manifests; gives the level below.
    async fn descend(
        &mut self,
        repository: &Repository,
        store: &FsStore,
        level: VecDeque<Part>,
        seen: &mut Seen,
    ) -> Result<VecDeque<Part>, Failure> {
        let mut level = level;
        let mut below = VecDeque::new();
        let mut fetching = JoinSet::new();
        loop {
            while fetching.len() < MANIFESTS_AT_ONCE
                && let Some(part) = level.pop_front()
            {
                // What an earlier pull brought is not asked for again.
                if let Some(manifest) = stored(store, &part)? {
                    below.extend(self.take(store, &manifest, seen)?);
                    continue;
                }
                let repository = repository.clone();
                fetching.spawn(async move { fetch(&repository, &part).await });
            }
            let Some(fetched) = fetching.join_next().await else {
                return Ok(below);
            };
            let manifest = fetched.map_err(Failure::task)??;
            below.extend(self.take(store, &manifest, seen)?);
        }
    }

    /// Writes a manifest to the store and notes its blobs; gives the manifests below it.
    fn take(
        &mut self,
        store: &FsStore,
        manifest: &Manifest,
        seen: &mut Seen,
    ) -> Result<VecDeque<Part>, Failure> {
        if is_there(store, manifest)? {
            self.present += 1;
        } else {
            store.put(manifest.digest(), manifest.bytes())?;
            self.manifests += 1;
            self.bytes += manifest.bytes().len() as u64;
        }
        let mut below = VecDeque::new();
        let is_index = manifest.document().as_index().is_some();
        for child in manifest.document().children() {
            match seen.insert((child.digest.clone(), is_index), child.size) {
                Some(size) if size == child.size => continue,
                Some(size) => {
                    let (digest, other) = (&child.digest, child.size);
                    let what = format!("{digest} is said to have {size} bytes, and {other} bytes");
                    return Err(Failure::new(Exit::Digest, &what));
                }
                None => {}
            }
            if seen.len() > DESCRIPTORS_LIMIT {
                let what = format!("the image has more than {DESCRIPTORS_LIMIT} parts");
                return Err(Failure::new(Exit::Protocol, &what));
            }
            if is_index {
                self.announced = self.announced.saturating_add(child.size);
                below.push_back(Part::of(child));
            } else {
                self.blobs.push(Part::of(child));
            }
        }
        if self.announced > MANIFESTS_LIMIT_BYTES {
            let what =
                format!("the image has more than {MANIFESTS_LIMIT_BYTES} bytes of manifests");
            return Err(Failure::new(Exit::Protocol, &what));
        }
        Ok(below)
    }
}

/// Whether the store has exactly these bytes. They are in memory, so nothing needs to be believed
/// of what others may have put there.
fn is_there(store: &FsStore, manifest: &Manifest) -> Result<bool, Failure> {
    let bytes = manifest.bytes();
    if !store.reuse(manifest.digest(), bytes.len() as u64)? {
        return Ok(false);
    }
    let mut found = Vec::new();
    let reader = store.open(manifest.digest())?;
    let read = reader.take(bytes.len() as u64 + 1).read_to_end(&mut found);
    Ok(read.is_ok() && found == *bytes)
}

/// The manifest the store has by this descriptor. It is hashed and read as if it had just come, so
/// nothing is believed of it; one that does not fit is fetched.
fn stored(store: &FsStore, part: &Part) -> Result<Option<Manifest>, Failure> {
    if part.size > MANIFEST_LIMIT_BYTES as u64 || !store.reuse(&part.digest, part.size)? {
        return Ok(None);
    }
    let mut found = Vec::new();
    let reader = store.open(&part.digest)?;
    if reader.take(part.size + 1).read_to_end(&mut found).is_err() {
        return Ok(None);
    }
    let manifest = Manifest::parse_verified(found.into(), None, &part.digest).ok();
    Ok(manifest.filter(|manifest| manifest.document().as_index().is_some() == part.is_index))
}

/// Fetches a manifest by its descriptor, whose size and kind must be right (DG3).
async fn fetch(repository: &Repository, part: &Part) -> Result<Manifest, Failure> {
    let target = TagOrDigest::from(part.digest.clone());
    let manifest = repository.manifest(&target).await?.manifest;
    let Part {
        digest,
        size,
        is_index,
    } = part;
    let actual = manifest.bytes().len() as u64;
    if actual != *size {
        let what = format!("manifest {digest} has {actual} bytes, but its index says {size}");
        return Err(Failure::new(Exit::Digest, &what));
    }
    if manifest.document().as_index().is_some() != *is_index {
        let what = format!("{digest} is not of the type that its index says");
        return Err(Failure::new(Exit::Digest, &what));
    }
    Ok(manifest)
}

/// Whether a manifest that stands alone is of this platform, by its config.
pub(super) async fn check_platform(
    repository: &Repository,
    image: &ImageManifest,
    wanted: &Platform,
) -> Result<(), Failure> {
    let descriptor = &image.config;
    if !descriptor.media_type.is_config() {
        return Ok(());
    }
    // What is no image's config says nothing of a platform.
    match ImageConfig::parse(&config::fetch(repository, descriptor).await?) {
        Ok(found) => config::check_platform(&found, wanted),
        Err(_) => Ok(()),
    }
}
