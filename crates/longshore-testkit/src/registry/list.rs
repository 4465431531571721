//! Lists: tags, repositories, and what refers to a manifest.

use http::HeaderValue;
use http::header::LINK;
use longshore_model::{Descriptor, Manifest};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{
    CatalogueRequest, Endpoint, PageQuery, ReferrersRequest, TagsRequest,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::route::RouteError;

use super::quirk::ReferrersForm;
use super::write::path;
use super::{State, not_found};
use crate::ScriptedResponse;
use crate::image::DescribedContent;

impl State {
    pub(super) fn tags(&self, wanted: &TagsRequest) -> Result<ScriptedResponse, Refusal> {
        let tags = self.contents.tags(wanted.name.as_str());
        let tags = tags.ok_or_else(|| not_found(ErrorCode::NameUnknown, "repository unknown"))?;
        let page = self.page(&wanted.page)?;
        if self.quirks.pages_ignored {
            let all = TagsRequest::new(wanted.name.clone(), PageQuery::default());
            let next = TagsRequest::new(wanted.name.clone(), PageQuery::first(None, Some("x")));
            let next = format!("<{}>; rel=\"next\"", path(&Endpoint::Tags(next)));
            let answer = ScriptedResponse::from(all.answer(ROOT, &tags, page)?);
            return Ok(match HeaderValue::from_str(&next) {
                Ok(next) => answer.header(LINK, next),
                Err(_) => answer,
            });
        }
        Ok(wanted.answer(ROOT, &tags, page)?.into())
    }

    /// The maximum number of entries of a page.
    fn page(&self, page: &PageQuery) -> Result<usize, Refusal> {
        let Some((max, status)) = self.quirks.page_max else {
            return Ok(usize::MAX);
        };
        let n = page.get("n").and_then(|n| n.parse::<usize>().ok());
        if n.is_some_and(|n| n > max) {
            let body = ErrorBody::one(ErrorCode::Unsupported, "the page is too long");
            return Err(Refusal::new(status, body));
        }
        Ok(max)
    }

    pub(super) fn catalogue(&self, wanted: &CatalogueRequest) -> Result<ScriptedResponse, Refusal> {
        let repositories = self.contents.repositories();
        let page = self.page(&wanted.page)?;
        Ok(wanted.answer(ROOT, &repositories, page)?.into())
    }

    pub(super) fn referrers(&self, wanted: &ReferrersRequest) -> Result<ScriptedResponse, Refusal> {
        if self.quirks.referrers != ReferrersForm::Api {
            return Err(RouteError::Unknown.refusal());
        }
        let all = self.contents.manifests(wanted.name.as_str());
        let referrers = all.iter().filter_map(|stored| referrer(stored, wanted));
        Ok(wanted.answer(ROOT, referrers, usize::MAX).into())
    }
}

/// Returns the referrers entry of a stored manifest; `None` if the manifest does not refer to the
/// wanted subject.
fn referrer(stored: &DescribedContent, wanted: &ReferrersRequest) -> Option<Descriptor> {
    let manifest = Manifest::parse(stored.content.bytes(), None).ok()?;
    let subject = manifest.document().subject()?;
    (subject.digest == wanted.subject).then(|| manifest.as_referrer())
}

/// The API of this registry begins at the root of the server.
const ROOT: &str = "";
