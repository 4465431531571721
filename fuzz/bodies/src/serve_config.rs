//! The configuration of the cache: a file, environment variables and options.

use longshore_cache::server::client_config::{Client, client_config, local_url};
use longshore_cache::server::config::{ConfigSources, ServeConfig};
use longshore_origin::is_unsafe;

/// What separates the text of the file from the other sources.
const SEPARATOR: &str = "\n---\n";

/// Reads a file, then lines of `NAME=VALUE` with environment variables and of `--flag VALUE`.
///
/// # Panics
///
/// When an accepted configuration has no upstream, listener or router, has a URL with a password,
/// has credentials together with a listener beyond loopback (CA7), or cannot be turned into client
/// configurations; or when an error shows an unsafe character (OU1).
pub fn serve_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (file, others) = text.split_once(SEPARATOR).unwrap_or((text, ""));
    let mut sources = ConfigSources::new()
        .default_store_path("/cache")
        .file("cache.toml", file);
    for line in others.lines() {
        sources = match line.strip_prefix("--upstream ") {
            Some(value) => sources.flag("--upstream", "serve.upstream", [value]),
            None => match line.split_once('=') {
                Some((name, value)) => sources.environment([(name, value)]),
                None => sources.flag("--listen", "serve.listen", [line]),
            },
        };
    }
    match ServeConfig::parse(&sources) {
        Ok(config) => accepted(&config),
        Err(error) => {
            assert!(!error.faults().is_empty());
            for fault in error.faults() {
                assert!(!fault.to_string().contains(is_unsafe), "{fault:?}");
            }
            // The same sources have the same faults.
            assert_eq!(ServeConfig::parse(&sources), Err(error));
        }
    }
}

fn accepted(config: &ServeConfig) {
    assert!(!config.upstream.is_empty() && !config.listen.is_empty());
    assert!(config.router().is_ok());
    let has_credentials = config.upstream.iter().any(|it| it.credentials.is_some());
    assert!(!has_credentials || config.is_loopback_only());
    for upstream in &config.upstream {
        let url = upstream.url.to_string();
        assert!(!url.contains('@'));
        assert_eq!(url.parse().as_ref(), Ok(&upstream.url));
    }
    let server = local_url(config);
    for client in [
        Client::Docker,
        Client::Containerd,
        Client::Podman,
        Client::Buildkit,
        Client::K3s,
        Client::Kaniko,
    ] {
        let Some(server) = &server else { continue };
        let made = client_config(client, server, &config.upstream);
        for file in &made.files {
            let is_plain =
                |part: std::path::Component<'_>| !matches!(part, std::path::Component::ParentDir);
            assert!(file.path.starts_with("/etc") && file.path.components().all(is_plain));
            assert!(!file.content.contains(|c: char| is_unsafe(c) && c != '\n'));
        }
    }
}
