//! How a command ends: an exit code for the class of the error, and one paragraph that says what
//! failed, where, why, and what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use longshore::auth::{AuthError, RealmRemedy};
use longshore::model::{NoSuchPlatform, ReferenceError};
use longshore::origin::{Escaped, OriginError};
use longshore::proto::call::CallError;
use longshore::proto::download::DownloadError;
use longshore::proto::endpoint::Endpoint;
use longshore::transport::{TlsFault, TransportError, TransportErrorKind};
use longshore::{Cause, ErrorKind, Operation, QUOTA_WAIT_LIMIT};
use longshore_hyper::{ProxyError, ProxyFault};

use crate::connect;
use crate::output;
use crate::redact;

pub(crate) use self::transfer::READABLE;

mod refused;
mod transfer;

/// The exit codes, as shown at the end of every help text.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  something else went wrong
    2  wrong use of the command line
    3  not found
    4  not authorized: no credentials, wrong ones, or access denied
    5  the content does not match its digest or size
    6  the other end cannot be reached, or cannot answer now
    7  rate limited
    8  the other end violates the protocol, or redirects to a forbidden place
    9  the registry does not support it
   10  malformed reference
   11  the directory is not an image layout, and cannot become one
   12  no image for the platform
   13  a disk or registry is full or read-only, or a file cannot be read or written
   14  the token server is not one this registry's credentials may go to
   15  the reader closed the output before all content was verified
  130  interrupted (143 terminated)";

/// The class of a failure, which is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    Other = 1,
    Usage = 2,
    NotFound = 3,
    Auth = 4,
    Digest = 5,
    Unavailable = 6,
    RateLimited = 7,
    Protocol = 8,
    Unsupported = 9,
    Reference = 10,
    Destination = 11,
    Platform = 12,
    Disk = 13,
    Realm = 14,
    ReaderLeft = 15,
    Interrupted = 130,
    Terminated = 143,
}

