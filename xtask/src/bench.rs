//! `cargo xtask bench`: the cost of a pull, push or copy, compared with the floor and the rivals.
//!
//! Every program moves the same images between the same places on loopback, in turn, over several
//! rounds. Each round starts with a different program, so that other load on the machine affects
//! all programs equally. The comparison takes the median of ratios, each from one round. Files go
//! through the page cache on both sides, so the programs are measured, and neither the disk nor a
//! network.
//!
//! What is built for this alone is in `bench/`, which is not part of the workspace.

pub(crate) mod cache;
mod case;
mod image;
mod invoke;
mod options;
mod program;
mod report;
mod result;
mod sample;
mod server;
mod target;
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use case::{Case, Route};
use image::{Image, Trees};
use invoke::{CREDENTIALS, Job};
use options::Options;
use program::{Program, Programs};
use result::Row;
use sample::{Calls, Sample};
use server::{Kind, Server, Traffic};
use target::Target;
use tls::Certificates;

pub(crate) use case::Verb;
pub(crate) use options::HELP;

use crate::checkout::Checkout;

/// The result of a whole run.
struct Outcome {
    verb: Verb,
    quick: bool,
    rounds: usize,
    rows: Vec<Row>,
    targets: Vec<Target>,
    versions: BTreeMap<&'static str, String>,
    machine: BTreeMap<&'static str, String>,
    /// What was not measured and why, and what the figures do not show.
    notices: Vec<String>,
}

/// Runs the benchmark.
///
/// # Errors
///
/// An option is not known, or a program that every measurement needs cannot be built.
pub(crate) fn run(checkout: &Checkout, verb: Verb, words: &[&str]) -> Result<(), String> {
    let options = Options::parse(verb, words)?;
    let programs = Programs::gather(checkout, &options)?;
    let base = match &options.directory {
        Some(directory) => directory.clone(),
        None => checkout.root().join("target/bench"),
    };
    let scratch = Scratch::make(&base).map_err(|error| format!("{}: {error}", base.display()))?;
    let machine = machine();
    let mut bench = Bench {
        options: &options,
        programs: &programs,
        directory: scratch.path(),
        certificates: None,
        started: 0,
        rows: Vec::new(),
        notices: programs.absent.clone(),
    };
    for notice in &bench.notices {
        eprintln!("*** {notice}");
    }
    bench.run()?;
    let Bench {
        rows, mut notices, ..
    } = bench;
    notices.extend(report::waits(&rows));
    let outcome = Outcome {
        verb,
        quick: options.quick,
        rounds: options.rounds,
        targets: target::judge(verb, &rows),
        rows,
        versions: programs.versions,
        machine,
        notices,
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
    certificates: Option<Certificates>,
    /// The number of servers that were started.
    started: u32,
    rows: Vec<Row>,
    notices: Vec<String>,
}

impl Bench<'_> {
    fn run(&mut self) -> Result<(), String> {
        let cases = self.options.cases();
        let mut images: Vec<Image> = Vec::new();
        for case in &cases {
            if !images.contains(&case.image) {
                images.push(case.image);
            }
        }
        eprintln!("==> making {} images", images.len());
        let trees = fs::write(self.directory.join(CREDENTIALS), "{}")
            .and_then(|()| Trees::make(self.directory, &images))
            .map_err(|error| format!("{}: {error}", self.directory.display()))?;
        for case in cases {
            let (name, route) = (case.name, case.route.name());
            eprintln!("==> {name}, {route}");
            let kinds = case.route.kinds().into_iter().enumerate();
            let servers: Result<Vec<Server>, String> = kinds
                .map(|(at, kind)| self.serve(kind, &trees, case.route.is_read(at)))
                .collect();
            match servers {
                Ok(servers) => self.measure(case, &trees, &servers),
                Err(why) => self.notice(format!("not measured: {name}, {route}: {why}")),
            }
        }
        Ok(())
    }

    /// Starts a server. A `docker-registry` that is not read has a storage of its own.
    fn serve(&mut self, kind: Kind, trees: &Trees, is_read: bool) -> Result<Server, String> {
        self.started += 1;
        let directory = self.directory.join(format!("server-{}", self.started));
        let directory = directory.as_path();
        let own = |delay| {
            let program = self.programs.path("bench-registry")?;
            Server::own(program, directory, trees, delay)
        };
        match kind {
            Kind::Delayed(delay) => own(Some(delay)),
            Kind::Sink => own(None),
            Kind::DockerRegistry => {
                let program = self.programs.path("docker-registry")?;
                let written = self.directory.join("written");
                let storage = if is_read { &trees.storage } else { &written };
                Server::docker_registry(program, directory, storage)
            }
            Kind::Nginx => Server::nginx(self.programs.path("nginx")?, directory, trees, None),
            Kind::NginxTls => {
                let program = self.programs.path("nginx")?;
                let openssl = self.programs.path("openssl")?;
                let certificates = Certificates::make(openssl, self.directory)?;
                let server = Server::nginx(program, directory, trees, Some(&certificates));
                self.certificates = Some(certificates);
                server
            }
        }
    }

    /// All rounds of one case. System calls are counted afterwards, since counting takes time.
    fn measure(&mut self, case: Case, trees: &Trees, servers: &[Server]) {
        let destination = self.directory.join("pulled");
        let home = self.directory.join("home");
        let mut job = Job {
            case,
            trees,
            servers,
            certificates: self.certificates.as_ref(),
            directory: &destination,
            repository: String::new(),
            configuration: self.directory,
            home: &home,
        };
        let mut runs: Vec<Row> = self
            .options
            .programs(case)
            .into_iter()
            .filter(|program| self.programs.command(*program, &job).is_some())
            .map(|program| Row {
                case,
                program,
                samples: Vec::new(),
                calls: None,
            })
            .collect();
        let mut failed = Vec::new();
        let mut repositories = (0_u32..).map(|number| format!("written/{}-{number}", case.name));
        let mut fresh = || repositories.next().unwrap_or_default();
        for round in 0..self.options.rounds {
            let first = usize::from(round > 0).min(runs.len());
            runs.rotate_left(first);
            runs.retain_mut(|row| {
                job.repository = fresh();
                match self.once(row.program, &job) {
                    Ok(sample) => {
                        row.samples.push(sample);
                        true
                    }
                    Err(why) => {
                        failed.push(format!("{} at {}: {why}", row.program.name(), case.name));
                        false
                    }
                }
            });
        }
        for row in &mut runs {
            job.repository = fresh();
            match self.calls(row.program, &job) {
                Ok(calls) => row.calls = calls,
                Err(why) => failed.push(format!("{}: {why}", row.program.name())),
            }
        }
        empty(&destination);
        runs.sort_by_key(|row| Program::ALL.iter().position(|known| *known == row.program));
        self.rows.extend(runs);
        failed.into_iter().for_each(|what| self.notice(what));
    }

    /// One run that starts with nothing, measured, with a check of the result.
    fn once(&self, program: Program, job: &Job<'_>) -> Result<Sample, String> {
        prepare(job)?;
        let sample = self.sample(program, job)?;
        check(job, &sample.traffic)?;
        match job.case.route {
            Route::Again(_) => self.sample(program, job),
            _ => Ok(sample),
        }
    }

    fn sample(&self, program: Program, job: &Job<'_>) -> Result<Sample, String> {
        let command = self.programs.command(program, job).ok_or("it cannot")?;
        let marks: Vec<u64> = job.servers.iter().map(Server::mark).collect();
        let mut sample = Sample::take(self.programs.path("bench-measure")?, &command)?;
        let seen: Result<Vec<Traffic>, _> = job
            .servers
            .iter()
            .zip(marks)
            .map(|(server, mark)| server.since(mark))
            .collect();
        let seen = seen.map_err(|error| format!("the log: {error}"))?;
        sample.traffic = seen.into_iter().reduce(Traffic::and).unwrap_or_default();
        Ok(sample)
    }

    /// One run whose system calls are counted, where they can be.
    fn calls(&self, program: Program, job: &Job<'_>) -> Result<Option<Calls>, String> {
        let Ok(strace) = self.programs.path("strace") else {
            return Ok(None);
        };
        prepare(job)?;
        if matches!(job.case.route, Route::Again(_)) {
            self.sample(program, job)?;
        }
        let command = self.programs.command(program, job).ok_or("it cannot")?;
        Calls::count(strace, &command, &self.directory.join("calls")).map(Some)
    }

    fn notice(&mut self, what: String) {
        eprintln!("*** {what}");
        self.notices.push(what);
    }
}

