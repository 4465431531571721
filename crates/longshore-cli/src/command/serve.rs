//! `longshore serve`

use longshore::origin::Escaped;
use longshore_cache::server::config::{ConfigSources, LogFormat, LogLevel, ServeConfig};
use longshore_cache::server::{
    CacheServer, ListenError, StartError, client_config, ping_upstreams, raise_descriptor_limit,
};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::Serve;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings;

pub(crate) async fn run(args: Serve) -> Result<(), Failure> {
    let config = settings::parse(&sources(&args)?)?;
    if args.check {
        return check(&config).await;
    }
    serve(config).await
}

/// Prints that the configuration is valid, and which upstreams answer.
async fn check(config: &ServeConfig) -> Result<(), Failure> {
    output::text(&format!("the configuration is valid\n{}", summary(config)))?;
    let mut failed = Vec::new();
    for (name, result) in ping_upstreams(config).await.map_err(start_failure)? {
        match result {
            Ok(()) => output::text(&format!("{name}: answers"))?,
            Err(error) => {
                output::text(&format!("{name}: {}", Escaped::text(&error.to_string())))?;
                failed.push(name.to_string());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let what = format!(
        "these upstreams do not answer as registries: {}",
        failed.join(", ")
    );
    let hint = "check their URLs; `serve` starts nevertheless and answers from stored content";
    Err(Failure::new(Exit::Unavailable, &what).hint(hint))
}

/// Serves clients until the program is stopped.
async fn serve(config: ServeConfig) -> Result<(), Failure> {
    log(&config);
    raise_descriptor_limit();
    let server = CacheServer::start(&config).await.map_err(start_failure)?;
    let mut bound = config;
    bound.listen = server.addresses();
    bound.store.size = Some(longshore_cache::server::config::ByteSize::new(
        server.store_limit(),
    ));
    output::note(&summary(&bound));
    if let Some(address) = server.admin_address() {
        output::note(&format!(
            "health and metrics: http://{address}/readyz, /healthz, /metrics"
        ));
    }
    let handle = server.handle();
    let signals = tokio::spawn(async move { handle.obey_signals().await });
    let report = server.run().await;
    signals.abort();
    if report.cut > 0 {
        let (count, s) = (report.cut, if report.cut == 1 { "" } else { "s" });
        output::note(&format!("{count} connection{s} had to be cut"));
    }
    Ok(())
}

/// The failure of a start, with a hint.
fn start_failure(error: StartError) -> Failure {
    let (exit, hint) = match &error {
        StartError::Listen(ListenError::Busy { .. }) => (
            Exit::Unavailable,
            "choose another address with --listen, or stop the program that uses this one",
        ),
        StartError::Listen(_) => (Exit::Unavailable, "choose another address with --listen"),
        StartError::Store(_) | StartError::Records(_) => (
            Exit::Disk,
            "choose another directory with --dir, or stop the process that uses it",
        ),
        _ => (Exit::Usage, "check the configuration with --check"),
    };
    Failure::of(exit, &error).hint(hint)
}

/// Sets up the log on standard error. Requests to upstreams have the next lower level than requests
/// of clients.
fn log(config: &ServeConfig) {
    let level = match config.log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let targets = Targets::new()
        .with_target("longshore", level)
        .with_target("longshore_cache", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        _ => lines.with_ansi(false).boxed(),
    };
    // This fails only if a logger is already set; a process runs one command.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
}

/// Returns the sources of the configuration, with the options of the command line.
fn sources(args: &Serve) -> Result<ConfigSources, Failure> {
    Ok(settings::sources(&args.upstreams)?
        .flag("--listen", "serve.listen", &args.listen)
        .flag("--dir", "serve.store.path", &args.dir)
        .flag("--size", "serve.store.size", &args.size)
        .flag("--tag-ttl", "serve.tag_ttl", &args.tag_ttl)
        .flag("--negative-ttl", "serve.negative_ttl", &args.negative_ttl)
        .flag("--admin-listen", "serve.admin.listen", &args.admin_listen))
}

/// Describes what is cached and where, and how clients use the cache.
fn summary(config: &ServeConfig) -> String {
    let prefixes = config.upstream.iter().map(|it| it.prefix.as_str());
    let prefixes: Vec<_> = prefixes.collect();
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    let size = match config.store.size {
        Some(size) => output::size(size.bytes()),
        None => "20 GiB or half of the free space, whichever is less".to_owned(),
    };
    let mut text = format!(
        "caching: {}\nlistening: {}\ndirectory: {}, at most {size}\nclients: `longshore cache \
         client-config docker|containerd|podman|buildkit|k3s|kaniko` prints their configuration",
        prefixes.join(", "),
        listen.join(", "),
        config.store.path.display(),
    );
    if let (Some(url), Some(prefix)) = (client_config::local_url(config), prefixes.first()) {
        let name = format!("{}/{prefix}/NAME:TAG", url.authority());
        text.push_str(&format!(",\n  and any client can pull {name}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn config(options: &[&str]) -> Result<ServeConfig, Failure> {
        let words = ["longshore", "serve"].iter().chain(options);
        let Command::Serve(args) = Args::try_parse_from(words).unwrap().command else {
            panic!("not serve");
        };
        settings::parse(&sources(&args)?)
    }

    #[test]
    fn every_option_sets_its_key() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("cache.toml");
        std::fs::write(&file, "[serve]\nnegative_ttl = \"1s\"\ntag_ttl = \"1s\"\n").unwrap();
        let config = config(&[
            "--config",
            file.to_str().unwrap(),
            "--listen=127.0.0.1:5001",
            "--listen=[::1]:5001",
            "--dir=/cache",
            "--size=200 GiB",
            "--tag-ttl=2m",
            "--admin-listen=127.0.0.1:9090",
            "--upstream=quay.io=https://mirror.example",
            "--upstream=https://registry.example:5000",
        ])
        .unwrap();
        assert_eq!(
            summary(&config),
            "caching: quay.io, registry.example\nlistening: 127.0.0.1:5001, [::1]:5001\n\
             directory: /cache, at most 200.0 GiB\nclients: `longshore cache client-config \
             docker|containerd|podman|buildkit|k3s|kaniko` prints their configuration,\n  and any \
             client can pull 127.0.0.1:5001/quay.io/NAME:TAG"
        );
        assert_eq!(config.negative_ttl.as_secs(), 1);
        assert_eq!(config.freshness().tag_ttl.as_secs(), 120);
        assert_eq!(config.admin.listen.unwrap().port(), 9090);
        assert_eq!(config.upstream[0].url.to_string(), "https://mirror.example");
    }

    #[test]
    fn each_fault_of_the_configuration_is_a_paragraph() {
        let failure = config(&["--dir=/cache", "--size=1G", "--tag-ttl=5"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            failure.to_string(),
            "error: --tag-ttl: serve.tag_ttl: expected a whole number with one of the units ms, s, \
             m, h and d, such as 5m, or `never`\n\
             error: --size: serve.store.size: expected a number of bytes, or a number with one of \
             KB, MB, GB, TB, KiB, MiB, GiB and TiB"
        );
    }

    #[test]
    fn ou3_a_password_in_an_upstream_is_not_repeated() {
        let failure = config(&["--dir=/c", "--upstream=https://me:hunter2@r.example"]).unwrap_err();
        let text = failure.to_string();
        assert!(
            text.contains("--upstream: serve.upstream[1].url: a URL must not hold"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("absent.toml");
        let failure = config(&["--config", file.to_str().unwrap()]).unwrap_err();
        assert_eq!(failure.exit(), Exit::NotFound);
        let text = failure.to_string();
        assert!(text.contains("cannot read the configuration "), "{text}");
        assert!(text.contains("absent.toml"), "{text}");
    }
}
