//! Several parts of a blob in one answer (RFC 9110 §14.6).
//!
//! ```text
//! body      = 1*part closing
//! part      = delimiter "Content-Type: application/octet-stream" CRLF
//!             "Content-Range: " content-range CRLF CRLF *OCTET
//! delimiter = [ CRLF ] "--" boundary CRLF         ; without the CRLF before the first part
//! closing   = CRLF "--" boundary "--" CRLF
//! boundary  = 32HEXDIG
//! ```

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use longshore_model::Digest;

use super::BlobAnswer;
use crate::field;
use crate::range::ContentRange;

/// The body of an answer with several parts of a blob: an iterator over the pieces to send.
///
/// ```
/// use http::{HeaderMap, Method};
/// use longshore_model::Digest;
/// use longshore_proto::endpoint::{BlobBody, Endpoint, MultipartPiece};
/// use longshore_proto::route;
///
/// let (blob, mut headers) = (b"0123456789", HeaderMap::new());
/// headers.insert("range", "bytes=0-1,-4".parse()?);
/// let path = format!("/v2/app/blobs/{}", Digest::sha256(blob));
/// let Endpoint::Blob(request) = route::read_only(&Method::GET, &path, &headers)? else {
///     unreachable!("the path names a blob")
/// };
/// let (head, BlobBody::Multipart(parts)) = request.answer(10)?.into_parts() else {
///     unreachable!("the request asks for two parts")
/// };
/// let mut sent = Vec::new();
/// for piece in parts {
///     match piece {
///         MultipartPiece::Delimiter(text) => sent.extend_from_slice(&text),
///         MultipartPiece::Content(range) => {
///             sent.extend_from_slice(&blob[range.start as usize..range.end as usize]);
///         }
///     }
/// }
/// assert_eq!(head.headers["content-length"], sent.len().to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    boundary: String,
    total: u64,
    ranges: Vec<Range<u64>>,
    /// Number of pieces returned so far.
    next: usize,
}

/// A piece of the body of an answer with several parts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a server must send every kind of piece"
)]
pub enum MultipartPiece {
    /// Text between the parts, sent unchanged.
    Delimiter(Bytes),
    /// A part: the bytes of the blob in this range. The range is not empty.
    Content(Range<u64>),
}

impl Multipart {
    /// Makes the body with these parts of a blob of `total` bytes, in this order.
    ///
    /// The boundary is 128 bits of a hash of the digest and the parts. It is longer than any
    /// number, so no head of a part contains it. Content that contains the boundary would have to
    /// contain a hash of its own digest.
    pub(super) fn new(digest: &Digest, total: u64, ranges: Vec<Range<u64>>) -> Self {
        let named = format!("{digest} {ranges:?}");
        let named = Digest::sha256(named.as_bytes());
        let boundary = named.encoded().chars().take(BOUNDARY_CHARS).collect();
        Self {
            boundary,
            total,
            ranges,
            next: 0,
        }
    }

    /// The text that separates the parts.
    #[must_use]
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// The parts: non-empty ranges of the blob that do not overlap, in the order of the request.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The length in bytes of all remaining pieces.
    #[must_use]
    pub fn length(&self) -> u64 {
        let pieces = self.clone().map(|piece| match piece {
            MultipartPiece::Delimiter(text) => text.len() as u64,
            MultipartPiece::Content(range) => range.end - range.start,
        });
        pieces.fold(0, u64::saturating_add)
    }

    /// The head of the answer. It has no `Content-Range`, which only the parts have (RFC 9110
    /// §15.3.7.2).
    pub(super) fn head(&self, digest: &Digest) -> (StatusCode, HeaderMap) {
        let (_, mut headers) = BlobAnswer::whole(digest.clone(), self.length()).write();
        let media_type = format!("multipart/byteranges; boundary={}", self.boundary);
        field::put(&mut headers, header::CONTENT_TYPE, Some(&media_type));
        (StatusCode::PARTIAL_CONTENT, headers)
    }

    /// The text before the part with this index, or after the last part.
    fn delimiter(&self, index: usize) -> Bytes {
        let (boundary, total) = (&self.boundary, Some(self.total));
        let text = match self.ranges.get(index) {
            None => format!("\r\n--{boundary}--\r\n"),
            Some(range) => {
                let (first, last) = (range.start, range.end.saturating_sub(1));
                let range = ContentRange::Part { first, last, total };
                let line_end = if index == 0 { "" } else { "\r\n" };
                format!(
                    "{line_end}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                     Content-Range: {range}\r\n\r\n"
                )
            }
        };
        text.into()
    }
}

impl Iterator for Multipart {
    type Item = MultipartPiece;

    fn next(&mut self) -> Option<MultipartPiece> {
        let (index, is_content) = (self.next / 2, self.next % 2 == 1);
        let piece = if is_content {
            MultipartPiece::Content(self.ranges.get(index)?.clone())
        } else if index <= self.ranges.len() {
            MultipartPiece::Delimiter(self.delimiter(index))
        } else {
            return None;
        };
        self.next += 1;
        Some(piece)
    }
}

/// Length of a boundary: hexadecimal digits of 128 bits.
const BOUNDARY_CHARS: usize = 32;
