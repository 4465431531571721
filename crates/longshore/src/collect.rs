//! Reading bodies into memory, each within its limit (LI1).

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{header, response};
use longshore_proto::call::Take;
use longshore_proto::error_code::ERROR_BODY_LIMIT_BYTES;
use longshore_transport::{Body, Clock, TransportError};

use crate::idle::StallGuard;

/// Reads a body into memory, or its beginning, or nothing of it.
pub(crate) async fn collect(
    clock: &Arc<dyn Clock>,
    head: &response::Parts,
    mut body: Body,
    take: Take,
) -> Result<Bytes, BodyError> {
    let limit = match take {
        Take::Document { limit } => limit,
        Take::Excerpt => ERROR_BODY_LIMIT_BYTES as u64,
        _ => return Ok(Bytes::new()),
    };
    let excerpt = take == Take::Excerpt;
    if announced(head, &body) > limit && !excerpt {
        return Err(BodyError::TooLarge { limit });
    }
    let mut guard = StallGuard::new(Arc::clone(clock));
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| guard.poll_frame(&mut body, cx)).await {
        let mut bytes = match frame {
            Ok(bytes) => bytes,
            // What arrived of an error body is worth more than the reason why no more did.
            Err(_) if excerpt => break,
            Err(error) => return Err(BodyError::Transport(error)),
        };
        let length = (first.len() + rest.len()) as u64;
        let room = limit - length;
        let full = bytes.len() as u64 > room;
        if full && !excerpt {
            return Err(BodyError::TooLarge { limit });
        }
        // Where it is full, the room is less than the usize it is compared with.
        bytes.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        if length == 0 {
            first = bytes;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&bytes);
        }
        if full {
            break;
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

/// How long a body is at least, by what its head or its transport says (LI1).
pub(crate) fn announced(head: &response::Parts, body: &Body) -> u64 {
    let length = head.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let length: u64 = length.unwrap_or_default();
    length.max(http_body::Body::size_hint(body).lower())
}

/// Why a body could not be collected.
pub(crate) enum BodyError {
    TooLarge { limit: u64 },
    Transport(TransportError),
}
