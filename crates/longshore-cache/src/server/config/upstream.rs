//! Upstream registries in the configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use longshore_origin::{Origin, OriginError};

use super::node::{Node, Value};
use super::setting::{
    Entry, Key, Reader, Setting, USER_INFORMATION, entry_key, from_text, parsed, section,
    text_setting,
};
use super::units::parse_duration;
use crate::name::UpstreamName;
use crate::policy::{Pattern, TagTtl};
use crate::router::{Router, RouterError};

/// The name of Docker Hub among upstreams, and in references to images.
const HUB: &str = "docker.io";

/// The other names of Docker Hub.
const HUB_ALIASES: [&str; 2] = ["index.docker.io", HUB_API];

/// Where the API of Docker Hub is.
const HUB_API: &str = "registry-1.docker.io";

/// The upstreams of a server if its configuration has none.
const BUILT_IN: [&str; 9] = [
    HUB,
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "public.ecr.aws",
    "mcr.microsoft.com",
    "nvcr.io",
    "registry.gitlab.com",
];

section! {
    /// The keys of an upstream, as they are written.
    struct UpstreamKeys as "a table" {
        /// The first path segments of the names of its repositories in the cache, usually the host
        /// of the registry: `quay.io`. Lower case, without a port. Two upstreams must not have the
        /// same prefix, and no prefix may begin with the segments of another one. An upstream
        /// without `prefix` is the default upstream, and its prefix is the host in `url`.
        prefix: Option<UpstreamName> = None, "the host in `url`";
        /// The URL of the registry: `https://registry.example`, optionally with a port and a path.
        /// Required, unless `prefix` is set and is a host that supports https.
        url: Option<RegistryUrl> = None, "`https://` and `prefix`";
        /// Whether names without a known prefix belong to this upstream. dockerd sends such names
        /// to a mirror. At most one upstream is the default.
        default: Option<bool> = None, "true without `prefix`; and for `docker.io` if no other is";
        /// Host names of the cache under which all names belong to this upstream: clients that
        /// connect to `quay.cache.example` need no prefix.
        hosts: Vec<String> = Vec::new();
        /// Values of the parameter `ns` that select this upstream. containerd and BuildKit send the
        /// name of the registry in this parameter.
        ns: Option<Vec<String>> = None, "`prefix` and the host in `url`";
        /// Whether a name of one segment is an official image: `alpine` is `library/alpine`.
        official_images: Option<bool> = None, "true for Docker Hub";
        /// Source of the credentials for the registry. Requires that all listeners are on loopback.
        credentials: Option<Credentials> = None, "anonymous access";
        /// Further token servers that may get the credentials, at any address.
        allow_realm: Vec<Origin> = Vec::new();
        /// A PEM file with certificate authorities to trust for this registry too.
        ca: Option<PathBuf> = None, "the authorities of the system";
        /// The URL of the proxy to connect through, or `none`. A proxy that requires a password is
        /// set in `HTTPS_PROXY`.
        proxy: UpstreamProxy = UpstreamProxy::Environment,
            "`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`";
        /// Headers to send with each request to the registry itself. A value is text or a reference
        /// to a secret: `{ X-Team = "a", X-Key = { file = "/path" } }`.
        headers: HeaderMap<HeaderSource> = HeaderMap::default(), "`{}`";
        /// URLs of other registries with the same content. They are tried before the registry
        /// itself, in this order, and get no credentials.
        mirrors: Vec<RegistryUrl> = Vec::new();
        /// How long tags of this upstream are fresh, or `never` if they do not change.
        tag_ttl: Option<TagTtl> = None, "`serve.tag_ttl`";
        /// Exceptions from `tag_ttl`. The first rule whose pattern matches applies.
        tag_rules: Vec<TagRule> = Vec::new();
        /// Whether to answer only from the cache, without requests to the registry.
        offline: bool = false;
        /// Maximum number of concurrent requests to the registry.
        concurrency: Option<u32> = None, "32";
        /// Patterns of the repositories that clients may read, by path segments. `*` matches any
        /// characters of a segment, and `**` any number of segments: `["library/*", "team/**"]`.
        /// Requests for other repositories are refused with 403.
        repositories: Vec<Pattern> = vec![Pattern::new("**")];
    }
}

