//! Docker configurations in order of precedence, and the credential helpers that they name.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use longshore_auth::Credential;

use super::{DOCKER_CONFIG_LIMIT_BYTES, DockerConfig, DockerConfigError};
use crate::credentials::helper::Helpers;
use crate::credentials::{CredentialError, CredentialSource};

/// Docker configurations in order of precedence; the first with an entry for a registry is used.
///
/// If a configuration names a credential helper for the registry, the helper is run (CR11), with
/// the action `get` and the name of the registry on its standard input. Its answer is final, except
/// that after "not found" the next configuration is tried. A helper that is not installed or fails
/// is an error after which requests are sent without credentials
/// ([`CredentialError::is_unavailable`]); no other configuration is tried then.
///
/// A helper runs on its own threads, so the look-up works with any executor. Dropping the future of
/// the look-up kills the helper (RT9).
///
/// ```no_run
/// use longshore::{Client, DockerCredentials};
///
/// let client = Client::builder()
///     .credentials(DockerCredentials::from_env()?)
///     .build()?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct DockerCredentials {
    configs: Vec<DockerConfig>,
    helpers: Helpers,
}

impl DockerCredentials {
    /// Makes a source of these configurations, in this order of precedence.
    #[must_use]
    pub fn new(configs: impl IntoIterator<Item = DockerConfig>) -> Self {
        Self {
            configs: configs.into_iter().collect(),
            helpers: Helpers::default(),
        }
    }

    /// Reads the configurations that the environment names, and the user's own:
    ///
    /// 1. the text in `DOCKER_AUTH_CONFIG`,
    /// 2. the file that `REGISTRY_AUTH_FILE` names, as for Podman and Skopeo,
    /// 3. `config.json` in the directory that `DOCKER_CONFIG` names,
    /// 4. `.docker/config.json` in the home directory.
    ///
    /// Variables that are not set or empty are skipped, and so are files that do not exist.
    ///
    /// # Errors
    ///
    /// As [`DockerConfig::load`], for the first of them that cannot be read.
    pub fn from_env() -> Result<Self, DockerConfigError> {
        Self::from(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
    ) -> Result<Self, DockerConfigError> {
        let mut configs = Vec::new();
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(text) = variable(TEXT_VARIABLE) {
            configs.push(from_text(text)?);
        }
        // Without a home directory, the path would be in the working directory, where another user
        // may have put a file.
        let home = home.filter(|home| !home.as_os_str().is_empty());
        let paths = [
            variable(FILE_VARIABLE).map(PathBuf::from),
            variable(DIRECTORY_VARIABLE).map(|path| PathBuf::from(path).join(FILE_NAME)),
            home.map(|home| home.join(".docker").join(FILE_NAME)),
        ];
        let mut paths: Vec<_> = paths.into_iter().flatten().collect();
        paths.dedup();
        for path in paths {
            configs.push(DockerConfig::load(&path)?);
        }
        Ok(Self::new(configs))
    }

    /// Sets the time that a credential helper may take. The default is 30 seconds (CR11).
    #[must_use]
    pub fn helper_limit(mut self, limit: Duration) -> Self {
        self.helpers.limit = limit;
        self
    }

    /// Sets the directories in which helpers are searched, in the format of `PATH`. The default is
    /// the value of `PATH`.
    ///
    /// Relative directories and empty elements are skipped (CR11).
    #[must_use]
    pub fn helper_path(mut self, path: impl Into<OsString>) -> Self {
        self.helpers.path = Some(path.into());
        self
    }

    async fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        for config in &self.configs {
            let found = match config.credential_in(registry, repository) {
                Err(DockerConfigError::Helper { helper }) => {
                    let answer = self.helpers.get(&helper, registry).await;
                    answer.map_err(|error| CredentialError::unavailable(registry, error))?
                }
                found => found.map_err(|error| CredentialError::new(registry, error))?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

fn from_text(text: OsString) -> Result<DockerConfig, DockerConfigError> {
    let name = TEXT_VARIABLE;
    let text = text.into_string();
    let text = text.map_err(|_| DockerConfigError::VariableText { name })?;
    if text.len() as u64 > DOCKER_CONFIG_LIMIT_BYTES {
        return Err(DockerConfigError::VariableText { name });
    }
    DockerConfig::parse(text.as_bytes())
        .map_err(|source| DockerConfigError::Variable { name, source })
}

impl CredentialSource for DockerCredentials {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.find(registry, "").await
    }

    async fn lookup_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        self.find(registry, repository).await
    }

    /// Whether the first configuration with an entry for the registry names a helper.
    fn is_renewable(&self, registry: &str) -> bool {
        let mut found = self
            .configs
            .iter()
            .map(|config| config.credential(registry));
        let first = found.find(|found| !matches!(found, Ok(None)));
        matches!(first, Some(Err(DockerConfigError::Helper { .. })))
    }
}

/// A configuration as JSON text.
const TEXT_VARIABLE: &str = "DOCKER_AUTH_CONFIG";
/// The path of a configuration.
const FILE_VARIABLE: &str = "REGISTRY_AUTH_FILE";
/// The directory of a configuration.
const DIRECTORY_VARIABLE: &str = "DOCKER_CONFIG";
const FILE_NAME: &str = "config.json";

#[cfg(test)]
mod tests;
