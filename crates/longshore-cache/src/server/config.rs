//! The configuration of `longshore serve`, from a file, the environment and the command line.
//!
//! [`ServeConfig::parse`] is a pure function of [`ConfigSources`]: it opens no file and reads no
//! variable. An option of the command line has precedence over an environment variable, a variable
//! over the file, and the file over the default. Every key is declared once, as a field of a
//! section; the field's documentation is also the text of the [`reference()`].
//!
//! OU3 (secrets appear in no log, error or argument list): a configuration holds only references to
//! secrets: files, environment variables, credential helpers. A secret in the configuration itself
//! is an error, and the error does not repeat it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use longshore_store::Durability;

use crate::policy::{Freshness, Pattern, TagTtl, UnverifiedRanges, UpstreamPolicy};
use crate::router::{Router, RouterError};

pub use self::connect::ConnectError;
pub use self::error::{ConfigError, ConfigFault};
pub use self::node::Place;
pub use self::reference::reference;
use self::setting::{Reader, section, text_setting, word_setting};
pub use self::source::ConfigSources;
pub use self::units::{ByteSize, ByteSizeError, DurationError, format_duration, parse_duration};
pub use self::upstream::{
    Credentials, HeaderSource, Password, RegistryUrl, RegistryUrlError, TagRule, UpstreamConfig,
    UpstreamProxy,
};

mod connect;
mod environment;
mod error;
mod node;
mod reference;
mod setting;
mod source;
mod suggest;
mod units;
mod upstream;

/// Largest default size of the store: 20 GiB.
pub const DEFAULT_STORE_SIZE: ByteSize = ByteSize::new(20 << 30);

/// Smallest size of the store: 128 KiB. Less is a number without its unit.
const LEAST_STORE_SIZE: ByteSize = ByteSize::new(128 << 10);

/// The address of the default listener: 127.0.0.1:5000.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

section! {
    /// The configuration of a server, with all defaults filled in.
    pub struct ServeConfig as "a table" {
        /// Addresses on which the cache listens for clients.
        listen: Vec<SocketAddr> = vec![DEFAULT_LISTEN];
        /// How long a tag is fresh. After that, a request with HEAD asks the upstream whether the
        /// tag has changed. `never` means that tags do not change. Upstreams can have their own
        /// value.
        tag_ttl: TagTtl = TagTtl::For(crate::DEFAULT_TAG_TTL);
        /// How long the cache remembers that an upstream does not have a tag, manifest or blob.
        negative_ttl: Duration = Duration::from_secs(10);
        /// How long a client waits for the upstream to confirm a tag if the cache has a stale copy.
        stale_wait: Duration = Duration::from_secs(2);
        /// How long a stale tag is used after its TTL if the upstream fails.
        stale_if_error: Duration = Duration::from_secs(24 * 3600);
        /// Maximum time until the cache answers with the head of a response. Some clients give up
        /// after 30 seconds.
        head_budget: Duration = Duration::from_secs(25);
        /// Whether a range of a blob may be answered before the whole blob was verified: `allow`
        /// marks such a response with `Longshore-Verified: no`, `wait` answers after the
        /// verification.
        unverified_ranges: UnverifiedRanges = UnverifiedRanges::Allow;
        /// How long running requests may continue after the first signal to stop.
        drain: Duration = Duration::from_secs(30);
        /// The store of the cache.
        store: StoreConfig = StoreConfig::default();
        /// Limits on clients.
        limits: LimitsConfig = LimitsConfig::default();
        /// The certificate for clients that connect with https. Without it, clients use http.
        tls: Option<TlsConfig> = None, "http";
        /// The listener for operators: health and metrics.
        admin: AdminConfig = AdminConfig::default();
        /// The log, on standard error.
        log: LogConfig = LogConfig::default();
        /// The upstream registries. They replace all built-in upstreams.
        upstream: Vec<UpstreamConfig> = Vec::new(), "the built-in upstreams, below";
    }
}

