//! Writes: uploads, manifests and deletions.

use http::{HeaderName, HeaderValue, StatusCode};
use longshore_model::{Algorithm, Descriptor, Digest, Document, Manifest, Tag, TagOrDigest};
use longshore_origin::{Origin, Scheme};
use longshore_proto::endpoint::{
    Deletable, DeleteRequest, Endpoint, ManifestPut, ManifestRequest, ManifestStored, Read,
};
use longshore_proto::error_code::{ErrorBody, ErrorCode};
use longshore_proto::{Host, Refusal};

use super::quirk::{MissingContent, ReferrersForm};
use super::{State, not_found};
use crate::image::DescribedContent;
use crate::{RecordedRequest, ScriptedResponse};

pub(super) use self::session::Sessions;

mod session;
mod upload;

impl State {
    pub(super) fn put_manifest(
        &self,
        wanted: &ManifestPut,
        request: &RecordedRequest,
    ) -> Result<ScriptedResponse, Refusal> {
        let name = wanted.name.as_str();
        let body = request.body.clone();
        self.check_room(name, body.len() as u64)?;
        let algorithm = match &wanted.target {
            TagOrDigest::Digest(digest) => digest.algorithm(),
            TagOrDigest::Tag(_) => Algorithm::Sha256,
        };
        let digest = Digest::of(&algorithm, &body)
            .ok()
            .filter(|digest| self.quirks.takes(digest))
            .ok_or_else(|| invalid(ErrorCode::DigestInvalid, "the algorithm is not supported"))?;
        if matches!(&wanted.target, TagOrDigest::Digest(named) if *named != digest) {
            return Err(invalid(
                ErrorCode::DigestInvalid,
                "the content has another digest",
            ));
        }
        let media_type = &wanted.media_type;
        let is_known = media_type.is_manifest() || media_type.is_index() || media_type.is_generic();
        let mut subject = None;
        if is_known || !self.quirks.unknown_manifests {
            let manifest = Manifest::parse(body.clone(), Some(media_type.as_str()));
            let manifest = manifest
                .map_err(|error| invalid(ErrorCode::ManifestInvalid, &error.to_string()))?;
            self.check_document(name, manifest.document(), &body)?;
            subject = manifest.document().subject().map(|it| it.digest.clone());
        }
        let tags = self.tags_of(wanted, request)?;
        self.check_tags(name, &tags, &digest)?;
        let subject = self.subject(subject.as_ref())?;
        let size = body.len() as u64;
        let stored = DescribedContent {
            descriptor: Descriptor::new(wanted.media_type.clone(), digest.clone(), size),
            content: body.into(),
        };
        self.contents.add_untagged(name, stored);
        for tag in &tags {
            self.contents.set_tag(name, tag.as_str(), &digest);
        }
        let manifest = ManifestRequest::new(Read::Get, wanted.name.clone(), digest.clone().into());
        let location = path(&Endpoint::Manifest(manifest));
        let answer = created(ManifestStored::new(&location, digest, subject).write());
        let parameters = match &wanted.target {
            TagOrDigest::Tag(_) => &[],
            TagOrDigest::Digest(_) => tags.as_slice(),
        };
        Ok(parameters
            .iter()
            .filter_map(|tag| HeaderValue::from_str(tag.as_str()).ok())
            .fold(answer, |answer, tag| answer.and_header(OCI_TAG, tag)))
    }

    /// The tags that a request sets: the one in its path, or those of its `tag` parameters.
    fn tags_of(
        &self,
        wanted: &ManifestPut,
        request: &RecordedRequest,
    ) -> Result<Vec<Tag>, Refusal> {
        if let TagOrDigest::Tag(tag) = &wanted.target {
            return Ok(vec![tag.clone()]);
        }
        if self.quirks.no_tag_parameter {
            return Ok(Vec::new());
        }
        form_urlencoded::parse(request.query().as_bytes())
            .filter(|(name, _)| name == "tag")
            .map(|(_, value)| value.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| invalid(ErrorCode::ManifestInvalid, "a tag parameter is not a tag"))
    }

    /// Checks the content of a document, and that everything it refers to exists.
    fn check_document(&self, name: &str, document: &Document, body: &[u8]) -> Result<(), Refusal> {
        let has_media_type = || {
            let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
            value.is_some_and(|value| value.get("mediaType").is_some())
        };
        if self.quirks.media_type_required && !has_media_type() {
            return Err(invalid(ErrorCode::ManifestInvalid, "mediaType is missing"));
        }
        let missing = match document {
            Document::Index(_) => self.quirks.sparse_index,
            _ => self.quirks.missing_blobs,
        };
        if missing == MissingContent::Accepted {
            return Ok(());
        }
        // Content with URLs of its own may be absent (image-spec v1.1.1 "Non-distributable
        // layers").
        for child in document.children().filter(|child| child.urls.is_empty()) {
            let absent = self.contents.blob(name, &child.digest).is_none()
                && self.contents.manifest(name, &child.digest).is_none();
            if absent {
                let text = format!("{} is absent", child.digest);
                return Err(not_found(ErrorCode::ManifestBlobUnknown, &text));
            }
        }
        Ok(())
    }

