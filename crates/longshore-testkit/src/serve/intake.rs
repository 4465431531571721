//! How a server reads the body of a request.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::ScriptedResponse;
use crate::{Gate, Valve};

/// What a server does with the body of a request.
#[derive(Debug)]
pub(crate) enum Intake {
    /// Sends this answer without reading the body.
    Answer(Box<ScriptedResponse>),
    /// Reads the body in this way.
    Read(Reading),
}

/// How a body is read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The maximum length of the body, in bytes.
    pub(crate) limit: u64,
    /// Closes the connection after this many bytes of the body.
    pub(crate) cut: Option<u64>,
    /// Stops reading after this many bytes until the gate opens.
    pub(crate) stall: Option<(u64, Gate)>,
    /// Reads only as far as the valve allows.
    pub(crate) pace: Option<Valve>,
}

impl Reading {
    /// The whole body, as fast as it arrives.
    pub(crate) const fn whole() -> Self {
        Self {
            limit: BODY_LIMIT_BYTES,
            cut: None,
            stall: None,
            pace: None,
        }
    }
}

/// How reading a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is complete.
    Complete,
    /// One of the sides broke off.
    Broken,
    /// It is longer than the limit.
    TooLong,
}

/// Reads a body. Calls `paused` with the bytes so far whenever reading pauses.
pub(super) async fn read(
    body: &mut Incoming,
    mut how: Reading,
    mut paused: impl FnMut(&[u8]),
) -> (Bytes, End) {
    let mut taken = BytesMut::new();
    loop {
        let length = taken.len() as u64;
        if length > how.limit {
            return (taken.freeze(), End::TooLong);
        }
        if let Some(cut) = how.cut.filter(|cut| length >= *cut) {
            taken.truncate(usize::try_from(cut).unwrap_or(usize::MAX));
            return (taken.freeze(), End::Broken);
        }
        if let Some((_, gate)) = how.stall.take_if(|(bytes, _)| length >= *bytes) {
            paused(&taken);
            gate.passed().await;
        }
        let piece = match body.frame().await {
            None => return (taken.freeze(), End::Complete),
            Some(Err(_)) => return (taken.freeze(), End::Broken),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        match &how.pace {
            Some(valve) => drip(valve, piece, &mut taken, &mut paused).await,
            None => taken.extend_from_slice(&piece),
        }
    }
}

/// Passes a piece on as the valve allows, until the whole piece has passed.
async fn drip(
    valve: &Valve,
    mut piece: Bytes,
    taken: &mut BytesMut,
    paused: &mut impl FnMut(&[u8]),
) {
    let mut waiting = None;
    while !piece.is_empty() {
        let most = piece.len() as u64;
        let passed = poll_fn(|cx| {
            let passed = valve.poll_take(&mut waiting, most, cx);
            if passed.is_pending() {
                paused(taken);
            }
            passed
        })
        .await;
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        taken.extend_from_slice(&piece.split_to(passed.min(piece.len())));
    }
}

/// Reads the rest of a body and discards it: closing a connection with unread bytes resets it, and
/// the client then loses the answer.
pub(super) async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The maximum length of a request body that is kept, in bytes; a longer one is refused with 413.
const BODY_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