section! {
    /// The store of the cache.
    pub struct StoreConfig as "a table" {
        /// The directory of the cache. Only one process can use it at a time. The cache creates it
        /// if it is absent, with a private directory `cache` in it.
        path: PathBuf = PathBuf::new(), "`longshore/serve` in the user's cache directory";
        /// Maximum size of the stored content, at least 128 KiB. For the default, space that the
        /// cache already uses counts as free.
        size: Option<ByteSize> = None, "20 GiB, or half of the free space if that is less";
        /// Which writes survive a power cut. `each`: all, because content is flushed to disk before
        /// it becomes visible. `none`: the system decides when to write, and content may be damaged
        /// after a power cut; use it only if the directory is deleted at a restart of the machine.
        durability: Durability = Durability::Each;
        /// How long the start waits if another process uses the directory.
        lock_wait: Duration = Duration::from_secs(60);
    }
}

section! {
    /// Limits on clients (CA10: above a limit the answer is 503 with `Retry-After`).
    pub struct LimitsConfig as "a table" {
        /// Maximum number of client connections.
        connections: Option<u32> = None, "from the limit of open files, at most 16384";
        /// How long a client may take to send the head of a request.
        header_time: Duration = Duration::from_secs(10);
        /// How long a connection may be idle.
        idle: Duration = Duration::from_secs(60);
        /// How long a client may stop reading a response.
        stall: Duration = Duration::from_secs(300);
    }
}

section! {
    /// The certificate of the server, in PEM. The files are read again after a change and after
    /// SIGHUP.
    pub struct TlsConfig as "a table" {
        /// The file with the certificate of the server, followed by those of intermediate
        /// authorities. Required in this table.
        cert: PathBuf = PathBuf::new();
        /// The file with the private key. Required in this table.
        key: PathBuf = PathBuf::new();
    }
}

section! {
    /// The listener for operators.
    pub struct AdminConfig as "a table" {
        /// The address on which `/healthz`, `/readyz` and `/metrics` are served. They have no
        /// authentication: do not expose the address to the internet.
        listen: Option<SocketAddr> = None, "none";
    }
}

