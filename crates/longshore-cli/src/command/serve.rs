//! `longshore serve`

use std::borrow::Cow;
use std::error::Error;

use longshore::Cause;
use longshore::origin::Origin;
use longshore_cache::server::config::{ByteSize, ConfigSources, LogFormat, LogLevel, ServeConfig};
use longshore_cache::server::{
    CacheServer, ListenError, StartError, client_config, ping_upstreams, raise_descriptor_limit,
};
use longshore_cache::{UpstreamError, UpstreamErrorKind};
use longshore_store::StoreErrorKind;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Serve, Upstreams};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::settings;

pub(crate) async fn run(args: Serve) -> Result<(), Failure> {
    let config = settings::parse(&sources(&args)?)?;
    if args.check {
        return check(&config, &args.upstreams).await;
    }
    serve(config, &args.upstreams).await
}

/// Prints that the configuration is valid, and which upstreams answer.
async fn check(config: &ServeConfig, options: &Upstreams) -> Result<(), Failure> {
    Failure::all(unusable_files(config))?;
    output::text(&format!(
        "the configuration is valid\n{}\nnot checked before the start: whether the directory can \
         be used, and whether the addresses are free",
        summary(config, options)
    ))?;
    let mut failures = Vec::new();
    let pings = ping_upstreams(config).await;
    for (name, result) in pings.map_err(|error| start_failure(error, config))? {
        let Err(error) = result else {
            output::text(&format!("{name}: answers"))?;
            continue;
        };
        if error.kind() == UpstreamErrorKind::Offline {
            output::text(&format!("{name}: offline, not asked"))?;
            continue;
        }
        output::text(&format!("{name}: {}", error.kind().as_str()))?;
        let configured = config.upstream.iter().find(|it| it.prefix == name);
        let has_credentials = configured.is_some_and(|it| it.credentials.is_some());
        failures.push(ping_failure(&error, has_credentials));
    }
    Failure::all(failures)
}

/// The failures of files that a start reads.
fn unusable_files(config: &ServeConfig) -> Vec<Failure> {
    let mut failures = Vec::new();
    if let Err(error) = config.check_tls() {
        failures.push(Failure::of(Exit::Usage, &error).hint(TLS_HINT));
    }
    for upstream in &config.upstream {
        if let Err(error) = upstream.builder() {
            failures.push(Failure::of(Exit::Usage, &error).hint(UPSTREAM_HINT));
        }
    }
    failures
}

const TLS_HINT: &str = "correct `cert` and `key` in [serve.tls], or the files";

const UPSTREAM_HINT: &str = "correct the settings of this upstream, or the files that they name";

/// The failure of an upstream that does not answer as it should.
fn ping_failure(error: &UpstreamError, has_credentials: bool) -> Failure {
    let cause = error.source();
    let cause = cause.and_then(<dyn Error>::downcast_ref::<longshore::Error>);
    let lacks_secret = cause.is_some_and(|it| {
        matches!(it.cause(), Cause::Credentials(_)) || it.missing_credentials().is_some()
    });
    let (exit, hint) = match error.kind() {
        _ if lacks_secret => (
            Exit::Auth,
            "what `credentials` of this upstream names cannot be read or used; correct it",
        ),
        // A refused credential is not sent again, so the error may be that of an anonymous request.
        UpstreamErrorKind::Denied if has_credentials => (
            Exit::Auth,
            "the registry does not accept what `credentials` of this upstream names; check the \
             user name and the password",
        ),
        UpstreamErrorKind::Denied => (
            Exit::Auth,
            "the registry demands a login: say in `credentials` of this upstream where the user \
             name and password are",
        ),
        UpstreamErrorKind::RateLimited { .. } => (Exit::RateLimited, STARTS),
        UpstreamErrorKind::Invalid | UpstreamErrorKind::TooLarge => (
            Exit::Protocol,
            "this may be no registry: check `url` of this upstream",
        ),
        _ => (Exit::Unavailable, STARTS),
    };
    Failure::of(exit, error).hint(hint)
}

const STARTS: &str = "check `url` of this upstream; `serve` starts nevertheless and answers from \
                      stored content";

