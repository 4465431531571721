//! Checks the existing blobs of destinations on this machine.
//!
//! They are hashed on threads of their own, while missing blobs arrive over the network.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use longshore_store::Existing;

use super::transfer::{Context, Job};
use crate::error::TransferError;
use crate::observer::Event;
use crate::plan::PlannedBlob;

/// Maximum number of threads that hash. There is one for each processor up to this number; more
/// threads would only wait for the disk.
const THREADS_LIMIT: usize = 8;

/// A blob to check, and the place of the destination that has it.
pub(super) struct Check {
    pub(super) number: usize,
    pub(super) blob: PlannedBlob,
}

/// The blobs still to be checked, and those that cannot be reused.
pub(super) struct Unchecked(Mutex<Queues>);

struct Queues {
    waiting: VecDeque<Check>,
    useless: Vec<Job>,
}

impl Unchecked {
    /// Puts the largest first, so that all threads end at about the same time.
    pub(super) fn new(mut present: Vec<Check>) -> Self {
        present.sort_by_key(|check| std::cmp::Reverse(check.blob.size));
        Self(Mutex::new(Queues {
            waiting: present.into(),
            useless: Vec::new(),
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

    /// Takes the blobs that have to be moved.
    pub(super) fn take_useless(&self) -> Vec<Job> {
        std::mem::take(&mut self.queues().useless)
    }

    fn next(&self) -> Option<Check> {
        self.queues().waiting.pop_front()
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks blobs until none is waiting. Blocks.
pub(super) fn check(context: &Context, unchecked: &Unchecked) -> Result<(), TransferError> {
    while let Some(Check { number, blob }) = unchecked.next() {
        if context.has_failed(number) {
            continue;
        }
        let target = context.target(number);
        let store = target.end.opened_store()?;
        let store = store.interruptible(&context.interrupt);
        match store.reuse_verified(&blob.digest, blob.size)? {
            Existing::Verified => {
                target.count_existing();
                context.counts.tell(Event::Skipped { blob: &blob });
                continue;
            }
            Existing::Damaged => {
                target.count_damaged();
                context.counts.tell(Event::Damaged { blob: &blob });
            }
            Existing::Absent => {}
        }
        let mut job = Job::new(&blob);
        job.send(number);
        unchecked.queues().useless.push(job);
    }
    Ok(())
}