/// Maximum number of concurrent requests to an upstream, by default.
const CONCURRENCY: u32 = 32;

/// An upstream registry, with all defaults filled in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// The name of the upstream, which is the prefix of its repositories in the cache.
    pub prefix: UpstreamName,
    /// The URL of the registry.
    pub url: RegistryUrl,
    /// Whether names without a known prefix belong to it.
    pub is_default: bool,
    /// Host names of the cache under which all names belong to it.
    pub hosts: Vec<String>,
    /// Values of the parameter `ns` that select it.
    pub ns: Vec<String>,
    /// Whether a name of one segment is an official image of Docker Hub.
    pub official_images: bool,
    /// Source of the credentials. `None`: anonymous access.
    pub credentials: Option<Credentials>,
    /// Further token servers that may get the credentials.
    pub allow_realm: Vec<Origin>,
    /// A PEM file with certificate authorities to trust too.
    pub ca: Option<PathBuf>,
    /// How to connect.
    pub proxy: UpstreamProxy,
    /// Headers of requests.
    pub headers: HeaderMap<HeaderSource>,
    /// Registries with the same content.
    pub mirrors: Vec<RegistryUrl>,
    /// How long its tags are fresh. `None`: `serve.tag_ttl`.
    pub tag_ttl: Option<TagTtl>,
    /// Exceptions from `tag_ttl`.
    pub tag_rules: Vec<TagRule>,
    /// Whether no request is sent to the registry.
    pub offline: bool,
    /// Maximum number of concurrent requests.
    pub concurrency: u32,
    /// The repositories that clients may read.
    pub repositories: Vec<Pattern>,
    /// Whether `prefix`, `is_default` and `ns` were set.
    is_named: bool,
    is_default_given: bool,
    is_ns_given: bool,
}

impl UpstreamConfig {
    /// Returns whether a header refers to a secret.
    pub(super) fn has_secret_header(&self) -> bool {
        let is_secret = |source: &HeaderSource| !matches!(source, HeaderSource::Text(_));
        self.headers.values().any(is_secret)
    }

    /// Returns the names by which clients refer to this registry in names of images.
    #[must_use]
    pub fn registries(&self) -> Vec<&str> {
        let is_host = |name: &&str| name.contains(['.', ':']) || *name == "localhost";
        self.ns.iter().map(String::as_str).filter(is_host).collect()
    }

    fn of_keys(keys: UpstreamKeys, key: &str, reader: &mut Reader) -> Option<Self> {
        let url = match (keys.url, &keys.prefix) {
            (Some(url), _) => url,
            (None, Some(prefix)) => match url_of(prefix) {
                Some(url) => url,
                None => {
                    let what = "set the URL of the registry; it cannot be derived from `prefix`";
                    reader.fault_of(&format!("{key}.url"), what);
                    return None;
                }
            },
            (None, None) => {
                let what = "set the URL of the registry, such as `https://registry.example`";
                reader.fault_of(&format!("{key}.url"), what);
                return None;
            }
        };
        let is_named = keys.prefix.is_some();
        let Some(prefix) = keys.prefix.or_else(|| prefix_of(&url)) else {
            let what = "set a prefix; it cannot be derived from `url`";
            reader.fault_of(&format!("{key}.prefix"), what);
            return None;
        };
        let is_hub = prefix.as_str() == HUB || is_hub(url.origin.host());
        Some(Self {
            is_default: keys.default.unwrap_or(!is_named),
            is_default_given: keys.default.is_some() || !is_named,
            is_named,
            is_ns_given: keys.ns.is_some(),
            ns: keys.ns.unwrap_or_default(),
            official_images: keys.official_images.unwrap_or(is_hub),
            prefix,
            url,
            hosts: keys.hosts,
            credentials: keys.credentials,
            allow_realm: keys.allow_realm,
            ca: keys.ca,
            proxy: keys.proxy,
            headers: keys.headers,
            mirrors: keys.mirrors,
            tag_ttl: keys.tag_ttl,
            tag_rules: keys.tag_rules,
            offline: keys.offline,
            concurrency: keys.concurrency.unwrap_or(CONCURRENCY),
            repositories: keys.repositories,
        })
    }
}

