//! The options of the benchmark of caches.

use std::path::PathBuf;

use super::server::Program;
use super::work::Work;
use crate::bench::options::{has, list, wrong};
use crate::command;

/// The requested measurement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    works: Vec<String>,
    programs: Vec<String>,
    pub(super) directory: Option<PathBuf>,
    pub(super) longshore: Option<PathBuf>,
    pub(super) json: bool,
}

impl Options {
    /// Reads the words after the verb.
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rounds = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| wrong(word));
            match *word {
                "--quick" => options.quick = true,
                "--rounds" => rounds = Some(value()?.parse().map_err(|_| wrong(word))?),
                "--works" => options.works = list(value()?, &Work::ALL.map(Work::name))?,
                "--programs" => {
                    options.programs = list(value()?, &Program::ALL.map(Program::name))?;
                }
                "--dir" => options.directory = Some(PathBuf::from(value()?)),
                "--longshore" => options.longshore = Some(PathBuf::from(value()?)),
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
        options.rounds = rounds.unwrap_or(if options.quick { 3 } else { 5 });
        if options.rounds == 0 {
            return Err(wrong("--rounds"));
        }
        Ok(options)
    }

    /// The work to measure, in order.
    pub(super) fn works(&self) -> Vec<Work> {
        let wanted = |work: &Work| has(&self.works, work.name());
        Work::ALL.into_iter().filter(wanted).collect()
    }

    /// The programs to measure, in order.
    pub(super) fn programs(&self) -> Vec<Program> {
        let wanted = |program: &Program| has(&self.programs, program.name());
        Program::ALL.into_iter().filter(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_works_and_programs() {
        let words = [
            "--quick",
            "--works",
            "cold,tag",
            "--programs",
            "longshore,floor",
        ];
        let options = Options::parse(&words).unwrap();
        assert_eq!(options.rounds, 3);
        assert_eq!(options.works(), [Work::Tag, Work::Cold]);
        assert_eq!(options.programs(), [Program::Floor, Program::Longshore]);
        for (words, expected) in [
            (&["--rounds", "0"][..], "--rounds needs another value; "),
            (&["--servers", "nginx"], "unknown option --servers; "),
            (&["--works", "warm"], "unknown: warm; there are: "),
        ] {
            let said = Options::parse(words).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
