//! Manifests by tag or digest (distribution-spec v1.1.1 "Pulling manifests", end-3), and what a
//! registry says when it was given one ("Pushing Manifests", end-7).

use std::fmt;
use std::ops::Range;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, response};
use longshore_model::{Descriptor, Digest, MediaType, RepositoryName, Tag, TagOrDigest};

use super::query;
use super::request::{Access, AnswerBody, Need, Request, RequestHead, Verb};
use super::{Endpoint, NotModified, Read};
use crate::route::RouteError;
use crate::violation::Violation;
use crate::{Host, entity_tag, field};

/// The section of distribution-spec v1.1.1 that says how manifests are read.
const SECTION: &str = "Pulling manifests";

/// A request for a manifest or its head.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestRequest {
    /// The content, or only its head.
    pub read: Read,
    /// The repository.
    pub name: RepositoryName,
    /// The tag or digest.
    pub target: TagOrDigest,
    /// The document types the client can use, in the order it prefers them.
    pub accept: Vec<MediaType>,
    /// The entity tags that the client already has. If the manifest has one of them, the answer is
    /// [`NotModified`] (RFC 9110 §13.1.2).
    pub if_none_match: Option<Box<str>>,
}

impl ManifestRequest {
    /// Asks for every document type of the OCI and Docker specifications.
    #[must_use]
    pub fn new(read: Read, name: RepositoryName, target: TagOrDigest) -> Self {
        Self {
            read,
            name,
            target,
            accept: [
                MediaType::OCI_MANIFEST,
                MediaType::OCI_INDEX,
                MediaType::DOCKER_MANIFEST,
                MediaType::DOCKER_LIST,
            ]
            .to_vec(),
            if_none_match: None,
        }
    }

    /// Makes the answer of a server that has the manifest: the head, and the range of the bytes
    /// that follow it. The range is empty for a `HEAD` and a 304.
    ///
    /// The media types that the client accepts do not matter: a tag or digest names one document,
    /// and a registry sends that document or says that it has none.
    #[must_use]
    pub fn answer(&self, manifest: &Descriptor) -> Response<Range<u64>> {
        let (digest, length) = (manifest.digest.clone(), manifest.size);
        let known = self.if_none_match.as_deref();
        if known.is_some_and(|tags| entity_tag::is_listed(tags, &digest)) {
            return field::response(NotModified::new(digest).write(), 0..0);
        }
        let answer = ManifestAnswer::new(&manifest.media_type, length, digest);
        let bytes = match self.read {
            Read::Get => 0..length,
            Read::Head => 0..0,
        };
        field::response(answer.write(), bytes)
    }

    pub(crate) fn read(
        read: Read,
        name: RepositoryName,
        target: TagOrDigest,
        headers: &HeaderMap,
    ) -> Self {
        let accept = headers
            .get_all(header::ACCEPT)
            .iter()
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
            .filter_map(|entry| std::str::from_utf8(entry).ok())
            .filter_map(|entry| entry.trim().parse().ok())
            .collect();
        Self {
            read,
            name,
            target,
            accept,
            if_none_match: field::list(headers, &header::IF_NONE_MATCH),
        }
    }
}

impl Request for ManifestRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let mut head = RequestHead::new(self.read.method(), path(host, &self.name, &self.target));
        let types: Vec<_> = self.accept.iter().map(MediaType::as_str).collect();
        // A media type is visible ASCII, so the list always makes a header value.
        if let Ok(value) = HeaderValue::from_str(&types.join(", ")) {
            head.headers.insert(header::ACCEPT, value);
        }
        let known = self.if_none_match.as_ref();
        field::put(&mut head.headers, header::IF_NONE_MATCH, known);
        head
    }

    fn name(&self) -> Option<&RepositoryName> {
        Some(&self.name)
    }

    fn needs(&self, host: &Host) -> Vec<Need> {
        vec![Need::new(host, &self.name, Access::Pull)]
    }

    fn answer_body(&self) -> AnswerBody {
        self.read.answer_body()
    }

    fn with_get(&self) -> Option<Endpoint> {
        let read = Read::Get;
        (self.read == Read::Head).then(|| {
            Endpoint::Manifest(Self {
                read,
                ..self.clone()
            })
        })
    }

    fn is_answered_by(&self, head: &response::Parts) -> bool {
        if head.status == StatusCode::NOT_MODIFIED {
            return self.if_none_match.is_some();
        }
        let headers = &head.headers;
        // A manifest is never empty, so a length of 0 is not usable. A missing length is allowed.
        let length = field::length(headers);
        let is_possible = length.map_or_else(
            || !headers.contains_key(header::CONTENT_LENGTH),
            |it| it > 0,
        );
        // A captive portal answers everything with 200.
        let content_type = field::media_type(headers).unwrap_or_default();
        let is_web_page = content_type.to_ascii_lowercase().starts_with("text/html");
        head.status == StatusCode::OK
            && Violation::coding(head, SECTION).is_none()
            && !is_web_page
            && is_possible
            && (self.target.digest().is_some() || field::digest(headers).is_some())
    }
}

