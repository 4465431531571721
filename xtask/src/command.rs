//! The commands of `cargo xtask`: their names, their help texts, and how their words are read.

use crate::bench::Verb;
use crate::checkout::Checkout;
use crate::log::Log;
use crate::peers::{self, Plan};
use crate::step::{self, Step};
use crate::{bench, ci, demo, full};

/// One command.
struct Command {
    name: &'static str,
    /// The words that may follow the name.
    usage: &'static str,
    /// The line of the overview.
    about: &'static str,
    /// What the command's own help says below its usage.
    help: fn() -> String,
    /// Runs the command with the arguments after its name; returns whether it succeeded.
    run: fn(&Checkout, &[&str]) -> Result<bool, String>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        usage: "[--install]",
        about: "run the checks that a change must pass, end-to-end tests included",
        help: test_help,
        run: test,
    },
    Command {
        name: "ci",
        usage: "[STEP…]",
        about: "run the same checks, or only the named steps",
        help: || format!("{STEPS_HELP}\n\n{}", list(ci::STEPS)),
        run: |checkout, names| steps(checkout, "ci", ci::STEPS, names),
    },
    Command {
        name: "full",
        usage: "[STEP…]",
        about: "run the checks that are slow or need more tools",
        help: || format!("{STEPS_HELP}\n\n{}", list(full::STEPS)),
        run: |checkout, names| steps(checkout, "full", full::STEPS, names),
    },
    Command {
        name: "tidy",
        usage: "",
        about: "check the project's own rules only",
        help: || TIDY_HELP.to_owned(),
        run: |checkout, words| {
            no_words("tidy", words)?;
            steps(checkout, "tidy", ci::STEPS, &["tidy"])
        },
    },
    Command {
        name: "demo",
        usage: "",
        about: "pull a generated image from a registry on this machine, step by step",
        help: || DEMO_HELP.to_owned(),
        run: |checkout, words| {
            no_words("demo", words)?;
            demo::run_demo(checkout).map(|()| true)
        },
    },
    Command {
        name: "bench",
        usage: "VERB [OPTION…]",
        about: "measure Longshore and other programs that do the same",
        help: || bench::HELP.to_owned(),
        run: bench,
    },
];

const STEPS_HELP: &str = "\
Runs the steps in this order, or only the named ones. The first failure stops the run. The
terminal shows one line per step and the output of what failed; everything else goes into the log
file that the first line names. The last line counts tests, and 1 for every other check.";

const TIDY_HELP: &str = "\
Checks the rules that the compiler does not know: which crate may depend on which, that the pure
crates do no I/O, that every rule of RULES.md has a test, that every cited rule exists, the
versions of the specifications and of dependencies, and the text of the sources. It is also the
last step of `cargo xtask ci`.";

const DEMO_HELP: &str = "\
Starts a registry on this machine that demands tokens, and pulls an image of twenty platforms from
it with the program `longshore`. Prints the requests that the registry receives, and hashes every
blob that was pulled. Then pulls the image twice through a cache, and checks that the registry
receives no request of the second pull. Needs no network once the dependencies have been
downloaded.";

/// Runs the command that the words name.
///
/// Returns whether the command succeeded; the reason is already on the terminal.
///
/// # Errors
///
/// The arguments are invalid, or the command could not do its work.
pub(crate) fn run(checkout: &Checkout, words: &[&str]) -> Result<bool, String> {
    let help = |word: &&str| matches!(*word, "--help" | "-h");
    let (name, rest) = match words {
        [] | ["--help" | "-h" | "help"] => {
            print!("{}", overview());
            return Ok(true);
        }
        ["help", name, ..] => (name, ["--help"].as_slice()),
        [name, rest @ ..] => (name, rest),
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == *name) else {
        return Err(format!(
            "unknown command {name}; `cargo xtask --help` lists the commands"
        ));
    };
    if rest.iter().any(help) {
        print!("{}", command.text());
        return Ok(true);
    }
    (command.run)(checkout, rest)
}

impl Command {
    fn text(&self) -> String {
        let usage = format!("cargo xtask {} {}", self.name, self.usage);
        format!("{}\n\n{}\n", usage.trim_end(), (self.help)().trim_end())
    }
}

fn overview() -> String {
    let mut text = "cargo xtask COMMAND\n\n".to_owned();
    for command in COMMANDS {
        let call = format!("{} {}", command.name, command.usage);
        text.push_str(&format!("  {call:<22} {}\n", command.about));
    }
    text.push_str("\n`cargo xtask COMMAND --help` explains a command and its options.\n");
    text
}

fn test_help() -> String {
    let (ci, full) = (list(ci::STEPS), list(full::STEPS));
    format!(
        "Runs these steps, as `cargo xtask ci` does:\n\n{ci}\n\n{PEERS_HELP}\n\n\
         `cargo xtask full` runs what this command leaves out:\n\n{full}"
    )
}

const PEERS_HELP: &str = "\
The end-to-end tests talk to programs that may not be installed. The tests that need a missing
program are skipped, and each is named with the reason. In CI (CI=true) they fail instead.

  --install        first install the missing programs with apt-get; in CI this is the default";

