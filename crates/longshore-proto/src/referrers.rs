//! The manifests that refer to a subject, by the referrers API or by the tag that replaces it
//! (distribution-spec v1.1.1 "Listing Referrers", "Unavailable Referrers API").
//!
//! ```text
//!   Api ──┬─ 200, an index ─────────────────────────────► page; Api (next page), or the end
//!         ├─ at first, no index, or a refusal ───────────► Tag
//!         └─ 429, 5xx, 401 or 403 with credentials ────── fail
//!
//!   Tag ──┬─ no index, or the subject itself ───────────► the end, no referrers
//!         ├─ 200, an index with artifact types, or empty ► page, the end
//!         ├─ 200, an index without artifact types ──────► Subject
//!         └─ 401, 403, 429, 5xx ───────────────────────── fail
//!
//!   Subject ─┬─ 404, or the entries are not its children ► page, the end
//!            └─ the entries are its children ───────────► the end, no referrers
//! ```
//!
//! Registries without the API answer in various ways: with a login page, `{}`, 400, 403 or 405. All
//! of these mean that the registry does not have the API.
//!
//! `Subject` is for registries that resolve the fallback tag to an index of the subject's own
//! children (quirks of GitLab).

use bytes::Bytes;
use http::response;
use longshore_model::{
    Descriptor, Digest, Document, MANIFEST_LIMIT_BYTES, Manifest, ManifestError, MediaType,
    RepositoryName, Tag, TagOrDigest,
};

use crate::call::{Ask, Take};
use crate::document::{self, DocumentError};
use crate::endpoint::{Endpoint, ListAnswer, ManifestRequest, Read};
use crate::listing::{Listing, ListingError};
use crate::quirk::{Quirks, ReferrersSupport};
use crate::refusal::{Refusal, RefusalKind};
use crate::violation::Violation;

/// The referrers of one manifest, page by page.
#[derive(Clone, Debug)]
pub struct ReferrersListing {
    name: RepositoryName,
    subject: Digest,
    /// The artifact type that is wanted; `None` for all.
    artifact_type: Option<MediaType>,
    /// The largest manifest to read, in bytes.
    manifest_limit: u64,
    source: Source,
}

/// Where the next page comes from.
#[derive(Clone, Debug)]
enum Source {
    Api(Box<Listing>),
    Tag(TagOrDigest),
    /// The page that the tag named. It is returned unless all its entries are children of the
    /// subject.
    Subject(Box<ReferrersPage>),
    Nowhere,
}

/// The referrers on one page, and the page itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReferrersPage {
    /// The page, byte for byte, with everything it says.
    pub manifest: Manifest,
    /// Whether the page comes from the tag, because the registry has no referrers API.
    pub from_tag: bool,
    /// The artifact type to select here; `None` for all, and where the registry selected.
    wanted: Option<MediaType>,
}

impl ReferrersPage {
    /// The referrers of the artifact type that was asked for.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        let index = self.manifest.document().as_index();
        let entries = index.map_or(&[][..], |index| &index.manifests).iter();
        entries.filter(|entry| is_wanted(entry, self.wanted.as_ref()))
    }

    /// The referrers of the artifact type that was asked for, without the page.
    #[must_use]
    pub fn into_descriptors(self) -> Vec<Descriptor> {
        let Document::Index(index) = self.manifest.into_document() else {
            return Vec::new();
        };
        let mut entries = index.manifests;
        entries.retain(|entry| is_wanted(entry, self.wanted.as_ref()));
        entries
    }
}

fn is_wanted(entry: &Descriptor, wanted: Option<&MediaType>) -> bool {
    wanted.is_none() || entry.artifact_type.as_ref() == wanted
}

/// What an answer brought, and what to do next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReferrersTurn {
    /// A page, if the answer was one.
    pub page: Option<ReferrersPage>,
    /// What to do next.
    pub next: ReferrersNext,
}

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every one")]
pub enum ReferrersNext {
    /// Send [`ReferrersListing::ask`] again; it has changed.
    Ask,
    /// There is nothing more.
    End,
    /// The list does not end. The pages before this error are valid.
    Fail(ListingError),
}

/// Why an answer is not a page of referrers.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers tell a wrong document from none"
)]
pub enum ReferrersError {
    /// The document is not the one that was asked for, or not a document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document is a manifest, but not an index.
    #[error("the answer is not an index")]
    NotAnIndex,
}

impl From<Violation> for ReferrersError {
    fn from(violation: Violation) -> Self {
        Self::Document(violation.into())
    }
}

impl From<ManifestError> for ReferrersError {
    fn from(error: ManifestError) -> Self {
        Self::Document(DocumentError::Manifest(error))
    }
}