/// Why a command failed, for the user.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// What failed, followed by its causes.
    chain: Vec<String>,
    hint: Option<String>,
    /// Further failures of the same command, each printed in a paragraph of its own.
    others: Vec<Self>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: &str) -> Self {
        Self {
            exit,
            chain: vec![what.to_owned()],
            hint: None,
            others: Vec::new(),
        }
    }

    /// Makes a failure with its own text, followed by an error and its sources.
    pub(crate) fn caused(exit: Exit, what: String, error: &dyn Error) -> Self {
        let mut failure = Self::of(exit, error);
        failure.chain.insert(0, what);
        failure
    }

    /// Makes a failure from an error and its sources.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        let mut chain = vec![error.to_string()];
        let mut source = error.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Some libraries repeat the text of the source in their own.
            if chain.last().is_none_or(|above| !above.contains(&text)) {
                chain.push(text);
            }
            source = error.source();
        }
        Self {
            exit,
            chain,
            hint: None,
            others: Vec::new(),
        }
    }

    /// Puts a text that says what was being done before the failure.
    pub(crate) fn within(mut self, what: String) -> Self {
        self.chain.insert(0, what);
        self
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// Adds a hint to the one that there is.
    pub(crate) fn also_hint(mut self, hint: &str) -> Self {
        self.hint = Some(match self.hint {
            Some(first) => format!("{first}; {hint}"),
            None => hint.to_owned(),
        });
        self
    }

    /// Combines the failures of a command that did several things. The exit code is the highest
    /// one.
    pub(crate) fn all(failures: Vec<Self>) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        let Some(mut first) = failures.next() else {
            return Ok(());
        };
        first.others.extend(failures);
        Err(first)
    }

    /// Returns what failed and why, in one line, for JSON.
    pub(crate) fn summary(&self) -> String {
        redact::arguments(&self.chain.join(": ")).into_owned()
    }

    pub(crate) fn stopped(exit: Exit) -> Self {
        Self::new(
            exit,
            "stopped; what was complete is kept, and the next run goes on from there",
        )
    }

    pub(crate) fn ca_file(path: &Path, error: &longshore_hyper::SettingsError) -> Self {
        let what = format!("cannot take certificates from {}", path.display());
        Self::caused(Exit::Other, what, error).hint("give a file with certificates in PEM")
    }

    pub(crate) fn runtime(error: io::Error) -> Self {
        Self::of(Exit::Other, &error)
    }

    pub(crate) fn stdin(error: io::Error) -> Self {
        let what = "cannot read the password from standard input";
        Self::caused(Exit::Other, what.to_owned(), &error)
    }

    pub(crate) fn stdout(error: io::Error) -> Self {
        let what = "cannot write to standard output";
        Self::caused(Exit::Disk, what.to_owned(), &error)
    }

    /// DG11: a command fails if the reader closes the output before all content was verified.
    pub(crate) fn reader_left() -> Self {
        let what = "the reader closed the output before all content was verified";
        Self::new(Exit::ReaderLeft, what)
            .hint("let the reader read to the end, or write to a file first")
    }

    pub(crate) fn empty_password() -> Self {
        let what = "the password on standard input is empty";
        Self::new(Exit::Usage, what).hint("write the password and a newline to standard input")
    }

    pub(crate) fn reference(text: &str, error: &ReferenceError) -> Self {
        let what = format!("\"{text}\" is not a reference");
        Self::caused(Exit::Reference, what, error)
            .hint("a reference is [REGISTRY/]NAME[:TAG][@DIGEST], with NAME in lower case")
    }

    pub(crate) fn registry(text: &str, error: &OriginError) -> Self {
        let what = match error {
            // CR12: the text may hold a password.
            OriginError::UserInformation => "the registry cannot be used".to_owned(),
            _ => format!("\"{text}\" is not a registry"),
        };
        Self::caused(Exit::Reference, what, error)
            .hint("a registry is HOST[:PORT], without a scheme, a path or a user name")
    }

    pub(crate) fn file(path: &Path, error: io::Error) -> Self {
        let what = format!("cannot write {}", path.display());
        Self::caused(Exit::Disk, what, &error)
            .hint("choose a file that can be written, on a disk with room")
    }

    /// Makes the failure of a file that is to be sent.
    pub(crate) fn input(name: &str, error: &io::Error) -> Self {
        let (exit, hint) = match error.kind() {
            io::ErrorKind::NotFound => (
                Exit::NotFound,
                "check the path; the name in the registry comes first, and then the file",
            ),
            _ => (Exit::Disk, "give a file that can be read"),
        };
        Self::caused(exit, format!("cannot read {name}"), error).hint(hint)
    }

    pub(crate) fn task(error: tokio::task::JoinError) -> Self {
        Self::of(Exit::Other, &error)
    }

    /// Returns the highest exit code.
    pub(crate) fn exit(&self) -> Exit {
        let others = self.others.iter().map(Self::exit);
        others.fold(self.exit, Ord::max)
    }

    /// Returns whether the failure names this reason.
    pub(crate) fn says(&self, reason: &str) -> bool {
        self.to_string()
            .contains(&Escaped::text(reason).to_string())
    }

    /// Prints the failure to standard error and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        output::note(&self.to_string());
        ExitCode::from(self.exit() as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, text) in self.chain.iter().enumerate() {
            // OU1: errors of other libraries may hold text of a peer, so all of it is escaped.
            let text = redact::arguments(text);
            let shown = Escaped::text(&text);
            match index {
                0 => write!(f, "error: {shown}")?,
                _ => write!(f, "\n  caused by: {shown}")?,
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {}", redact::arguments(hint))?;
        }
        self.others.iter().try_for_each(|it| write!(f, "\n{it}"))
    }
}

impl From<longshore::Error> for Failure {
    fn from(error: longshore::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Auth | ErrorKind::Denied => Exit::Auth,
            ErrorKind::Configuration if matches!(error.cause(), Cause::Credentials(_)) => {
                Exit::Auth
            }
            ErrorKind::Body => unreadable(error.cause()),
            ErrorKind::Digest => Exit::Digest,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Protocol | ErrorKind::TooLarge => Exit::Protocol,
            ErrorKind::RateLimited => Exit::RateLimited,
            ErrorKind::RealmRefused => Exit::Realm,
            ErrorKind::Unavailable => Exit::Unavailable,
            ErrorKind::Unsupported => Exit::Unsupported,
            _ => Exit::Other,
        };
        let mut failure = Self::of(exit, &error);
        match refused::advice(&error) {
            Some((exit, hint)) => {
                failure.exit = exit;
                failure.hint = Some(hint);
            }
            None => failure.hint = advice(&error),
        }
        failure
    }
}

