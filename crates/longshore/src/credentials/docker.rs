//! Docker's client configuration file, `config.json`.
//!
//! ```text
//! { "auths": { "<registry>": { "auth": base64(username ":" password),
//!                              "username": …, "password": …, "identitytoken": …,
//!                              "registrytoken": … } },
//!   "credsStore": "<helper>", "credHelpers": { "<registry>": "<helper>" } }
//! ```
//!
//! Keys are registry names, or `<registry>/<path>` for the repositories below that path; older
//! clients wrote URLs, which apply to the whole host. The key of Docker Hub is
//! `https://index.docker.io/v1/`. Host names are compared without regard to case. Before Docker 1.7
//! the file was `.dockercfg`, with the entries at the top level. Within a file, a credential helper
//! has precedence over `auths`, and `credHelpers` over `credsStore`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use longshore_auth::Credential;
use longshore_origin::{Escaped, check_json_depth};

use self::file::Settings;
pub use self::sources::DockerCredentials;
use crate::JsonError;
use crate::hosts::canonical;

pub(super) mod file;
mod read;
mod sources;

/// Maximum size of a configuration file in bytes (LI); a larger one is an error.
pub const DOCKER_CONFIG_LIMIT_BYTES: u64 = 1024 * 1024;

/// The credentials of a Docker configuration file.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    /// By registry, then by path; the path of the whole registry is empty.
    auths: BTreeMap<String, BTreeMap<String, Entry>>,
    helpers: BTreeMap<String, Helper>,
    store: Option<String>,
}

/// A value of `credHelpers`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Helper {
    /// The name is not text.
    Malformed,
    /// An empty name switches helpers off for this registry.
    Named(String),
}

#[derive(Clone, Debug)]
enum Entry {
    Credential(Credential),
    Malformed(&'static str),
}

/// What is wrong with a Docker configuration file, or with its entry for a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerConfigError {
    /// An entry of `auths` cannot be used.
    #[error("its entry in \"auths\" is malformed: {reason}")]
    Entry {
        /// What is wrong.
        reason: &'static str,
    },
    /// The credentials of this registry are in a credential helper, which
    /// [`DockerCredentials`] runs.
    #[error("its credentials are in the credential helper \"{}\"", Escaped::text(.helper))]
    Helper {
        /// The helper's name, without `docker-credential-`.
        helper: String,
    },
    /// The helper of this registry in `credHelpers` is not text.
    #[error("its entry in \"credHelpers\" is malformed: it is not text")]
    HelperEntry,
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not JSON of the right shape.
    #[error("{} is not a Docker configuration file", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: JsonError,
    },
    /// It is a directory, a device or a pipe, not a regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The value of an environment variable is not JSON of the right shape.
    #[error("the value of {name} is not a Docker configuration")]
    Variable {
        /// The name of the variable.
        name: &'static str,
        /// Why.
        source: JsonError,
    },
    /// The value of an environment variable is not UTF-8, or larger than 1 MiB.
    #[error("the value of {name} is not UTF-8, or larger than {DOCKER_CONFIG_LIMIT_BYTES} bytes")]
    VariableText {
        /// The name of the variable.
        name: &'static str,
    },
    /// The file is larger than 1 MiB.
    #[error("{} is larger than {DOCKER_CONFIG_LIMIT_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl DockerConfig {
    /// Reads a file; one that does not exist holds no credentials.
    ///
    /// Symbolic links are followed.
    ///
    /// # Errors
    ///
    /// [`DockerConfigError`] when the file exists but cannot be read, is not a regular file, is
    /// larger than 1 MiB, or is not JSON of the right shape.
    pub fn load(path: &Path) -> Result<Self, DockerConfigError> {
        let Some(bytes) = read::read(path)? else {
            return Ok(Self::default());
        };
        Self::parse(&bytes).map_err(|source| DockerConfigError::Json {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads the content of a file. An empty file counts as `{}`, and a byte order mark is skipped.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it is not JSON of the right shape, or nests too deep (LI). A malformed
    /// entry is reported only when its registry is looked up.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        check_json_depth(bytes).map_err(|error| JsonError {
            line: error.line,
            column: error.column,
        })?;
        let settings = Settings::read(bytes)?;
        let mut auths = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (key, auth) in settings.auths {
            let Some((registry, path)) = scope_of(&key) else {
                continue;
            };
            if let Some(entry) = auth.entry() {
                // The plain name has precedence over a URL of the same registry.
                let is_plain = key.eq_ignore_ascii_case(&registry);
                let paths = auths.entry(registry).or_default();
                if is_plain || !paths.contains_key(path) {
                    paths.insert(path.to_owned(), entry);
                }
            }
        }
        let mut helpers = BTreeMap::new();
        for (key, helper) in settings.helpers {
            if let Some((registry, "")) = scope_of(&key) {
                // The plain name has precedence here, too.
                if key.eq_ignore_ascii_case(&registry) || !helpers.contains_key(&registry) {
                    helpers.insert(registry, helper);
                }
            }
        }
        Ok(Self {
            auths,
            helpers,
            store: Some(settings.store).filter(|store| !store.is_empty()),
        })
    }

    /// Returns the credential of this registry.
    ///
    /// # Errors
    ///
    /// [`DockerConfigError::Helper`] when it is in a credential helper,
    /// [`DockerConfigError::Entry`] when its entry is malformed.
    pub fn credential(&self, registry: &str) -> Result<Option<Credential>, DockerConfigError> {
        self.credential_in(registry, "")
    }

    /// Returns the credential of this repository of a registry: that of the longest key that names
    /// the repository or a path above it, by whole path segments, else that of the registry (CR2).
    ///
    /// # Errors
    ///
    /// As [`credential`](Self::credential).
    pub fn credential_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, DockerConfigError> {
        let registry = &*canonical(registry);
        let helper = match self.helpers.get(registry) {
            Some(Helper::Malformed) => return Err(DockerConfigError::HelperEntry),
            Some(Helper::Named(name)) => Some(name),
            None => self.store.as_ref(),
        };
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            return Err(DockerConfigError::Helper {
                helper: helper.clone(),
            });
        }
        let none = BTreeMap::new();
        let paths = self.auths.get(registry).unwrap_or(&none);
        let mut path = repository;
        loop {
            if let Some(entry) = paths.get(path) {
                return entry.credential();
            }
            if path.is_empty() {
                return Ok(None);
            }
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, DockerConfigError> {
        match self {
            Self::Credential(credential) => Ok(Some(credential.clone())),
            Self::Malformed(reason) => Err(DockerConfigError::Entry { reason }),
        }
    }
}

/// The registry and path that a key names (CR2). A key is the name of a registry, the URL that
/// older clients wrote for it, or `<registry>/<path>` for a part of a registry. A URL applies to
/// its whole host: its path is the path of the API.
fn scope_of(key: &str) -> Option<(String, &str)> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let (start, rest) = key.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let text = rest.unwrap_or(key);
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let path = match path.trim_end_matches('/') {
        _ if rest.is_some() => "",
        // Docker Hub's key was once written without its scheme, too.
        "v1" | "v2" if host.eq_ignore_ascii_case("index.docker.io") => "",
        path => path,
    };
    (!host.is_empty()).then(|| (canonical(host).into_owned(), path))
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests;