/// Returns the URL of the registry whose host is this prefix.
fn url_of(prefix: &UpstreamName) -> Option<RegistryUrl> {
    let host = match prefix.as_str() {
        HUB => HUB_API,
        host if host.contains('.') => host,
        _ => return None,
    };
    format!("https://{host}").parse().ok()
}

/// Returns the host of a URL as a prefix, if it can be one.
fn prefix_of(url: &RegistryUrl) -> Option<UpstreamName> {
    let host = url.origin.host();
    let name = if is_hub(host) { HUB } else { host };
    name.parse().ok()
}

fn is_hub(host: &str) -> bool {
    host == HUB || HUB_ALIASES.contains(&host)
}

impl Setting for UpstreamConfig {
    const FORM: &'static str = "a table";

    fn keys() -> Vec<Key> {
        UpstreamKeys::keys()
    }

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        let keys = UpstreamKeys::read(node, key, reader)?;
        Self::of_keys(keys, key, reader)
    }

    fn shown(&self) -> String {
        String::new()
    }
}

impl Entry for UpstreamConfig {
    const LIST: &'static str = "a list of tables";
}

/// Returns the upstreams of a server if its configuration has none.
pub(super) fn built_in() -> Vec<UpstreamConfig> {
    let mut reader = Reader::default();
    let upstreams = BUILT_IN.iter().filter_map(|host| {
        let keys = UpstreamKeys {
            prefix: host.parse().ok(),
            ..UpstreamKeys::default()
        };
        UpstreamConfig::of_keys(keys, "", &mut reader)
    });
    upstreams.collect()
}

/// Fills in defaults that depend on other upstreams, and checks all upstreams together.
pub(super) fn complete(upstreams: &mut [UpstreamConfig], reader: &mut Reader) {
    complete_default(upstreams);
    complete_ns(upstreams);
    for (index, upstream) in upstreams.iter().enumerate() {
        if upstream.repositories.is_empty() {
            let key = format!("{}.repositories", entry_key("serve.upstream", index));
            let what = "the list is empty, so every request would be refused; write `[\"**\"]` for \
                        all";
            reader.fault_of(&key, what);
        }
    }
    if let Err((key, error)) = router(upstreams) {
        let is_unnamed = |name: &UpstreamName| {
            let found = upstreams.iter().find(|it| it.prefix == *name);
            found.is_some_and(|it| !it.is_named)
        };
        let what = match &error {
            RouterError::Defaults { first, second } if is_unnamed(second) => format!(
                "{error}; an upstream without a prefix is the default one, so give {} a prefix: \
                 `prefix` in the file, PREFIX=URL as an option",
                if is_unnamed(first) {
                    "one of them"
                } else {
                    "it"
                }
            ),
            _ => error.to_string(),
        };
        reader.fault_of(&key, what);
    }
}

/// Builds the router. An error has the key of the setting that caused it.
pub(super) fn router(upstreams: &[UpstreamConfig]) -> Result<Router, (String, RouterError)> {
    let mut builder = Router::builder();
    for (index, upstream) in upstreams.iter().enumerate() {
        let at = |name: &'static str| {
            let list = entry_key("serve.upstream", index);
            move |error| (format!("{list}.{name}"), error)
        };
        let name = &upstream.prefix;
        builder = builder.upstream(name.clone()).map_err(at("prefix"))?;
        for ns in &upstream.ns {
            builder = builder.namespace(ns, name).map_err(at("ns"))?;
        }
        for host in &upstream.hosts {
            builder = builder.host(host, name).map_err(at("hosts"))?;
        }
        if upstream.official_images {
            builder = builder
                .official_images(name)
                .map_err(at("official_images"))?;
        }
        if upstream.is_default {
            builder = builder.default_upstream(name).map_err(at("default"))?;
        }
    }
    Ok(builder.build())
}