/// Returns the exit code for content that cannot be sent.
fn unreadable(cause: &Cause) -> Exit {
    match cause {
        Cause::RequestBody(error) if error.kind() == io::ErrorKind::InvalidData => Exit::Digest,
        // The connection broke, and the content could be read only once.
        Cause::Upload(_) => Exit::Unavailable,
        _ => Exit::Disk,
    }
}

/// Returns what the user can do about an error.
fn advice(error: &longshore::Error) -> Option<String> {
    let registry = error.registry();
    if let Some(proxy) = beneath::<ProxyError>(error) {
        return Some(proxy_advice(proxy, registry));
    }
    Some(match (error.kind(), error.cause()) {
        (_, Cause::Auth(AuthError::RealmRefused(refused), _)) => match refused.remedy()? {
            RealmRemedy::AllowRealm(realm) => format!(
                "if {realm} really issues tokens for {registry}, allow it with \
                 --allow-realm {realm}"
            ),
            RealmRemedy::PlainHttp => plain_http(registry),
            _ => return None,
        },
        (_, Cause::Auth(AuthError::Insecure { .. }, _)) => plain_http(registry),
        _ if error.missing_credentials().is_some() => {
            "repair the credential helper, or give --username and --password-stdin".to_owned()
        }
        (_, Cause::Auth(AuthError::CredentialsRequired { .. }, _)) => format!(
            "give --username and --password-stdin, or log in to {registry} with a program that \
             keeps credentials in Docker's config.json; the repository may also not exist"
        ),
        (_, Cause::Auth(AuthError::CredentialsRefused { .. }, _)) => {
            "check the user name and the password; the repository may also not exist".to_owned()
        }
        (_, Cause::Credentials(_)) => {
            "give --username and --password-stdin, or correct the entry of this registry".to_owned()
        }
        (ErrorKind::Body, Cause::RequestBody(error)) => match error.kind() {
            io::ErrorKind::InvalidData => {
                "nothing was stored; the content does not match its digest, or has changed since"
                    .to_owned()
            }
            _ => "check that the content can be read, and try again".to_owned(),
        },
        (ErrorKind::Body, _) => {
            "the content could be read only once: try again, or write it to a file first, of which \
             an upload is continued"
                .to_owned()
        }
        (ErrorKind::NotFound, _) => "check the name, the tag and the registry".to_owned(),
        (_, Cause::WebPage) => {
            format!("a captive portal or proxy may be in the way, or {registry} is not a registry")
        }
        (ErrorKind::Denied, _) if error.had_credentials() => {
            "these credentials do not grant access; log in as a user who has access".to_owned()
        }
        (ErrorKind::Denied, _) => format!(
            "no credentials were sent; if you have an account at {registry}, give --username and \
             --password-stdin"
        ),
        (ErrorKind::RateLimited, _) => match error.retry_after() {
            Some(wait) => rate_limited(wait, connect::waits_for_quota()),
            None => "try again later, or log in to get higher limits".to_owned(),
        },
        (ErrorKind::Unavailable, Cause::Refused(_)) => match error.retry_after() {
            Some(wait) => format!("try again in {}", duration(wait)),
            None => "try again later".to_owned(),
        },
        (_, Cause::Download(DownloadError::TooLong { .. } | DownloadError::TooShort { .. }, _)) => {
            "the content was not saved; ask the publisher of the manifest to check the sizes in it"
                .to_owned()
        }
        (_, Cause::Refused(refusal)) if refusal.status.as_u16() == 413 => too_large(error),
        (_, Cause::Refused(refusal))
            if refusal.status.as_u16() == 416
                && matches!(
                    error.operation(),
                    Operation::Push { .. } | Operation::Request(Endpoint::Upload(_))
                ) =>
        {
            "the registry has another part of the content than it was sent; another program may \
             have used the same upload: try again"
                .to_owned()
        }
        (_, Cause::OtherDigest { .. }) => format!(
            "nothing was read; {registry}, or a proxy in between, answers for other content: ask \
             its operator"
        ),
        (ErrorKind::Digest, _) => {
            "the registry, or a proxy in between, changes the content, which was not saved"
                .to_owned()
        }
        (_, Cause::Call(_, Some(wire)) | Cause::Download(_, Some(wire))) => wire_advice(wire)?,
        (_, Cause::Call(CallError::OtherDeleted, _)) => {
            "nothing was deleted; if you mean that content, name its repository and digest"
                .to_owned()
        }
        (_, Cause::Call(..)) => {
            "the registry is set up in a way that is not safe to follow".to_owned()
        }
        _ => wire_advice(beneath(error)?)?,
    })
}

