//! Builds upstreams from their configuration: credentials, headers, certificates and proxies.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::PathBuf;

use http::HeaderValue;
use longshore::{Credential, CredentialError, CredentialSource, DockerConfig, DockerCredentials};
use longshore_hyper::{HyperTransport, ProxySettings, SettingsError, TlsSettings};
use longshore_origin::Secret;

use super::upstream::{Credentials, HeaderSource, Password, UpstreamConfig, UpstreamProxy};
use crate::name::UpstreamName;
use crate::server::limits::Limits;
use crate::server::tls::{CertificateError, Identity, TlsFiles};
use crate::upstream::{Upstream, UpstreamBuilder};

/// Largest file with a secret, in bytes.
const SECRET_LIMIT_BYTES: u64 = 64 * 1024;

/// Why the configuration of an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The file with certificate authorities cannot be used.
    #[error("upstream {upstream}: cannot take certificates from {}", path.display())]
    Authorities {
        /// The upstream.
        upstream: UpstreamName,
        /// The file.
        path: PathBuf,
        /// Why.
        source: SettingsError,
    },
    /// The proxy, or the certificates of the system, cannot be used.
    #[error("upstream {upstream}: cannot use the connection settings")]
    Settings {
        /// The upstream.
        upstream: UpstreamName,
        /// Why.
        source: SettingsError,
    },
    /// The secret value of a header cannot be read.
    #[error("upstream {upstream}: cannot read the value of the header {header}")]
    Header {
        /// The upstream.
        upstream: UpstreamName,
        /// The name of the header.
        header: String,
        /// Why; without the value.
        source: io::Error,
    },
}

impl super::ServeConfig {
    /// Returns the limits of clients.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let limits = Limits::default()
            .with_head_time(self.limits.header_time)
            .with_idle_time(self.limits.idle)
            .with_stall_time(self.limits.stall)
            .with_drain_time(self.drain);
        match self.limits.connections {
            Some(connections) => limits.with_connections(connections),
            None => limits,
        }
    }

    /// Returns the certificate of the listeners for clients. `None`: they use plain http.
    #[must_use]
    pub fn tls_files(&self) -> Option<TlsFiles> {
        self.tls
            .as_ref()
            .map(|tls| TlsFiles::new(&tls.cert, &tls.key))
    }

    /// Reads the certificate of the listeners and its key, if they use TLS, as a start does.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] when they cannot be read, or do not fit together.
    pub fn check_tls(&self) -> Result<(), CertificateError> {
        match self.tls_files() {
            Some(files) => Identity::load(&files).map(drop),
            None => Ok(()),
        }
    }
}

impl UpstreamConfig {
    /// Starts to build the upstream with all configured settings and a separate transport. Reads
    /// the file with certificate authorities and the secrets of headers; credentials are read when
    /// the registry demands them.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] when one of them cannot be read or used.
    pub fn builder(&self) -> Result<UpstreamBuilder, ConnectError> {
        let mut builder = Upstream::builder(self.prefix.clone(), &self.url.to_string())
            .transport(self.transport()?)
            .offline(self.offline)
            .concurrency(usize::try_from(self.concurrency).unwrap_or(usize::MAX));
        for mirror in &self.mirrors {
            builder = builder.mirror(&mirror.to_string());
        }
        for realm in &self.allow_realm {
            builder = builder.allow_realm(realm.clone());
        }
        for (name, source) in &self.headers {
            let value = source.value().map_err(|source| ConnectError::Header {
                upstream: self.prefix.clone(),
                header: name.to_string(),
                source,
            })?;
            builder = builder.header(name.clone(), value);
        }
        Ok(match &self.credentials {
            Some(credentials) => builder.credentials(credentials.clone()),
            None => builder,
        })
    }

    fn transport(&self) -> Result<HyperTransport, ConnectError> {
        let failed = |source| ConnectError::Settings {
            upstream: self.prefix.clone(),
            source,
        };
        let mut tls = TlsSettings::default();
        if let Some(path) = &self.ca {
            tls = tls
                .ca_file(path)
                .map_err(|source| ConnectError::Authorities {
                    upstream: self.prefix.clone(),
                    path: path.clone(),
                    source,
                })?;
        }
        let proxy = match &self.proxy {
            UpstreamProxy::Environment => ProxySettings::from_env().map_err(failed)?,
            UpstreamProxy::None => ProxySettings::none(),
            UpstreamProxy::Url(url) => ProxySettings::url(url, "").map_err(failed)?,
        };
        let transport = HyperTransport::builder().tls(tls).proxy(proxy);
        transport.build().map_err(failed)
    }
}

