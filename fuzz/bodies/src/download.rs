//! The download, of a blob that arrives as a script says.
//!
//! ```text
//! script = [ 1*DIGIT ] [ "+" 1*DIGIT ] *( LF event )   ; size; bytes there before
//! event  = head [ ">" [ piece *( "," piece ) ] ] [ "!" ] ; the body breaks off at a "!"
//! piece  = 1*DIGIT                                       ; so many bytes at once
//! ```
//!
//! Heads are those of `answer.rs`. The second opinion knows for each byte of a body which byte of
//! the blob it is, by what the server said; what is delivered has to be those, one after another.

use std::time::Duration;

use http::response::Parts;
use longshore_model::Digest;
use longshore_proto::call::{Ask, Take};
use longshore_proto::download::{Body, Download, DownloadError, Next};
use longshore_proto::endpoint::{Endpoint, Read};
use longshore_proto::range::{ByteRange, ContentRange, RangeSet};
use longshore_proto::retry::Jitter;

use crate::answer::{Lines, head, number};
use crate::shown::is_plain;

/// Plays a script.
///
/// # Panics
///
/// When a byte is delivered twice, out of its place or beyond the size, when a download ends early
/// without an error, asks for something else than what is missing, or asks too often.
pub fn download(data: &[u8]) {
    let (setup, mut events) = Lines::read(data);
    let mut watch = Watch::new(setup);
    let mut download = Download::new(
        NAME.parse().unwrap_or_else(|error| panic!("{error}")),
        Digest::sha256(CONTENT),
        watch.size,
    )
    .resumed(watch.delivered);
    let mut ask = download.ask();
    loop {
        watch.asked(&ask);
        match watch.hears(&mut download, events.line()) {
            Ok(Some(next)) => ask = next,
            Ok(None) => return,
            Err(error) => {
                watch.failed(&error);
                return is_plain(&error);
            }
        }
        assert_eq!(download.received(), watch.delivered);
    }
}

/// What has happened so far, by our own account.
#[derive(Debug)]
struct Watch {
    /// The size, by the descriptor or by the first answer that tells.
    size: Option<u64>,
    /// How many bytes of the blob were delivered, from the first on.
    delivered: u64,
    /// Which part was asked for last.
    range: Option<ByteRange>,
    /// Where in the blob the next byte of the body belongs.
    position: u64,
    asks: u32,
    resumes: u32,
    /// Resumes in a row that brought next to nothing.
    stalled: u32,
}

impl Watch {
    fn new(setup: &[u8]) -> Self {
        let (size, rest) = number(setup);
        let is_known = setup.first().is_some_and(u8::is_ascii_digit);
        let before = rest.strip_prefix(b"+").map_or(0, |digits| number(digits).0);
        let size = is_known.then_some(size.min(SIZE_LIMIT));
        Self {
            size,
            // Only what is known to be unfinished is taken up.
            delivered: size.map_or(0, |size| before.min(size.saturating_sub(1))),
            range: None,
            position: 0,
            asks: 0,
            resumes: 0,
            stalled: 0,
        }
    }

    /// RT6: only what is missing is asked for, and at position 0 without a range.
    fn asked(&mut self, ask: &Ask) {
        self.asks += 1;
        assert!(self.asks <= ASKS_LIMIT, "RT6: {} requests", self.asks);
        assert!(ask.delay <= DELAY_LIMIT, "RT1: {:?}", ask.delay);
        assert_eq!(ask.take, Take::Stream);
        let Endpoint::Blob(request) = &ask.endpoint else {
            panic!("{:?} is no blob", ask.endpoint)
        };
        assert_eq!(request.read, Read::Get);
        assert_eq!(request.name.as_str(), NAME);
        assert_eq!(request.digest, Digest::sha256(CONTENT));
        let rest = ByteRange::From(self.delivered);
        let asked = request.range.as_ref().map(RangeSet::ranges);
        assert!(
            asked.is_none_or(|ranges| ranges == [rest] && self.delivered > 0),
            "RT6: {request:?} at {}",
            self.delivered
        );
        if let Some(etag) = &request.if_range {
            assert!(
                request.range.is_some() && etag.starts_with('"'),
                "RT6: {etag}"
            );
        }
        self.range = asked.map(|_| rest);
    }

