//! The body of an answer: content from an offset, whole, cut short or held.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::line::Line;
use crate::content::{BlobContent, CHUNK_BYTES};
use crate::valve::Waiting;
use crate::{Gate, Valve};

/// What happens to a body on its way.
#[derive(Clone, Debug)]
pub(crate) enum Course {
    /// All of it is sent.
    Whole,
    /// The connection closes after this many bytes of it.
    CutAfter(u64),
    /// It goes no further after this many bytes until the gate opens.
    HoldAfter(u64, Gate),
    /// It goes as far as the valve lets it.
    Paced(Valve),
}

/// A body that hyper can send.
pub(crate) struct Outgoing {
    content: BlobContent,
    position: u64,
    end: u64,
    announced: bool,
    course: Course,
    line: Line,
    held: Waiting,
}

impl Outgoing {
    /// Bytes `from..end` of `content`, with the length announced or in chunks.
    pub(crate) fn new(
        content: BlobContent,
        range: (u64, u64),
        announced: bool,
        course: Course,
        line: Line,
    ) -> Self {
        let (position, end) = range;
        // Positions below count from the start of the content.
        let course = match course {
            course @ (Course::Whole | Course::Paced(_)) => course,
            Course::CutAfter(bytes) => Course::CutAfter(position.saturating_add(bytes)),
            Course::HoldAfter(bytes, gate) => {
                Course::HoldAfter(position.saturating_add(bytes), gate)
            }
        };
        Self {
            content,
            position,
            end,
            announced,
            course,
            line,
            held: None,
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut end = this.end;
        match &this.course {
            Course::Whole => {}
            Course::CutAfter(at) if this.position >= *at => {
                // The waker is not kept: the flush that follows ends the connection.
                this.line.cut();
                return Poll::Pending;
            }
            Course::HoldAfter(at, gate) if this.position >= *at => {
                let gate = gate.clone();
                let held = this
                    .held
                    .get_or_insert_with(|| Box::pin(async move { gate.passed().await }));
                std::task::ready!(held.as_mut().poll(cx));
                this.course = Course::Whole;
            }
            Course::CutAfter(at) | Course::HoldAfter(at, _) => end = end.min(*at),
            Course::Paced(valve) => {
                let most = (end - this.position).min(CHUNK_BYTES as u64);
                let taken = std::task::ready!(valve.poll_take(&mut this.held, most, cx));
                end = this.position + taken;
            }
        }
        let most = usize::try_from(end - this.position)
            .unwrap_or(usize::MAX)
            .min(CHUNK_BYTES);
        let chunk = this.content.read_at(this.position, most);
        this.position += chunk.len() as u64;
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.position >= self.end && matches!(self.course, Course::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced {
            SizeHint::with_exact(self.end - self.position)
        } else {
            SizeHint::default()
        }
    }
}
