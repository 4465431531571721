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
//! clients wrote URLs. The key of Docker Hub is `https://index.docker.io/v1/`. Before Docker 1.7
//! the file was `.dockercfg`, with the entries at its top. Credential helpers are not run: a file
//! that names one for the registry in question is an error, never a silent anonymous request.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use longshore_auth::Credential;
use longshore_origin::{Escaped, check_json_depth};
use zeroize::Zeroizing;

use self::file::Settings;
use super::{CredentialError, CredentialSource};
use crate::JsonError;
use crate::hosts::canonical;

mod file;

/// Maximum size of a configuration file in bytes (LI); a larger one is an error.
pub const DOCKER_CONFIG_LIMIT_BYTES: u64 = 1024 * 1024;

/// The credentials of a Docker configuration file.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    /// By registry, then by path; the path of the whole registry is empty.
    auths: BTreeMap<String, BTreeMap<String, Entry>>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
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
    /// The credentials of this registry are in a credential helper.
    #[error(
        "the configuration names the credential helper \"{}\" in \"{setting}\", and helpers \
         are not supported yet",
        Escaped::text(.helper)
    )]
    Helper {
        /// The helper's name.
        helper: String,
        /// The setting that names it: `credsStore` or `credHelpers`.
        setting: &'static str,
    },
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
    /// The file is larger than 1 MiB.
    #[error("{} is larger than {DOCKER_CONFIG_LIMIT_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

impl DockerConfig {
    /// Reads the file that Docker reads; see [`default_path`](Self::default_path).
    ///
    /// Without such a file there are no credentials, and every registry is asked anonymously.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_default() -> Result<Self, DockerConfigError> {
        Self::default_path().map_or_else(|| Ok(Self::default()), |path| Self::load(&path))
    }

    /// Returns the path of the file that Docker reads: `config.json` in `$DOCKER_CONFIG`, or in
    /// `.docker` of the home directory where that variable is unset or empty.
    ///
    /// `None` if there is no home directory. Whether the file exists is not checked.
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        default_path(std::env::var_os("DOCKER_CONFIG"), std::env::home_dir)
    }

    /// Reads a file; one that does not exist holds no credentials.
    ///
    /// # Errors
    ///
    /// [`DockerConfigError`] when the file exists but cannot be read, is larger than 1 MiB, or
    /// is not JSON of the right shape.
    pub fn load(path: &Path) -> Result<Self, DockerConfigError> {
        use std::io::Read as _;

        let io = |source| DockerConfigError::Io {
            path: path.to_owned(),
            source,
        };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(io(error)),
        };
        // The capacity covers the whole file, since growing would leave a copy behind (OU3).
        let room = DOCKER_CONFIG_LIMIT_BYTES as usize + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(DOCKER_CONFIG_LIMIT_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        if bytes.len() as u64 > DOCKER_CONFIG_LIMIT_BYTES {
            return Err(DockerConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        Self::parse(&bytes).map_err(|source| DockerConfigError::Json {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it is not JSON of the right shape, or nests too deep (LI). A malformed
    /// entry is reported only when its registry is looked up.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
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
                let paths = auths.entry(registry.to_owned()).or_default();
                // The plain name wins over an URL of the same registry.
                if key == registry || !paths.contains_key(path) {
                    paths.insert(path.to_owned(), entry);
                }
            }
        }
        let mut helpers = BTreeMap::new();
        for (key, helper) in settings.helpers {
            if let Some((registry, "")) = scope_of(&key) {
                helpers.insert(registry.to_owned(), helper);
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
    /// A helper of the registry has precedence, as in other programs that support such keys.
    ///
    /// # Errors
    ///
    /// As [`credential`](Self::credential).
    pub fn credential_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, DockerConfigError> {
        let registry = canonical(registry);
        let helper = self.helpers.get(registry);
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            return Err(kept_by(helper, "credHelpers"));
        }
        let none = BTreeMap::new();
        let paths = self.auths.get(registry).unwrap_or(&none);
        let mut path = repository;
        while !path.is_empty() {
            if let Some(entry) = paths.get(path) {
                return entry.credential();
            }
            path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        // A helper without a name switches helpers off.
        if let Some(store) = self.store.as_ref().filter(|_| helper.is_none()) {
            return Err(kept_by(store, "credsStore"));
        }
        paths.get("").map_or(Ok(None), Entry::credential)
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

fn kept_by(helper: &str, setting: &'static str) -> DockerConfigError {
    DockerConfigError::Helper {
        helper: helper.to_owned(),
        setting,
    }
}

impl CredentialSource for DockerConfig {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.credential(registry)
            .map_err(|error| CredentialError::new(registry, error))
    }

    async fn lookup_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        self.credential_in(registry, repository)
            .map_err(|error| CredentialError::new(registry, error))
    }
}

fn default_path(
    docker_config: Option<OsString>,
    home: impl FnOnce() -> Option<PathBuf>,
) -> Option<PathBuf> {
    let directory = match docker_config.filter(|directory| !directory.is_empty()) {
        Some(directory) => PathBuf::from(directory),
        None => home()
            .filter(|home| !home.as_os_str().is_empty())?
            .join(".docker"),
    };
    Some(directory.join("config.json"))
}

/// The registry and path that a key names (CR2). A key is the name of a registry, the URL that
/// older clients wrote for it, or `<registry>/<path>` for a part of a registry. The path of a URL
/// does not name a repository, so a URL with another path than `/v1/` or `/v2/` names nothing.
fn scope_of(key: &str) -> Option<(&str, &str)> {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let text = rest.unwrap_or(key);
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    // Docker Hub's key was once written without its scheme, too.
    let is_url = rest.is_some() || host == "index.docker.io";
    let path = match path.trim_end_matches('/') {
        "v1" | "v2" if is_url => "",
        path => path,
    };
    let names = !host.is_empty() && (path.is_empty() || !is_url);
    names.then(|| (canonical(host), path))
}

#[cfg(test)]
mod tests;
