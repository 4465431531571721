//! Docker's credential helpers: programs that get credentials out of a keychain.
//!
//! ```text
//! docker-credential-<name> get   stdin:  the registry's name
//!                                stdout: { "ServerURL": …, "Username": …, "Secret": … }, exit 0
//!                                        or a message, with another exit code
//! ```
//!
//! The user name `<token>` means that the secret is an identity token. The protocol is that of
//! <https://github.com/docker/docker-credential-helpers>.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use longshore_auth::Credential;
use longshore_origin::{Escaped, check_json_object};
use serde::de::{IgnoredAny, MapAccess};

use self::process::{Ended, Run};
use super::docker::file::{Lenient, Shape, Text};
use crate::JsonError;
use crate::hosts::canonical;

mod process;

/// Time that a credential helper may take by default (CR11).
pub const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// Maximum length of the answer of a credential helper, in bytes (CR11).
pub const HELPER_OUTPUT_LIMIT_BYTES: usize = 256 * 1024;

/// How helpers are run.
#[derive(Clone, Debug)]
pub(super) struct Helpers {
    /// The directories that are searched, in the format of `PATH`; `None` is the `PATH` of this
    /// process.
    pub(super) path: Option<OsString>,
    pub(super) limit: Duration,
}

impl Default for Helpers {
    fn default() -> Self {
        Self {
            path: None,
            limit: HELPER_LIMIT,
        }
    }
}

impl Helpers {
    /// Asks a helper for the credential of a registry; `None` if it has none.
    pub(super) async fn get(
        &self,
        helper: &str,
        registry: &str,
    ) -> Result<Option<Credential>, HelperError> {
        let failed = |reason| HelperError {
            helper: helper.to_owned(),
            reason,
        };
        let run = self.prepare(helper, registry).map_err(failed)?;
        let ended = process::run(run).await.map_err(failed)?;
        read(&ended).map_err(failed)
    }

    fn prepare(&self, helper: &str, registry: &str) -> Result<Run, HelperReason> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if helper.is_empty() || !helper.bytes().all(is_legal) {
            return Err(HelperReason::Name);
        }
        let server = server_name(registry);
        if server.chars().any(char::is_control) {
            return Err(HelperReason::ServerName);
        }
        let path = self.path.clone().or_else(|| env::var_os("PATH"));
        let program = find(&format!("{PREFIX}{helper}"), &path.unwrap_or_default());
        Ok(Run {
            program: program.ok_or(HelperReason::NotInstalled)?,
            server: server.into_owned(),
            limit: self.limit,
        })
    }
}

/// The name of a registry in credential helpers.
fn server_name(registry: &str) -> Cow<'_, str> {
    match canonical(registry) {
        name if name == "docker.io" => Cow::Borrowed("https://index.docker.io/v1/"),
        name => name,
    }
}

/// Finds a program in the directories of `PATH`. Empty and relative elements are skipped, because
/// what they name depends on the working directory, where another user may have put a program.
fn find(program: &str, path: &OsString) -> Option<PathBuf> {
    let name = format!("{program}{}", env::consts::EXE_SUFFIX);
    env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(&name))
        .find(|program| is_executable(program))
}

#[cfg(unix)]
fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = program.metadata();
    metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(program: &Path) -> bool {
    program.is_file()
}

