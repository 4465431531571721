//! How a server chooses the entries of one page of a list.
//!
//! ```text
//! query  = [ parameter *( "&" parameter ) ]
//! parameter = "n=" 1*DIGIT      ; most entries of the page
//!           / "last=" key       ; the entries after this key, which need not be in the list
//!           / other             ; stays in the query of the next page
//! ```
//!
//! Lists are sorted by the bytes of their keys, as registries do. The key is the tag, the
//! repository name or the digest. Source: distribution-spec v1.1.1 "Listing Tags".

use http::StatusCode;
use longshore_model::{DESCRIPTORS_LIMIT, Descriptor};

use super::page::PageQuery;
use crate::Refusal;
use crate::error_code::{ErrorBody, ErrorCode};
use crate::listing::PAGE_LIMIT_BYTES;

/// The parameters of the query.
const N: &str = "n";
const LAST: &str = "last";

/// Bytes reserved for what surrounds the entries of a page, such as the name of the repository.
const ENVELOPE_BYTES: u64 = 1024;

/// An entry of a list.
pub(super) trait Entry {
    /// What the list is sorted by.
    fn key(&self) -> &str;

    /// Its length in a page, in bytes.
    fn length(&self) -> u64;
}

impl Entry for String {
    fn key(&self) -> &str {
        self
    }

    fn length(&self) -> u64 {
        // Two quotes and a comma: names have nothing to escape.
        self.len() as u64 + 3
    }
}

impl Entry for Descriptor {
    fn key(&self) -> &str {
        self.digest.as_str()
    }

    fn length(&self) -> u64 {
        // Text and numbers always serialise.
        serde_json::to_vec(self).map_or(0, |json| json.len() as u64 + 1)
    }
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Slice<'a, T> {
    /// The entries.
    pub(super) entries: &'a [T],
    /// The query of the next page, where there are more entries.
    pub(super) next: Option<PageQuery>,
}

impl PageQuery {
    /// The number of entries that the client asks for; `None` when the parameter `n` is missing or
    /// empty.
    ///
    /// Anything but a number is refused with 400, as Distribution does: an answer with another
    /// number would hide the mistake. A number that does not fit into `usize` counts as the largest
    /// one.
    pub(super) fn n(&self) -> Result<Option<usize>, Refusal> {
        let Some(n) = self.bytes(N).filter(|n| !n.is_empty()) else {
            return Ok(None);
        };
        if n.iter().all(u8::is_ascii_digit) {
            let n = str::from_utf8(&n).ok().and_then(|n| n.parse().ok());
            return Ok(Some(n.unwrap_or(usize::MAX)));
        }
        let code = ErrorCode::from("PAGINATION_NUMBER_INVALID");
        let body = ErrorBody::one(code, "the parameter n is not a number");
        Err(Refusal::new(StatusCode::BAD_REQUEST, body))
    }

    /// The page of a sorted list that this query asks for.
    ///
    /// It has at most `n` entries where `n` is given. Three limits override `n` (LI): `most`,
    /// [`DESCRIPTORS_LIMIT`], which is the maximum that a client reads from one document, and
    /// [`PAGE_LIMIT_BYTES`]. An entry that is larger than a page gets a page of its own.
    ///
    /// A page without entries has no next page ("Listing Tags").
    pub(super) fn slice<'a, T: Entry>(
        &self,
        sorted: &'a [T],
        n: Option<usize>,
        most: usize,
    ) -> Slice<'a, T> {
        let last = self.bytes(LAST).unwrap_or_default();
        let begin = sorted.partition_point(|entry| entry.key().as_bytes() <= last.as_slice());
        let rest = sorted.get(begin..).unwrap_or_default();
        let most = most.min(DESCRIPTORS_LIMIT);
        let most = n.map_or(most, |n| n.min(most));
        let mut room = PAGE_LIMIT_BYTES - ENVELOPE_BYTES;
        let fit = rest.iter().take(most).take_while(|entry| {
            let left = room.checked_sub(entry.length());
            room = left.unwrap_or_default();
            left.is_some()
        });
        let count = fit.count().max(1).min(most);
        let (entries, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let next = entries.last().filter(|_| !after.is_empty());
        Slice {
            entries,
            next: next.map(|last| self.following(n.map(|_| most), last.key())),
        }
    }

    /// The query of the page after `last`. All other parameters are kept unchanged, because they
    /// may select the list.
    fn following(&self, n: Option<usize>, last: &str) -> Self {
        let replaced: &[_] = match n {
            Some(_) => &[N, LAST],
            None => &[LAST],
        };
        let mut next = self.without(replaced);
        if let Some(n) = n {
            next.push(N, &n.to_string());
        }
        next.push(LAST, last);
        next
    }
}

#[cfg(test)]
mod tests;
