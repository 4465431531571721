//! Docker's client configuration file, `config.json`.
//!
//! ```text
//! { "auths": { "<registry>": { "auth": base64(username ":" password),
//!                              "username": …, "password": …, "identitytoken": …,
//!                              "registrytoken": … } },
//!   "credsStore": "<helper>", "credHelpers": { "<registry>": "<helper>" } }
//! ```
//!
//! Keys are registry names; older clients wrote URLs. Docker Hub stands under
//! `https://index.docker.io/v1/`. Credential helpers are not run: a file that names one for the
//! registry in question is an error, never a silent anonymous request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use longshore_auth::Credential;
use longshore_origin::{Escaped, Secret};
use serde::Deserialize;

use super::{CredentialError, CredentialSource};
use crate::JsonError;
use crate::hosts::canonical;

/// A configuration file is read up to this size (LI); a larger one is an error.
pub const DOCKER_CONFIG_LIMIT_BYTES: u64 = 1024 * 1024;

/// The credentials of a Docker configuration file.
#[derive(Clone, Debug, Default)]
pub struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

#[derive(Clone, Debug)]
enum Entry {
    Credential(Credential),
    Malformed(&'static str),
}

/// What is wrong with a Docker configuration file, or with what it says of a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerConfigError {
    /// An entry of `auths` cannot be used.
    #[error("its entry in \"auths\" is malformed: {reason}")]
    Entry {
        /// What is wrong.
        reason: &'static str,
    },
    /// A credential helper keeps the credentials of this registry.
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
    /// The file is not what it should be.
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

#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "or_default")]
    auths: BTreeMap<String, Option<Auth>>,
    #[serde(default, rename = "credHelpers", deserialize_with = "or_default")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore", deserialize_with = "or_default")]
    store: String,
}

#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default, deserialize_with = "or_default")]
    auth: Text,
    #[serde(default, deserialize_with = "or_default")]
    identitytoken: Text,
    #[serde(default, deserialize_with = "or_default")]
    password: Text,
    #[serde(default, deserialize_with = "or_default")]
    registrytoken: Text,
    #[serde(default, deserialize_with = "or_default")]
    username: Text,
}

type Text = String;

/// `null` counts as absent, as it does for the programs that write these files.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl DockerConfig {
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
        let mut bytes = Vec::new();
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
    /// When it is not JSON of the right shape. A malformed entry is reported only when its
    /// registry is looked up.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let file: File = serde_json::from_slice(bytes)?;
        let mut auths = BTreeMap::new();
        for (key, auth) in file.auths {
            let Some(name) = registry_of(&key) else {
                continue;
            };
            if let Some(entry) = auth.and_then(entry) {
                // The plain name wins over an URL of the same registry.
                if key == name || !auths.contains_key(name) {
                    auths.insert(name.to_owned(), entry);
                }
            }
        }
        let helpers = file
            .helpers
            .into_iter()
            .filter(|(_, helper)| !helper.is_empty());
        Ok(Self {
            auths,
            helpers: helpers
                .filter_map(|(key, helper)| Some((registry_of(&key)?.to_owned(), helper)))
                .collect(),
            store: Some(file.store).filter(|store| !store.is_empty()),
        })
    }

    /// The credential of this registry.
    ///
    /// # Errors
    ///
    /// A helper keeps it, or its entry is malformed.
    pub fn credential(&self, registry: &str) -> Result<Option<Credential>, DockerConfigError> {
        let registry = canonical(registry);
        let helper = match self.helpers.get(registry) {
            Some(helper) => Some((helper, "credHelpers")),
            None => self.store.as_ref().map(|store| (store, "credsStore")),
        };
        if let Some((helper, setting)) = helper {
            return Err(DockerConfigError::Helper {
                helper: helper.clone(),
                setting,
            });
        }
        match self.auths.get(registry) {
            Some(Entry::Credential(credential)) => Ok(Some(credential.clone())),
            Some(Entry::Malformed(reason)) => Err(DockerConfigError::Entry { reason }),
            None => Ok(None),
        }
    }
}

impl CredentialSource for DockerConfig {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.credential(registry)
            .map_err(|error| CredentialError::new(registry, error))
    }
}

/// The registry a key names (CR2): the key itself, or the host of the URL that older clients
/// wrote. A key with a path of its own is for part of a registry, and names none.
fn registry_of(key: &str) -> Option<&str> {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let (host, path) = match rest.unwrap_or(key).split_once('/') {
        Some((host, path)) => (host, path.trim_end_matches('/')),
        None => (rest.unwrap_or(key), ""),
    };
    let whole = matches!(path, "") || rest.is_some() && matches!(path, "v1" | "v2");
    (whole && !host.is_empty()).then(|| canonical(host))
}

/// What one entry holds; an empty one is none.
fn entry(auth: Auth) -> Option<Entry> {
    /// Padding is left out by some writers and demanded by none.
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let credential = |credential| Some(Entry::Credential(credential));
    if !auth.registrytoken.is_empty() {
        return credential(Credential::Token(Secret::new(auth.registrytoken)));
    }
    if !auth.identitytoken.is_empty() {
        return credential(Credential::IdentityToken(Secret::new(auth.identitytoken)));
    }
    if auth.auth.is_empty() {
        return if auth.username.is_empty() && auth.password.is_empty() {
            None
        } else {
            credential(Credential::Basic {
                username: auth.username,
                password: Secret::new(auth.password),
            })
        };
    }
    let Ok(decoded) = BASE64.decode(auth.auth.as_bytes()) else {
        return Some(Entry::Malformed("\"auth\" is not base64"));
    };
    let Ok(text) = String::from_utf8(decoded) else {
        return Some(Entry::Malformed("\"auth\" is not UTF-8"));
    };
    // Docker pads some passwords with NUL.
    let Some((username, password)) = text.trim_end_matches('\0').split_once(':') else {
        return Some(Entry::Malformed("\"auth\" holds no colon"));
    };
    if username.is_empty() {
        return Some(Entry::Malformed("\"auth\" holds no username"));
    }
    credential(Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

#[cfg(test)]
mod tests;
