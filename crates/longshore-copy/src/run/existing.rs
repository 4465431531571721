//! Checks the existing blobs of destinations.
//!
//! On this machine they are hashed on threads of their own, while missing blobs arrive over the
//! network. Registries are asked for them before.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use longshore_store::Existing;
use tokio::task::JoinSet;

use super::transfer::{Context, Job, check_stored};
use crate::error::TransferError;
use crate::observer::Event;
use crate::plan::PlannedBlob;

/// Maximum number of threads that hash. There is one for each processor up to this number; more
/// threads would only wait for the disk.
const THREADS_LIMIT: usize = 8;

/// Maximum number of blobs that registries are asked for concurrently.
const CONCURRENT_QUESTIONS: usize = 32;

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

/// Asks registries for the blobs that they list; returns those that they do not serve, to be sent
/// again.
pub(super) async fn find_lost(
    context: &Arc<Context>,
    listed: Vec<Check>,
) -> Result<Vec<Job>, TransferError> {
    let (mut lost, mut asking) = (Vec::new(), JoinSet::new());
    let mut listed = listed.into_iter();
    loop {
        while asking.len() < CONCURRENT_QUESTIONS
            && let Some(Check { number, blob }) = listed.next()
        {
            let end = Arc::clone(&context.target(number).end);
            asking.spawn(async move { (number, check_stored(&*end, &blob).await, blob) });
        }
        let Some(asked) = asking.join_next().await else {
            return Ok(lost);
        };
        let (number, result, blob) = asked.map_err(|_| TransferError::Worker)?;
        let target = context.target(number);
        match result {
            Ok(()) => {
                target.count_existing();
                context.counts.tell(Event::Skipped { blob: &blob });
            }
            Err(error) if error.is_loss() => {
                target.count_damaged();
                context.counts.tell(Event::Lost {
                    blob: &blob,
                    error: &error,
                });
                let mut job = Job::new(&blob);
                job.send(number);
                lost.push(job);
            }
            Err(error) => context.fail(number, error)?,
        }
    }
}
