//! `cargo xtask bench cache`: the cost of serving from a cache, compared with the floor and others.
//!
//! Every program serves the same files to the same clients, in turn, over several rounds. A cache
//! has all of them stored before it is measured, except for the work of cold clients. The figure of
//! short requests is the processor time of the server, because the clients share its cores.

mod image;
mod judge;
mod load;
mod options;
mod report;
mod server;
mod upstream;
mod work;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use image::{Subject, tag_of};
use options::Options;
use server::Program;
use upstream::Upstream;
use work::{COLD_CLIENTS, MEMORY_CLIENTS, Row, Sample, Work};

use super::image::Trees;
use super::program::Programs;
use super::server::Server;
use super::{Scratch, machine};
use crate::checkout::Checkout;

/// The word after `bench`.
pub(crate) const VERB: &str = "cache";

/// Runs the benchmark.
///
/// # Errors
///
/// An option is not known, or a program that every measurement needs cannot be built.
pub(crate) fn run(checkout: &Checkout, words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    let is_measured = options.programs().contains(&Program::Longshore);
    let programs = Programs::of_caches(checkout, options.longshore.as_deref(), is_measured)?;
    let base = match &options.directory {
        Some(directory) => directory.clone(),
        None => checkout.root().join("target/bench"),
    };
    let named = |error: io::Error| format!("{}: {error}", base.display());
    let scratch = Scratch::make(&base).map_err(named)?;
    let machine = machine();
    eprintln!("==> making files");
    let (trees, subject) = Subject::make(scratch.path(), options.quick).map_err(named)?;
    let mut bench = Bench {
        options: &options,
        programs: &programs,
        directory: scratch.path(),
        trees: &trees,
        subject: &subject,
        started: 0,
        rows: Vec::new(),
        notices: programs.absent.clone(),
    };
    for notice in &bench.notices {
        eprintln!("*** {notice}");
    }
    bench.run();
    let outcome = report::Outcome {
        quick: options.quick,
        rounds: options.rounds,
        targets: judge::judge(&bench.rows, subject.cold_bytes),
        rows: &bench.rows,
        versions: &programs.versions,
        machine: &machine,
        notices: &bench.notices,
    };
    if options.json {
        eprintln!("\n{}", report::text(&outcome));
        println!("{:#}", report::json(&outcome));
    } else {
        println!("\n{}", report::text(&outcome));
    }
    Ok(())
}

/// A run under way.
struct Bench<'a> {
    options: &'a Options,
    programs: &'a Programs,
    directory: &'a Path,
    trees: &'a Trees,
    subject: &'a Subject,
    /// The number of servers that were started.
    started: u32,
    rows: Vec<Row>,
    notices: Vec<String>,
}

