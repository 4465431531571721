//! The parts of the help besides the arguments: commands grouped by purpose, and examples.

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::args::Args;
use crate::{exit, output, redact};

/// Parses the command line. The program ends here if it is invalid or asks for help.
pub(crate) fn parse() -> Args {
    let matches = command().try_get_matches();
    let parsed = matches.and_then(|matches| Args::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| fail(&advised(error)))
}

/// Words that users of other programs try: the command before them, the word, and what to do.
const ADVICE: &[(&str, &str, &str)] = &[
    ("", "mirror", SERVE_ADVICE),
    ("", "proxy", SERVE_ADVICE),
    ("cache", "list", REPOS_ADVICE),
    ("cache", "ls", REPOS_ADVICE),
    (
        "cache client-config",
        "--dir",
        "'--root DIR' writes the files below a directory",
    ),
    (
        "serve",
        "--port",
        "the port is a part of the address: '--listen 127.0.0.1:PORT'",
    ),
];

const SERVE_ADVICE: &str = "'longshore serve' runs a read-through cache";

const REPOS_ADVICE: &str = "'longshore repos HOST:PORT' prints what a running cache has";

/// Replaces the suggestions of clap, which compares only letters, where there is better advice.
fn advised(mut error: clap::Error) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return error,
    };
    let text = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let (wrong, usage) = (text(kind), text(ContextKind::Usage));
    let found = ADVICE.iter().find(|(command, word, _)| {
        wrong == *word && usage.contains(format!("longshore {command}").trim_end())
    });
    if let Some((_, _, advice)) = found {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        let advice = ContextValue::StyledStrs(vec![StyledStr::from(*advice)]);
        error.insert(ContextKind::Suggested, advice);
    }
    error
}

/// Ends the program with help or with an error, which does not show user information.
fn fail(error: &clap::Error) -> ! {
    let text = error.to_string();
    match redact::arguments(&text) {
        Cow::Borrowed(_) => error.exit(),
        Cow::Owned(text) => {
            output::note(text.trim_end());
            std::process::exit(error.exit_code())
        }
    }
}

/// Returns the end of a long help: examples and the exit codes.
pub(crate) fn end(examples: &str) -> String {
    format!("Examples:\n{examples}\n\n{}", exit::TABLE)
}

/// Returns the command line with the commands grouped by purpose; clap itself has a single list.
fn command() -> clap::Command {
    let command = Args::command();
    let groups = groups(&command);
    command
        .after_help("`longshore COMMAND --help` explains each, with examples.")
        .after_long_help(exit::TABLE)
        .help_template(format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\
             Options:\n{{options}}{{after-help}}"
        ))
}

fn groups(command: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, commands) in GROUPS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{heading}:");
        for path in *commands {
            let about = about(command, path).unwrap_or_default();
            let _ = writeln!(text, "  {path:WIDTH$}{about}");
        }
        text.push('\n');
    }
    text
}

/// Returns what a command does, and its aliases. A subcommand is named by two words.
fn about(command: &clap::Command, path: &str) -> Option<String> {
    let found = path.split(' ').try_fold(command, |command, name| {
        command
            .get_subcommands()
            .find(|below| below.get_name() == name)
    })?;
    let about = found.get_about()?;
    let aliases: Vec<_> = found.get_visible_aliases().collect();
    Some(match aliases.len() {
        0 => about.to_string(),
        1 => format!("{about} [alias: {}]", aliases.join(", ")),
        _ => format!("{about} [aliases: {}]", aliases.join(", ")),
    })
}

/// The commands grouped by purpose, the most used first.
const GROUPS: &[(&str, &[&str])] = &[
    ("Move images", &["pull", "push", "copy"]),
    (
        "Look at an image",
        &["inspect", "config", "manifest get", "digest", "referrers"],
    ),
    ("Look around a registry", &["tags", "repos", "ping"]),
    ("Change a repository", &["tag", "delete", "manifest put"]),
    (
        "Read and write single blobs",
        &["blob get", "blob head", "blob put", "blob delete"],
    ),
    ("Check what is on disk", &["verify"]),
    ("Run a cache", &["serve", "cache client-config"]),
];

/// Width of the column of command names, in characters.
const WIDTH: usize = 21;

pub(crate) const BLOB_DELETE: &str = "  \
  longshore blob delete registry.example/app@sha256:…";

pub(crate) const BLOB_GET: &str = "  \
  longshore blob get registry.example/app@sha256:… -f layer.tar.gz
  longshore blob get registry.example/app@sha256:… | tar tz";

pub(crate) const BLOB_HEAD: &str = "  \
  longshore blob head registry.example/app@sha256:…";

pub(crate) const BLOB_PUT: &str = "  \
  longshore blob put registry.example/app layer.tar.gz
  longshore blob put registry.example/app - < config.json";

pub(crate) const CACHE_CLIENT_CONFIG: &str = "  \
  longshore cache client-config docker
  longshore cache client-config containerd --server http://cache.example:5000
  longshore cache client-config podman --config cache.toml --install";

