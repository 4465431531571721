//! Which hosts serve a registry, and with which settings.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request};
use longshore_auth::RegistrySettings;
use longshore_model::RepositoryName;
use longshore_origin::{AllowAddresses, Origin, OriginError, Scheme};
use longshore_proto::endpoint::Endpoint;
use longshore_proto::{Host, Quirks};
use longshore_transport::{
    Body, Sensitivity, TlsFault, TlsIdentity, TransportError, TransportErrorKind,
};

use crate::send::Sender;

/// The registry of references that name no registry.
const HUB: &str = "docker.io";

/// Where Docker Hub's API is.
const HUB_API: &str = "registry-1.docker.io";

/// What is configured for one registry; the default is TLS on the registry's own name.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct HostSettings {
    /// Where the API is, if not at `https://<registry>/v2/`: `https://host[:port][/path]`.
    pub base_url: Option<String>,
    /// Use plain http. Secrets are then sent unencrypted (CR4).
    pub plain_http: bool,
    /// Token endpoints on other origins that may get this registry's credentials, in addition to
    /// those that the rules allow (RE4).
    pub allow_realm: Vec<Origin>,
    /// Addresses that redirects and realms may lead to, although their class is narrower than the
    /// registry's own (RE3, RD2).
    pub allow_addresses: AllowAddresses,
    /// Which of the transport's TLS settings to use for the registry itself.
    pub tls: TlsIdentity,
    /// Header fields for every request to the registry itself, as a gateway in front of it may
    /// demand. They are secrets of its origin (CR10): neither a redirect to another origin nor a
    /// token endpoint gets them. They replace no field that the client sets.
    pub headers: HeaderMap,
    /// A prefix that is put before every repository name, as for a cache of many registries.
    pub prefix: Option<RepositoryName>,
    /// The peculiarities of the registry; `None` uses the known ones for its name.
    pub quirks: Option<Quirks>,
}

impl HostSettings {
    /// The origin of a URL that can be a [`base_url`](Self::base_url).
    ///
    /// # Errors
    ///
    /// [`HostError`] when the URL cannot be a base URL.
    pub fn origin_of(base_url: &str) -> Result<Origin, HostError> {
        Ok(base(base_url)?.origin().clone())
    }

    /// The settings that concern the authenticator.
    pub(crate) fn auth(&self) -> RegistrySettings {
        let mut settings = RegistrySettings::new().allow_addresses(self.allow_addresses.clone());
        if self.plain_http
            || self
                .base_url
                .as_deref()
                .is_some_and(|url| url.starts_with("http:"))
        {
            settings = settings.plain_http();
        }
        self.allow_realm
            .iter()
            .cloned()
            .fold(settings, RegistrySettings::allow_realm)
    }
}

/// Of the header fields it shows only the names (OU3).
impl fmt::Debug for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            base_url,
            plain_http,
            allow_realm,
            allow_addresses,
            tls,
            headers,
            prefix,
            quirks,
        } = self;
        f.debug_struct("HostSettings")
            .field("base_url", base_url)
            .field("plain_http", plain_http)
            .field("allow_realm", allow_realm)
            .field("allow_addresses", allow_addresses)
            .field("tls", tls)
            .field("headers", &headers.keys().collect::<Vec<_>>())
            .field("prefix", prefix)
            .field("quirks", quirks)
            .finish()
    }
}

/// The canonical name of a registry, in lower case. Docker Hub has three names.
pub(crate) fn canonical(registry: &str) -> Cow<'_, str> {
    let is = |name: &str| registry.eq_ignore_ascii_case(name);
    if is("index.docker.io") || is(HUB_API) {
        Cow::Borrowed(HUB)
    } else if registry.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(registry.to_ascii_lowercase())
    } else {
        Cow::Borrowed(registry)
    }
}

/// Why a registry's name or its settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The base URL in the settings is not a URL, or has a query or a fragment.
    #[error("the base URL must be http(s)://host[:port][/path], without query or fragment")]
    BaseUrl,
    /// The name is not a host name.
    #[error(transparent)]
    Origin(#[from] OriginError),
}

/// Finds the hosts of registries.
#[derive(Debug)]
pub(crate) struct Hosts {
    settings: HashMap<String, HostSettings>,
    /// Loopback names whose scheme is decided (architecture: "Loopback scheme").
    pinned: Mutex<HashMap<String, Scheme>>,
    probing: tokio::sync::Mutex<()>,
}

/// The hosts of one registry, and its settings.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) hosts: Arc<[Host]>,
    pub(crate) settings: HostSettings,
}

impl Hosts {
    pub(crate) fn new(settings: HashMap<String, HostSettings>) -> Self {
        Self {
            settings,
            pinned: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
        }
    }