/// Serves clients until the program is stopped.
async fn serve(config: ServeConfig, options: &Upstreams) -> Result<(), Failure> {
    log(&config);
    raise_descriptor_limit();
    let server = CacheServer::start(&config).await;
    let server = server.map_err(|error| start_failure(error, &config))?;
    let mut bound = config;
    bound.listen = server.addresses();
    bound.store.size = Some(ByteSize::new(server.store_limit()));
    bound.admin.listen = server.admin_address();
    say_begun(&bound, options);
    let handle = server.handle();
    let signals = tokio::spawn(async move { handle.obey_signals().await });
    let report = server.run().await;
    signals.abort();
    if report.cut > 0 {
        say_cut(&bound, report.cut);
    }
    Ok(())
}

/// Says that the server runs: in text for people, or as an event of the log for programs.
fn say_begun(config: &ServeConfig, options: &Upstreams) {
    if config.log.format == LogFormat::Json {
        let admin = config.admin.listen.map(|address| address.to_string());
        tracing::info!(
            upstreams = prefixes(config),
            listen = addresses(config),
            directory = %config.store.path.display(),
            size_bytes = config.store.size.map(ByteSize::bytes),
            admin,
            "the cache serves clients"
        );
        return;
    }
    output::note(&summary(config, options));
    if let Some(address) = config.admin.listen {
        output::note(&format!(
            "health and metrics: http://{address}/readyz, /healthz, /metrics"
        ));
    }
}

fn say_cut(config: &ServeConfig, count: usize) {
    if config.log.format == LogFormat::Json {
        tracing::warn!(connections = count, "connections had to be cut");
        return;
    }
    let s = if count == 1 { "" } else { "s" };
    output::note(&format!("{count} connection{s} had to be cut"));
}

/// The failure of a start, with a hint.
fn start_failure(error: StartError, config: &ServeConfig) -> Failure {
    let (exit, hint) = match &error {
        StartError::Listen(ListenError::Busy { .. }) => (
            Exit::Unavailable,
            "choose another address with --listen, or stop the program that uses this one",
        ),
        StartError::Listen(ListenError::AdminBusy { .. }) => (
            Exit::Unavailable,
            "choose another address with --admin-listen, or stop the program that uses this one",
        ),
        StartError::Listen(ListenError::Tls { .. }) => (Exit::Usage, TLS_HINT),
        StartError::Listen(ListenError::Bind { address, .. })
            if config.admin.listen == Some(*address) =>
        {
            (
                Exit::Unavailable,
                "choose another address with --admin-listen",
            )
        }
        StartError::Listen(_) => (Exit::Unavailable, "choose another address with --listen"),
        StartError::Store(error) => (Exit::Disk, store_hint(error.kind())),
        StartError::Records(_) => (Exit::Disk, store_hint(StoreErrorKind::Io)),
        StartError::Connect(_) | StartError::Upstream(_) => (Exit::Usage, UPSTREAM_HINT),
        _ => (Exit::Usage, "check the configuration with --check"),
    };
    Failure::of(exit, &error).hint(hint)
}

/// What to do about a directory that cannot be used.
fn store_hint(kind: StoreErrorKind) -> &'static str {
    match kind {
        StoreErrorKind::Denied => {
            "check the permissions of the directory, or choose another one with --dir"
        }
        StoreErrorKind::Full => "make room on its disk, or choose another directory with --dir",
        StoreErrorKind::Locked => "stop that process, or choose another directory with --dir",
        StoreErrorKind::ReadOnly => "choose a directory on a disk that can be written, with --dir",
        StoreErrorKind::Hostile | StoreErrorKind::Version => "choose another directory with --dir",
        _ => "check that the directory can be used, or choose another one with --dir",
    }
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
fn summary(config: &ServeConfig, options: &Upstreams) -> String {
    let size = match config.store.size {
        Some(size) => output::size(size.bytes()),
        None => "20 GiB or half of the free space, whichever is less".to_owned(),
    };
    let mut text = format!(
        "caching: {}\nlistening: {}\ndirectory: {}, at most {size}",
        prefixes(config),
        addresses(config),
        config.store.path.display(),
    );
    if let Some(url) = client_config::local_url(config) {
        text.push_str(&format!(
            "\nclients: {}\n  prints the configuration of dockerd; others are containerd, podman, \
             buildkit, k3s and kaniko",
            client_command(&url, options)
        ));
        if let Some(upstream) = config.upstream.first() {
            let name = format!("{}/{}/NAME:TAG", url.authority(), upstream.prefix);
            text.push_str(&format!("\n  any client can pull {name}"));
        }
    }
    text
}

