//! `cargo xtask bench pull`: what a pull costs, compared with the floor and the rivals.
//!
//! Every program pulls the same images from the same servers on loopback, in turn, over several
//! rounds. Each round starts with a different program, so that other load on the machine affects
//! all programs equally. The comparison takes the median of ratios, each from one round. Files go
//! through the page cache on both sides, so the programs are measured, and neither the disk nor a
//! network.
//!
//! What is built for this alone is in `bench/`, which is not part of the workspace.

mod image;
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

use image::{Image, MANY, ONE, TEN, TINY, Trees};
use options::Options;
use program::{Program, Programs, Pull};
use result::Row;
use sample::{Calls, Sample};
use server::{Kind, Server};
use target::Target;
use tls::Certificates;

pub(crate) use options::HELP;

use crate::checkout::Checkout;

/// One image from one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    name: &'static str,
    image: Image,
    kind: Kind,
}

const CASES: [Case; 11] = [
    case("one", ONE, Kind::Nginx),
    case("ten", TEN, Kind::Nginx),
    case("many", MANY, Kind::Nginx),
    case("tiny", TINY, Kind::Nginx),
    case("tls", ONE, Kind::NginxTls),
    case("tokens", MANY, Kind::Delayed(0)),
    case("tokens", MANY, Kind::Delayed(DELAY_MS)),
    case("one", ONE, Kind::DockerRegistry),
    case("ten", TEN, Kind::DockerRegistry),
    case("many", MANY, Kind::DockerRegistry),
    case("tiny", TINY, Kind::DockerRegistry),
];

const fn case(name: &'static str, image: Image, kind: Kind) -> Case {
    Case { name, image, kind }
}

/// An empty file of credentials, for programs that require one.
const CREDENTIALS: &str = "auth.json";

/// Delay of each response of the slow registry, in milliseconds.
const DELAY_MS: u32 = 20;

/// The result of a whole run.
struct Outcome {
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
pub(crate) fn run(checkout: &Checkout, words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
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
        quick: options.quick,
        rounds: options.rounds,
        targets: target::judge(&rows),
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
            eprintln!("==> {} from {}", case.name, case.kind.name());
            match self.serve(case.kind, &trees) {
                Ok(server) => self.measure(case, &server),
                Err(why) => {
                    let what = format!(
                        "not measured: {} from {}: {why}",
                        case.name,
                        case.kind.name()
                    );
                    self.notice(what);
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, kind: Kind, trees: &Trees) -> Result<Server, String> {
        let directory = self.directory;
        match kind {
            Kind::Delayed(delay) => Server::delayed(
                self.programs.path("bench-registry")?,
                directory,
                trees,
                delay,
            ),
            Kind::DockerRegistry => {
                let program = self.programs.path("docker-registry")?;
                Server::docker_registry(program, directory, trees)
            }
            Kind::Nginx => Server::nginx(self.programs.path("nginx")?, directory, trees, None),
            Kind::NginxTls => {
                let program = self.programs.path("nginx")?;
                let openssl = self.programs.path("openssl")?;
                let certificates = Certificates::make(openssl, directory)?;
                let server = Server::nginx(program, directory, trees, Some(&certificates));
                self.certificates = Some(certificates);
                server
            }
        }
    }

    /// All rounds of one case. System calls are counted afterwards, since counting takes time.
    fn measure(&mut self, case: Case, server: &Server) {
        let destination = self.directory.join("pulled");
        let pull = Pull {
            image: case.image,
            kind: case.kind,
            server,
            certificates: self.certificates.as_ref(),
            destination: &destination,
            configuration: self.directory,
        };
        let programs = self.options.programs(case);
        let mut runs: Vec<Row> = programs
            .into_iter()
            .filter(|program| self.programs.command(*program, &pull).is_some())
            .map(|program| Row {
                case,
                program,
                samples: Vec::new(),
                calls: None,
            })
            .collect();
        let mut failed = Vec::new();
        for round in 0..self.options.rounds {
            let first = usize::from(round > 0).min(runs.len());
            runs.rotate_left(first);
            runs.retain_mut(|row| match self.once(row.program, &pull) {
                Ok(sample) => {
                    row.samples.push(sample);
                    true
                }
                Err(why) => {
                    failed.push(format!("{} at {}: {why}", row.program.name(), case.name));
                    false
                }
            });
        }
        if let Ok(strace) = self.programs.path("strace") {
            let table = self.directory.join("calls");
            for row in &mut runs {
                empty(&destination);
                let command = self.programs.command(row.program, &pull);
                match command.map(|command| Calls::count(strace, &command, &table)) {
                    Some(Ok(calls)) => row.calls = Some(calls),
                    Some(Err(why)) => failed.push(format!("{}: {why}", row.program.name())),
                    None => {}
                }
            }
        }
        empty(&destination);
        runs.sort_by_key(|row| Program::ALL.iter().position(|known| *known == row.program));
        self.rows.extend(runs);
        failed.into_iter().for_each(|what| self.notice(what));
    }

    /// One pull into an empty directory, measured, with a check of the pulled size.
    fn once(&self, program: Program, pull: &Pull<'_>) -> Result<Sample, String> {
        empty(pull.destination);
        let command = self.programs.command(program, pull).ok_or("it cannot")?;
        let mark = pull.server.mark();
        let mut sample = Sample::take(self.programs.path("bench-measure")?, &command)?;
        sample.traffic = pull
            .server
            .since(mark)
            .map_err(|error| format!("the log: {error}"))?;
        let bytes = size(pull.destination);
        if bytes < pull.image.bytes() {
            return Err(format!("it wrote {bytes} bytes of {}", pull.image.bytes()));
        }
        Ok(sample)
    }

    fn notice(&mut self, what: String) {
        eprintln!("*** {what}");
        self.notices.push(what);
    }
}

/// Removes what was pulled before, so that the next program starts with nothing.
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