impl HeaderSource {
    fn value(&self) -> io::Result<HeaderValue> {
        let source = match self {
            Self::Text(value) => return Ok(value.clone()),
            Self::Secret(source) => source,
        };
        let value = HeaderValue::from_str(source.read()?.expose());
        let mut value = value.map_err(|_| {
            io::Error::new(
                ErrorKind::InvalidData,
                "it has characters that are not allowed in a header",
            )
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Password {
    /// Reads the secret. A line end at the end of a file is not part of it. Blocks for a file.
    fn read(&self) -> io::Result<Secret> {
        let path = match self {
            Self::File(path) => path,
            Self::Environment(name) => {
                let value = std::env::var(name).map_err(|_| {
                    let what = format!("the environment variable {name} is not set");
                    io::Error::new(ErrorKind::NotFound, what)
                })?;
                return Ok(Secret::new(value));
            }
        };
        let within = |error: io::Error| {
            let what = format!("cannot read {}: {error}", path.display());
            io::Error::new(error.kind(), what)
        };
        // The capacity is large enough that the text is never moved, which would leave a copy in
        // memory (OU3).
        let mut text = String::with_capacity(SECRET_LIMIT_BYTES as usize + 1);
        let file = File::open(path).map_err(within)?;
        let read = file.take(SECRET_LIMIT_BYTES + 1).read_to_string(&mut text);
        let text = Secret::new(text);
        read.map_err(within)?;
        if text.expose().len() as u64 > SECRET_LIMIT_BYTES {
            return Err(within(ErrorKind::FileTooLarge.into()));
        }
        let line = text
            .expose()
            .strip_suffix('\n')
            .unwrap_or_else(|| text.expose());
        let line = line.strip_suffix('\r').unwrap_or(line);
        Ok(Secret::new(line.to_owned()))
    }
}

/// Credentials are read each time: a mounted secret or the answer of a helper may change.
impl CredentialSource for Credentials {
    async fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        self.lookup_in(registry, "").await
    }

    async fn lookup_in(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let failed = |error: io::Error| CredentialError::unavailable(registry, error);
        match self {
            Self::Password { username, password } => {
                let password = password.clone();
                let read = tokio::task::spawn_blocking(move || password.read());
                let secret = read
                    .await
                    .map_err(|error| failed(io::Error::other(error)))?;
                let credential = basic(username.as_deref(), secret.map_err(failed)?);
                let credential = credential
                    .map_err(|what| failed(io::Error::new(ErrorKind::InvalidData, what)))?;
                Ok(Some(credential))
            }
            Self::Helper(name) => {
                let config = serde_json::json!({ "credsStore": name }).to_string();
                let config = DockerConfig::parse(config.as_bytes());
                let config = config.map_err(|error| CredentialError::new(registry, error))?;
                let source = DockerCredentials::new([config]);
                source.lookup_in(registry, repository).await
            }
            Self::DockerConfig(path) => {
                let path = path.clone();
                let load = tokio::task::spawn_blocking(move || DockerConfig::load(&path));
                let config = load
                    .await
                    .map_err(|error| failed(io::Error::other(error)))?;
                let config =
                    config.map_err(|error| CredentialError::unavailable(registry, error))?;
                let source = DockerCredentials::new([config]);
                source.lookup_in(registry, repository).await
            }
        }
    }

    fn is_renewable(&self, _registry: &str) -> bool {
        let is_fixed = matches!(
            self,
            Self::Password {
                password: Password::Environment(_),
                ..
            }
        );
        !is_fixed
    }
}

/// Makes a credential from a secret. Without a user name, the secret has the form `USER:PASSWORD`.
/// The error does not repeat the secret.
fn basic(username: Option<&str>, secret: Secret) -> Result<Credential, &'static str> {
    const CONTROL: &str = "the user name has a colon, or the secret has control characters";
    if secret.expose().is_empty() {
        return Err("the secret is empty");
    }
    match username {
        Some(username) => Credential::basic(username, secret).map_err(|_| CONTROL),
        None => {
            let (username, password) = secret.expose().split_once(':').ok_or(
                "the secret is not `USER:PASSWORD`; set `username` if it is only the password",
            )?;
            let password = Secret::new(password.to_owned());
            Credential::basic(username, password).map_err(|_| CONTROL)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::fs;

    use super::super::{ConfigSources, ServeConfig};
    use super::*;

    fn upstream(text: &str) -> UpstreamConfig {
        let text = format!("[[serve.upstream]]\nprefix = \"r.example\"\n{text}");
        let sources = ConfigSources::new().file("cache.toml", &text);
        let config = ServeConfig::parse(&sources.default_store_path("/cache"));
        config.unwrap().upstream.remove(0)
    }

    fn credentials(text: &str) -> Credentials {
        upstream(&format!("credentials = {text}"))
            .credentials
            .unwrap()
    }

    fn shown(credential: Option<Credential>) -> String {
        match credential {
            Some(Credential::Basic { username, password }) => {
                format!("{username}:{}", password.expose())
            }
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn credentials_come_from_files_and_are_read_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        let quoted = path.to_str().unwrap();
        let named = credentials(&format!("{{ username = \"me\", file = '{quoted}' }}"));
        for (content, expected) in [
            ("one", "me:one"),
            ("two\n", "me:two"),
            ("a b\r\n", "me:a b"),
        ] {
            fs::write(&path, content).unwrap();
            let found = named.lookup("r.example").await.unwrap();
            assert_eq!(shown(found), expected);
        }
        assert!(named.is_renewable("r.example"));
        let pair = credentials(&format!("{{ file = '{quoted}' }}"));
        fs::write(&path, "you:a:b\n").unwrap();
        assert_eq!(shown(pair.lookup("r.example").await.unwrap()), "you:a:b");
    }

    #[tokio::test]
    async fn ou3_a_secret_that_cannot_be_used_is_not_repeated() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        let quoted = path.to_str().unwrap();
        for (user, content, expected) in [
            ("", None, "cannot read "),
            ("", Some("hunter2"), "the secret is not `USER:PASSWORD`"),
            ("username = 'me', ", Some(""), "the secret is empty"),
            (
                "username = 'me', ",
                Some("hunter2\u{1}"),
                "control characters",
            ),
            ("username = 'a:b', ", Some("hunter2"), "has a colon"),
        ] {
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let source = credentials(&format!("{{ {user}file = '{quoted}' }}"));
            let error = source.lookup("r.example").await.unwrap_err();
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains(expected), "{cause}");
            assert!(!format!("{error:?} {cause}").contains("hunter2"), "{cause}");
        }
    }

    #[tokio::test]
    async fn a_docker_configuration_is_read_at_each_lookup() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.json");
        let text = format!("{{ docker_config = '{}' }}", path.to_str().unwrap());
        let source = credentials(&text);
        assert_eq!(shown(source.lookup("r.example").await.unwrap()), "None");
        fs::write(&path, r#"{"auths": {"r.example": {"auth": "bWU6cHc="}}}"#).unwrap();
        assert_eq!(shown(source.lookup("r.example").await.unwrap()), "me:pw");
        assert_eq!(shown(source.lookup("other.example").await.unwrap()), "None");
    }

    #[test]
    fn the_files_of_the_listeners_can_be_checked() {
        let parse = |text: &str| {
            let sources = ConfigSources::new().file("cache.toml", text);
            ServeConfig::parse(&sources.default_store_path("/cache")).unwrap()
        };
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cert.pem");
        let path = path.to_str().unwrap();
        let config = parse(&format!("[serve.tls]\ncert = '{path}'\nkey = '{path}'"));
        let error = config.check_tls().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read {path}"));
        fs::write(path, "not PEM").unwrap();
        let error = config.check_tls().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{path} has no certificate in PEM")
        );
        assert!(parse("").check_tls().is_ok());
    }

    #[test]
    fn an_upstream_is_built_of_its_configuration() {
        let text = "mirrors = [\"https://m.example\"]\nproxy = \"http://proxy.example:3128\"\n\
                    headers = { X-Team = \"a\" }\nallow_realm = [\"https://auth.example\"]\n\
                    offline = true\ncredentials = { helper = \"none\" }";
        let built = upstream(text).builder().unwrap().build().unwrap();
        assert_eq!(built.name().as_str(), "r.example");
        assert!(built.is_offline());
        let error = upstream("ca = \"/absent.pem\"").builder().unwrap_err();
        let expected = "upstream r.example: cannot take certificates from /absent.pem";
        assert_eq!(error.to_string(), expected);
        let text = "headers = { X-Key = { env = \"LONGSHORE_TEST_ABSENT\" } }";
        let error = upstream(text).builder().unwrap_err();
        let expected = "upstream r.example: cannot read the value of the header x-key";
        assert_eq!(error.to_string(), expected);
        let cause = error.source().unwrap().to_string();
        assert_eq!(
            cause,
            "the environment variable LONGSHORE_TEST_ABSENT is not set"
        );
    }
}