/// Makes Docker Hub the default upstream if the configuration sets no default.
fn complete_default(upstreams: &mut [UpstreamConfig]) {
    if upstreams.iter().any(|it| it.is_default) {
        return;
    }
    let hub = |it: &&mut UpstreamConfig| it.prefix.as_str() == HUB && !it.is_default_given;
    if let Some(hub) = upstreams.iter_mut().find(hub) {
        hub.is_default = true;
    }
}

/// Fills in `ns` for upstreams that do not set it, with names that no other upstream has.
fn complete_ns(upstreams: &mut [UpstreamConfig]) {
    let given = upstreams.iter().flat_map(|it| &it.ns);
    let mut taken: BTreeSet<_> = given.map(|name| name.to_ascii_lowercase()).collect();
    // Prefixes are unique, but several upstreams may be parts of one registry.
    for upstream in upstreams.iter_mut() {
        let name = upstream.prefix.as_str();
        let is_free = !name.contains('/') && taken.insert(name.to_owned());
        if is_free && !upstream.is_ns_given {
            upstream.ns.push(name.to_owned());
        }
    }
    for upstream in upstreams.iter_mut().filter(|it| !it.is_ns_given) {
        let name = upstream.url.origin.authority();
        // A router treats all names of Docker Hub as equal.
        let name = if is_hub(name) { HUB } else { name };
        if taken.insert(name.to_owned()) {
            upstream.ns.push(name.to_owned());
        }
    }
}

/// The URL of a registry: `http` or `https`, a host, and optionally a port and a path below which
/// the registry is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistryUrl {
    /// Scheme, host and port.
    pub origin: Origin,
    /// Empty, or a path with a leading and without a trailing `/`.
    pub path: String,
}

/// Why a text is not the URL of a registry. The text is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryUrlError {
    /// It has a user name or password (CR12).
    #[error("{USER_INFORMATION}")]
    UserInformation,
    /// It has no usable scheme or host.
    #[error("expected a URL such as `https://registry.example`: {0}")]
    Origin(OriginError),
    /// It has a query, a fragment, or a path that is not plain segments.
    #[error("expected a URL such as `https://registry.example/path`, without query and fragment")]
    Path,
}

impl FromStr for RegistryUrl {
    type Err = RegistryUrlError;

    fn from_str(text: &str) -> Result<Self, RegistryUrlError> {
        if text.contains('@') {
            return Err(RegistryUrlError::UserInformation);
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(RegistryUrlError::Origin(OriginError::Scheme))?;
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, path.strip_suffix('/').unwrap_or(path)),
            None => (rest, ""),
        };
        let origin = format!("{scheme}://{authority}");
        let origin = origin.parse().map_err(RegistryUrlError::Origin)?;
        if path.is_empty() {
            let path = String::new();
            return Ok(Self { origin, path });
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let is_segment = |it: &str| !matches!(it, "" | "." | "..") && it.chars().all(is_plain);
        if !path.split('/').all(is_segment) {
            return Err(RegistryUrlError::Path);
        }
        let path = format!("/{path}");
        Ok(Self { origin, path })
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryUrl({self})")
    }
}

text_setting!(
    RegistryUrl,
    "a URL, such as `https://registry.example`",
    from_text,
    RegistryUrl::to_string,
    "a list of URLs"
);

text_setting!(
    UpstreamName,
    "path segments in lower case, such as `quay.io`",
    from_text,
    UpstreamName::to_string
);

text_setting!(
    Pattern,
    "a pattern",
    |text| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "*/._-".contains(c);
        match !text.is_empty() && text.chars().all(is_plain) {
            true => Ok(Pattern::new(text)),
            false => Err("expected a pattern such as `v1.*`, `library/*` or `team/**`".to_owned()),
        }
    },
    |pattern| pattern.as_str().to_owned(),
    "a list of patterns"
);