/// Reads the answer of a helper.
fn read(ended: &Ended) -> Result<Option<Credential>, HelperReason> {
    let stdout = ended.stdout.trim_ascii();
    if NOT_FOUND.iter().any(|text| stdout == text.as_bytes()) {
        return Ok(None);
    }
    if !ended.status.success() {
        // Helpers write messages to standard output. One that fails may have written a credential
        // before (OU3).
        let said = [stdout, ended.stderr.trim_ascii()];
        let may_be_secret = |said: &&[u8]| said.starts_with(b"{") || holds(said, b"Secret");
        let mut messages = said.into_iter().filter(|said| !may_be_secret(said));
        let said = messages.find(|said| !said.is_empty());
        return Err(HelperReason::Failed {
            status: ended.status,
            said: Escaped::new(said.unwrap_or_default()).to_string(),
        });
    }
    let malformed = |line, column| HelperReason::Answer(JsonError { line, column });
    check_json_object(stdout).map_err(|error| malformed(error.line, error.column))?;
    let answer: Lenient<Answer> =
        serde_json::from_slice(stdout).map_err(|error| malformed(error.line(), error.column()))?;
    let Lenient::Value(answer) = answer else {
        return Err(malformed(1, 1));
    };
    let (username, secret) = (answer.username.text(), answer.secret.text());
    Ok(match (username, secret) {
        (None, None) => None,
        (Some(user), Some(token)) if user.expose() == IDENTITY_USER => {
            Some(Credential::IdentityToken(token))
        }
        (username, secret) => Some(Credential::Basic {
            username: username.map_or_else(String::new, |name| name.expose().to_owned()),
            password: secret.unwrap_or_else(|| String::new().into()),
        }),
    })
}

/// What a helper prints when it has a credential.
#[derive(Default)]
struct Answer {
    username: Lenient<Text>,
    secret: Lenient<Text>,
}

impl<'de> Shape<'de> for Answer {
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut answer = Self::default();
        while let Some(key) = object.next_key::<Cow<'_, str>>()? {
            match &*key {
                "Username" => answer.username = object.next_value()?,
                "Secret" => answer.secret = object.next_value()?,
                _ => {
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        let is_text = |field: &Lenient<Text>| matches!(field, Lenient::Value(_));
        let is_legible = is_text(&answer.username) && is_text(&answer.secret);
        Ok(is_legible.then_some(answer))
    }
}

/// A credential helper that gave no answer, or one that cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub struct HelperError {
    /// The name of the helper in the configuration, without `docker-credential-`.
    pub helper: String,
    /// What went wrong.
    pub reason: HelperReason,
}

impl fmt::Display for HelperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = format!("{PREFIX}{}", self.helper);
        let program = Escaped::text(&program);
        match &self.reason {
            HelperReason::Name => write!(
                f,
                "\"{}\" is not the name of a credential helper",
                Escaped::text(&self.helper)
            ),
            reason => write!(f, "the credential helper {program} {reason}"),
        }
    }
}

impl std::error::Error for HelperError {}

/// What went wrong with a credential helper.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperReason {
    /// The answer is not a JSON object with a user name and a secret.
    #[error("gave a malformed answer: {0}")]
    Answer(JsonError),
    /// It ended with an exit code other than 0.
    #[error("failed ({status}){}", colon(.said))]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it printed, escaped.
        said: String,
    },
    /// It cannot be run, or its output cannot be read.
    #[error("cannot be run: {0}")]
    Io(io::Error),
    /// Its name in the configuration has characters other than letters, digits, `.`, `_` and `-`.
    #[error("has a malformed name")]
    Name,
    /// No directory in `PATH` has a program of this name.
    #[error("is not installed: no directory in PATH has it")]
    NotInstalled,
    /// The name of the registry has a control character.
    #[error("cannot be asked: the registry's name has a control character")]
    ServerName,
    /// It did not end in time, and was stopped.
    #[error("gave no answer within {} seconds", .limit.as_secs_f32())]
    Timeout {
        /// The time it had.
        limit: Duration,
    },
    /// Its answer is longer than [`HELPER_OUTPUT_LIMIT_BYTES`].
    #[error("printed more than {HELPER_OUTPUT_LIMIT_BYTES} bytes")]
    TooLong,
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn colon(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

/// Prefix of the program name of a helper.
const PREFIX: &str = "docker-credential-";

/// The user name of an identity token.
const IDENTITY_USER: &str = "<token>";

/// The messages that mean that a helper has no credential for the registry, or none with a user
/// name.
const NOT_FOUND: [&str; 3] = [
    "credentials not found in native keychain",
    "no credentials username",
    "no credentials server URL",
];

#[cfg(test)]
#[cfg(unix)]
mod tests;
