//! Building an upstream.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use longshore::{
    Anonymous, BuildError, Client, CredentialSource, DynCredentials, HostError, HostSettings,
    Notice, TokenCache,
};
use longshore_model::RepositoryName;
use longshore_origin::{AllowAddresses, Origin, without_user_information};
use longshore_proto::Quirks;
use longshore_transport::{Clock, DynTransport, TlsIdentity, Transport};

use super::credentials::Remembered;
use super::monitor::{Monitor, OnCall};
use super::{Host, Inner, Upstream, UpstreamCall};
use crate::name::UpstreamName;
use crate::observer::{Event, Observer};

/// The settings of an upstream that is not built yet; see [`Upstream::builder`].
pub struct UpstreamBuilder {
    name: UpstreamName,
    url: String,
    mirrors: Vec<String>,
    transport: Option<DynTransport>,
    clock: Option<Arc<dyn Clock>>,
    credentials: Option<DynCredentials>,
    settings: HostSettings,
    offline: bool,
    concurrency: Option<usize>,
    on_call: Option<OnCall>,
}

/// Why an upstream cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamBuildError {
    /// The client cannot be built.
    #[error("upstream {upstream}: cannot build the client")]
    Client {
        /// The upstream.
        upstream: UpstreamName,
        /// What is missing.
        source: BuildError,
    },
    /// No clock was set, and this build has no default clock.
    #[error("upstream {upstream}: there is no clock; set one, or enable the feature `server`")]
    NoClock {
        /// The upstream.
        upstream: UpstreamName,
    },
    /// The URL of the upstream or of a mirror cannot be used.
    #[error("upstream {upstream}: the URL `{url}` cannot be used")]
    Url {
        /// The upstream.
        upstream: UpstreamName,
        /// The URL, without user information (CR12).
        url: String,
        /// What is wrong with it.
        source: HostError,
    },
}

impl UpstreamBuilder {
    pub(super) fn new(name: UpstreamName, url: &str) -> Self {
        Self {
            name,
            url: url.to_owned(),
            mirrors: Vec::new(),
            transport: None,
            clock: None,
            credentials: None,
            settings: HostSettings::default(),
            offline: false,
            concurrency: None,
            on_call: None,
        }
    }