impl Bench<'_> {
    fn run(&mut self) {
        for work in self.options.works() {
            eprintln!("==> {}", work.name());
            let mut runs = Vec::new();
            for program in self.options.programs() {
                if !program.does(work) {
                    continue;
                }
                let row = Row {
                    work,
                    program,
                    samples: Vec::new(),
                };
                // Cold clients need a new cache in each round.
                if work == Work::Cold {
                    runs.push((row, None));
                    continue;
                }
                let running = self.start(program);
                match running.and_then(|running| self.warm(work, program, running)) {
                    Ok(running) => runs.push((row, Some(running))),
                    Err(why) => self.notice(format!("not measured: {}: {why}", program.name())),
                }
            }
            self.measure(work, runs);
        }
    }

    /// All rounds of one work.
    fn measure(&mut self, work: Work, mut runs: Vec<(Row, Option<Running>)>) {
        for round in 0..self.options.rounds {
            let first = usize::from(round > 0).min(runs.len());
            runs.rotate_left(first);
            runs.retain_mut(|(row, running)| {
                let sample = match running {
                    Some(running) => self.once(work, running),
                    None => self.cold(row.program),
                };
                match sample {
                    Ok(sample) => {
                        row.samples.push(sample);
                        true
                    }
                    Err(why) => {
                        let what = format!("{} at {}: {why}", row.program.name(), work.name());
                        self.notice(what);
                        false
                    }
                }
            });
        }
        let mut rows: Vec<Row> = runs.into_iter().map(|(row, _)| row).collect();
        self.remove_files();
        rows.sort_by_key(|row| Program::ALL.iter().position(|known| *known == row.program));
        self.rows.extend(rows);
    }

    /// Starts a program with an upstream of its own: a cache may still ask it after the last
    /// client has its answer.
    fn start(&mut self, program: Program) -> Result<Running, String> {
        self.started += 1;
        let directory = self.directory.join(format!("server-{}", self.started));
        let upstream = Upstream::start(&self.trees.files).map_err(|error| error.to_string())?;
        let address = upstream.address();
        let server = program.start(self.programs, &directory, self.trees, address)?;
        Ok(Running { server, upstream })
    }

    /// Lets a cache store what is measured. It gets the manifest first, which names the blob.
    fn warm(&self, work: Work, program: Program, running: Running) -> Result<Running, String> {
        let path = work.path(self.subject);
        for path in [tag_of(&path), path] {
            // Twice: a cache may answer the first time before it has stored the content.
            for _ in 0..if program.is_cache() { 2 } else { 1 } {
                load::read(running.server.address(), &path, u64::MAX)
                    .map_err(|error| format!("warming up: {error}"))?;
            }
        }
        Ok(running)
    }

    /// Removes the files of all servers, which have ended: each cache has a copy of the blobs.
    fn remove_files(&self) {
        for number in 1..=self.started {
            // Most are gone already.
            let _ = fs::remove_dir_all(self.directory.join(format!("server-{number}")));
        }
    }

    /// One round of a program that has everything.
    fn once(&self, work: Work, running: &Running) -> Result<Sample, String> {
        let Running { server, upstream } = running;
        let path = work.path(self.subject);
        let address = server.address();
        let failed = |error: io::Error| error.to_string();
        upstream.reset(None);
        let (before, start) = (server.cpu()?, Instant::now());
        let seconds = if self.options.quick { 1 } else { 5 };
        let requests = match work {
            Work::Head => load::heads(address, &path, seconds).map_err(failed)?,
            work if work.is_short() => {
                load::many(self.programs.path("wrk")?, address, &path, seconds)?
            }
            Work::Memory => {
                let most = self.subject.large_bytes / 16;
                load::together(MEMORY_CLIENTS, address, &path, most).map_err(failed)?;
                MEMORY_CLIENTS as u64
            }
            _ => {
                load::read(address, &path, u64::MAX).map_err(failed)?;
                1
            }
        };
        let (wall, cpu) = (start.elapsed().as_secs_f64(), server.cpu()? - before);
        let each = if work.is_short() {
            requests.max(1) as f64
        } else {
            1.0
        };
        Ok(Sample {
            cpu: cpu / each,
            wall: wall / each,
            requests,
            upstream: upstream.seen().requests,
            peak_mib: server.peak_mib()?,
            first: f64::NAN,
        })
    }

    /// One round of cold clients, with a new cache.
    fn cold(&mut self, program: Program) -> Result<Sample, String> {
        let Running { server, upstream } = self.start(program)?;
        let path = Work::Cold.path(self.subject);
        let failed = |error: io::Error| error.to_string();
        if program.is_cache() {
            // The image is known, and none of its blobs.
            load::read(server.address(), &tag_of(&path), u64::MAX).map_err(failed)?;
        }
        upstream.reset(Some(UPSTREAM_BYTES_PER_SECOND));
        let before = server.cpu()?;
        let clients = load::together(COLD_CLIENTS, server.address(), &path, u64::MAX);
        let seen = upstream.seen();
        let (start, arrivals) = clients.map_err(failed)?;
        let first = arrivals.iter().map(|arrival| arrival.first).max();
        let last = arrivals.iter().map(|arrival| arrival.last).max();
        let sample = Sample {
            cpu: server.cpu()? - before,
            wall: last.unwrap_or(start).duration_since(start).as_secs_f64(),
            requests: COLD_CLIENTS as u64,
            upstream: seen.blobs,
            peak_mib: server.peak_mib()?,
            first: match (first, seen.first) {
                (Some(first), Some(sent)) => first.duration_since(sent).as_secs_f64(),
                _ => f64::NAN,
            },
        };
        drop(server);
        self.remove_files();
        Ok(sample)
    }

    fn notice(&mut self, what: String) {
        if self.notices.contains(&what) {
            return;
        }
        eprintln!("*** {what}");
        self.notices.push(what);
    }
}

/// A program that serves, and the upstream that it asks if it is a cache.
struct Running {
    server: Server,
    upstream: Upstream,
}

/// The rate of the upstream of cold clients.
const UPSTREAM_BYTES_PER_SECOND: u32 = 100_000_000;