text_setting!(
    UpstreamProxy,
    "the URL of a proxy, or `none`",
    |text| match text {
        "none" => Ok(UpstreamProxy::None),
        _ if text.contains('@') => Err(PROXY_PASSWORD.to_owned()),
        _ if has_scheme(text, &["http", "https", "socks5", "socks5h"]) => {
            Ok(UpstreamProxy::Url(text.to_owned()))
        }
        _ => Err(
            "expected the URL of a proxy, such as `http://proxy.example:3128`, or `none`"
                .to_owned()
        ),
    },
    |proxy| match proxy {
        UpstreamProxy::Environment => String::new(),
        UpstreamProxy::None => "none".to_owned(),
        UpstreamProxy::Url(url) => url.clone(),
    }
);

const PROXY_PASSWORD: &str = "a URL must not hold a user name or password; set a proxy that \
                              requires them in the environment variable HTTPS_PROXY instead";

fn has_scheme(text: &str, schemes: &[&str]) -> bool {
    let found = text.split_once("://");
    found.is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

/// How to connect to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamProxy {
    /// From the environment variables `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    Environment,
    /// Without a proxy.
    None,
    /// Through the proxy with this URL, which holds no password.
    Url(String),
}

pub(super) fn parse_tag_ttl(text: &str) -> Result<TagTtl, String> {
    match text {
        "never" => Ok(TagTtl::Never),
        _ => match parse_duration(text) {
            Ok(time) => Ok(TagTtl::For(time)),
            Err(error) => Err(format!("{error}, or `never`")),
        },
    }
}

/// How long tags that match a pattern are fresh.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TagRule {
    /// The tags.
    pub tags: Pattern,
    /// How long they are fresh.
    pub ttl: TagTtl,
}

section! {
    /// The keys of a rule for tags, as they are written.
    struct TagRuleKeys as "a table" {
        /// A tag, or a pattern in which `*` matches any characters. Required.
        tags: Option<Pattern> = None;
        /// How long these tags are fresh, or `never` if they do not change. Required.
        ttl: Option<TagTtl> = None;
    }
}

impl Setting for TagRule {
    const FORM: &'static str = "a table";

    fn keys() -> Vec<Key> {
        TagRuleKeys::keys()
    }

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        let keys = TagRuleKeys::read(node, key, reader)?;
        let (Some(tags), Some(ttl)) = (keys.tags, keys.ttl) else {
            let what = "expected a table such as `{ tags = \"v*\", ttl = \"never\" }`";
            reader.fault_of(key, what);
            return None;
        };
        Some(Self { tags, ttl })
    }

    fn shown(&self) -> String {
        String::new()
    }
}

impl Entry for TagRule {
    const LIST: &'static str = "a list of tables";
}

/// Source of the credentials for an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// A user name, and the source of the password. Without a user name, the secret is
    /// `USER:PASSWORD`.
    Password {
        /// The user name.
        username: Option<String>,
        /// Source of the password or token.
        password: Password,
    },
    /// A Docker credential helper, by its name without `docker-credential-`.
    Helper(String),
    /// A Docker configuration file.
    DockerConfig(PathBuf),
}

/// Source of a password or token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Password {
    /// In a file; a line break at its end is ignored. The file is read again when the registry
    /// refuses the credentials.
    File(PathBuf),
    /// In the environment variable of this name.
    Environment(String),
}

section! {
    /// The keys of credentials, as they are written.
    struct CredentialKeys as "a table" {
        /// The user name. Without it, the secret in `file` or `env` has the form `USER:PASSWORD`.
        username: Option<String> = None;
        /// A file that holds the password or token, such as a mounted secret.
        file: Option<PathBuf> = None;
        /// The name of an environment variable that holds the password or token.
        env: Option<String> = None;
        /// The name of a Docker credential helper, without `docker-credential-`.
        helper: Option<String> = None;
        /// A Docker configuration file, with the credentials of this registry or its helper.
        docker_config: Option<PathBuf> = None;
    }
}

/// The error message for a table of credentials.
const ONE_SOURCE: &str = "give exactly one of `file`, `env`, `helper` and `docker_config`; \
                          `username` goes with `file` and `env`";

impl Setting for Credentials {
    const FORM: &'static str = "a table";