    /// Sends requests over this transport. The feature `server` has a default.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(DynTransport::new(transport));
        self
    }

    /// Uses this clock. The feature `server` has a default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Takes the credentials for the upstream from this source, by the host and port of its URL;
    /// for Docker Hub by `docker.io`. Mirrors get no credentials (CR1). The default is no mirror.
    ///
    /// The source is queried for each repository at most once per
    /// [`CREDENTIAL_KEPT`](super::CREDENTIAL_KEPT), and again after a refusal.
    #[must_use]
    pub fn credentials(mut self, source: impl CredentialSource) -> Self {
        self.credentials = Some(DynCredentials::new(source));
        self
    }

    /// Sets the quirks of the registry. The default are the known quirks of the host in its URL.
    #[must_use]
    pub fn quirks(mut self, quirks: Quirks) -> Self {
        self.settings.quirks = Some(quirks);
        self
    }

    /// Adds a mirror: `https://host[:port][/path]`. Mirrors are tried before the upstream itself,
    /// in the order in which they were added.
    #[must_use]
    pub fn mirror(mut self, url: &str) -> Self {
        self.mirrors.push(url.to_owned());
        self
    }

    /// With `true`, sends no request, so that only cached content is served. The default is
    /// `false`.
    #[must_use]
    pub const fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Maximum number of requests in flight to each host. The default is 32.
    #[must_use]
    pub const fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = Some(requests);
        self
    }

    /// Uses the TLS settings with this name in the transport for the upstream itself.
    #[must_use]
    pub fn tls(mut self, tls: TlsIdentity) -> Self {
        self.settings.tls = tls;
        self
    }

    /// Allows the credentials of the upstream to be sent to this token endpoint, in addition to
    /// those that the rules allow (RE4).
    #[must_use]
    pub fn allow_realm(mut self, realm: Origin) -> Self {
        self.settings.allow_realm.push(realm);
        self
    }

    /// Allows redirects and realms of the upstream to lead to these addresses (RE3, RD2).
    #[must_use]
    pub fn allow_addresses(mut self, addresses: AllowAddresses) -> Self {
        self.settings.allow_addresses = addresses;
        self
    }

    /// Adds this prefix to every repository name at the upstream itself.
    #[must_use]
    pub fn prefix(mut self, prefix: RepositoryName) -> Self {
        self.settings.prefix = Some(prefix);
        self
    }

    /// Sends this header field with every request to the upstream itself, for example for a gateway
    /// in front of the registry. The field is a secret: mirrors, redirects to other origins and
    /// token endpoints do not get it (CR10).
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.settings.headers.append(name, value);
        self
    }

    /// Calls this listener after every call. The listener should return soon. A call for which no
    /// request may be sent, because the upstream is offline or paused, is not reported.
    #[must_use]
    pub fn on_call(mut self, listener: impl Fn(&UpstreamCall<'_>) + Send + Sync + 'static) -> Self {
        self.on_call = Some(Box::new(listener));
        self
    }

    /// Reports every ended call to this observer, instead of a [listener](Self::on_call).
    #[must_use]
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        self.on_call(move |call| observer.event(&Event::UpstreamCall(call)))
    }

    /// Builds the upstream, without a request.
    ///
    /// # Errors
    ///
    /// [`UpstreamBuildError`] when a part is missing or a URL cannot be used.
    pub fn build(self) -> Result<Upstream, UpstreamBuildError> {
        let clock = self.clock.clone().or_else(default_clock);
        let clock = clock.ok_or_else(|| UpstreamBuildError::NoClock {
            upstream: self.name.clone(),
        })?;
        let source = self.credentials.clone();
        let source = source.unwrap_or_else(|| DynCredentials::new(Anonymous::default()));
        let credentials = Remembered::new(source, Arc::clone(&clock));
        let monitor = Arc::<Monitor>::default();
        let mirrors = self.mirrors.iter().map(|url| {
            let watch = Watch {
                clock: &clock,
                monitor: None,
            };
            self.host(url, HostSettings::default(), Anonymous::default(), watch)
        });
        let mut hosts = mirrors.collect::<Result<Vec<_>, _>>()?;
        let watch = Watch {
            clock: &clock,
            monitor: Some(&monitor),
        };
        let settings = self.settings.clone();
        let home = self.host(&self.url, settings, credentials.clone(), watch)?;
        hosts.push(home.clone());
        Ok(Upstream(Arc::new(Inner {
            name: self.name,
            hosts,
            home,
            clock,
            monitor,
            credentials,
            offline: self.offline,
            on_call: self.on_call,
        })))
    }

    /// The registry itself or a mirror, at this URL.
    fn host(
        &self,
        url: &str,
        mut settings: HostSettings,
        credentials: impl CredentialSource,
        watch: Watch<'_>,
    ) -> Result<Host, UpstreamBuildError> {
        let origin = HostSettings::origin_of(url).map_err(|source| UpstreamBuildError::Url {
            upstream: self.name.clone(),
            url: without_user_information(url).into_owned(),
            source,
        })?;
        let registry: Arc<str> = origin.authority().into();
        settings.base_url = Some(url.to_owned());
        let clock = watch.clock;
        let mut builder = Client::builder()
            .attempts(ATTEMPTS)
            .clock(Arc::clone(clock))
            .token_cache(TokenCache::new(Arc::clone(clock)))
            .credentials(credentials)
            .host(&registry, settings);
        if let Some(requests) = self.concurrency {
            builder = builder.requests_per_origin(requests);
        }
        if let Some(transport) = &self.transport {
            builder = builder.transport(transport.clone());
        }
        if let Some(monitor) = watch.monitor {
            let (monitor, clock) = (Arc::clone(monitor), Arc::clone(clock));
            builder = builder.on_notice(move |notice| {
                if let Notice::RateLimit { limit, .. } = notice {
                    monitor.saw_quota(*limit, clock.now());
                }
            });
        }
        let client = builder
            .build()
            .map_err(|source| UpstreamBuildError::Client {
                upstream: self.name.clone(),
                source,
            })?;
        Ok(Host { client, registry })
    }
}

/// Maximum number of attempts for a request to a host. It is lower than the default of the client,
/// because the clients of a cache have other sources and also retry.
const ATTEMPTS: u32 = 3;

/// The clock of a host, and the monitor that records its rate limits.
struct Watch<'a> {
    clock: &'a Arc<dyn Clock>,
    monitor: Option<&'a Arc<Monitor>>,
}

#[cfg(feature = "server")]
#[expect(clippy::unnecessary_wraps, reason = "the other build has no clock")]
fn default_clock() -> Option<Arc<dyn Clock>> {
    Some(Arc::new(longshore_hyper::TokioClock::default()))
}

#[cfg(not(feature = "server"))]
fn default_clock() -> Option<Arc<dyn Clock>> {
    None
}

/// Shows no secret.
impl fmt::Debug for UpstreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBuilder")
            .field("name", &self.name)
            .field("url", &without_user_information(&self.url))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
