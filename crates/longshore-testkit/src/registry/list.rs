//! Lists: tags, repositories, and what refers to a manifest.

use http::StatusCode;
use longshore_model::{Descriptor, Document, ImageManifest, Index, Manifest, MediaType};
use longshore_proto::endpoint::{
    CatalogueRequest, ListAnswer, PageQuery, ReferrersRequest, TagsRequest, write_repositories,
    write_tags,
};
use longshore_proto::error_code::ErrorCode;

use super::{State, head, refusal};
use crate::Answer;
use crate::image::Stored;

const JSON: &str = "application/json";

impl State {
    pub(super) fn tags(&self, wanted: &TagsRequest) -> Answer {
        let name = wanted.name.as_str();
        let Some(tags) = self.contents.tags(name) else {
            return refusal(
                StatusCode::NOT_FOUND,
                ErrorCode::NameUnknown,
                "repository unknown",
            );
        };
        let (tags, answer) = page(tags, &wanted.page, &format!("/v2/{name}/tags/list"));
        head(answer.write()).body(write_tags(&wanted.name, &tags))
    }

    pub(super) fn catalogue(&self, wanted: &CatalogueRequest) -> Answer {
        let (names, answer) = page(self.contents.repositories(), &wanted.page, "/v2/_catalog");
        head(answer.write()).body(write_repositories(&names))
    }

    /// Always one page; a repository that is not there has no referrers (distribution-spec
    /// v1.1.1 "Listing Referrers").
    pub(super) fn referrers(&self, wanted: &ReferrersRequest) -> Answer {
        let all = self.contents.manifests(wanted.name.as_str());
        let artifact_type = wanted.page.get("artifactType");
        let entries = all.iter().filter_map(|stored| {
            let manifest = Manifest::parse(stored.content.bytes(), None).ok()?;
            let image = manifest.document().as_image()?;
            let refers = image
                .subject
                .as_ref()
                .is_some_and(|it| it.digest == wanted.subject);
            let entry = refers.then(|| entry(stored, image))?;
            let fits = artifact_type.is_none()
                || entry.artifact_type.as_ref().map(MediaType::as_str) == artifact_type.as_deref();
            fits.then_some(entry)
        });
        let mut index = Index::new(entries.collect());
        index.media_type = Some(MediaType::OCI_INDEX);
        let Ok(page) = Manifest::from_document(&Document::Index(index)) else {
            return refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                ErrorCode::Unsupported,
                "too many",
            );
        };
        let answer = ListAnswer::last(MediaType::OCI_INDEX.as_str());
        let answer = if artifact_type.is_some() {
            answer.with_filter()
        } else {
            answer
        };
        head(answer.write()).body(page.bytes().clone())
    }
}

/// What a list of referrers says of one: its type is the artifact type, else the config's.
fn entry(stored: &Stored, image: &ImageManifest) -> Descriptor {
    let mut entry = stored.descriptor.clone();
    entry.platform = None;
    let artifact_type = image
        .artifact_type
        .as_ref()
        .unwrap_or(&image.config.media_type);
    entry.artifact_type = Some(artifact_type.clone());
    entry.annotations.clone_from(&image.annotations);
    entry
}

/// The part of a sorted list that is asked for, and the way to the next.
fn page(all: Vec<String>, wanted: &PageQuery, path: &str) -> (Vec<String>, ListAnswer) {
    let last = wanted.get("last").unwrap_or_default();
    let limit = wanted
        .get("n")
        .and_then(|n| n.parse().ok())
        .unwrap_or(usize::MAX);
    let mut rest = all.into_iter().filter(|name| *name > last);
    let names: Vec<_> = rest.by_ref().take(limit).collect();
    let answer = ListAnswer::last(JSON);
    match (names.last(), rest.next()) {
        (Some(last), Some(_)) => {
            let next = PageQuery::first(u32::try_from(limit).ok(), Some(last));
            (
                names,
                answer.with_next(&format!("{path}?{}", next.as_str())),
            )
        }
        _ => (names, answer),
    }
}
