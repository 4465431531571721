//! Blobs and parts of them (distribution-spec v1.1.1 "Pulling blobs", end-2).

use std::fmt;
use std::ops::Range;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response};
use longshore_model::{Digest, RepositoryName};

use super::request::{Access, AnswerBody, Need, Patience, Request, RequestHead};
use super::{Endpoint, Multipart, NotModified, Read};
use crate::range::{ByteRange, ContentRange, RangeField, RangeSet, RangesError};
use crate::route::RouteError;
use crate::violation::Violation;
use crate::{Host, Refusal, entity_tag, field};

/// The section of distribution-spec v1.1.1 that says how blobs are read.
const SECTION: &str = "Pulling blobs";

/// A request for a blob, parts of it, or its head.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobRequest {
    /// The content, or only its head.
    pub read: Read,
    /// The repository.
    pub name: RepositoryName,
    /// The blob.
    pub digest: Digest,
    /// The parts that are wanted; `None` is the whole.
    pub range: Option<RangeSet>,
    /// Only if the blob still has this entity tag; else the whole is sent (RFC 9110 §13.1.5).
    pub if_range: Option<String>,
    /// The entity tags that the client already has. If the blob has one of them, the answer is
    /// [`NotModified`] (RFC 9110 §13.1.2).
    pub if_none_match: Option<Box<str>>,
}

impl BlobRequest {
    /// Asks for the whole blob or its head.
    #[must_use]
    pub const fn new(read: Read, name: RepositoryName, digest: Digest) -> Self {
        Self {
            read,
            name,
            digest,
            range: None,
            if_range: None,
            if_none_match: None,
        }
    }

    /// Asks for this part, or these parts, only.
    #[must_use]
    pub fn with_range(mut self, range: impl Into<RangeSet>) -> Self {
        self.range = Some(range.into());
        self
    }

    /// Makes the answer of a server that has the blob, which has this length in bytes: the head,
    /// and what follows it.
    ///
    /// The conditions of the request come first, `If-None-Match` before `If-Range` (RFC 9110
    /// §13.2.2). A range applies to `GET` only (RFC 9110 §14.2). Of several ranges, those beyond
    /// the end of the blob are left out: if one is left, the answer is that of a request for this
    /// one (RFC 9110 §15.3.7.2); if none is left, it is a 416.
    ///
    /// ```
    /// use http::{HeaderMap, Method, StatusCode};
    /// use longshore_model::Digest;
    /// use longshore_proto::endpoint::{BlobBody, Endpoint};
    /// use longshore_proto::route;
    ///
    /// let (blob, mut headers) = (b"0123456789", HeaderMap::new());
    /// headers.insert("range", "bytes=-4".parse()?);
    /// let path = format!("/v2/app/blobs/{}", Digest::sha256(blob));
    /// let Endpoint::Blob(request) = route::read_only(&Method::GET, &path, &headers)? else {
    ///     unreachable!("the path names a blob")
    /// };
    /// let (head, body) = request.answer(10)?.into_parts();
    /// assert_eq!((head.status, body), (StatusCode::PARTIAL_CONTENT, BlobBody::Bytes(6..10)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to send, a 400, when the requested ranges overlap.
    pub fn answer(&self, length: u64) -> Result<Response<BlobBody>, Refusal> {
        let digest = self.digest.clone();
        let known = self.if_none_match.as_deref();
        if known.is_some_and(|tags| entity_tag::is_listed(tags, &self.digest)) {
            let head = NotModified::new(digest).write();
            return Ok(field::response(head, BlobBody::Bytes(0..0)));
        }
        let changed = self.if_range.as_deref();
        let changed = changed.is_some_and(|tag| !entity_tag::is_same(tag, &self.digest));
        let parts = match &self.range {
            Some(set) if self.read == Read::Get && !changed => Some(set.within(length)),
            _ => None,
        };
        let parts = parts.transpose();
        let parts = parts.map_err(|error| RouteError::Ranges(error).refusal())?;
        let (answer, bytes) = match parts.as_deref() {
            None if self.read == Read::Head => (BlobAnswer::whole(digest, length), 0..0),
            None => (BlobAnswer::whole(digest, length), 0..length),
            Some([]) => (BlobAnswer::beyond(digest, length), 0..0),
            Some([part]) => (BlobAnswer::of(digest, length, part), part.clone()),
            Some(parts) => {
                let parts = Multipart::new(&digest, length, parts.to_vec());
                let head = parts.head(&digest);
                return Ok(field::response(head, BlobBody::Multipart(parts)));
            }
        };
        Ok(field::response(answer.write(), BlobBody::Bytes(bytes)))
    }