/// What the user can do about a request whose body is too large.
fn too_large(error: &longshore::Error) -> String {
    let limit = format!(
        "{}, or a proxy in front of it, limits the size of a request",
        error.registry()
    );
    match error.operation().endpoint() {
        Some(Endpoint::ManifestPut(_)) => format!("{limit}: have its operator raise that limit"),
        _ => format!("{limit}: give a smaller --chunk-size, or have its operator raise that limit"),
    }
}

/// What the user can do about a rate limit that ends after this time.
fn rate_limited(wait: Duration, waits: bool) -> String {
    let again = format!("try again in {}", duration(wait));
    if wait > QUOTA_WAIT_LIMIT {
        let limit = duration(QUOTA_WAIT_LIMIT);
        format!("{again}, or log in; --wait-for-quota waits at most {limit}")
    } else if waits {
        format!("{again}, or log in; this run has waited as long as it may")
    } else {
        format!("{again}, give --wait-for-quota, or log in")
    }
}

/// A time span in the largest unit of which it has at least two, rounded up.
fn duration(span: Duration) -> String {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let found = units.iter().find(|(unit, _)| seconds >= 2 * unit);
    match (found, seconds) {
        (_, 1) => "1 second".to_owned(),
        (Some((unit, name)), _) => format!("{} {name}", seconds.div_ceil(*unit)),
        (None, _) => format!("{seconds} seconds"),
    }
}

/// The first error of this type among the sources of another.
fn beneath<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut source = error.source();
    while let Some(error) = source {
        // An `Arc` of an error is itself an error, and its `source` skips the error inside it.
        let error = match error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
            Some(shared) => &**shared,
            None => error,
        };
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// What the user can do about a proxy.
fn proxy_advice(proxy: &ProxyError, registry: &str) -> String {
    let variable = proxy.variable().unwrap_or("the proxy setting");
    let past = format!("if {registry} can be reached without the proxy, add it to NO_PROXY");
    match proxy.fault() {
        ProxyFault::Credentials => {
            format!(
                "put the user name and password into {variable}: scheme://USER:PASSWORD@HOST:PORT"
            )
        }
        ProxyFault::NotAProxy => {
            format!("check {variable}: the scheme and the port may be wrong; {past}")
        }
        ProxyFault::Refused { .. } => {
            format!("ask the administrator of the proxy to allow {registry}; {past}")
        }
        ProxyFault::Target { .. } => {
            format!("check the spelling of the registry; {past}")
        }
        ProxyFault::Tls => format!(
            "if the proxy does not speak TLS itself, write http:// in {variable}; if its \
             certificate comes from a private certificate authority, give --ca-file FILE"
        ),
        ProxyFault::UnknownName => format!("check the spelling of the proxy in {variable}; {past}"),
        _ => format!("check that the proxy runs and that {variable} names it; {past}"),
    }
}

fn plain_http(registry: &str) -> String {
    format!("if {registry} is meant to be used without encryption, allow it with --plain-http")
}

fn wire_advice(error: &TransportError) -> Option<String> {
    let advice = match error.kind() {
        TransportErrorKind::Resolve => "check the spelling of the registry and the network",
        TransportErrorKind::Connect => "check that the registry runs and that its port is right",
        TransportErrorKind::NotTls => "if the registry really speaks plain http, give --plain-http",
        TransportErrorKind::Tls => tls_advice(error.tls()),
        _ if error.tls() == Some(TlsFault::Unanswered) => {
            "check that the port is right; if the registry really speaks plain http, give \
             --plain-http"
        }
        TransportErrorKind::Timeout | TransportErrorKind::Closed => {
            "check the network, and try again later"
        }
        _ => return None,
    };
    Some(advice.to_owned())
}

