//! From options to a client.

use std::io::Read as _;
use std::path::PathBuf;

use longshore::auth::Credential;
use longshore::origin::Secret;
use longshore::{Client, DockerConfig, HostSettings, OneCredential};
use longshore_hyper::{HyperTransport, ProxySettings, TlsSettings};
use tracing_subscriber::filter::LevelFilter;

use crate::args::Connection;
use crate::exit::Failure;

/// A password is read up to this size.
const PASSWORD_LIMIT_BYTES: u64 = 64 * 1024;

/// Builds the client for the registry a command is about.
pub(crate) fn client(options: &Connection, registry: &str) -> Result<Client, Failure> {
    narrate(options.verbose);
    let mut tls = TlsSettings::default();
    if let Some(path) = &options.ca_file {
        tls = tls
            .ca_file(path)
            .map_err(|error| Failure::ca_file(path, &error))?;
    }
    if options.insecure_skip_verify {
        tls = tls.insecure_skip_verify();
    }
    let proxy = ProxySettings::from_env()?;
    let transport = HyperTransport::builder().tls(tls).proxy(proxy).build()?;
    let mut settings = HostSettings::default();
    settings.plain_http = options.plain_http;
    settings.allow_realm.clone_from(&options.allow_realm);
    let builder = Client::builder()
        .transport(transport)
        .attempts(options.retry_attempts)
        .host(registry, settings);
    let builder = match &options.username {
        Some(username) => {
            let credential = Credential::basic(username, password()?)?;
            builder.credentials(OneCredential::new(registry, credential))
        }
        None => match docker_config() {
            Some(path) => builder.credentials(DockerConfig::load(&path)?),
            None => builder,
        },
    };
    Ok(builder.build()?)
}

/// The first line of standard input, without its end.
fn password() -> Result<Secret, Failure> {
    let mut text = String::new();
    let mut stdin = std::io::stdin().take(PASSWORD_LIMIT_BYTES);
    stdin.read_to_string(&mut text).map_err(Failure::stdin)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
    Ok(Secret::new(line))
}

/// Where Docker keeps its configuration: `$DOCKER_CONFIG`, else `~/.docker`.
fn docker_config() -> Option<PathBuf> {
    let dir = match std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::home_dir()?.join(".docker"),
    };
    Some(dir.join("config.json"))
}

/// Shows requests, and with more `-v` more, on stderr.
fn narrate(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let targets = tracing_subscriber::filter::Targets::new().with_target("longshore", level);
    let targets = if verbose > 2 {
        targets.with_default(LevelFilter::DEBUG)
    } else {
        targets
    };
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_target(false)
        .with_level(false)
        .with_writer(std::io::stderr);
    // A second command in one process would find it set; there is none.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
}