    /// Reads the headers of a request whose path named this blob. A `Range` that cannot be
    /// satisfied by any content is kept as a range that no content satisfies, so that the server
    /// answers 416 by one rule. Several `Range` fields are ignored, like a malformed one.
    pub(crate) fn read(
        read: Read,
        name: RepositoryName,
        digest: Digest,
        headers: &HeaderMap,
    ) -> Result<Self, RouteError> {
        let range = field::text(headers, &header::RANGE);
        let range = match range.map(|value| RangeField::parse(value.as_bytes())) {
            Some(RangeField::Set(set)) => Some(set),
            Some(RangeField::TooMany) if read == Read::Get => {
                return Err(RouteError::Ranges(RangesError::TooMany));
            }
            Some(RangeField::Unsatisfiable) => Some(ByteRange::Suffix(0).into()),
            Some(RangeField::TooMany | RangeField::Ignored) | None => None,
        };
        Ok(Self {
            read,
            name,
            digest,
            range,
            if_range: field::text(headers, &header::IF_RANGE),
            if_none_match: field::list(headers, &header::IF_NONE_MATCH),
        })
    }
}

/// What follows the head of an answer to a request for a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a server must send every kind of body"
)]
pub enum BlobBody {
    /// These bytes of the blob. The range is empty for a `HEAD`, a 304 and a 416.
    Bytes(Range<u64>),
    /// Several parts of the blob.
    Multipart(Multipart),
}

impl Request for BlobRequest {
    fn write(&self, host: &Host) -> RequestHead {
        let path = host.path(Some(&self.name), format_args!("blobs/{}", self.digest));
        let mut head = RequestHead::new(self.read.method(), path);
        field::put(&mut head.headers, header::RANGE, self.range.as_ref());
        field::put(&mut head.headers, header::IF_RANGE, self.if_range.as_ref());
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
            Endpoint::Blob(Self {
                read,
                ..self.clone()
            })
        })
    }

    fn is_answered_by(&self, head: &response::Parts) -> bool {
        if head.status == StatusCode::NOT_MODIFIED {
            return self.if_none_match.is_some();
        }
        // With a content coding, `Content-Length` is not the size of the blob.
        if head.status != StatusCode::OK || Violation::coding(head, SECTION).is_some() {
            return false;
        }
        let empty = Digest::of(&self.digest.algorithm(), b"").ok();
        let is_empty = empty.map(|empty| empty == self.digest);
        field::length(&head.headers)
            .is_some_and(|length| is_empty.is_none_or(|is_empty| is_empty == (length == 0)))
    }

    fn patience(&self) -> Patience {
        match self.read {
            Read::Get => Patience::WholeBlob,
            Read::Head => Patience::Ordinary,
        }
    }
}

impl fmt::Display for BlobRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blob {} of {}", self.digest, self.name)
    }
}

/// What a registry says about a blob before its bytes, or instead of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobAnswer {
    /// `Content-Length` of this answer, in bytes; `None` also if it is malformed.
    pub length: Option<u64>,
    /// `Docker-Content-Digest`: a claim about the whole blob; `None` also if it is ignored (DG2).
    pub digest: Option<Digest>,
    /// Which part of the blob this is.
    pub extent: Extent,
    /// `ETag`, as sent.
    pub etag: Option<String>,
}

