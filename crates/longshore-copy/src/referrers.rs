//! The manifests that refer to a subject, and those that refer to these.

use longshore::{COLLECTED_LIMIT_BYTES, ReferrersPage, Repository};
use longshore_model::{
    ContentKind, Descriptor, Digest, MediaType, Reached, Walk, WalkError, WalkLimits, WalkStep,
};

use crate::error::TransferError;

/// The deepest level of referrers that a tree has: a signature of an attestation of an image is at
/// level two.
pub const REFERRERS_DEPTH_LIMIT: usize = 8;

/// Maximum number of referrers in a tree; more are an error, because a registry can invent
/// referrers without end (LI2: memory is not sized by what a peer sends).
pub const REFERRERS_LIMIT: usize = 10_000;

/// The manifests that refer to a subject, and those that refer to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Referrers {
    /// How the registry listed the referrers of the subject.
    pub source: ReferrersSource,
    /// The referrers of the subject, in the order of the registry.
    pub referrers: Vec<Referrer>,
    /// Whether there are more than were asked for: see [`first`](Self::first).
    pub more: bool,
}

/// A manifest that refers to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Referrer {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// The manifests that refer to it. Empty where they were not asked for: below the depth of the
    /// tree, and for a manifest that is in the tree already.
    pub referrers: Vec<Self>,
}

/// How a registry lists what refers to a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "distribution-spec has the API and the tag schema"
)]
pub enum ReferrersSource {
    /// By the referrers API.
    Api,
    /// The registry has neither the API nor a tag that replaces it.
    #[default]
    Nothing,
    /// By a tag in place of the API.
    Tag,
}

impl ReferrersSource {
    /// Returns how a page of referrers was listed.
    #[must_use]
    pub fn of(page: &ReferrersPage) -> Self {
        if page.from_tag { Self::Tag } else { Self::Api }
    }
}

impl Referrers {
    /// Reads what refers to `subject`, and what refers to that, down to `levels` levels: 1 for the
    /// direct referrers, at most [`REFERRERS_DEPTH_LIMIT`].
    ///
    /// `artifact_type` selects among the direct referrers only. When a manifest occurs in the tree
    /// several times, only its first occurrence has its referrers.
    ///
    /// # Errors
    ///
    /// [`TransferError::Referrers`] beyond [`REFERRERS_LIMIT`], or when the referrers take more
    /// than [`COLLECTED_LIMIT_BYTES`] of memory together; [`TransferError::Registry`].
    pub async fn read(
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        levels: usize,
    ) -> Result<Self, TransferError> {
        let levels = levels.min(REFERRERS_DEPTH_LIMIT);
        let Some(depth) = levels.checked_sub(1) else {
            return Ok(Self::default());
        };
        let mut reader = Reader::start(depth, REFERRERS_LIMIT, subject)?;
        while let Some(step) = reader.walk.next() {
            // The last level is shown and not followed.
            if reader.walk.check_depth(&step).is_ok() {
                let wanted = artifact_type.filter(|_| step.depth == 0);
                reader.list(repository, &step, wanted).await?;
            }
        }
        Ok(reader.tree())
    }

    /// Reads the first direct referrers of `subject`: at most `limit` and at most
    /// [`REFERRERS_LIMIT`], which together take at most [`COLLECTED_LIMIT_BYTES`] of memory. Sets
    /// [`more`](Self::more) if there are others.
    ///
    /// # Errors
    ///
    /// [`TransferError::Registry`].
    pub async fn first(
        repository: &Repository,
        subject: &Digest,
        limit: usize,
    ) -> Result<Self, TransferError> {
        let mut reader = Reader::start(0, limit.min(REFERRERS_LIMIT), subject)?;
        let mut more = false;
        if let Some(step) = reader.walk.next() {
            match reader.list(repository, &step, None).await {
                Err(TransferError::Referrers(_)) => more = true,
                result => result?,
            }
        }
        Ok(Self {
            more,
            ..reader.tree()
        })
    }
}

