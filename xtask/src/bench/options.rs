//! What somebody asks the benchmark to measure.

use std::path::PathBuf;

use super::program::Program;
use super::server::Kind;
use super::{CASES, Case};

/// How to use it.
pub(crate) const USAGE: &str = "\
cargo xtask bench pull [OPTION…]

  --quick            layers of a sixteenth, three rounds: to try it
  --rounds N         so many rounds (default: 7)
  --works NAME,…     only these: one ten many tls tiny tokens
  --servers NAME,…   only these: nginx docker-registry (tls and tokens have their own)
  --programs NAME,…  only these: floor longshore before batch skopeo oci-client
  --longshore FILE   measures this program instead of building it
  --before FILE      also measures this earlier longshore, and compares the two
  --dir DIR          keep the images and what is pulled below DIR while it runs; 3.5 GiB
                     (default: target/bench)
  --output json      print JSON; the tables go to standard error then
";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
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
    /// Reads the words after the subcommand's name.
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rounds = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| wrong(word));
            match *word {
                "--quick" => options.quick = true,
                "--rounds" => rounds = Some(value()?.parse().map_err(|_| wrong(word))?),
                "--works" => {
                    options.works =
                        list(value()?, &["one", "ten", "many", "tls", "tiny", "tokens"])?;
                }
                "--servers" => {
                    options.servers = list(value()?, &["nginx", "docker-registry"])?;
                }
                "--programs" => {
                    let known = [
                        "floor",
                        "longshore",
                        "before",
                        "batch",
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
                _ => return Err(wrong(word)),
            }
        }
        options.rounds = rounds.unwrap_or(if options.quick { 3 } else { 7 });
        if options.rounds == 0 {
            return Err(wrong("--rounds"));
        }
        Ok(options)
    }

    /// What is to be measured, in order.
    pub(super) fn cases(&self) -> Vec<Case> {
        let wanted = |case: &Case| {
            let server = match case.kind {
                Kind::DockerRegistry => Some("docker-registry"),
                Kind::Nginx => Some("nginx"),
                Kind::Delayed(_) | Kind::NginxTls => None,
            };
            has(&self.works, case.name) && server.is_none_or(|server| has(&self.servers, server))
        };
        let cases = CASES.into_iter().filter(wanted);
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

    /// The programs for a case. That files are made durable shows where there are many or few
    /// bytes; a gigabyte would measure the disk.
    pub(super) fn programs(&self, case: Case) -> Vec<Program> {
        let wanted = |program: &Program| match program {
            Program::LongshoreBatch => {
                has(&self.programs, "batch") && matches!(case.name, "many" | "tiny")
            }
            program => has(&self.programs, program.name()),
        };
        Program::ALL.into_iter().filter(wanted).collect()
    }
}

/// Whether a name was asked for; where none was, all were.
fn has(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|known| known == name)
}

fn list(text: &str, known: &[&str]) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("unknown: {name}; there are: {}", known.join(" "))),
        None => Ok(names),
    }
}

fn wrong(word: &str) -> String {
    format!("wrong use of {word}\n\n{USAGE}")
}

#[cfg(test)]
mod tests {
    use super::super::image::ONE;
    use super::*;

    #[test]
    fn options_choose_cases_and_programs() {
        let options = Options::parse(&[
            "--quick",
            "--works",
            "one,tls",
            "--servers",
            "nginx",
            "--programs",
            "floor,batch",
        ])
        .unwrap();
        assert_eq!(options.rounds, 3);
        let cases = options.cases();
        let names: Vec<_> = cases.iter().map(|case| (case.name, case.kind)).collect();
        assert_eq!(names, [("one", Kind::Nginx), ("tls", Kind::NginxTls)]);
        assert!(cases.iter().all(|case| case.image == ONE.quick()));
        assert_eq!(options.programs(cases[0]), [Program::Floor]);
    }

    #[test]
    fn wrong_options_are_said() {
        for words in [
            &["--rounds"][..],
            &["--rounds", "0"],
            &["--what"],
            &["--output", "xml"],
        ] {
            let said = Options::parse(words).unwrap_err();
            assert!(said.starts_with("wrong use of --"), "{said}");
        }
        let said = Options::parse(&["--works", "two"]).unwrap_err();
        assert_eq!(
            said,
            "unknown: two; there are: one ten many tls tiny tokens"
        );
    }
}