    /// Tells the download what came; gives what it asks next, or nothing when it is over.
    fn hears(
        &mut self,
        download: &mut Download,
        line: &[u8],
    ) -> Result<Option<Ask>, DownloadError> {
        let (line, broken) = match line.strip_suffix(b"!") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let at = line.iter().position(|byte| *byte == b'>');
        let (text, pieces) = line.split_at(at.unwrap_or(line.len()));
        let head = head(text);
        // RT6: any refusal of a range may be about the range, but for 401 and 429.
        let status = head.status.as_u16();
        let refused = matches!(status, 400..=499 | 501) && !matches!(status, 401 | 416 | 429);
        let takes = matches!(status, 200 | 206 | 416) || refused && self.range.is_some();
        assert_eq!(download.takes(head.status), takes, "RT6: {status}");
        match download.on_head(&head)? {
            Body::Ask(ask) => {
                assert!(self.range.is_some(), "RT6: a restart of what was whole");
                assert!(!has_range(&ask), "RT6: a restart is of the whole");
                return Ok(Some(ask));
            }
            Body::Read => self.reads(&head),
        }
        self.size = self.size.or_else(|| download.size());
        let began = self.delivered;
        for piece in pieces
            .get(1..)
            .unwrap_or_default()
            .split(|byte| *byte == b',')
        {
            self.takes(download, number(piece).0.min(SIZE_LIMIT))?;
        }
        if self.delivered - began >= PROGRESS_BYTES {
            self.stalled = 0;
        } else if self.resumes > 0 {
            self.stalled += 1;
        }
        let next = if broken {
            download.on_interrupted(Jitter::new(u32::MAX))
        } else {
            download.on_end(Jitter::new(0))
        };
        match next? {
            Next::Ask(ask) => {
                self.resumes += 1;
                assert!(self.stalled < STALLED_LIMIT, "RT6: {}", self.stalled);
                Ok(Some(ask))
            }
            Next::Finished => {
                // DG3: the owner of the bytes verifies them; that they are all is known here.
                assert!(self.size.is_none_or(|size| size == self.delivered), "DG3");
                assert!(
                    self.position >= self.delivered,
                    "a body that ends too early"
                );
                Ok(None)
            }
        }
    }

    /// RT6: a body is taken if it is the whole, or begins exactly where we are.
    fn reads(&mut self, head: &Parts) {
        let mut ranges = head.headers.get_all(http::header::CONTENT_RANGE).iter();
        self.position = match (head.status.as_u16(), ranges.next(), ranges.next()) {
            (200, ..) => 0,
            (206, Some(range), None) => match ContentRange::parse(range.as_bytes()) {
                Some(ContentRange::Part { first, total, .. }) => {
                    assert_eq!(Some(ByteRange::From(first)), self.range, "RT6");
                    assert!(total.is_none() || self.size.is_none() || total == self.size);
                    first
                }
                other => panic!("RT6: {other:?} is no part"),
            },
            (status, ..) => panic!("RT6: the body of a {status}"),
        };
        let claims = head.headers.get_all("docker-content-digest").iter();
        for claim in claims.filter_map(|claim| claim.to_str().ok()?.parse::<Digest>().ok()) {
            let ours = Digest::sha256(CONTENT);
            let tells = claim.algorithm() == ours.algorithm();
            assert!(!tells || claim == ours, "DG2: {claim}");
        }
    }

    /// What is delivered goes on exactly where the last byte was.
    fn takes(&mut self, download: &mut Download, count: u64) -> Result<(), DownloadError> {
        let dropped = download.on_bytes(count)?;
        assert!(dropped <= count);
        if dropped < count {
            let first = self.position.saturating_add(dropped);
            assert_eq!(first, self.delivered, "a byte out of its place");
        }
        self.position = self.position.saturating_add(count);
        self.delivered = self.delivered.saturating_add(count - dropped);
        if let Some(size) = self.size {
            assert!(self.delivered <= size, "LI3: {} bytes", self.delivered);
        }
        Ok(())
    }

    fn failed(&self, error: &DownloadError) {
        match error {
            DownloadError::TooLong { expected, .. } | DownloadError::TooShort { expected, .. } => {
                assert!(self.size.is_none_or(|size| size == *expected));
            }
            DownloadError::Resumes { resumes, received } => {
                assert_eq!(*received, self.delivered);
                let enough = self.stalled == STALLED_LIMIT || *resumes == RESUMES_LIMIT;
                assert!(enough, "RT6: given up after {resumes}, {self:?}");
            }
            _ => {}
        }
    }
}

fn has_range(ask: &Ask) -> bool {
    matches!(&ask.endpoint, Endpoint::Blob(request) if request.range.is_some())
}

const NAME: &str = "tools/anchor";
const CONTENT: &[u8] = b"keel";

// The limits as the rules state them; the crate has constants of its own.

/// RT6
const STALLED_LIMIT: u32 = 5;
/// RT6
const PROGRESS_BYTES: u64 = 16 * 1024;
/// RT6
const RESUMES_LIMIT: u32 = 200;
/// The first request, each resume, and one restart.
const ASKS_LIMIT: u32 = 1 + RESUMES_LIMIT + 1;
/// RT1
const DELAY_LIMIT: Duration = Duration::from_secs(10);
/// LI3
const SIZE_LIMIT: u64 = i64::MAX as u64;
