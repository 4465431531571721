//! From arguments to a client and a repository.

use std::io::{ErrorKind, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore::auth::Credential;
use longshore::model::{Digest, Reference, ReferenceParts, Tag};
use longshore::origin::{Origin, Scheme, Secret};
use longshore::transport::TlsIdentity;
use longshore::{
    Client, DockerCredentials, HostSettings, Notice, OneCredential, QUOTA_WAIT_LIMIT, Repository,
};
use longshore_hyper::{HyperTransport, ProxySettings, TlsSettings};
use tracing_subscriber::filter::LevelFilter;
use zeroize::Zeroizing;

use crate::args::Connection;
use crate::exit::{Exit, Failure};
use crate::local;
use crate::output;

/// Maximum length of a password, in bytes.
const PASSWORD_LIMIT_BYTES: usize = 64 * 1024;

/// Size of the standard library's buffer for standard input, in bytes. Larger reads bypass it.
const STDIN_BUFFER_BYTES: usize = 8 * 1024;

/// Parses a reference. The error for text that is not a reference shows the text.
pub(crate) fn reference(text: &str) -> Result<Reference, Failure> {
    if let Some(failure) = local::refused(text) {
        return Err(failure);
    }
    Reference::parse(text).map_err(|error| Failure::reference(text, &error))
}

/// Parses a reference; returns also its tag if one was written. No tag is assumed.
pub(crate) fn reference_and_tag(text: &str) -> Result<(Reference, Option<Tag>), Failure> {
    let reference = reference(text)?;
    let parts = ReferenceParts::parse(text).map_err(|error| Failure::reference(text, &error))?;
    let tag = parts.tag.and_then(|_| reference.tag());
    Ok((reference, tag))
}

/// Parses the name of a blob: a reference with a digest.
pub(crate) fn blob_reference(text: &str) -> Result<(Reference, Digest), Failure> {
    let reference = reference(text)?;
    let Some(digest) = reference.digest() else {
        let hint = "name the blob as [REGISTRY/]NAME@DIGEST";
        return Err(Failure::new(Exit::Reference, "the reference has no digest").hint(hint));
    };
    Ok((reference, digest))
}

/// Checks that text is the name of a registry: a host, and perhaps a port.
pub(crate) fn registry(text: &str) -> Result<&str, Failure> {
    match Origin::from_authority(Scheme::Https, text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::registry(text, &error)),
    }
}

/// Parses a reference and opens the repository that it names.
pub(crate) async fn repository(
    text: &str,
    options: &Connection,
) -> Result<(Reference, Repository), Failure> {
    let reference = reference(text)?;
    local::note_layout(text);
    let client = client(options, &[reference.registry()])?;
    let repository = client.repository(&reference).await?;
    Ok((reference, repository))
}

/// Builds the client for the registries of a command. The connection options apply to each of them.
///
/// CR1 (a secret belongs to one origin): a user name on the command line is refused if there is
/// more than one registry. Other credentials are looked up for each registry.
pub(crate) fn client(options: &Connection, registries: &[&str]) -> Result<Client, Failure> {
    client_observed(options, registries, |_| {})
}

/// Like [`client`], and also passes the notices of registries to `listen`.
pub(crate) fn client_observed(
    options: &Connection,
    registries: &[&str],
    listen: impl Fn(&Notice) + Send + Sync + 'static,
) -> Result<Client, Failure> {
    narrate(options.verbose);
    let mut tls = TlsSettings::default();
    if let Some(path) = &options.ca_file {
        tls = tls
            .ca_file(path)
            .map_err(|error| Failure::ca_file(path, &error))?;
    }
    let proxy = ProxySettings::from_env()?;
    let mut transport = HyperTransport::builder().tls(tls.clone()).proxy(proxy);
    let mut settings = HostSettings::default();
    if options.insecure_skip_verify {
        // Only for the registry's own origin, not for a proxy, a token server or a redirect target.
        settings.tls = TlsIdentity::named("not verified");
        transport = transport.tls_for(settings.tls.clone(), tls.insecure_skip_verify());
    }
    let transport = transport.build()?;
    settings.plain_http = options.plain_http;
    settings.allow_realm.clone_from(&options.allow_realm);
    let mut builder = Client::builder()
        .transport(transport)
        .attempts(options.retry_attempts);
    for registry in registries {
        builder = builder.host(registry, settings.clone());
    }
    if options.wait_for_quota {
        builder = builder.wait_for_quota(QUOTA_WAIT_LIMIT);
        WAITS_FOR_QUOTA.store(true, Ordering::Relaxed);
    }
    // With -v, warnings are in the log.
    let warns = options.verbose == 0;
    builder = builder.on_notice(move |notice| {
        if warns {
            warn(notice);
        }
        listen(notice);
    });
    let builder = match &options.username {
        Some(username) => {
            let registry = only(registries)?;
            let credential = Credential::basic(username, password()?)?;
            builder.credentials(OneCredential::new(registry, credential))
        }
        None => builder.credentials(DockerCredentials::from_env()?),
    };
    Ok(builder.build()?)
}