/// The command that prints the configuration of clients of this server.
fn client_command(server: &Origin, options: &Upstreams) -> String {
    let mut command = format!("longshore cache client-config docker --server {server}");
    if let Some(path) = &options.config {
        let path = path.display().to_string();
        command.push_str(&format!(" --config {}", shell_word(&path)));
    }
    for upstream in &options.upstream {
        command.push_str(&format!(" --upstream {}", shell_word(upstream)));
    }
    command
}

/// Quotes text as a word for a shell, where that is necessary.
fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")))
}

fn prefixes(config: &ServeConfig) -> String {
    let prefixes: Vec<_> = config
        .upstream
        .iter()
        .map(|it| it.prefix.as_str())
        .collect();
    prefixes.join(", ")
}

fn addresses(config: &ServeConfig) -> String {
    let addresses: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::args::{Args, Command};

    fn parsed(options: &[&str]) -> Serve {
        let words = ["longshore", "serve"].iter().chain(options);
        let Command::Serve(args) = Args::try_parse_from(words).unwrap().command else {
            panic!("not serve");
        };
        args
    }

    fn config(options: &[&str]) -> Result<ServeConfig, Failure> {
        settings::parse(&sources(&parsed(options))?)
    }

    #[test]
    fn every_option_sets_its_key() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("cache.toml");
        std::fs::write(&file, "[serve]\nnegative_ttl = \"1s\"\ntag_ttl = \"1s\"\n").unwrap();
        let options = [
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
        ];
        let config = config(&options).unwrap();
        assert_eq!(
            summary(&config, &parsed(&options).upstreams),
            format!(
                "caching: quay.io, registry.example\nlistening: 127.0.0.1:5001, [::1]:5001\n\
                 directory: /cache, at most 200.0 GiB\nclients: longshore cache client-config \
                 docker --server http://127.0.0.1:5001 --config {} --upstream \
                 quay.io=https://mirror.example --upstream https://registry.example:5000\n  prints \
                 the configuration of dockerd; others are containerd, podman, buildkit, k3s and \
                 kaniko\n  any client can pull 127.0.0.1:5001/quay.io/NAME:TAG",
                shell_word(file.to_str().unwrap())
            )
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

    #[test]
    fn words_for_a_shell_are_quoted() {
        for (text, expected) in [
            (
                "quay.io=https://r.example:1/a",
                "quay.io=https://r.example:1/a",
            ),
            ("", "''"),
            ("my cache.toml", "'my cache.toml'"),
            ("it's;$(x)", r"'it'\''s;$(x)'"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }

    /// The failure of a check with this file.
    async fn checked(file: &str) -> Failure {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cache.toml");
        std::fs::write(&path, file).unwrap();
        let args = parsed(&[
            "--dir=/cache",
            "--check",
            "--config",
            path.to_str().unwrap(),
        ]);
        run(args).await.unwrap_err()
    }

    /// Answers every request with this head.
    async fn answering(head: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        format!("http://{address}")
    }

    const DENIED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn an_upstream_that_denies_access_needs_credentials() {
        let url = answering(DENIED).await;
        let upstream = format!("[[serve.upstream]]\nprefix = \"r.example\"\nurl = \"{url}\"\n");
        let failure = checked(&upstream).await;
        assert_eq!(failure.exit(), Exit::Auth, "{failure}");
        let text = failure.to_string();
        assert!(text.contains("access is denied"), "{text}");
        assert!(
            text.contains("hint: the registry demands a login"),
            "{text}"
        );
        let absent = "credentials = { username = \"me\", file = \"/absent/secret\" }\n";
        let failure = checked(&format!("{upstream}{absent}")).await;
        assert_eq!(failure.exit(), Exit::Auth, "{failure}");
        let text = failure.to_string();
        assert!(text.contains("cannot read /absent/secret"), "{text}");
        assert!(text.contains("hint: what `credentials`"), "{text}");
        let wrong = "credentials = { username = \"me\", env = \"PATH\" }\n";
        let failure = checked(&format!("{upstream}{wrong}")).await;
        assert_eq!(failure.exit(), Exit::Auth, "{failure}");
        let text = failure.to_string();
        assert!(
            text.contains("hint: the registry does not accept"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_causes_of_an_upstream_that_does_not_answer_are_shown() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        let denied = answering(DENIED).await;
        let failure = checked(&format!(
            "[[serve.upstream]]\nprefix = \"a.example\"\nurl = \"http://{closed}\"\n\
             [[serve.upstream]]\nprefix = \"b.example\"\nurl = \"{denied}\"\n\
             [[serve.upstream]]\nprefix = \"c.example\"\noffline = true\n"
        ))
        .await;
        assert_eq!(failure.exit(), Exit::Unavailable);
        let text = failure.to_string();
        assert!(text.starts_with("error: upstream a.example: "), "{text}");
        assert!(text.to_lowercase().contains("connection refused"), "{text}");
        assert!(text.contains("\nerror: upstream b.example: "), "{text}");
        assert!(!text.contains("c.example"), "{text}");
    }

    #[tokio::test]
    async fn an_offline_upstream_is_not_asked_by_a_check() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("cache.toml");
        let file = "[[serve.upstream]]\nprefix = \"r.example\"\noffline = true\n";
        std::fs::write(&path, file).unwrap();
        let args = parsed(&[
            "--dir=/cache",
            "--check",
            "--config",
            path.to_str().unwrap(),
        ]);
        assert!(run(args).await.is_ok());
    }

    #[tokio::test]
    async fn the_files_of_the_configuration_are_checked() {
        let failure = checked(
            "[serve.tls]\ncert = \"/absent/cert\"\nkey = \"/absent/key\"\n\
             [[serve.upstream]]\nprefix = \"a.example\"\nca = \"/absent/ca\"\n\
             [[serve.upstream]]\nprefix = \"b.example\"\n\
             headers = { X-Key = { file = \"/absent/key\" } }\n",
        )
        .await;
        assert_eq!(failure.exit(), Exit::Usage);
        let text = failure.to_string();
        for expected in [
            "error: cannot read /absent/cert\n",
            "error: upstream a.example: cannot take certificates from /absent/ca\n",
            "error: upstream b.example: cannot read the value of the header x-key\n",
            "cannot read /absent/key",
            "[serve.tls]",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn a_start_that_fails_names_the_option_that_helps() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("cache");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken
            .local_addr()
            .map(|it| (taken, it.to_string()))
            .unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        let config = place.path().join("cache.toml");
        std::fs::write(
            &config,
            "[serve.tls]\ncert = \"/absent\"\nkey = \"/absent\"\n",
        )
        .unwrap();
        for (options, exit, hint) in [
            (
                vec!["--listen=127.0.0.1:0", "--config", config.to_str().unwrap()],
                Exit::Usage,
                "in [serve.tls]",
            ),
            (
                vec!["--listen", &taken.1],
                Exit::Unavailable,
                "with --listen, or",
            ),
            (
                vec!["--listen=127.0.0.1:0", "--admin-listen", &taken.1],
                Exit::Unavailable,
                "with --admin-listen, or",
            ),
            (
                vec!["--listen=127.0.0.1:0", "--dir", file.to_str().unwrap()],
                Exit::Disk,
                "with --dir",
            ),
        ] {
            let mut words = vec!["--dir", directory.to_str().unwrap()];
            if options.contains(&"--dir") {
                words.clear();
            }
            words.extend(options);
            let failure = run(parsed(&words)).await.unwrap_err();
            assert_eq!(failure.exit(), exit, "{failure}");
            assert!(failure.to_string().contains(hint), "{failure}");
        }
    }

    #[test]
    fn each_kind_of_an_unusable_directory_has_its_hint() {
        for (kind, expected) in [
            (StoreErrorKind::Locked, "stop that process"),
            (StoreErrorKind::Denied, "permissions"),
            (StoreErrorKind::Full, "make room"),
            (StoreErrorKind::Version, "choose another directory"),
        ] {
            let hint = store_hint(kind);
            assert!(hint.contains(expected), "{hint}");
            assert!(hint.contains("--dir"), "{hint}");
        }
    }
}
