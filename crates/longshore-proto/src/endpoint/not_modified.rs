//! The answer to a request for content that the client already has (RFC 9110 §15.4.5).

use http::{HeaderMap, StatusCode, header, response};
use longshore_model::Digest;

use crate::violation::Violation;
use crate::{entity_tag, field};

/// What a registry says when a blob or manifest has one of the entity tags that the client sent in
/// `If-None-Match`: 304, without the content and without its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotModified {
    /// `Docker-Content-Digest`: which content it is; `None` also if it is ignored (DG2).
    pub digest: Option<Digest>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
}

impl NotModified {
    /// What a server says about the content with this digest.
    #[must_use]
    pub fn new(digest: Digest) -> Self {
        Self {
            etag: Some(entity_tag::of(&digest)),
            digest: Some(digest),
        }
    }

    /// Writes the head of the answer.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        field::put(&mut headers, field::CONTENT_DIGEST, self.digest.as_ref());
        field::put(&mut headers, header::ETAG, self.etag.as_ref());
        (StatusCode::NOT_MODIFIED, headers)
    }

    /// Reads the head of an answer with status 304.
    ///
    /// # Errors
    ///
    /// [`Violation`] for another status.
    pub fn read(head: &response::Parts) -> Result<Self, Violation> {
        let section = "Pull";
        Violation::unless_status(head, &[StatusCode::NOT_MODIFIED], section)?;
        Ok(Self {
            digest: field::digest(&head.headers),
            etag: field::text(&head.headers, &header::ETAG),
        })
    }
}
