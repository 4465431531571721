//! Errors of proxies.

use std::error::Error;
use std::fmt;

use http::HeaderValue;
use longshore_origin::Escaped;
use longshore_transport::{Phase, TransportError, TransportErrorKind};

use super::Proxy;

/// A request that failed because of the proxy it was sent through; found as the source of a
/// [`TransportError`].
#[derive(Debug)]
pub struct ProxyError {
    proxy: Box<str>,
    setting: Option<&'static str>,
    fault: ProxyFault,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// How a proxy failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFault {
    /// It asks for a user name and password, or does not accept those it was given.
    Credentials,
    /// It does not speak the protocol that the proxy setting names.
    NotAProxy,
    /// It answers, but does not let this request pass.
    Refused {
        /// The HTTP status or the SOCKS reply in words, escaped.
        answer: Box<str>,
        /// Whether the answer has a web page as its body, as firewalls send it.
        page: bool,
    },
    /// TLS with the proxy itself failed.
    Tls,
    /// The proxy says that it cannot reach the server.
    Target {
        /// The HTTP status or the SOCKS reply in words, escaped.
        answer: Box<str>,
    },
    /// The name of the proxy could not be resolved.
    UnknownName,
    /// The connection to the proxy could not be made, or broke off.
    Unreachable,
}

impl ProxyError {
    /// The proxy as a URL without user information: `http://proxy.example:3128`.
    #[must_use]
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// The environment variable that names the proxy; `None` if the program set it.
    #[must_use]
    pub fn variable(&self) -> Option<&'static str> {
        self.setting
    }

    /// What happened.
    #[must_use]
    pub fn fault(&self) -> &ProxyFault {
        &self.fault
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}", self.proxy)?;
        if let Some(variable) = self.setting {
            write!(f, " (from {variable})")?;
        }
        match &self.fault {
            ProxyFault::Credentials => f.write_str(" requires a valid user name and password"),
            ProxyFault::NotAProxy => f.write_str(" does not answer like a proxy"),
            ProxyFault::Refused { answer, page: true } => {
                write!(f, " refused with a web page: {answer}")
            }
            ProxyFault::Refused { answer, .. } => write!(f, " refused: {answer}"),
            ProxyFault::Tls => f.write_str(" cannot be used: TLS with it failed"),
            ProxyFault::Target { answer } => write!(f, " cannot reach the server: {answer}"),
            ProxyFault::UnknownName => f.write_str(" has a name that cannot be resolved"),
            ProxyFault::Unreachable => f.write_str(" cannot be reached"),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref();
        source.map(|source| source as &(dyn Error + 'static))
    }
}

impl Proxy {
    /// The error of a request that failed at this proxy.
    pub(crate) fn fails(&self, fault: ProxyFault, phase: Phase) -> TransportError {
        let kind = match &fault {
            // A proxy that could not connect may succeed later; a refusal is final.
            ProxyFault::Target { .. } | ProxyFault::Unreachable => TransportErrorKind::Connect,
            ProxyFault::UnknownName => TransportErrorKind::Resolve,
            _ => TransportErrorKind::Proxy,
        };
        TransportError::new(kind, phase).with_source(self.error(fault, None))
    }

    /// Converts an error of the connection to this proxy to one that names the proxy.
    pub(crate) fn blamed(&self, error: TransportError) -> TransportError {
        let is_named = error
            .source()
            .is_some_and(|source| source.is::<ProxyError>());
        if is_named {
            return error;
        }
        let (kind, fault) = match error.kind() {
            TransportErrorKind::Resolve => (TransportErrorKind::Resolve, ProxyFault::UnknownName),
            TransportErrorKind::NotTls | TransportErrorKind::Tls => {
                (TransportErrorKind::Proxy, ProxyFault::Tls)
            }
            kind => (kind, ProxyFault::Unreachable),
        };
        let phase = error.phase();
        let source = error.into_source();
        TransportError::new(kind, phase).with_source(self.error(fault, source))
    }

    fn error(&self, fault: ProxyFault, source: Option<Box<dyn Error + Send + Sync>>) -> ProxyError {
        ProxyError {
            proxy: self.name.clone(),
            setting: self.variable,
            fault,
            source,
        }
    }

    /// The error of an answer with this status, where a tunnel or a response was expected.
    ///
    /// `reason` is the peer's own text.
    pub(crate) fn answered(
        &self,
        status: u16,
        reason: &[u8],
        page: bool,
        phase: Phase,
    ) -> TransportError {
        // OU3: a proxy may send back what it was sent.
        let sent = self.authorization.as_ref().map(HeaderValue::as_bytes);
        let secret = sent.and_then(|sent| sent.splitn(2, |byte| *byte == b' ').nth(1));
        let is_secret = secret.is_some_and(|secret| {
            !secret.is_empty() && reason.windows(secret.len()).any(|part| part == secret)
        });
        let reason = if is_secret { &[] } else { reason };
        let answer = format!("{status} {}", Escaped::new(reason));
        let answer = answer.trim_end().into();
        let fault = match status {
            407 => ProxyFault::Credentials,
            500.. => ProxyFault::Target { answer },
            _ => ProxyFault::Refused { answer, page },
        };
        self.fails(fault, phase)
    }
}
