//! The upload, of answers that a script gives; the lines of a short script come again.
//!
//! ```text
//! script = setup *( LF answer )
//! setup  = [ 1*DIGIT ] *( "c" 1*DIGIT / "e" / "m" / "o" / "s" )
//!                             ; size; chunk size, exists first, mount, one attempt, a stream that
//!                             ; is read once
//! answer = head / "!" / "?"   ; no answer, no authentication
//! ```

use std::time::Duration;

use longshore_model::Digest;
use longshore_origin::{Origin, Scheme};
use longshore_proto::call::{Ask, Call, CallPolicy, Ended, Step};
use longshore_proto::endpoint::Endpoint;
use longshore_proto::retry::Jitter;
use longshore_proto::upload::{
    RESUMES, Upload, UploadContent, UploadError, UploadNext, UploadOptions, UploadOutcome,
};
use longshore_proto::{Host, UploadQuirks};

use crate::answer::{Lines, head, number};
use crate::shown::is_plain;

/// Plays a script.
///
/// # Panics
///
/// When a request leaves a gap in the content or goes beyond it, when content that is read once is
/// asked for twice, when an upload is finished without all of its bytes, or does not end.
pub fn upload(data: &[u8]) {
    let (setup, mut lines) = Lines::read(data);
    let (mut upload, size, once) = new(setup);
    let mut ask = upload.start();
    // The end of what was sent, and of what the current session may have.
    let mut sent = 0;
    for _ in 0..ASKS_LIMIT {
        let ended = ended(&ask);
        if let Some(body) = ask.body {
            assert!(body.offset <= sent, "{body:?} leaves a gap after {sent}");
            assert!(!once || body.offset == sent, "{body:?} was read before");
            let end = body.length.map_or(size, |length| body.offset + length);
            assert!(end <= size, "{body:?} of {size} bytes");
            sent = sent.max(end);
        }
        let line = lines.line();
        let next = match line {
            b"!" => upload.on_failed(Jitter::new(u32::MAX)),
            b"?" => upload.on_denied(None),
            _ => upload.on_answer(&head(line), &ended, Jitter::new(0)),
        };
        match next {
            Ok(UploadNext::Ask(next)) => ask = next,
            Ok(UploadNext::Digest) => panic!("the digest is known"),
            Ok(UploadNext::Finished(UploadOutcome::Sent)) => {
                assert_eq!(sent, size, "not all was sent");
                return assert_eq!(upload.session(), None);
            }
            Ok(UploadNext::Finished(_)) => return,
            Err(error) => {
                is_plain(&error);
                return failed(&error, sent);
            }
        }
    }
    panic!("the upload does not end");
}

fn failed(error: &UploadError, sent: u64) {
    match error {
        UploadError::Resumes { resumes, .. } => assert!(*resumes <= RESUMES),
        UploadError::Range { received, sent: of } => assert!(received > of && *of <= sent),
        _ => {}
    }
}

fn new(setup: &[u8]) -> (Upload, u64, bool) {
    let (size, mut rest) = number(setup);
    let size = size.min(SIZE_LIMIT);
    let mut content = UploadContent::known(Digest::sha256(b"keel"), size);
    let mut options = UploadOptions::default();
    while let Some((flag, after)) = rest.split_first() {
        rest = after;
        match flag {
            b'c' => {
                let (chunk, after) = number(rest);
                // Smaller ones only make a long script.
                options.chunk = Some(chunk.max(size / CHUNKS));
                rest = after;
            }
            b'e' => options.check = true,
            b'm' => options.mount = "tools/base".parse().ok(),
            b'o' => options.once = Some(Duration::from_secs(60)),
            b's' => content.seekable = false,
            _ => {}
        }
    }
    let once = !content.seekable;
    let Ok(name) = "tools/anchor".parse() else {
        panic!("a name")
    };
    let upload = Upload::new(name, content, options, UploadQuirks::default());
    (upload, size, once)
}

/// What a call knows after an answer to this request.
fn ended(ask: &Ask) -> Ended {
    assert!(matches!(
        ask.endpoint,
        Endpoint::Blob(_) | Endpoint::Upload(_)
    ));
    let Ok(origin) = Origin::from_authority(Scheme::Https, "registry.example") else {
        panic!("an origin")
    };
    let hosts = [Host::new(origin)].into();
    let (mut call, step) = Call::start(ask.clone(), hosts, CallPolicy::default());
    if let Step::Wait(_) = step {
        let _ = call.waited();
    }
    call.end()
}

/// Larger blobs only have more chunks.
const SIZE_LIMIT: u64 = 1 << 32;
/// A blob has at most about this many chunks here.
const CHUNKS: u64 = 50;
/// Each resume may send all chunks again, and asks at most two questions before.
const ASKS_LIMIT: u32 = (RESUMES + 1) * (CHUNKS as u32 + 4);
