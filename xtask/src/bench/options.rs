//! The options of the benchmark.

use std::path::PathBuf;

use super::case::{Case, Route, Verb};
use super::program::Program;
use super::server::Kind;
use crate::command;

/// The options, for the help text.
pub(crate) const HELP: &str = "\
Moves the same images between this machine's directories and servers with Longshore, with a program
that only moves and hashes bytes, and with other clients, in turn. Prints time, memory, requests and
system calls as ratios. bench/README.md says how the comparison is made fair.

  pull               from nginx, docker-registry, and a server with tokens and delays
  push               from a layout to docker-registry, to a server that discards what it receives,
                     and to the same with tokens and delays
  copy               between servers, to two at once, and within one
  cache              what a cache costs its server: hits, memory, and cold clients

  --quick            use layers of a sixteenth of the size and three rounds, for a first try
  --rounds N         number of rounds (default: 7)
  --works NAME,…     only these; pull: one ten many tiny tls tokens; push: one many tokens;
                     copy: one many two within again
  --servers NAME,…   only cases that read from or write to these: nginx docker-registry sink
                     (tls and tokens have their own)
  --programs NAME,…  only these programs: floor longshore before batch trusting skopeo oci-client
  --longshore FILE   measure this program instead of building it
  --before FILE      also measure this earlier build of longshore, and compare the two
  --dir DIR          directory for images and pulled files during the run, 3.5 GiB
                     (default: target/bench)
  --output FORMAT    text (default), or json; then the tables go to standard error

cache has --quick, --rounds (default: 5), --longshore, --dir and --output as above, and:
  --works NAME,…     only these: tag digest head small large memory cold
  --programs NAME,…  only these: floor nginx longshore docker-registry
";

/// The requested measurement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) verb: Verb,
    pub(super) quick: bool,
    pub(super) rounds: usize,
    works: Vec<String>,
    servers: Vec<String>,
    programs: Vec<String>,
    pub(super) directory: Option<PathBuf>,
    pub(super) longshore: Option<PathBuf>,
    pub(super) before: Option<PathBuf>,
    pub(super) json: bool,
}

impl Options {
    /// Reads the words after the verb.
    pub(super) fn parse(verb: Verb, words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            verb,
            ..Self::default()
        };
        let mut rounds = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| wrong(word));
            match *word {
                "--quick" => options.quick = true,
                "--rounds" => rounds = Some(value()?.parse().map_err(|_| wrong(word))?),
                "--works" => {
                    let mut known: Vec<&str> = Vec::new();
                    for case in verb.cases() {
                        if !known.contains(&case.name) {
                            known.push(case.name);
                        }
                    }
                    options.works = list(value()?, &known)?;
                }
                "--servers" => {
                    options.servers = list(value()?, &["nginx", "docker-registry", "sink"])?;
                }
                "--programs" => {
                    let known = [
                        "floor",
                        "longshore",
                        "before",
                        "batch",
                        "trusting",
                        "skopeo",
                        "oci-client",
                    ];
                    options.programs = list(value()?, &known)?;
                }
                "--dir" => options.directory = Some(PathBuf::from(value()?)),
                "--longshore" => options.longshore = Some(PathBuf::from(value()?)),
                "--before" => options.before = Some(PathBuf::from(value()?)),
                "--output" => {
                    options.json = match value()? {
                        "json" => true,
                        "text" => false,
                        _ => return Err(wrong(word)),
                    };
                }
                _ => return Err(command::unknown("bench", word)),
            }
        }
        options.rounds = rounds.unwrap_or(if options.quick { 3 } else { 7 });
        if options.rounds == 0 {
            return Err(wrong("--rounds"));
        }
        Ok(options)
    }

    /// The cases to measure, in order.
    pub(super) fn cases(&self) -> Vec<Case> {
        let wanted = |case: &Case| {
            let server = match case.route.kinds().last() {
                Some(Kind::DockerRegistry) => Some("docker-registry"),
                Some(Kind::Nginx) => Some("nginx"),
                Some(Kind::Sink) => Some("sink"),
                Some(Kind::Delayed(_) | Kind::NginxTls) | None => None,
            };
            has(&self.works, case.name) && server.is_none_or(|server| has(&self.servers, server))
        };
        let cases = self.verb.cases().iter().copied().filter(wanted);
        let sized = |case: Case| Case {
            image: if self.quick {
                case.image.quick()
            } else {
                case.image
            },
            ..case
        };
        cases.map(sized).collect()
    }

    /// Whether one of these programs may be measured.
    pub(super) fn measures(&self, programs: &[&str]) -> bool {
        programs.iter().any(|program| has(&self.programs, program))
    }

    /// The programs for a case. Durable files are measured for many small layers and for a tiny
    /// image; a gigabyte would measure the disk. Trust is measured where hashing decides the cost.
    pub(super) fn programs(&self, case: Case) -> Vec<Program> {
        let wanted = |program: &Program| match program {
            Program::LongshoreBatch => {
                has(&self.programs, "batch")
                    && matches!(case.route, Route::Pull(_))
                    && matches!(case.name, "many" | "tiny")
            }
            Program::LongshoreTrusting => {
                has(&self.programs, "trusting")
                    && matches!(case.route, Route::Push(_))
                    && case.name == "one"
            }
            program => has(&self.programs, program.name()),
        };
        Program::ALL.into_iter().filter(wanted).collect()
    }
}