impl ReferrersListing {
    /// The referrers of this manifest, of one artifact type or of all, at a registry with these
    /// quirks.
    #[must_use]
    pub fn new(
        name: RepositoryName,
        subject: Digest,
        artifact_type: Option<MediaType>,
        quirks: &Quirks,
    ) -> Self {
        let source = match quirks.referrers {
            ReferrersSupport::Api => Source::Api(Box::new(Listing::referrers(
                name.clone(),
                subject.clone(),
                artifact_type.as_ref(),
            ))),
            ReferrersSupport::Tag => Source::tag(&subject),
        };
        Self {
            name,
            subject,
            artifact_type,
            manifest_limit: MANIFEST_LIMIT_BYTES as u64,
            source,
        }
    }

    /// Reads the tag and the subject only up to this many bytes (LI). The default is 8 MiB.
    #[must_use]
    pub const fn with_manifest_limit(mut self, bytes: u64) -> Self {
        self.manifest_limit = bytes;
        self
    }

    /// Reads no more than this many entries by the API (LI).
    #[must_use]
    pub fn with_limit(mut self, entries: u64) -> Self {
        if let Source::Api(listing) = self.source {
            self.source = Source::Api(Box::new(listing.with_limit(entries)));
        }
        self
    }

    /// The next request; `None` at the end.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        let target = match &self.source {
            Source::Api(listing) => return Some(listing.ask()),
            Source::Tag(tag) => tag.clone(),
            Source::Subject(_) => self.subject.clone().into(),
            Source::Nowhere => return None,
        };
        let request = ManifestRequest::new(Read::Get, self.name.clone(), target);
        let limit = self.manifest_limit;
        Some(Ask::new(
            Endpoint::Manifest(request),
            Take::Document { limit },
        ))
    }

    /// The registry refused the request; returns `None` when the refusal is final.
    ///
    /// `with_credentials` says whether the client has credentials for the registry. If it has, a
    /// 403, or a 401 with a challenge, refuses these credentials, and the API may exist.
    pub fn on_refused(
        &mut self,
        refusal: &Refusal,
        with_credentials: bool,
    ) -> Option<ReferrersTurn> {
        let is_api = matches!(self.source, Source::Api(_));
        let is_final = match refusal.kind() {
            RefusalKind::RateLimited | RefusalKind::Unavailable => true,
            // Old versions of Harbor answer 401 without a challenge where the API is missing. If
            // the registry did mean the credentials, it refuses the request for the tag too.
            RefusalKind::Denied | RefusalKind::Unauthorized => {
                !is_api || with_credentials && !refusal.is_silent()
            }
            _ => false,
        };
        if is_final { None } else { self.on_unusable() }
    }

    /// The response is not an answer to the request, a redirect to a forbidden place for example;
    /// returns `None` when that is final.
    pub fn on_unusable(&mut self) -> Option<ReferrersTurn> {
        match std::mem::replace(&mut self.source, Source::Nowhere) {
            // On a later page, this does not mean that the API is missing.
            Source::Api(listing) if !listing.has_begun() => {
                self.source = Source::tag(&self.subject);
                let next = match self.source {
                    Source::Nowhere => ReferrersNext::End,
                    _ => ReferrersNext::Ask,
                };
                Some(ReferrersTurn { page: None, next })
            }
            Source::Tag(_) => Some(ReferrersTurn::end()),
            // Referrers may outlive their subject.
            Source::Subject(page) => Some(ReferrersTurn::last(Some(*page))),
            _ => None,
        }
    }

    /// A successful answer arrived, with this body.
    ///
    /// # Errors
    ///
    /// [`ReferrersError`] when it is not a page of referrers, or not the document asked for.
    pub fn on_answer(
        &mut self,
        head: &response::Parts,
        body: Bytes,
    ) -> Result<ReferrersTurn, ReferrersError> {
        match std::mem::replace(&mut self.source, Source::Nowhere) {
            Source::Api(listing) => {
                let page = match read_page(head, body) {
                    Err(error) if !listing.has_begun() && is_no_index(&error) => {
                        self.source = Source::Api(listing);
                        return self.on_unusable().ok_or(error);
                    }
                    page => page?,
                };
                Ok(self.on_page(*listing, page))
            }
            Source::Tag(_) => match document::read(None, head, body) {
                Ok((manifest, _)) => Ok(self.on_tag(manifest)),
                Err(error) => match error.into() {
                    error if is_no_index(&error) => Ok(ReferrersTurn::end()),
                    error => Err(error),
                },
            },
            Source::Subject(page) => {
                let (subject, _) = document::read(Some(&self.subject), head, body)?;
                let children = subject.document().as_index();
                let is_child = |entry: &Descriptor| {
                    children.is_some_and(|index| {
                        let mut children = index.manifests.iter();
                        children.any(|child| child.digest == entry.digest)
                    })
                };
                let entries = page.manifest.document().as_index();
                let all_children =
                    entries.is_some_and(|index| index.manifests.iter().all(is_child));
                Ok(ReferrersTurn::last((!all_children).then_some(*page)))
            }
            Source::Nowhere => Ok(ReferrersTurn::end()),
        }
    }

    fn on_page(
        &mut self,
        mut listing: Listing,
        (answer, manifest): (ListAnswer, Manifest),
    ) -> ReferrersTurn {
        let entries = manifest.document().children();
        let digests = entries.map(|entry| entry.digest.as_str());
        let next = match listing.on_page(&answer, digests) {
            Ok(true) => {
                self.source = Source::Api(Box::new(listing));
                ReferrersNext::Ask
            }
            Ok(false) => ReferrersNext::End,
            Err(error) => ReferrersNext::Fail(error),
        };
        let wanted = self.artifact_type.clone().filter(|_| !answer.filtered);
        let page = Some(ReferrersPage {
            manifest,
            from_tag: false,
            wanted,
        });
        ReferrersTurn { page, next }
    }

    fn on_tag(&mut self, manifest: Manifest) -> ReferrersTurn {
        let index = match manifest.document() {
            // A tag may resolve to the subject itself, whose children are not referrers.
            Document::Index(index) if !has_digest(&manifest, &self.subject) => index,
            _ => return ReferrersTurn::end(),
        };
        let mut entries = index.manifests.iter();
        let is_certain =
            index.manifests.is_empty() || entries.any(|entry| entry.artifact_type.is_some());
        let page = ReferrersPage {
            manifest,
            from_tag: true,
            wanted: self.artifact_type.clone(),
        };
        if is_certain {
            return ReferrersTurn::last(Some(page));
        }
        self.source = Source::Subject(Box::new(page));
        ReferrersTurn {
            page: None,
            next: ReferrersNext::Ask,
        }
    }
}

