//! Lists: tags, repositories, and what refers to a manifest.

use longshore_model::{Descriptor, Manifest};
use longshore_proto::Refusal;
use longshore_proto::endpoint::{CatalogueRequest, ReferrersRequest, TagsRequest};
use longshore_proto::error_code::ErrorCode;
use longshore_proto::route::RouteError;

use super::quirk::ReferrersForm;
use super::{State, not_found};
use crate::ScriptedResponse;
use crate::image::DescribedContent;

impl State {
    pub(super) fn tags(&self, wanted: &TagsRequest) -> Result<ScriptedResponse, Refusal> {
        let tags = self.contents.tags(wanted.name.as_str());
        let tags = tags.ok_or_else(|| not_found(ErrorCode::NameUnknown, "repository unknown"))?;
        Ok(wanted.answer(ROOT, &tags, usize::MAX)?.into())
    }

    pub(super) fn catalogue(&self, wanted: &CatalogueRequest) -> Result<ScriptedResponse, Refusal> {
        let repositories = self.contents.repositories();
        Ok(wanted.answer(ROOT, &repositories, usize::MAX)?.into())
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