/// Lists the direct referrers of `subject`: type, digest and size of each. Annotations are left
/// out, because several lists are held at once (LI2).
pub(crate) async fn list_referrers(
    repository: &Repository,
    subject: &Digest,
) -> Result<Vec<Descriptor>, TransferError> {
    let mut pages = repository.referrers_pages(subject, None);
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        for it in page?.into_descriptors() {
            if found.len() >= REFERRERS_LIMIT {
                let limit = REFERRERS_LIMIT;
                return Err(TransferError::Referrers(WalkError::TooMany { limit }));
            }
            found.push(Descriptor::new(it.media_type, it.digest, it.size));
        }
    }
    Ok(found)
}

/// A tree in the making.
struct Reader {
    walk: Walk<Place>,
    source: ReferrersSource,
    /// What was found, each with the place of its subject, level by level.
    found: Vec<(Place, Descriptor)>,
}

/// Where a manifest is in the list of what was found; `None` for the subject of the tree.
type Place = Option<usize>;

impl Reader {
    /// Starts a tree whose last followed level is `depth`, with at most `entries` referrers.
    fn start(depth: usize, entries: usize, subject: &Digest) -> Result<Self, TransferError> {
        // The subject is an entry too.
        let limits = WalkLimits::new(depth, entries.saturating_add(1), COLLECTED_LIMIT_BYTES);
        let mut reader = Self {
            walk: Walk::new(limits),
            source: ReferrersSource::default(),
            found: Vec::new(),
        };
        let descriptor = Descriptor::new(MediaType::OCI_MANIFEST, subject.clone(), 0);
        let step = WalkStep::start(&descriptor, ContentKind::Manifest, None);
        reader.walk.reach(step).map_err(refused)?;
        Ok(reader)
    }

    /// Lists what refers to one manifest.
    async fn list(
        &mut self,
        repository: &Repository,
        subject: &WalkStep<Place>,
        wanted: Option<&MediaType>,
    ) -> Result<(), TransferError> {
        let mut pages = repository.referrers_pages(&subject.digest, wanted);
        while let Some(page) = pages.next().await {
            let page = page?;
            if subject.depth == 0 {
                self.source = ReferrersSource::of(&page);
            }
            for descriptor in page.into_descriptors() {
                self.note(subject, descriptor)?;
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        subject: &WalkStep<Place>,
        descriptor: Descriptor,
    ) -> Result<(), TransferError> {
        // LI2: only the descriptors of a page are kept, so their memory is counted.
        let bytes = descriptor.memory_bytes() as u64;
        self.walk.count_bytes(bytes).map_err(refused)?;
        let place = Some(self.found.len());
        let mut step = subject.child(&descriptor, ContentKind::Manifest, place);
        // Referrers are listed by digest; a second size does not make it another manifest.
        step.size = 0;
        if self.walk.reach(step).map_err(refused)? == Reached::Again {
            // The manifest was in the tree already; this entry counts too.
            self.walk.count_entry().map_err(refused)?;
        }
        self.found.push((subject.item, descriptor));
        Ok(())
    }

    /// Builds the tree from what was found. Each manifest comes after its subject in the list, so
    /// the loop starts at the end.
    fn tree(self) -> Referrers {
        let mut below: Vec<Vec<Referrer>> = self.found.iter().map(|_| Vec::new()).collect();
        let mut top = Vec::new();
        for (subject, descriptor) in self.found.into_iter().rev() {
            let mut referrers = below.pop().unwrap_or_default();
            referrers.reverse();
            let referrer = Referrer {
                descriptor,
                referrers,
            };
            let siblings = subject.and_then(|place| below.get_mut(place));
            siblings.unwrap_or(&mut top).push(referrer);
        }
        top.reverse();
        Referrers {
            source: self.source,
            referrers: top,
            more: false,
        }
    }
}

fn refused(error: WalkError) -> TransferError {
    TransferError::Referrers(match error {
        WalkError::TooMany { .. } => WalkError::TooMany {
            limit: REFERRERS_LIMIT,
        },
        other => other,
    })
}