/// Reads a page of the API.
fn read_page(
    head: &response::Parts,
    body: Bytes,
) -> Result<(ListAnswer, Manifest), ReferrersError> {
    let answer = ListAnswer::read(head)?;
    let manifest = Manifest::parse(body, answer.content_type.as_deref())?;
    match manifest.document() {
        Document::Index(_) => Ok((answer, manifest)),
        _ => Err(ReferrersError::NotAnIndex),
    }
}

/// Whether the answer is not an index at all. An index that exceeds a limit, has a content coding,
/// or does not match its digest is still an index.
fn is_no_index(error: &ReferrersError) -> bool {
    match error {
        ReferrersError::NotAnIndex => true,
        ReferrersError::Document(DocumentError::Manifest(error)) => !matches!(
            error,
            ManifestError::TooManyDescriptors | ManifestError::TooManyValues
        ),
        ReferrersError::Document(DocumentError::Violation(Violation::Status { .. })) => true,
        ReferrersError::Document(_) => false,
    }
}

impl ReferrersTurn {
    /// There is no page, and no page follows.
    #[must_use]
    pub const fn end() -> Self {
        Self::last(None)
    }

    const fn last(page: Option<ReferrersPage>) -> Self {
        let next = ReferrersNext::End;
        Self { page, next }
    }
}

impl Source {
    fn tag(subject: &Digest) -> Self {
        fallback_tag(subject).map_or(Self::Nowhere, |tag| Self::Tag(tag.into()))
    }
}

/// The tag that stands in for the referrers API (distribution-spec v1.1.1 "Referrers Tag Schema");
/// `None` when the subject's digest makes no valid tag.
///
/// ```text
/// tag = algorithm "-" encoded     ; cut to 32 and 64 characters, "+" replaced by "-"
/// ```
#[must_use]
pub fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let algorithm = subject.algorithm();
    let cut = |text: &str, length: usize| text.get(..length).unwrap_or(text).to_owned();
    let (algorithm, encoded) = (cut(algorithm.as_str(), 32), cut(subject.encoded(), 64));
    format!("{algorithm}-{encoded}")
        .replace('+', "-")
        .parse()
        .ok()
}

/// Whether the manifest has this digest; `false` when no verifier exists for the algorithm.
fn has_digest(manifest: &Manifest, digest: &Digest) -> bool {
    Digest::of(&digest.algorithm(), manifest.bytes()).is_ok_and(|actual| actual == *digest)
}

#[cfg(test)]
mod tests;
