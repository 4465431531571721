//! The sources of a configuration, and how they are combined.

use std::path::{Path, PathBuf};

use super::ServeConfig;
use super::environment;
use super::error::ConfigFault;
use super::node::{Node, Place, Step, Value};
use super::setting::{Reader, Setting as _, Table};

/// The texts of a configuration, which the caller has read.
///
/// ```
/// use longshore_cache::server::config::{ConfigSources, ServeConfig};
///
/// let sources = ConfigSources::new()
///     .file("cache.toml", "[serve]\ntag_ttl = \"10m\"\n")
///     .environment([("LONGSHORE_SERVE_STORE_SIZE", "50 GiB")])
///     .flag("--listen", "serve.listen", ["127.0.0.1:5001"])
///     .default_store_path("/var/cache/longshore");
/// let config = ServeConfig::parse(&sources)?;
/// assert_eq!(config.listen, ["127.0.0.1:5001".parse().unwrap()]);
/// assert_eq!(config.upstream[0].prefix.as_str(), "docker.io");
/// # Ok::<(), longshore_cache::server::config::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct ConfigSources {
    file: Option<(String, String)>,
    environment: Vec<(String, String)>,
    flags: Vec<Flag>,
    default_store_path: Option<PathBuf>,
}

/// An option of the command line with its values.
#[derive(Clone)]
struct Flag {
    option: &'static str,
    key: &'static str,
    values: Vec<String>,
}

impl ConfigSources {
    /// Makes sources without any setting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the text of a configuration file, in TOML. Errors show the name.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.file = Some((name.to_owned(), text.to_owned()));
        self
    }

    /// Adds environment variables. Those whose names do not begin with `LONGSHORE_SERVE_` are
    /// ignored; an empty value counts as absent.
    #[must_use]
    pub fn environment<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let ours = variables.filter(|(name, _)| name.starts_with(environment::PREFIX));
        self.environment.extend(ours);
        self
    }

    /// Adds an option of the command line for a key, such as `serve.listen`. Without values it has
    /// no effect. Values of `serve.upstream` have the form `[PREFIX=]URL`, and replace the
    /// upstreams of the other sources.
    #[must_use]
    pub fn flag<V: Into<String>>(
        mut self,
        option: &'static str,
        key: &'static str,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values: Vec<_> = values.into_iter().map(V::into).collect();
        if !values.is_empty() {
            self.flags.push(Flag {
                option,
                key,
                values,
            });
        }
        self
    }

    /// Sets the directory of the store if no source sets it.
    #[must_use]
    pub fn default_store_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.default_store_path = Some(path.into());
        self
    }

    pub(super) fn default_directory(&self) -> Option<&Path> {
        self.default_store_path.as_deref()
    }
}

impl std::fmt::Debug for ConfigSources {
    /// Omits the texts, which may hold secrets by mistake.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigSources").finish_non_exhaustive()
    }
}

/// Reads a configuration. It is invalid if the result is `None` or there are faults.
pub(super) fn read(sources: &ConfigSources, reader: &mut Reader) -> Option<ServeConfig> {
    let mut root = match &sources.file {
        None => Node::table(Place::Default),
        Some((name, text)) => match Node::of_file(name, text) {
            Ok(root) => root,
            Err(fault) => {
                reader.faults.push(fault);
                return None;
            }
        },
    };
    let keys = ServeConfig::keys();
    environment::overlay(&mut root, &keys, &sources.environment, reader);
    for flag in &sources.flags {
        flag.overlay(&mut root, reader);
    }
    let mut root = Table::open(root, "", reader)?;
    let config = root.take::<ServeConfig>("serve", reader);
    root.close(&["serve"], reader);
    let mut config = if reader.faults.is_empty() {
        config.unwrap_or_default()
    } else {
        return None;
    };
    config.complete(sources, reader);
    Some(config)
}

impl Flag {
    fn overlay(&self, root: &mut Node, reader: &mut Reader) {
        let place = Place::Flag(self.option);
        let node = match (self.key, self.values.as_slice()) {
            (UPSTREAM, values) => {
                let entries = values.iter().map(|text| upstream(&place, text)).collect();
                let value = Value::List(entries);
                Node { place, value }
            }
            (_, [value]) => Node::text(place, value),
            (_, values) => {
                let entries = values.iter().map(|text| Node::text(place.clone(), text));
                let value = Value::List(entries.collect());
                Node { place, value }
            }
        };
        let path: Vec<_> = self.key.split('.').map(Step::Key).collect();
        if !root.put(&path, node) {
            let place = Place::Flag(self.option);
            let what = "this key cannot be set by an option";
            reader.faults.push(ConfigFault::new(place, self.key, what));
        }
    }
}

/// The key of the list of upstreams.
const UPSTREAM: &str = "serve.upstream";

/// Makes the table of an upstream from `[PREFIX=]URL`.
fn upstream(place: &Place, text: &str) -> Node {
    let mut node = Node::table(place.clone());
    let (prefix, url) = match text.split_once('=') {
        Some((prefix, url)) if !prefix.contains("://") => (Some(prefix), url),
        _ => (None, text),
    };
    let text = |text| Node::text(place.clone(), text);
    if let Some(prefix) = prefix {
        node.put(&[Step::Key("prefix")], text(prefix));
    }
    node.put(&[Step::Key("url")], text(url));
    node
}