/// Whether a name was requested; an empty list requests all.
pub(super) fn has(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|known| known == name)
}

pub(super) fn list(text: &str, known: &[&str]) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown: {name}; there are: {}", known.join(" "))),
        None => Ok(names),
    }
}

pub(super) fn wrong(option: &str) -> String {
    format!("{option} needs another value; `cargo xtask bench --help` lists the values")
}

#[cfg(test)]
mod tests {
    use super::super::image::ONE;
    use super::*;

    #[test]
    fn options_choose_cases_and_programs() {
        let words = "--quick --works one,tls --servers nginx --programs floor,batch,trusting";
        let words: Vec<&str> = words.split(' ').collect();
        let options = Options::parse(Verb::Pull, &words).unwrap();
        assert_eq!(options.rounds, 3);
        let cases = options.cases();
        let routes: Vec<_> = cases.iter().map(|case| (case.name, case.route)).collect();
        let expected = [
            ("one", Route::Pull(Kind::Nginx)),
            ("tls", Route::Pull(Kind::NginxTls)),
        ];
        assert_eq!(routes, expected);
        assert!(cases.iter().all(|case| case.image == ONE.quick()));
        assert_eq!(options.programs(cases[0]), [Program::Floor]);

        let words = ["--servers", "sink", "--programs", "floor,batch,trusting"];
        let options = Options::parse(Verb::Push, &words).unwrap();
        let cases = options.cases();
        let names: Vec<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names, ["one", "many", "tokens", "tokens"]);
        let trusting = [Program::Floor, Program::LongshoreTrusting];
        assert_eq!(options.programs(cases[0]), trusting);
        assert_eq!(options.programs(cases[1]), [Program::Floor]);
    }

    #[test]
    fn wrong_options_are_named() {
        for (words, expected) in [
            (&["--rounds"][..], "--rounds needs another value; "),
            (&["--rounds", "0"], "--rounds needs another value; "),
            (&["--output", "xml"], "--output needs another value; "),
            (&["--what"], "unknown option --what; "),
            (&["what"], "unknown argument what; "),
        ] {
            let said = Options::parse(Verb::Pull, words).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
        for (verb, expected) in [
            (Verb::Pull, "one ten many tiny tls tokens"),
            (Verb::Push, "one many tokens"),
            (Verb::Copy, "one many two within again"),
        ] {
            let said = Options::parse(verb, &["--works", "three"]).unwrap_err();
            assert_eq!(said, format!("unknown: three; there are: {expected}"));
        }
    }
}
