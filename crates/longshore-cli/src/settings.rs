//! The configuration of the cache, as the commands about it read it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use longshore_cache::server::config::{ConfigError, ConfigSources, ServeConfig};

use crate::args::Upstreams;
use crate::exit::{Exit, Failure};

/// Largest configuration file, in bytes.
const FILE_LIMIT_BYTES: u64 = 1024 * 1024;

/// Returns what is common to the commands: the file, the environment and the upstreams.
pub(crate) fn sources(options: &Upstreams) -> Result<ConfigSources, Failure> {
    let mut sources = ConfigSources::new();
    if let Some(path) = &options.config {
        let text = read(path).map_err(|error| unreadable(path, &error))?;
        sources = sources.file(&path.display().to_string(), &text);
    }
    let variables = std::env::vars_os();
    let ours = variables.filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        // A value that is not UTF-8 is no value of any key, which the error then says.
        Some((name, value.to_string_lossy().into_owned()))
    });
    sources = sources.environment(ours);
    let (cache, home) = (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    if let Some(path) = default_directory(cache, home) {
        sources = sources.default_store_path(path);
    }
    Ok(sources.flag("--upstream", "serve.upstream", &options.upstream))
}

/// Checks the configuration. Each fault is a failure of its own.
pub(crate) fn parse(sources: &ConfigSources) -> Result<ServeConfig, Failure> {
    ServeConfig::parse(sources).map_err(|error| faults(&error))
}

fn faults(error: &ConfigError) -> Failure {
    let faults = error.faults().iter();
    let failures = faults.map(|fault| Failure::new(Exit::Usage, &fault.to_string()));
    match Failure::all(failures.collect()) {
        Err(failure) => failure,
        Ok(()) => Failure::new(Exit::Usage, "the configuration is wrong"),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(FILE_LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LIMIT_BYTES {
        let what = format!("it is larger than {FILE_LIMIT_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotFound => Exit::NotFound,
        _ => Exit::Disk,
    };
    let what = format!("cannot read the configuration {}", path.display());
    Failure::caused(exit, what, error).hint("give --config a TOML file that can be read")
}

/// Returns the default directory of the cache (XDG Base Directory Specification 0.8: a relative
/// path in `XDG_CACHE_HOME` is ignored).
fn default_directory(cache: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let cache = cache.and_then(absolute);
    let base = cache.or_else(|| Some(home.and_then(absolute)?.join(".cache")))?;
    Some(base.join("longshore").join("serve"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_default_directory_is_in_the_cache_directory_of_the_user() {
        for (cache, home, expected) in [
            (Some("/c"), Some("/h"), Some("/c/longshore/serve")),
            (None, Some("/h"), Some("/h/.cache/longshore/serve")),
            (Some("c"), Some("/h"), Some("/h/.cache/longshore/serve")),
            (Some(""), Some("/h"), Some("/h/.cache/longshore/serve")),
            (None, Some("h"), None),
            (None, None, None),
        ] {
            let found = default_directory(cache.map(Into::into), home.map(Into::into));
            assert_eq!(
                found.as_deref(),
                expected.map(Path::new),
                "{cache:?} {home:?}"
            );
        }
    }
}