impl fmt::Display for ManifestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manifest {} of {}", self.target, self.name)
    }
}

/// A request that stores a manifest under a tag or its digest (end-7). Its body is the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestPut {
    /// The repository.
    pub name: RepositoryName,
    /// The tag, or the digest of the body.
    pub target: TagOrDigest,
    /// The media type of the document; its `mediaType` must be the same.
    pub media_type: MediaType,
    /// Further tags to set if `target` is a digest. See [`with_tags`](Self::with_tags).
    pub tags: Vec<Tag>,
}

/// Maximum number of tags to set with one request. Registries that set tags with a manifest should
/// accept at least this many (distribution-spec, after v1.1.1, "Pushing Manifests").
pub const TAGS_PER_PUT: usize = 10;

/// The parameter that names a tag.
const TAG: &str = "tag";

impl ManifestPut {
    /// Stores a document of this type.
    #[must_use]
    pub const fn new(name: RepositoryName, target: TagOrDigest, media_type: MediaType) -> Self {
        Self {
            name,
            target,
            media_type,
            tags: Vec::new(),
        }
    }

    /// Sets these tags too, at most [`TAGS_PER_PUT`]: one parameter `tag` for each
    /// (distribution-spec, after v1.1.1, "Pushing Manifests"). The registry says in
    /// [`ManifestStored::tags`] which tags it has set. A registry that does not know the parameter
    /// ignores it.
    ///
    /// The target must be a digest. A request by tag sets only that tag.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    /// Reads the query and the headers of a request whose path named this manifest. The headers
    /// must name exactly one media type.
    pub(crate) fn read(
        name: RepositoryName,
        target: TagOrDigest,
        parameters: &str,
        headers: &HeaderMap,
    ) -> Result<Self, RouteError> {
        let media_type = field::text(headers, &header::CONTENT_TYPE);
        let media_type = media_type.and_then(|text| text.parse().ok());
        let request = Self::new(name, target, media_type.ok_or(RouteError::MediaType)?);
        if request.target.digest().is_none() {
            return Ok(request);
        }
        let malformed = |_| RouteError::Reference;
        let tags = query::all(parameters, TAG).map_err(malformed)?;
        let tags = tags.iter().map(|tag| tag.parse());
        let tags: Result<Vec<Tag>, _> = tags.collect();
        Ok(request.with_tags(tags.map_err(|_| RouteError::Reference)?))
    }
}

impl Request for ManifestPut {
    fn write(&self, host: &Host) -> RequestHead {
        let mut head = RequestHead::new(Method::PUT, path(host, &self.name, &self.target));
        for tag in &self.tags {
            query::push_to_path(&mut head.path_and_query, TAG, tag.as_str());
        }
        let media_type = self.media_type.as_str();
        field::put(&mut head.headers, header::CONTENT_TYPE, Some(&media_type));
        head
    }

    fn name(&self) -> Option<&RepositoryName> {
        Some(&self.name)
    }

    fn needs(&self, host: &Host) -> Vec<Need> {
        vec![Need::new(host, &self.name, Access::Push)]
    }

    fn verb(&self) -> Verb {
        Verb::Push
    }

    fn answer_body(&self) -> AnswerBody {
        AnswerBody::Errors
    }
}

impl fmt::Display for ManifestPut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manifest {} of {}", self.target, self.name)
    }
}

fn path(host: &Host, name: &RepositoryName, target: &TagOrDigest) -> String {
    host.path(Some(name), format_args!("manifests/{target}"))
}

/// What a registry says about a manifest before its bytes, or instead of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestAnswer {
    /// `Content-Type`, if it is a media type; the document itself has the last word (DG5).
    pub content_type: Option<String>,
    /// `Content-Length`, in bytes; `None` also if it is malformed.
    pub length: Option<u64>,
    /// `Docker-Content-Digest`: a claim, checked against the bytes; `None` also if it is ignored
    /// (DG2).
    pub digest: Option<Digest>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
}