pub(crate) const CONFIG: &str = "  \
  longshore config alpine:3.20 | jq .config.Env
  longshore config --platform linux/arm64 registry.example/app:v1";

pub(crate) const COPY: &str = "  \
  longshore copy --dry-run alpine:3.20 registry.example/alpine
  longshore copy alpine:3.20 registry.example/alpine mirror.example/alpine
  longshore copy --referrers registry.example/app:v1 oci:images:v1
  longshore copy --platform linux/amd64 oci:images:v1 registry.example/app:v1";

pub(crate) const DELETE: &str = "  \
  longshore delete registry.example/app:v1
  longshore delete --dry-run registry.example/app@sha256:…";

pub(crate) const DIGEST: &str = "  \
  longshore digest alpine:3.20
  longshore digest --platform linux/arm64 alpine:3.20";

pub(crate) const INSPECT: &str = "  \
  longshore inspect alpine:3.20
  longshore inspect --platform linux/arm64 alpine:3.20
  longshore inspect --output json registry.example/app:v1 | jq '.layers[].size'";

pub(crate) const MANIFEST_GET: &str = "  \
  longshore manifest get alpine:3.20 | jq .
  longshore manifest get --platform linux/arm64 alpine:3.20";

pub(crate) const MANIFEST_PUT: &str = "  \
  longshore manifest put registry.example/app:v1 manifest.json
  longshore manifest put registry.example/app - < manifest.json";

pub(crate) const PING: &str = "  \
  longshore ping registry.example:5000
  longshore ping --username me --password-stdin registry.example < secret";

pub(crate) const PULL: &str = "  \
  longshore pull alpine:3.20 images                 into the layout `images`, as 3.20
  longshore pull --all-platforms alpine:3.20 images:alpine
  longshore pull --platform linux/arm64 registry.example/app@sha256:… app";

pub(crate) const PUSH: &str = "  \
  longshore push images:v1 registry.example/app
  longshore push --dry-run images:v1 registry.example/app:v1 mirror.example/app:v1";

pub(crate) const REFERRERS: &str = "  \
  longshore referrers --tree registry.example/app:v1
  longshore referrers --artifact-type application/spdx+json registry.example/app:v1";

pub(crate) const REPOS: &str = "  \
  longshore repos registry.example:5000
  longshore repos --limit 100 --last team/app registry.example:5000";

pub(crate) const SERVE: &str = "  \
  longshore serve                                   well-known registries, on 127.0.0.1:5000
  longshore serve --listen 0.0.0.0:5000 --dir /var/cache/longshore --size 200GiB
  longshore serve --upstream registry.example=https://registry.example --tag-ttl 1m
  longshore serve --config cache.toml --check";

pub(crate) const TAG: &str = "  \
  longshore tag registry.example/app:v1.2.3 v1.2 v1 latest
  longshore tag --dry-run registry.example/app@sha256:… stable";

pub(crate) const TAGS: &str = "  \
  longshore tags alpine
  longshore tags --limit 100 quay.io/podman/stable";

pub(crate) const VERIFY: &str = "  \
  longshore verify images";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_programs_get_advice() {
        for (line, expected) in [
            ("serve --port 5001", "'--listen 127.0.0.1:PORT'"),
            ("serve --port=5001", "'--listen 127.0.0.1:PORT'"),
            ("proxy", "'longshore serve'"),
            ("mirror --listen 127.0.0.1:1", "'longshore serve'"),
            ("cache list", "'longshore repos HOST:PORT'"),
            ("cache ls", "'longshore repos HOST:PORT'"),
            ("cache client-config podman --dir /tmp", "'--root DIR'"),
        ] {
            let words = std::iter::once("longshore").chain(line.split(' '));
            let error = command().try_get_matches_from(words).unwrap_err();
            let text = advised(error).to_string();
            let tips = text.matches("tip: ").count();
            assert!(tips == 1 && text.contains(expected), "{text}");
        }
        let error = command().try_get_matches_from(["longshore", "serve", "--lisen"]);
        let text = advised(error.unwrap_err()).to_string();
        assert!(text.contains("'--listen'"), "{text}");
    }

    #[test]
    fn every_command_is_listed_once() {
        let command = Args::command();
        let mut expected = Vec::new();
        for top in command.get_subcommands() {
            let name = top.get_name();
            match top.get_subcommands().next() {
                None => expected.push(name.to_owned()),
                Some(_) => {
                    let below = top.get_subcommands();
                    expected.extend(below.map(|it| format!("{name} {}", it.get_name())));
                }
            }
        }
        let mut listed: Vec<_> = GROUPS.iter().flat_map(|(_, paths)| *paths).collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected.iter().collect::<Vec<_>>());
        for path in listed {
            assert!(about(&command, path).is_some(), "{path}");
            assert!(path.len() < WIDTH, "{path}");
        }
    }
}