/// Whether the user gave `--wait-for-quota`.
static WAITS_FOR_QUOTA: AtomicBool = AtomicBool::new(false);

pub(crate) fn waits_for_quota() -> bool {
    WAITS_FOR_QUOTA.load(Ordering::Relaxed)
}

/// Returns the registry if all of these are the same.
fn only<'a>(registries: &[&'a str]) -> Result<&'a str, Failure> {
    match registries {
        [first, others @ ..] if others.iter().all(|it| it.eq_ignore_ascii_case(first)) => Ok(first),
        _ => {
            let number = match registries {
                [] => "none",
                _ => "several",
            };
            let what =
                format!("--username is for one registry, and this command is about {number}");
            let hint = "keep the credentials of each registry in Docker's config.json";
            Err(Failure::new(Exit::Usage, &what).hint(hint))
        }
    }
}

/// Prints a warning: one that the registry sent (distribution-spec v1.1.1 "Warnings"), or one about
/// the registry or its credentials.
fn warn(notice: &Notice) {
    use Notice::{
        DeletedUnseen, IgnoredHeader, MountRefused, NoCredentials, WaitingForQuota, Warning,
    };
    match notice {
        DeletedUnseen { .. } | IgnoredHeader { .. } | MountRefused { .. } | Warning { .. } => {
            output::note(&format!("warning: {notice}"));
        }
        NoCredentials { reason, .. } => {
            let warning = format!("warning: {notice}");
            unreported().push((reason.clone(), warning));
        }
        WaitingForQuota { .. } => output::note(&notice.to_string()),
        _ => {}
    }
}

/// Reasons why credentials could not be read, and the warnings about them. They are printed at the
/// end, because the failure of the command may be for the same reason and then says it.
static UNREPORTED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

fn unreported() -> MutexGuard<'static, Vec<(String, String)>> {
    UNREPORTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints the warnings about credentials, except those that this failure repeats.
pub(crate) fn warn_of_credentials(failure: Option<&Failure>) {
    for (reason, warning) in unreported().drain(..) {
        if failure.is_none_or(|failure| !failure.says(&reason)) {
            output::note(&warning);
        }
    }
}

/// Reads the first line of standard input, without its line end.
///
/// OU3 (secrets are wiped): there is no copy besides the one returned and one that is wiped. The
/// buffer is large enough that reads bypass the one of the standard library.
fn password() -> Result<Secret, Failure> {
    let mut room = Zeroizing::new(vec![0; PASSWORD_LIMIT_BYTES + STDIN_BUFFER_BYTES]);
    let mut length = 0;
    let mut stdin = std::io::stdin().lock();
    while length < PASSWORD_LIMIT_BYTES {
        let free = room.get_mut(length..).unwrap_or_default();
        match stdin.read(free) {
            Ok(0) => break,
            Ok(count) => {
                length += count;
                // The pipe may stay open after the password, and a terminal has no end of file.
                if free.iter().take(count).any(|byte| *byte == b'\n') {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::stdin(error)),
        }
    }
    let password = first_line(room.get(..length).unwrap_or_default()).map_err(Failure::stdin)?;
    if password.expose().is_empty() {
        return Err(Failure::empty_password());
    }
    Ok(password)
}

fn first_line(input: &[u8]) -> std::io::Result<Secret> {
    let line = input
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > PASSWORD_LIMIT_BYTES {
        return Err(ErrorKind::FileTooLarge.into());
    }
    // The conversion error gives a position, which reveals something about the password.
    let text = std::str::from_utf8(line).map_err(|_| ErrorKind::InvalidData)?;
    Ok(Secret::new(text.to_owned()))
}

/// Logs requests to standard error; each further `-v` adds detail.
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
    // Fails only if it is already set, and a process runs one command.
    let _ = tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        for (input, expected) in [
            (&b""[..], ""),
            (b"\n", ""),
            (b"secret", "secret"),
            (b"secret\n", "secret"),
            (b"secret\r\n", "secret"),
            (b" two words \nmore\n", " two words "),
            ("p\u{e4}ss\n".as_bytes(), "p\u{e4}ss"),
        ] {
            assert_eq!(first_line(input).unwrap().expose(), expected);
        }
    }

    #[test]
    fn ou3_a_password_that_is_none_is_not_told() {
        let error = first_line(b"sec\xffret\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(!error.to_string().contains("sec"));
        let error = first_line(&[b'a'; PASSWORD_LIMIT_BYTES + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