/// Whether everything arrived: the registries refuse a manifest without its blobs.
fn check(job: &Job<'_>, seen: &Traffic) -> Result<(), String> {
    let copies = job.destinations().len() as u64;
    let bytes = job.case.image.bytes();
    let (arrived, wanted) = match job.case.route {
        Route::Pull(_) => (Some(size(job.directory)), bytes),
        Route::Push(_) | Route::Copy(..) => (seen.received, bytes * copies),
        Route::Within(_) | Route::Again(_) => (None, 0),
    };
    if let Some(arrived) = arrived.filter(|arrived| *arrived < wanted) {
        return Err(format!("{arrived} bytes arrived, not {wanted}"));
    }
    let is_pull = matches!(job.case.route, Route::Pull(_));
    if !is_pull && seen.stored < copies {
        return Err(format!(
            "{} manifests were stored, not {copies}",
            seen.stored
        ));
    }
    Ok(())
}

/// Removes what the last program wrote or remembered, so that the next one starts with nothing.
fn prepare(job: &Job<'_>) -> Result<(), String> {
    empty(job.directory);
    empty(job.home);
    fs::create_dir(job.home).map_err(|error| format!("{}: {error}", job.home.display()))
}

fn empty(directory: &Path) {
    // It may not exist.
    let _ = fs::remove_dir_all(directory);
}

/// The bytes of all files below a directory.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The machine, on which the figures depend.
fn machine() -> BTreeMap<&'static str, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(": ")?.1.to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let sha = flags.split(' ').any(|flag| flag == "sha_ni");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let with = if sha { "with" } else { "without" };
    BTreeMap::from([
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        ("load at the start", read("/proc/loadavg").trim().to_owned()),
        (
            "processor",
            format!("{model}, {cores} cores, {with} SHA instructions"),
        ),
    ])
}

/// A new directory, removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn make(base: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(base)?;
        let unique = || {
            (0_u32..).find_map(|number| {
                let directory = base.join(format!("bench-{}-{number}", std::process::id()));
                match fs::create_dir(&directory) {
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
                    made => Some(made.map(|()| directory)),
                }
            })
        };
        let directory = unique().ok_or(std::io::ErrorKind::AlreadyExists)??;
        directory.canonicalize().map(Self)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
