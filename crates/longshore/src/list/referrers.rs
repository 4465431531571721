//! What refers to a manifest: by the API, or by the tag that stands in for it.

use std::sync::Arc;

use longshore_model::{Descriptor, Digest, Document, Manifest, MediaType, Tag, TagOrDigest};
use longshore_proto::listing::Listing;
use longshore_proto::{Referrers as Support, RefusalKind};

use super::{Fetching, List, Page, State, asked, go_on, page_of};
use crate::error::{Cause, Error, ErrorKind};
use crate::repository::{Repository, Site};

/// What refers to a manifest: the descriptors of one page, and the page itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReferrersPage {
    /// The page, byte for byte, with everything it says.
    pub manifest: Manifest,
    /// The referrers of the artifact type that was asked for.
    pub descriptors: Vec<Descriptor>,
    /// Whether the registry keeps them as a tag, for lack of the referrers API.
    pub from_tag: bool,
}

impl Repository {
    /// What refers to a manifest, of one artifact type or of all (distribution-spec v1.1.1
    /// "Listing Referrers").
    ///
    /// Where the registry does not know the referrers API (404, or its quirks say so) the tag
    /// that stands in for it is read instead; without that there are none.
    #[must_use]
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> List<Descriptor> {
        let fetch = self.referrers_fetch(subject, artifact_type);
        let listing = Listing::referrers(self.name().clone(), subject.clone(), artifact_type);
        List::new(Arc::clone(self.site()), listing, move |site, listing| {
            let page = fetch(site, listing);
            async move {
                let page = page.await?;
                let Page {
                    mut items,
                    bytes,
                    next,
                } = page;
                let descriptors = items.pop().map(|page| page.descriptors).unwrap_or_default();
                Ok(Page {
                    items: descriptors,
                    bytes,
                    next: next.of(),
                })
            }
        })
    }