impl ManifestAnswer {
    /// What a server says about a manifest it has.
    #[must_use]
    pub fn new(media_type: &MediaType, length: u64, digest: Digest) -> Self {
        Self {
            content_type: Some(media_type.as_str().to_owned()),
            length: Some(length),
            etag: Some(entity_tag::of(&digest)),
            digest: Some(digest),
        }
    }

    /// Writes the head of the answer.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = field::headers_of_content();
        let content_type = self.content_type.as_deref();
        field::put_text(&mut headers, header::CONTENT_TYPE, content_type);
        if let Some(length) = self.length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let digest = self.digest.as_ref().map(Digest::as_str);
        field::put_text(&mut headers, field::CONTENT_DIGEST, digest);
        field::put_text(&mut headers, header::ETAG, self.etag.as_deref());
        (StatusCode::OK, headers)
    }

    /// Reads the head of a successful answer.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the status is not 200.
    pub fn read(head: &response::Parts) -> Result<Self, Violation> {
        let section = SECTION;
        Violation::unless_status(head, &[StatusCode::OK], section)?;
        Ok(Self {
            content_type: field::media_type(&head.headers),
            length: field::length(&head.headers),
            digest: field::digest(&head.headers),
            etag: field::text(&head.headers, &header::ETAG),
        })
    }
}

/// What a registry says about a manifest that it was given and has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestStored {
    /// `Location`, as sent: where the manifest can be read.
    pub location: Option<String>,
    /// `Docker-Content-Digest`: the digest of the stored manifest; `None` also if it is ignored
    /// (DG2).
    pub digest: Option<Digest>,
    /// `OCI-Subject`: the manifest that the stored one refers to, as the registry understood it;
    /// `None` also if it is malformed.
    pub subject: Option<Digest>,
    /// `OCI-Tag`: the tags of [`ManifestPut::tags`] that the registry has set; malformed entries
    /// are ignored.
    pub tags: Vec<Tag>,
}

impl ManifestStored {
    /// What a server says about a manifest it stored, which refers to `subject`.
    #[must_use]
    pub fn new(location: &str, digest: Digest, subject: Option<Digest>) -> Self {
        Self {
            location: Some(location.to_owned()),
            digest: Some(digest),
            subject,
            tags: Vec::new(),
        }
    }

    /// States that these tags of the request were set. A server that supports them must do this.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    /// Writes the head of the answer.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        field::put(&mut headers, header::LOCATION, self.location.as_ref());
        field::put(&mut headers, field::CONTENT_DIGEST, self.digest.as_ref());
        field::put(&mut headers, field::SUBJECT, self.subject.as_ref());
        for tag in &self.tags {
            // A tag is visible ASCII, so it always makes a header value.
            if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
                headers.append(field::TAG, value);
            }
        }
        (StatusCode::CREATED, headers)
    }

    /// Reads the head of a successful answer.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the status is not 201.
    pub fn read(head: &response::Parts) -> Result<Self, Violation> {
        let section = "Pushing Manifests";
        Violation::unless_status(head, &[StatusCode::CREATED], section)?;
        Ok(Self {
            location: field::text(&head.headers, &header::LOCATION),
            digest: field::digest(&head.headers),
            subject: field::one_digest(&head.headers, &field::SUBJECT),
            tags: read_tags(&head.headers),
        })
    }

    /// Checks that the registry stored what was sent to it (DG7). A digest under another algorithm
    /// cannot be compared, so it is ignored.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the registry names other content.
    pub fn check(&self, sent: &Digest) -> Result<(), Violation> {
        field::check_stored(self.digest.as_ref(), sent, "Pushing Manifests")
    }

    /// Whether the registry says that it recorded the manifest as a referrer of `subject`. Where
    /// it says nothing, the tag that stands in for the referrers API is to be brought up to date
    /// ("Pushing Manifests with Subject").
    ///
    /// Docker Hub once said so and had no referrers API, so ask that once before relying on it.
    ///
    /// # Errors
    ///
    /// [`Violation`] when it recorded another subject.
    pub fn recorded(&self, subject: &Digest) -> Result<bool, Violation> {
        match &self.subject {
            None => Ok(false),
            Some(recorded) if recorded == subject => Ok(true),
            Some(other) => Err(Violation::header(
                "Pushing Manifests with Subject",
                &field::SUBJECT,
                other.as_str().as_bytes(),
            )),
        }
    }
}

/// The tags of the `OCI-Tag` fields: one or more on each line.
fn read_tags(headers: &HeaderMap) -> Vec<Tag> {
    let lines = field::list(headers, &field::TAG).unwrap_or_default();
    let entries = lines.split(',').map(str::trim);
    entries.filter_map(|entry| entry.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