    /// Checks that no immutable tag is moved.
    fn check_tags(&self, name: &str, tags: &[Tag], digest: &Digest) -> Result<(), Refusal> {
        let Some(immutable) = &self.quirks.immutable_tags else {
            return Ok(());
        };
        let moves = |tag: &&Tag| {
            let tagged = self.contents.tagged(name, tag.as_str());
            tagged.is_some_and(|tagged| tagged.descriptor.digest != *digest)
        };
        match tags.iter().find(moves) {
            Some(tag) => {
                let code = ErrorCode::Other(immutable.code.clone());
                let text = format!("tag {tag} exists and is immutable");
                Err(Refusal::new(immutable.status, ErrorBody::one(code, &text)))
            }
            None => Ok(()),
        }
    }

    /// The subject that is named in the answer to a manifest.
    fn subject(&self, subject: Option<&Digest>) -> Result<Option<Digest>, Refusal> {
        match (subject, self.quirks.referrers) {
            (None, _) | (_, ReferrersForm::Unknown) => Ok(None),
            (Some(_), ReferrersForm::Refused(status)) => {
                let body = ErrorBody::one(ErrorCode::Unsupported, "manifests have no subject here");
                Err(Refusal::new(status, body))
            }
            (subject, ReferrersForm::Api | ReferrersForm::SubjectOnly) => Ok(subject.cloned()),
        }
    }

    /// Checks that a repository has room for this many more bytes.
    fn check_room(&self, name: &str, bytes: u64) -> Result<(), Refusal> {
        if self.quirks.repository_must_exist && !self.contents.has_repository(name) {
            return Err(not_found(ErrorCode::NameUnknown, "repository unknown"));
        }
        match self.quirks.quota {
            Some(quota) if self.contents.total_bytes().saturating_add(bytes) > quota.bytes => {
                let body = ErrorBody::one(ErrorCode::Denied, "the quota is exceeded");
                Err(Refusal::new(quota.status, body))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn delete(&self, wanted: &DeleteRequest) -> Result<ScriptedResponse, Refusal> {
        let name = wanted.name.as_str();
        let is_refused = match &wanted.content {
            Deletable::Blob(_) => self.quirks.no_blob_delete,
            Deletable::Manifest(TagOrDigest::Digest(_)) => self.quirks.no_manifest_delete,
            Deletable::Manifest(TagOrDigest::Tag(_)) => self.quirks.no_tag_delete,
        };
        if is_refused {
            return Err(unsupported());
        }
        let removed = match &wanted.content {
            Deletable::Blob(digest) => self.contents.remove_blob(name, digest),
            Deletable::Manifest(TagOrDigest::Digest(digest)) => {
                self.contents.remove_manifest(name, digest)
            }
            Deletable::Manifest(TagOrDigest::Tag(tag)) => {
                self.contents.remove_tag(name, tag.as_str())
            }
        };
        if removed {
            Ok(ScriptedResponse::status(StatusCode::ACCEPTED))
        } else {
            let code = match &wanted.content {
                Deletable::Blob(_) => ErrorCode::BlobUnknown,
                _ => ErrorCode::ManifestUnknown,
            };
            Err(not_found(code, "not here"))
        }
    }
}

/// The path of an endpoint; the origin does not matter.
pub(super) fn path(endpoint: &Endpoint) -> String {
    let origin = Origin::from_authority(Scheme::Http, "localhost");
    let head = origin.map(|origin| endpoint.write(&Host::new(origin)));
    head.map_or_else(|_| String::new(), |head| head.path_and_query)
}

fn created((status, headers): (StatusCode, http::HeaderMap)) -> ScriptedResponse {
    let mut answer = ScriptedResponse::status(status);
    answer.headers = headers;
    answer
}

fn invalid(code: ErrorCode, message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorBody::one(code, message))
}

fn unsupported() -> Refusal {
    let body = ErrorBody::one(ErrorCode::Unsupported, "this registry does not do that");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, body)
}

/// The answer to a `PUT` of a manifest repeats each of its `tag` parameters that was used.
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

#[cfg(test)]
mod tests;