    /// The hosts of the registry of this canonical name.
    pub(crate) async fn resolve(
        &self,
        registry: &str,
        sender: &Sender,
    ) -> Result<Registry, HostError> {
        let settings = self.settings.get(registry).cloned().unwrap_or_default();
        let host = match &settings.base_url {
            Some(url) => base(url)?,
            None => {
                let authority = if registry == HUB { HUB_API } else { registry };
                let https = Origin::from_authority(Scheme::Https, authority)?;
                let scheme = if settings.plain_http {
                    Scheme::Http
                } else if https.is_loopback_name() {
                    self.probe(&https, &settings.tls, sender).await
                } else {
                    Scheme::Https
                };
                Host::new(Origin::from_authority(scheme, authority)?)
            }
        };
        let mut host = host
            .with_allowed(settings.allow_addresses.clone())
            .with_quirks(
                settings
                    .quirks
                    .clone()
                    .unwrap_or_else(|| Quirks::of(registry)),
            );
        if let Some(prefix) = &settings.prefix {
            host = host.with_prefix(prefix.clone());
        }
        Ok(Registry {
            hosts: [host].into(),
            settings,
        })
    }

    /// Tries TLS on a loopback name without configuration, and pins the name to plain http if the
    /// peer does not speak TLS (RT12). The request has no header, so it sends nothing secret.
    ///
    /// A peer does not speak TLS if it answers the first message of the handshake with plain text
    /// or with nothing, that is, closes or resets the connection, or stays silent. A certificate
    /// error shows that the peer speaks TLS. If the peer cannot be reached, nothing is pinned.
    async fn probe(&self, https: &Origin, tls: &TlsIdentity, sender: &Sender) -> Scheme {
        let pinned = |hosts: &Self| {
            let pinned = hosts.pinned.lock().unwrap_or_else(PoisonError::into_inner);
            pinned.get(https.authority()).copied()
        };
        let _one_at_a_time = self.probing.lock().await;
        if let Some(scheme) = pinned(self) {
            return scheme;
        }
        let ping = Endpoint::Ping.write(&Host::new(https.clone()));
        let uri = format!("{https}{}", ping.path_and_query);
        let Ok(mut request) = Request::get(uri).body(Body::empty()) else {
            return Scheme::Https;
        };
        request.extensions_mut().insert(tls.clone());
        request.extensions_mut().insert(Sensitivity::Plain);
        let scheme = match sender.send(request, PROBE_LIMIT).await {
            Err(error) if speaks_no_tls(&error) => Scheme::Http,
            Err(error) if error.kind() != TransportErrorKind::Tls => return Scheme::Https,
            _ => Scheme::Https,
        };
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        *pinned.entry(https.authority().to_owned()).or_insert(scheme)
    }
}

/// Whether this error shows that a peer on loopback does not speak TLS.
fn speaks_no_tls(error: &TransportError) -> bool {
    error.kind() == TransportErrorKind::NotTls || error.tls() == Some(TlsFault::Unanswered)
}

/// Time limit for a loopback peer to show which protocol it speaks.
const PROBE_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

fn base(url: &str) -> Result<Host, HostError> {
    let (scheme, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest),
        (_, Some(rest)) => (Scheme::Http, rest),
        _ => return Err(HostError::BaseUrl),
    };
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if path.contains(['?', '#']) || !path.is_ascii() {
        return Err(HostError::BaseUrl);
    }
    Ok(Host::new(Origin::from_authority(scheme, authority)?).with_base(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Result<&str, HostError>) {
        let found = base(url).map(|host| host.origin().to_string());
        assert_eq!(found, expected.map(str::to_owned), "{url}");
    }

    #[test]
    fn a_base_url_is_an_origin_and_a_path() {
        check("https://a.example", Ok("https://a.example"));
        check(
            "http://a.example:8080/registry/",
            Ok("http://a.example:8080"),
        );
        check("a.example", Err(HostError::BaseUrl));
        check("ftp://a.example", Err(HostError::BaseUrl));
        check("https://a.example/?x", Err(HostError::BaseUrl));
    }

    #[test]
    fn the_origin_of_a_base_url_is_known_before_a_client_is_built() {
        let origin = HostSettings::origin_of("https://a.example:8443/registry").unwrap();
        assert_eq!(origin.authority(), "a.example:8443");
        let refused = HostSettings::origin_of("a.example");
        assert_eq!(refused, Err(HostError::BaseUrl));
    }

    #[test]
    fn ou3_settings_show_the_names_of_header_fields_only() {
        let mut settings = HostSettings::default();
        let value = http::HeaderValue::from_static("s3cret");
        settings.headers.insert("x-gateway", value);
        let shown = format!("{settings:?}");
        assert!(
            shown.contains("x-gateway") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn cr12_a_base_url_with_a_user_is_refused() {
        assert!(matches!(
            base("https://u:p@a.example"),
            Err(HostError::Origin(_))
        ));
    }

    #[test]
    fn docker_hub_has_one_name() {
        for name in [
            "docker.io",
            "index.docker.io",
            "registry-1.docker.io",
            "Docker.IO",
        ] {
            assert_eq!(canonical(name), "docker.io");
        }
        assert_eq!(canonical("quay.io"), "quay.io");
        assert_eq!(canonical("LOCALHOST:5000"), "localhost:5000");
    }
}
