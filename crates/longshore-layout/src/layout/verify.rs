//! Verifying every byte of a layout.
//!
//! First the manifests are read to find the blobs that the layout refers to. Then the other blobs
//! are hashed, several at a time. Last, the directory is searched for blobs that nothing refers to.
//! Only sizes on disk decide what is read: a descriptor with a wrong size costs nothing.

use std::io::{self, Read as _};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use longshore_model::Digest;
use longshore_store::{Store as _, StoreError};

use super::graph::{Absence, BLOBS_LIMIT, Graph, Node};
use super::{Layout, Unread, check_size};
use crate::error::LayoutError;
use crate::report::{Finding, Problem, Progress, Report};

impl Layout {
    /// Verifies the whole layout: reads every manifest and hashes every blob that the index refers
    /// to, directly or not, and reports which blobs are absent, which do not match their
    /// descriptors, and which nothing refers to. Writes nothing.
    ///
    /// A finding does not end the verification. `progress` is called often and from any thread:
    /// after each manifest, and for each 256 KiB of other blobs.
    ///
    /// If other processes write during the verification, their new content may or may not be
    /// included; content that they delete may be reported as missing.
    ///
    /// # Errors
    ///
    /// Only errors of `index.json`, as [`Layout::entries`]; everything else is a finding.
    pub fn verify(&self, progress: impl Fn(Progress) + Sync) -> Result<Report, LayoutError> {
        let mut verification = Verification {
            layout: self,
            report: Report::default(),
            blobs: Vec::new(),
            counts: Counts::default(),
            progress: &progress,
        };
        let graph = verification.read_manifests()?;
        verification.hash_blobs();
        verification.compare(&graph);
        Ok(verification.report)
    }
}

struct Verification<'a, P> {
    layout: &'a Layout,
    report: Report,
    /// Blobs of the right size, to be hashed.
    blobs: Vec<Blob>,
    counts: Counts,
    progress: &'a P,
}

struct Blob {
    digest: Digest,
    size: u64,
    referrer: Option<Digest>,
}

impl<P: Fn(Progress) + Sync> Verification<'_, P> {
    fn read_manifests(&mut self) -> Result<Graph, LayoutError> {
        let index = self.layout.index()?;
        let mut graph = Graph::new(index.entries());
        drop(index);
        while let Some(node) = graph.next() {
            if let Err(problem) = self.take(&mut graph, &node) {
                let elsewhere = match (&problem, node.item.absence) {
                    (Problem::Missing, Absence::Fine) => continue,
                    (Problem::Missing, absence) => absence == Absence::Elsewhere,
                    _ => false,
                };
                let problem = if elsewhere {
                    Problem::Elsewhere
                } else {
                    problem
                };
                self.report
                    .add(Finding::new(Some(node.digest), node.item.referrer, problem));
            }
        }
        if graph.is_endless() {
            let problem = Problem::Endless { limit: BLOBS_LIMIT };
            self.report.add(Finding::new(None, None, problem));
        }
        Ok(graph)
    }

    /// Reads a manifest, or records another blob to be hashed later.
    fn take(&mut self, graph: &mut Graph, node: &Node) -> Result<(), Problem> {
        // A wrong size is found without reading the blob.
        match self.layout.store.size(&node.digest)? {
            None => return Err(Problem::Missing),
            Some(found) => check_size(node.size, found).map_err(Problem::Corrupt)?,
        }
        if graph.check_depth(node).is_err() {
            return Err(Problem::TooDeep);
        }
        let manifest = self.layout.read_expected(node)?;
        self.counts.know(node.size);
        match manifest {
            Some(manifest) => {
                graph.expand(node, &manifest);
                self.counts.read(node.size);
                self.counts.end_blob();
                (self.progress)(self.counts.get());
                self.report.manifests += 1;
                self.report.good(node.size);
            }
            None => self.blobs.push(Blob {
                digest: node.digest.clone(),
                size: node.size,
                referrer: node.item.referrer.clone(),
            }),
        }
        Ok(())
    }

    /// Hashes the blobs, the largest first, so that all threads end at about the same time.
    fn hash_blobs(&mut self) {
        self.blobs
            .sort_by(|one, other| (other.size, &one.digest).cmp(&(one.size, &other.digest)));
        // One blob may be listed as a manifest of unknown type and as content.
        self.blobs.dedup_by(|one, other| one.digest == other.digest);
        let before = self.report.findings.len();
        let report = Mutex::new(std::mem::take(&mut self.report));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = vec![0; BUFFER_BYTES];
            while let Some(blob) = self.blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let hashed = self.hash(blob, &mut buffer);
                self.counts.end_blob();
                let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
                match hashed {
                    Ok(()) => report.good(blob.size),
                    Err(error) => report.add(Finding::new(
                        Some(blob.digest.clone()),
                        blob.referrer.clone(),
                        error.into(),
                    )),
                }
            }
        };
        thread::scope(|scope| {
            // This thread works too, so the work is done even if no other thread can be started.
            for _ in 1..threads().min(self.blobs.len()) {
                let _ = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        self.report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        // The order must not depend on which thread was faster.
        if let Some(found) = self.report.findings.get_mut(before..) {
            found.sort_by(|one, other| one.digest.cmp(&other.digest));
        }
    }

    fn hash(&self, blob: &Blob, buffer: &mut [u8]) -> Result<(), StoreError> {
        let mut reader = self.layout.read_blob(&blob.digest, blob.size)?;
        loop {
            match reader.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.counts.read(count as u64);
                    (self.progress)(self.counts.get());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.layout.read_failed(&blob.digest, error)),
            }
        }
    }

    /// Reports the blobs that nothing refers to.
    fn compare(&mut self, graph: &Graph) {
        if let Err(error) = self.list_unreferenced(graph) {
            self.report.add(Finding::new(None, None, error.into()));
        }
    }

    fn list_unreferenced(&mut self, graph: &Graph) -> Result<(), StoreError> {
        for digest in self.layout.store.list()? {
            let digest = digest?;
            if graph.refers_to(&digest) {
                continue;
            }
            if let Some(size) = self.layout.store.size(&digest)? {
                let problem = Problem::Unreferenced { size };
                self.report.add(Finding::new(Some(digest), None, problem));
            }
        }
        Ok(())
    }
}

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Manifest(source) => Self::Malformed(source),
            Unread::Store(error) => error.into(),
        }
    }
}

/// The counters behind [`Progress`].
#[derive(Default)]
struct Counts {
    blobs: AtomicU64,
    bytes: AtomicU64,
    known_blobs: AtomicU64,
    known_bytes: AtomicU64,
}

impl Counts {
    fn know(&self, size: u64) {
        self.known_blobs.fetch_add(1, Ordering::Relaxed);
        self.known_bytes.fetch_add(size, Ordering::Relaxed);
    }

    fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn end_blob(&self) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> Progress {
        Progress {
            blobs: self.blobs.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            known_blobs: self.known_blobs.load(Ordering::Relaxed),
            known_bytes: self.known_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Returns the number of threads that hash: two are as fast as most disks.
fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS_LIMIT)
}

const THREADS_LIMIT: usize = 2;

/// How many bytes of a blob each thread has in memory while it hashes (LI2: blobs are streamed).
const BUFFER_BYTES: usize = 256 * 1024;
