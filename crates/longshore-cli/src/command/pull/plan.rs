//! What a pull has to move: every manifest below the chosen one, and their blobs.

use std::collections::{HashSet, VecDeque};

use longshore::Repository;
use longshore::model::{
    Descriptor, Digest, INDEX_DEPTH_LIMIT, ImageManifest, MANIFEST_LIMIT_BYTES, Manifest, Platform,
    TagOrDigest,
};
use longshore_store::{FsStore, Store as _};
use tokio::task::JoinSet;

use crate::exit::{Exit, Failure};

/// One pull follows at most this many descriptors: what a hostile nest of indexes can make it
/// remember.
const DESCRIPTORS_LIMIT: usize = 200_000;

/// So many manifests of one index are fetched at once.
const MANIFESTS_AT_ONCE: usize = 16;

/// Blobs to move, each once.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) blobs: Vec<Descriptor>,
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
        let mut seen = HashSet::from([top.digest().clone()]);
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
        level: VecDeque<Descriptor>,
        seen: &mut HashSet<Digest>,
    ) -> Result<VecDeque<Descriptor>, Failure> {
        let mut level = level;
        let mut below = VecDeque::new();
        let mut fetching = JoinSet::new();
        loop {
            while fetching.len() < MANIFESTS_AT_ONCE
                && let Some(descriptor) = level.pop_front()
            {
                let repository = repository.clone();
                fetching.spawn(async move { fetch(&repository, &descriptor).await });
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
        seen: &mut HashSet<Digest>,
    ) -> Result<VecDeque<Descriptor>, Failure> {
        if store.reuse(manifest.digest(), manifest.bytes().len() as u64)? {
            self.present += 1;
        } else {
            store.put(manifest.digest(), manifest.bytes())?;
            self.manifests += 1;
            self.bytes += manifest.bytes().len() as u64;
        }
        let mut below = VecDeque::new();
        let is_index = manifest.document().as_index().is_some();
        for child in manifest.document().children() {
            if !seen.insert(child.digest.clone()) {
                continue;
            }
            if seen.len() > DESCRIPTORS_LIMIT {
                let what = format!("the image has more than {DESCRIPTORS_LIMIT} parts");
                return Err(Failure::new(Exit::Protocol, &what));
            }
            if is_index {
                below.push_back(child.clone());
            } else {
                self.blobs.push(child.clone());
            }
        }
        Ok(below)
    }
}

/// Fetches a manifest by its descriptor, whose size must be right (DG3).
async fn fetch(repository: &Repository, descriptor: &Descriptor) -> Result<Manifest, Failure> {
    let target = TagOrDigest::from(descriptor.digest.clone());
    let manifest = repository.manifest(&target).await?.manifest;
    let actual = manifest.bytes().len() as u64;
    if actual != descriptor.size {
        let (digest, size) = (&descriptor.digest, descriptor.size);
        let what = format!("manifest {digest} has {actual} bytes, but its index says {size}");
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
    let config = &image.config;
    if !config.media_type.is_config() {
        return Ok(());
    }
    let reader = repository.blob(&config.digest, Some(config.size))?;
    let bytes = reader.bytes(MANIFEST_LIMIT_BYTES as u64).await?;
    let Ok(found) = serde_json::from_slice::<Platform>(&bytes) else {
        return Ok(());
    };
    if wanted.fits(&found).is_some() {
        return Ok(());
    }
    Err(Failure::platform(wanted, &[found]))
}
