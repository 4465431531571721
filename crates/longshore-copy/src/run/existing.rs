//! Checks the existing blobs of the destination.
//!
//! They are hashed on threads of their own, while missing blobs arrive over the network.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use longshore_store::Existing;

use super::transfer::Context;
use crate::error::TransferError;
use crate::observer::Event;
use crate::plan::PlannedBlob;

/// Maximum number of threads that hash. There is one for each processor up to this number; more
/// threads would only wait for the disk.
const THREADS_LIMIT: usize = 8;

/// The blobs still to be checked, and those that cannot be reused.
pub(super) struct Unchecked(Mutex<Queues>);

struct Queues {
    waiting: VecDeque<PlannedBlob>,
    useless: Vec<PlannedBlob>,
    /// How many of the useless ones have wrong content, rather than being absent.
    damaged: u64,
}

impl Unchecked {
    /// Puts the largest first, so that all threads end at about the same time.
    pub(super) fn new(mut present: Vec<PlannedBlob>) -> Self {
        present.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        Self(Mutex::new(Queues {
            waiting: present.into(),
            useless: Vec::new(),
            damaged: 0,
        }))
    }

    /// Returns the number of threads to check with.
    pub(super) fn threads(&self) -> usize {
        // Counting processors reads files, and most pulls reuse nothing or one blob.
        let waiting = self.queues().waiting.len();
        if waiting < 2 {
            return waiting;
        }
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        processors.min(THREADS_LIMIT).min(waiting)
    }

    /// Takes the blobs that have to be moved, and how many of them have other content.
    pub(super) fn take_useless(&self) -> (Vec<PlannedBlob>, u64) {
        let mut queues = self.queues();
        (std::mem::take(&mut queues.useless), queues.damaged)
    }

    fn next(&self) -> Option<PlannedBlob> {
        self.queues().waiting.pop_front()
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks blobs until none is waiting. Blocks.
pub(super) fn check(context: &Context, unchecked: &Unchecked) -> Result<(), TransferError> {
    while let Some(blob) = unchecked.next() {
        let existing = context.store.reuse_verified(&blob.digest, blob.size)?;
        match existing {
            Existing::Verified => {
                context.tell(Event::Skipped { blob: &blob });
                continue;
            }
            Existing::Damaged => context.tell(Event::Damaged { blob: &blob }),
            Existing::Absent => {}
        }
        let mut queues = unchecked.queues();
        queues.damaged += u64::from(existing == Existing::Damaged);
        queues.useless.push(blob);
    }
    Ok(())
}