/// The steps with what they check, a line or more each.
fn list(steps: &[Step]) -> String {
    let lines: Vec<String> = steps
        .iter()
        .map(|step| {
            let about = step.about.replace('\n', &format!("\n{:<19}", ""));
            format!("  {:<16} {about}", step.name)
        })
        .collect();
    lines.join("\n")
}

fn test(checkout: &Checkout, words: &[&str]) -> Result<bool, String> {
    let (install, rest) = match words {
        ["--install", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    no_words("test", rest)?;
    let mut steps = ci::STEPS.to_vec();
    match peers::plan(install) {
        Plan::Complete => {}
        Plan::Install(step) => steps.insert(0, step),
        Plan::Skip(notice) => println!("{notice}\n"),
    }
    let mut log = Log::create(checkout.root(), "test")?;
    Ok(step::run(checkout, &steps, &mut log))
}

fn steps(checkout: &Checkout, name: &str, all: &[Step], names: &[&str]) -> Result<bool, String> {
    if let Some(option) = names.iter().find(|word| word.starts_with('-')) {
        return Err(unknown(name, option));
    }
    let steps = step::choose(all, names)?;
    let mut log = Log::create(checkout.root(), name)?;
    Ok(step::run(checkout, &steps, &mut log))
}

fn bench(checkout: &Checkout, words: &[&str]) -> Result<bool, String> {
    let [word, options @ ..] = words else {
        let why = "bench measures `pull`, `push`, `copy` or `cache`; `cargo xtask bench --help` \
                   explains it";
        return Err(why.to_owned());
    };
    if *word == bench::cache::VERB {
        return bench::cache::run(checkout, options).map(|()| true);
    }
    match Verb::ALL.into_iter().find(|verb| verb.name() == *word) {
        Some(verb) => bench::run(checkout, verb, options).map(|()| true),
        None => Err(unknown("bench", word)),
    }
}

fn no_words(command: &str, words: &[&str]) -> Result<(), String> {
    match words {
        [] => Ok(()),
        [word, ..] => Err(unknown(command, word)),
    }
}

/// The error for a word that a command does not take.
pub(crate) fn unknown(command: &str, word: &str) -> String {
    let kind = if word.starts_with('-') {
        "option"
    } else {
        "argument"
    };
    format!("unknown {kind} {word}; `cargo xtask {command} --help` lists what it takes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> String {
        run(&Checkout::here(), words).unwrap_err()
    }

    #[test]
    fn every_command_has_a_help_text() {
        for command in COMMANDS {
            for words in [
                &[command.name, "--help"][..],
                &[command.name, "-h"],
                &["help", command.name],
                &[command.name, "--nonsense", "--help"],
            ] {
                assert_eq!(run(&Checkout::here(), words), Ok(true), "{words:?}");
            }
            let text = command.text();
            assert!(
                text.starts_with(&format!("cargo xtask {}", command.name)),
                "{text}"
            );
            assert!(text.lines().count() > 2, "{text}");
        }
    }

    #[test]
    fn the_help_of_a_command_lists_its_steps_and_options() {
        let text = |name: &str| {
            let command = COMMANDS.iter().find(|command| command.name == name);
            command.unwrap().text()
        };
        for step in ci::STEPS {
            assert!(text("ci").contains(&format!("\n  {} ", step.name)));
            assert!(text("test").contains(&format!("\n  {} ", step.name)));
        }
        for step in full::STEPS {
            assert!(text("full").contains(&format!("\n  {} ", step.name)));
        }
        assert!(text("test").contains("--install"));
        assert!(text("bench").contains("--rounds"));
    }

    #[test]
    fn help_fits_a_terminal() {
        let texts = COMMANDS.iter().map(Command::text).chain([overview()]);
        for text in texts {
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn an_unknown_command_or_option_is_named() {
        assert_eq!(
            refused(&["tests"]),
            "unknown command tests; `cargo xtask --help` lists the commands"
        );
        for (words, expected) in [
            (&["test", "--instal"][..], "unknown option --instal; "),
            (&["test", "--install", "more"], "unknown argument more; "),
            (&["ci", "fmt", "--quick"], "unknown option --quick; "),
            (&["ci", "lint"], "there is no step lint; "),
            (&["full", "-x"], "unknown option -x; "),
            (&["tidy", "all"], "unknown argument all; "),
            (&["demo", "--quick"], "unknown option --quick; "),
            (
                &["bench"],
                "bench measures `pull`, `push`, `copy` or `cache`; ",
            ),
            (&["bench", "delete"], "unknown argument delete; "),
            (&["bench", "push", "--slow"], "unknown option --slow; "),
            (&["bench", "pull", "--slow"], "unknown option --slow; "),
            (&["bench", "cache", "--slow"], "unknown option --slow; "),
        ] {
            let why = refused(words);
            assert!(why.starts_with(expected), "{words:?}: {why}");
        }
    }
}