fn tls_advice(fault: Option<TlsFault>) -> &'static str {
    match fault {
        Some(TlsFault::ClientCertificate) => {
            "the server wants a client certificate, and this program has no option to give one"
        }
        Some(TlsFault::Expired) => {
            "the certificate must be renewed by the operator of the server; also check the clock \
             of this machine"
        }
        Some(TlsFault::NothingInCommon) => {
            "this program speaks TLS 1.2 and 1.3 with current ciphers, and the server must offer \
             one of them"
        }
        Some(TlsFault::NotYetValid) => "check the clock of this machine",
        Some(TlsFault::WrongName) => "use a host name that the certificate covers",
        _ => {
            "if the certificate comes from a private certificate authority, give --ca-file FILE \
             with the certificate of that authority, or with that of the server itself"
        }
    }
}

impl From<NoSuchPlatform> for Failure {
    fn from(error: NoSuchPlatform) -> Self {
        let failure = Self::of(Exit::Platform, &error);
        if error.available.is_empty() {
            return failure.hint("pull or copy the whole index with --all-platforms");
        }
        failure.hint("choose one of these with --platform, or pull or copy with --all-platforms")
    }
}

impl From<longshore::BuildError> for Failure {
    fn from(error: longshore::BuildError) -> Self {
        Self::of(Exit::Other, &error)
    }
}

impl From<longshore_hyper::SettingsError> for Failure {
    fn from(error: longshore_hyper::SettingsError) -> Self {
        Self::of(Exit::Other, &error)
    }
}

impl From<longshore::auth::CredentialError> for Failure {
    fn from(error: longshore::auth::CredentialError) -> Self {
        Self::of(Exit::Auth, &error)
    }
}

impl From<longshore::DockerConfigError> for Failure {
    fn from(error: longshore::DockerConfigError) -> Self {
        Self::of(Exit::Other, &error)
            .hint("correct the file or the variable, or set DOCKER_CONFIG to another directory")
    }
}

#[cfg(test)]
mod tests {
    use longshore::model::{Digest, Platform, WalkError};
    use longshore_copy::TransferError;
    use longshore_store::StoreError;

    use super::*;

    #[test]
    fn a_rate_limit_says_when_to_come_back_and_what_helps() {
        for (seconds, waits, expected) in [
            (
                1,
                false,
                "try again in 1 second, give --wait-for-quota, or log in",
            ),
            (
                119,
                false,
                "try again in 119 seconds, give --wait-for-quota, or log in",
            ),
            (
                3_601,
                false,
                "try again in 61 minutes, give --wait-for-quota, or log in",
            ),
            (
                36_000,
                true,
                "try again in 10 hours, or log in; this run has waited as long as it may",
            ),
            (
                630_000_000,
                true,
                "try again in 7292 days, or log in; --wait-for-quota waits at most 24 hours",
            ),
        ] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(rate_limited(wait, waits), expected);
        }
    }

    #[test]
    fn a_transfer_that_fails_has_the_exit_code_of_its_class() {
        let digest = Digest::sha256(b"content");
        let platform = || Box::new(Platform::new("linux", "amd64"));
        let too_many = WalkError::TooMany { limit: 7 };
        let absent = StoreError::Absent {
            digest: digest.clone(),
        };
        let full = || StoreError::Full { limit: 7 };
        for (error, exit, hint) in [
            (TransferError::Cancelled, Exit::Interrupted, None),
            (TransferError::Graph(too_many.clone()), Exit::Protocol, None),
            (
                TransferError::Referrers(too_many),
                Exit::Protocol,
                Some("--artifact-type"),
            ),
            (
                TransferError::OtherPlatform {
                    wanted: platform(),
                    found: platform(),
                },
                Exit::Platform,
                Some("--platform"),
            ),
            (TransferError::ManifestType { digest }, Exit::Digest, None),
            (TransferError::Store(absent), Exit::Disk, None),
            (TransferError::Store(full()), Exit::Disk, Some("make room")),
            (
                TransferError::Layout(full().into()),
                Exit::Disk,
                Some("make room"),
            ),
            (TransferError::Worker, Exit::Other, None),
        ] {
            let shown = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.exit(), exit, "{shown}");
            assert_eq!(failure.hint.is_some(), hint.is_some(), "{shown}");
            let text = failure.to_string();
            assert!(text.starts_with(&format!("error: {shown}")), "{text}");
            assert!(text.contains(hint.unwrap_or_default()), "{text}");
        }
    }
}