/// How much of a blob an answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "200, 206 and 416")]
pub enum Extent {
    /// Nothing of what was asked for exists (416); the length of the whole where it is told.
    Beyond(Option<u64>),
    /// A part (206).
    Part {
        /// Position of the first byte of the body in the blob.
        first: u64,
        /// Position of the last byte of the body in the blob.
        last: u64,
        /// Length of the whole blob, where it is told.
        total: Option<u64>,
    },
    /// The whole (200).
    #[default]
    Whole,
}

impl BlobAnswer {
    /// What a server says when it sends the whole of a blob, or its head.
    #[must_use]
    pub fn whole(digest: Digest, length: u64) -> Self {
        Self {
            length: Some(length),
            etag: Some(entity_tag::of(&digest)),
            digest: Some(digest),
            extent: Extent::Whole,
        }
    }

    /// What a server says when it sends a part: 206, or 416 where there is no such part.
    #[must_use]
    pub fn part(digest: Digest, total: u64, range: ByteRange) -> Self {
        match range.within(total) {
            Some((first, last)) => Self::of(digest, total, &(first..last + 1)),
            None => Self::beyond(digest, total),
        }
    }

    /// What a server says when it sends these bytes, which are not empty.
    fn of(digest: Digest, total: u64, part: &Range<u64>) -> Self {
        let (first, last) = (part.start, part.end - 1);
        let total = Some(total);
        Self {
            extent: Extent::Part { first, last, total },
            ..Self::whole(digest, part.end - first)
        }
    }

    /// What a server says when the blob has no part that was asked for.
    fn beyond(digest: Digest, total: u64) -> Self {
        Self {
            extent: Extent::Beyond(Some(total)),
            ..Self::whole(digest, 0)
        }
    }

    /// Writes the head of the answer: 200, 206 or 416.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = field::headers_of_content();
        let (status, range) = match self.extent {
            Extent::Beyond(total) => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                total.map(|total| ContentRange::Unsatisfied { total }),
            ),
            Extent::Part { first, last, total } => (
                StatusCode::PARTIAL_CONTENT,
                Some(ContentRange::Part { first, last, total }),
            ),
            Extent::Whole => (StatusCode::OK, None),
        };
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, octets);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(length) = self.length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let digest = self.digest.as_ref().map(Digest::as_str);
        field::put_text(&mut headers, field::CONTENT_DIGEST, digest);
        field::put(&mut headers, header::CONTENT_RANGE, range.as_ref());
        field::put_text(&mut headers, header::ETAG, self.etag.as_deref());
        (status, headers)
    }

    /// Reads the head of an answer with status 200, 206 or 416.
    ///
    /// # Errors
    ///
    /// [`Violation`] for another status, and for a 206 without exactly one `Content-Range` that
    /// makes sense (RT6).
    pub fn read(head: &response::Parts) -> Result<Self, Violation> {
        let section = SECTION;
        let (partial, beyond) = (
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
        );
        Violation::unless_status(head, &[StatusCode::OK, partial, beyond], section)?;
        let mut ranges = head.headers.get_all(header::CONTENT_RANGE).iter();
        let sent = ranges.next();
        let range = sent.and_then(|value| ContentRange::parse(value.as_bytes()));
        let extent = match (head.status, range, ranges.next()) {
            (StatusCode::OK, ..) => Extent::Whole,
            (
                StatusCode::PARTIAL_CONTENT,
                Some(ContentRange::Part { first, last, total }),
                None,
            ) => Extent::Part { first, last, total },
            (
                StatusCode::RANGE_NOT_SATISFIABLE,
                Some(ContentRange::Unsatisfied { total }),
                None,
            ) => Extent::Beyond(Some(total)),
            (StatusCode::RANGE_NOT_SATISFIABLE, ..) => Extent::Beyond(None),
            _ => {
                let found = sent.map_or(&b"(nothing)"[..], |value| value.as_bytes());
                return Err(Violation::header(section, &header::CONTENT_RANGE, found));
            }
        };
        Ok(Self {
            length: field::length(&head.headers),
            digest: field::digest(&head.headers),
            extent,
            etag: field::text(&head.headers, &header::ETAG),
        })
    }
}

#[cfg(test)]
mod tests;
