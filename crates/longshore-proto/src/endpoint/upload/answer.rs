//! What a registry answers to the requests of an upload.

use http::header::{HeaderMap, HeaderName, LOCATION, RANGE};
use http::{StatusCode, response};
use longshore_model::Digest;

use crate::field;
use crate::range::number;
use crate::violation::Violation;

const SECTION: &str = "Pushing blobs";

/// The smallest part that a session accepts, except for the last part (distribution-spec v1.1.1
/// "Pushing a blob in chunks").
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// The answer of a registry about an open upload session.
///
/// It answers a `POST` that opens the session, each `PATCH`, and the `GET` for the session's
/// state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadAnswer {
    /// `Location`, as sent: where the next request of the session goes. `None` when the header is
    /// missing or repeated (RD7).
    pub location: Option<String>,
    /// `Range`: the number of bytes that the registry has. `None` when the header is missing, or is
    /// not a range that begins at 0, such as the one that older registries send.
    pub received: Option<Received>,
    /// `OCI-Chunk-Min-Length`, in bytes: the minimum length of each part except the last.
    pub min_chunk: Option<u64>,
}

/// The number of bytes that a registry says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Received {
    last: u64,
}

impl Received {
    /// This many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self {
            last: bytes.saturating_sub(1),
        }
    }

    /// The number of bytes that the registry has, if at most `sent` bytes were sent to it.
    ///
    /// The header cannot express an empty range, so `0-0` means either no bytes or one byte. It
    /// means one byte only if exactly one byte was sent.
    #[must_use]
    pub const fn bytes(self, sent: u64) -> u64 {
        match (self.last, sent) {
            (0, 1) => 1,
            (0, _) => 0,
            (last, _) => last.saturating_add(1),
        }
    }

    /// ```text
    /// Range = [ "bytes=" ] "0-" last-pos
    /// ```
    ///
    /// The specification has no unit here, but some registries write one.
    fn parse(text: &str) -> Option<Self> {
        let range = text.strip_prefix("bytes=").unwrap_or(text);
        let last = number(range.strip_prefix("0-")?.as_bytes())?;
        Some(Self { last })
    }
}

impl UploadAnswer {
    /// Makes the answer about a session at this URL that has received this many bytes.
    #[must_use]
    pub fn new(location: &str, received: u64) -> Self {
        Self {
            location: Some(location.to_owned()),
            received: Some(Received::new(received)),
            min_chunk: None,
        }
    }

    /// Sets the smallest part that the session accepts, in bytes.
    #[must_use]
    pub const fn with_min_chunk(mut self, bytes: u64) -> Self {
        self.min_chunk = Some(bytes);
        self
    }

    /// Writes the head of the answer: 202 for a `POST` or a `PATCH`, 204 for a `GET`.
    #[must_use]
    pub fn write(&self, status: StatusCode) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        field::put(&mut headers, LOCATION, self.location.as_ref());
        let range = self.received.map(|received| format!("0-{}", received.last));
        field::put(&mut headers, RANGE, range.as_ref());
        field::put(&mut headers, CHUNK_MIN_LENGTH, self.min_chunk.as_ref());
        (status, headers)
    }

    /// Reads the head of a successful answer. Headers that do not have their form count as
    /// missing.
    #[must_use]
    pub fn read(head: &response::Parts) -> Self {
        let text = |name: HeaderName| field::text(&head.headers, &name);
        let min_chunk = text(CHUNK_MIN_LENGTH).and_then(|text| number(text.as_bytes()));
        Self {
            location: text(LOCATION),
            received: text(RANGE).and_then(|text| Received::parse(&text)),
            min_chunk: min_chunk.filter(|bytes| *bytes > 0),
        }
    }
}

/// The answer of a registry about a blob that it has stored or mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobStored {
    /// `Location`, as sent: where the blob can be read.
    pub location: Option<String>,
    /// `Docker-Content-Digest`: the digest of the stored blob (DG7).
    pub digest: Option<Digest>,
}

impl BlobStored {
    /// Makes the answer about a blob that can now be read at this URL.
    #[must_use]
    pub fn new(location: &str, digest: Digest) -> Self {
        Self {
            location: Some(location.to_owned()),
            digest: Some(digest),
        }
    }

    /// Writes the head of the answer.
    #[must_use]
    pub fn write(&self) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        field::put(&mut headers, LOCATION, self.location.as_ref());
        field::put(&mut headers, field::CONTENT_DIGEST, self.digest.as_ref());
        (StatusCode::CREATED, headers)
    }

    /// Reads the head of a successful answer. A digest that cannot be verified counts as missing.
    #[must_use]
    pub fn read(head: &response::Parts) -> Self {
        Self {
            location: field::text(&head.headers, &LOCATION),
            digest: field::digest(&head.headers),
        }
    }

    /// Checks that the registry stored what was sent to it (DG7). A digest under another algorithm
    /// cannot be compared, so it is ignored.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the registry names other content.
    pub fn check(&self, sent: &Digest) -> Result<(), Violation> {
        field::check_stored(self.digest.as_ref(), sent, SECTION)
    }
}