    fn keys() -> Vec<Key> {
        CredentialKeys::keys()
    }

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        if matches!(node.value, Value::Text(_)) {
            // The text may be a secret, so the error says where secrets belong.
            let what = "expected a table that says where the credentials are, such as \
                        `{ username = \"me\", file = \"/path\" }`; a secret does not belong here";
            reader.fault(&node.place, key, what);
            return None;
        }
        let keys = CredentialKeys::read(node, key, reader)?;
        let username = keys.username;
        let found = match (keys.file, keys.env, keys.helper, keys.docker_config) {
            (Some(file), None, None, None) => Self::Password {
                username,
                password: Password::File(file),
            },
            (None, Some(name), None, None) => {
                if !is_variable(&name) {
                    let what = "expected the name of an environment variable, which consists of \
                                letters, digits and `_`; a secret does not belong here";
                    reader.fault_of(&format!("{key}.env"), what);
                    return None;
                }
                Self::Password {
                    username,
                    password: Password::Environment(name),
                }
            }
            (None, None, Some(helper), None) if username.is_none() => {
                if !is_helper(&helper) {
                    let what = "expected the name of a credential helper, such as `ecr-login`, \
                                without a path";
                    reader.fault_of(&format!("{key}.helper"), what);
                    return None;
                }
                Self::Helper(helper)
            }
            (None, None, None, Some(file)) if username.is_none() => Self::DockerConfig(file),
            _ => {
                reader.fault_of(key, ONE_SOURCE);
                return None;
            }
        };
        Some(found)
    }

    fn shown(&self) -> String {
        String::new()
    }
}

fn is_variable(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(is_word)
}

fn is_helper(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Source of the value of a header.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderSource {
    /// In the configuration.
    Text(HeaderValue),
    /// It is a secret.
    Secret(Password),
}

impl fmt::Debug for HeaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A user may have written a secret here by mistake, so it is not shown.
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Secret(source) => f.debug_tuple("Secret").field(source).finish(),
        }
    }
}

/// Headers that the client sets itself, or that would put a secret into the configuration.
const REFUSED_HEADERS: [&str; 17] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Setting for HeaderMap<HeaderSource> {
    const FORM: &'static str = "a table of headers";

    fn read(node: Node, key: &str, reader: &mut Reader) -> Option<Self> {
        let node = match &node.value {
            Value::Text(text) if node.place.is_plain_text() => {
                Node::of_value(&node.place, text).unwrap_or(node)
            }
            _ => node,
        };
        let Value::Table(entries) = node.value else {
            reader.wrong(&node, key, "a table in TOML, such as `{ X-Team = \"a\" }`");
            return None;
        };
        let mut headers = Self::default();
        let before = reader.faults.len();
        for (name, node) in entries {
            let key = format!("{key}.{name}");
            let found = HeaderName::try_from(&name).ok();
            let Some(name) = found.filter(|it| !REFUSED_HEADERS.contains(&it.as_str())) else {
                let what = "this header cannot be set here; put credentials into `credentials`";
                reader.fault(&node.place, &key, what);
                continue;
            };
            if let Some(value) = header(&name, node, &key, reader) {
                headers.insert(name, value);
            }
        }
        (reader.faults.len() == before).then_some(headers)
    }

    fn shown(&self) -> String {
        String::new()
    }
}

/// Reads the value of a header.
fn header(name: &HeaderName, node: Node, key: &str, reader: &mut Reader) -> Option<HeaderSource> {
    if let Value::Table(_) = node.value {
        let place = node.place.clone();
        return match Credentials::read(node, key, reader) {
            Some(Credentials::Password {
                username: None,
                password,
            }) => Some(HeaderSource::Secret(password)),
            Some(_) => {
                reader.fault(&place, key, "give exactly one of `file` and `env`");
                None
            }
            None => None,
        };
    }
    if let Some(advice) = super::suggest::secret_advice(name.as_str()) {
        let what = format!("{advice}; for a header, write `{name} = {{ file = \"/path\" }}`");
        reader.fault(&node.place, key, what);
        return None;
    }
    parsed(
        node,
        key,
        "text, or a table with `file` or `env`",
        reader,
        |text| {
            let value = HeaderValue::from_str(text);
            value
                .map(HeaderSource::Text)
                .map_err(|_| "the text has characters that are not allowed in a header".to_owned())
        },
    )
}