    /// As [`referrers`](Self::referrers), a page at a time and with its bytes.
    #[must_use]
    pub fn referrers_pages(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> List<ReferrersPage> {
        let fetch = self.referrers_fetch(subject, artifact_type);
        let listing = Listing::referrers(self.name().clone(), subject.clone(), artifact_type);
        List::new(Arc::clone(self.site()), listing, fetch)
    }

    fn referrers_fetch(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> impl Fn(Arc<Site>, Listing) -> Fetching<ReferrersPage> + Send + Sync + 'static {
        let (repository, subject) = (self.clone(), subject.clone());
        let wanted = artifact_type.cloned();
        move |site, listing| {
            let (repository, subject) = (repository.clone(), subject.clone());
            let wanted = wanted.clone();
            Box::pin(async move {
                match repository
                    .referrers_page(&site, listing, wanted.as_ref())
                    .await?
                {
                    Some(page) => Ok(page),
                    None => repository.referrers_tag(&subject, wanted.as_ref()).await,
                }
            })
        }
    }

    /// One page by the API; `None` where the registry does not know it.
    async fn referrers_page(
        &self,
        site: &Site,
        mut listing: Listing,
        wanted: Option<&MediaType>,
    ) -> Result<Option<Page<ReferrersPage>>, Error> {
        if site.quirks().referrers == Support::Tag {
            return Ok(None);
        }
        let (what, answer) = match asked(site, &mut listing).await {
            Ok(answered) => answered,
            // Old Harbor (quirks.md). If it is about credentials after all, so is the tag.
            Err(error)
                if !listing.has_begun()
                    && error.refusal().is_some_and(|refusal| refusal.is_silent()) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !answer.head.status.is_success() {
            // On a later page it is no sign that the API is not there.
            if answer.refusal().kind() == RefusalKind::Absent && !listing.has_begun() {
                return Ok(None);
            }
            return Err(site.refused(&what, &answer));
        }
        let (head, body) = page_of(site, &what, answer)?;
        let manifest = Manifest::parse(body, head.content_type.as_deref())
            .map_err(|error| site.error(&what, Cause::Document(error)))?;
        let Document::Index(index) = manifest.document() else {
            return Err(site.error(&what, Cause::NotAnIndex));
        };
        let all: Vec<_> = index
            .manifests
            .iter()
            .map(|entry| entry.digest.as_str())
            .collect();
        let next = go_on(site, &what, &mut listing, &head, all);
        let wanted = wanted.filter(|_| !head.filtered);
        let descriptors = of_type(&index.manifests, wanted);
        let page = ReferrersPage {
            descriptors,
            manifest,
            from_tag: false,
        };
        Ok(Some(Page {
            bytes: page.manifest.bytes().len() as u64,
            items: vec![page],
            next: next.map_or_else(State::Failed, |more| {
                if more {
                    State::Due(Box::new(listing))
                } else {
                    State::Done
                }
            }),
        }))
    }

    /// The tag that stands in for the API (distribution-spec v1.1.1 "Referrers Tag Schema").
    async fn referrers_tag(
        &self,
        subject: &Digest,
        wanted: Option<&MediaType>,
    ) -> Result<Page<ReferrersPage>, Error> {
        let none = Page {
            items: Vec::new(),
            bytes: 0,
            next: State::Done,
        };
        let Some(tag) = tag_of(subject) else {
            return Ok(none);
        };
        let manifest = match self.manifest(&tag).await {
            Ok(pulled) => pulled.manifest,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(none),
            Err(error) => return Err(error),
        };
        // GitLab resolves such a tag to the subject itself, whose children are no referrers.
        let index = match manifest.document() {
            Document::Index(index) if !is_of(&manifest, subject) => index,
            _ => return Ok(none),
        };
        if self.are_children(&index.manifests, subject).await? {
            return Ok(none);
        }
        let descriptors = of_type(&index.manifests, wanted);
        let page = ReferrersPage {
            descriptors,
            manifest,
            from_tag: true,
        };
        Ok(Page {
            bytes: page.manifest.bytes().len() as u64,
            items: vec![page],
            next: State::Done,
        })
    }

    /// Whether these are children of the index, and not referrers, as a registry answers that
    /// resolves the tag to a copy of the subject of its own making (quirks.md, GitLab).
    ///
    /// Referrers have an artifact type (distribution-spec v1.1.1 "Listing Referrers"); the subject
    /// is asked for only where none of the entries has one.
    async fn are_children(&self, entries: &[Descriptor], subject: &Digest) -> Result<bool, Error> {
        if entries.is_empty() || entries.iter().any(|entry| entry.artifact_type.is_some()) {
            return Ok(false);
        }
        let pulled = match self.manifest(&subject.clone().into()).await {
            Ok(pulled) => pulled,
            // Referrers may outlive their subject.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let Document::Index(parent) = pulled.manifest.document() else {
            return Ok(false);
        };
        let is_child = |entry: &Descriptor| {
            parent
                .manifests
                .iter()
                .any(|child| child.digest == entry.digest)
        };
        Ok(entries.iter().all(is_child))
    }
}

/// Whether this is the digest of these bytes, by its own algorithm. One that nobody can compute
/// is not.
fn is_of(manifest: &Manifest, digest: &Digest) -> bool {
    Digest::of(&digest.algorithm(), manifest.bytes()).is_ok_and(|actual| actual == *digest)
}

impl<T> State<T> {
    /// The same, of a list of other items.
    fn of<U>(self) -> State<U> {
        match self {
            Self::Due(listing) => State::Due(listing),
            Self::Failed(error) => State::Failed(error),
            Self::Asking(_) | Self::Done => State::Done,
        }
    }
}

fn of_type(descriptors: &[Descriptor], wanted: Option<&MediaType>) -> Vec<Descriptor> {
    let fits = |entry: &&Descriptor| wanted.is_none() || entry.artifact_type.as_ref() == wanted;
    descriptors.iter().filter(fits).cloned().collect()
}

/// `<algorithm>-<encoded>`, cut to 32 and 64 characters, with what no tag may have replaced.
fn tag_of(subject: &Digest) -> Option<TagOrDigest> {
    let algorithm = subject.algorithm();
    let algorithm = algorithm.as_str();
    let encoded = subject.encoded();
    let cut = |text: &str, length: usize| text.get(..length).unwrap_or(text).to_owned();
    let text = format!("{}-{}", cut(algorithm, 32), cut(encoded, 64)).replace('+', "-");
    text.parse::<Tag>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_of_a_subject_is_cut_to_what_a_tag_may_be() {
        let hex = "a".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        assert_eq!(
            tag_of(&digest).unwrap().to_string(),
            format!("sha256-{hex}")
        );
        let digest: Digest = format!("sha512:{}", "b".repeat(128)).parse().unwrap();
        let expected = format!("sha512-{}", "b".repeat(64));
        assert_eq!(tag_of(&digest).unwrap().to_string(), expected);
    }
}