section! {
    /// The log, on standard error.
    pub struct LogConfig as "a table" {
        /// The format of the lines: `text` for people, or `json` for programs.
        format: LogFormat = LogFormat::Text;
        /// The least severe level that is logged.
        level: LogLevel = LogLevel::Info;
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// Failures of requests.
    Error,
    /// Also problems that an operator should look at.
    Warn,
    /// Also one line for each request of a client.
    Info,
    /// Also one line for each request to an upstream.
    Debug,
    /// Everything.
    Trace,
}

word_setting!(
    UnverifiedRanges,
    "`allow` or `wait`",
    "allow" => UnverifiedRanges::Allow,
    "wait" => UnverifiedRanges::Wait
);

word_setting!(
    LogFormat,
    "`text` or `json`",
    "text" => LogFormat::Text,
    "json" => LogFormat::Json
);

word_setting!(
    LogLevel,
    "`error`, `warn`, `info`, `debug` or `trace`",
    "error" => LogLevel::Error,
    "warn" => LogLevel::Warn,
    "info" => LogLevel::Info,
    "debug" => LogLevel::Debug,
    "trace" => LogLevel::Trace
);

text_setting!(
    Durability,
    "`each` or `none`",
    |text| match text {
        "each" => Ok(Durability::Each),
        "none" => Ok(Durability::None),
        _ => Err("expected `each` or `none`".to_owned()),
    },
    |durability| match durability {
        Durability::None => "none".to_owned(),
        _ => "each".to_owned(),
    }
);

text_setting!(
    TagTtl,
    "a duration, such as `5m`, or `never`",
    upstream::parse_tag_ttl,
    |ttl| match ttl {
        TagTtl::For(time) => format_duration(*time),
        TagTtl::Never => "never".to_owned(),
    }
);

impl ServeConfig {
    /// Reads a configuration from all sources, checks it and fills in the defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every fault that was found: text that is not TOML, unknown keys, values
    /// of the wrong form, settings that contradict each other, secrets in the configuration itself,
    /// and upstream credentials together with listeners that are not on loopback (CA7).
    pub fn parse(sources: &ConfigSources) -> Result<Self, ConfigError> {
        let mut reader = Reader::default();
        let config = source::read(sources, &mut reader);
        match config {
            Some(config) if reader.faults.is_empty() => Ok(config),
            _ => Err(ConfigError::new(reader.faults)),
        }
    }

    /// Returns the maximum size of the store on a disk with this many free bytes: the configured
    /// size, or else 20 GiB or half of the free space, whichever is less.
    #[must_use]
    pub fn store_size(&self, free: u64) -> ByteSize {
        let default = DEFAULT_STORE_SIZE.min(ByteSize::new(free / 2));
        self.store.size.unwrap_or(default)
    }

    /// Returns whether every listener for clients is on a loopback address.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        self.listen
            .iter()
            .all(|address| address.ip().to_canonical().is_loopback())
    }

    /// Returns how long answers of upstreams stay valid. If `tag_ttl` is `never`, the
    /// [policy](Self::policy) of each upstream states this.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        let mut freshness = Freshness::default();
        if let TagTtl::For(time) = self.tag_ttl {
            freshness.tag_ttl = time;
        }
        freshness.stale_wait = self.stale_wait;
        freshness.stale_if_error = self.stale_if_error;
        freshness.negative_ttl = self.negative_ttl;
        freshness.head_budget = self.head_budget;
        freshness
    }

    /// Returns the settings of an upstream for the service.
    #[must_use]
    pub fn policy(&self, upstream: &UpstreamConfig) -> UpstreamPolicy {
        let rules = upstream.tag_rules.iter();
        let mut tag_ttl: Vec<_> = rules.map(|rule| (rule.tags.clone(), rule.ttl)).collect();
        tag_ttl.push((Pattern::new("*"), upstream.tag_ttl.unwrap_or(self.tag_ttl)));
        UpstreamPolicy {
            tag_ttl,
            repositories: upstream.repositories.clone(),
        }
    }

    /// Builds the router of the upstreams.
    ///
    /// # Errors
    ///
    /// [`RouterError`] if the upstreams were changed after [`parse`](Self::parse), which checks
    /// them.
    pub fn router(&self) -> Result<Router, RouterError> {
        upstream::router(&self.upstream).map_err(|(_, error)| error)
    }

    /// Checks combinations of settings, and fills in defaults that depend on other settings.
    fn complete(&mut self, sources: &ConfigSources, reader: &mut Reader) {
        if self.upstream.is_empty() {
            self.upstream = upstream::built_in();
        }
        if self.listen.is_empty() {
            reader.fault_of("serve.listen", "give at least one address to listen on");
        }
        if self.store.path.as_os_str().is_empty() {
            match sources.default_directory() {
                Some(path) => path.clone_into(&mut self.store.path),
                None => reader.fault_of(
                    "serve.store.path",
                    "the user's cache directory is not known; set a directory with --dir, or with \
                     `path` in [serve.store]",
                ),
            }
        }
        if let Some(size) = self.store.size.filter(|size| *size < LEAST_STORE_SIZE) {
            let bytes = match size.bytes() {
                1 => "1 byte is".to_owned(),
                bytes => format!("{bytes} bytes are"),
            };
            let what = format!("{bytes} too few for a store; give a unit, such as 20GiB");
            reader.fault_of("serve.store.size", what);
        }
        if let Some(tls) = &self.tls {
            for (key, path) in [("cert", &tls.cert), ("key", &tls.key)] {
                if path.as_os_str().is_empty() {
                    reader.fault_of(&format!("serve.tls.{key}"), "give the path of a PEM file");
                }
            }
        }
        if self.head_budget.is_zero() || self.stale_wait > self.head_budget {
            let what = "the wait for a fresh tag must fit into `head_budget`, which must not be 0";
            reader.fault_of("serve.stale_wait", what);
        }
        upstream::complete(&mut self.upstream, reader);
        self.check_credentials(reader);
    }

    /// CA7 (listeners only on loopback while upstream credentials are configured): every client
    /// that reaches the listener could read the content to which the credentials give access.
    fn check_credentials(&self, reader: &mut Reader) {
        if self.is_loopback_only() {
            return;
        }
        for (index, upstream) in self.upstream.iter().enumerate() {
            if upstream.credentials.is_some() || upstream.has_secret_header() {
                let key = setting::entry_key("serve.upstream", index);
                let what = "credentials for an upstream are allowed only while every address in \
                            `serve.listen` is a loopback address, because clients are not \
                            authenticated: listen on 127.0.0.1, or remove the credentials";
                reader.fault_of(&format!("{key}.credentials"), what);
            }
        }
    }
}

#[cfg(test)]
mod tests;
