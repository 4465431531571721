//! What can go wrong between a request and its response.

use std::error::Error;
use std::fmt;

/// A request that got no response, or a response whose body broke off.
///
/// The [kind](Self::kind) says what happened and the [phase](Self::phase) how far the exchange
/// was: together they decide whether the same request may be sent again.
#[derive(Debug)]
pub struct TransportError {
    kind: TransportErrorKind,
    phase: Phase,
    reused: bool,
    tls: Option<TlsFault>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TransportError {
    /// Makes an error of this kind that happened in this phase.
    #[must_use]
    pub const fn new(kind: TransportErrorKind, phase: Phase) -> Self {
        Self {
            kind,
            phase,
            reused: false,
            tls: None,
            source: None,
        }
    }

    /// Adds the error underneath, which [`Error::source`] gives back.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that the connection had served an earlier request: the peer may simply have closed
    /// it meanwhile, which earns one attempt on a new connection.
    #[must_use]
    pub const fn on_reused(mut self, reused: bool) -> Self {
        self.reused = reused;
        self
    }

    /// Adds why TLS failed.
    #[must_use]
    pub const fn with_tls(mut self, fault: TlsFault) -> Self {
        self.tls = Some(fault);
        self
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// How far the exchange was when it happened.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the connection had served an earlier request.
    #[must_use]
    pub const fn is_reused(&self) -> bool {
        self.reused
    }

    /// Why TLS failed, if it did and the transport knows it.
    #[must_use]
    pub const fn tls(&self) -> Option<TlsFault> {
        self.tls
    }

    /// Takes the error underneath out of this one.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.source
    }

    /// Whether the peer closed a reused connection before any byte of the response.
    ///
    /// The peer may have closed the idle connection while the request was sent, so the request gets
    /// one immediate second attempt on a new connection (RT5).
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        matches!(self.kind, TransportErrorKind::Closed)
            && matches!(self.phase, Phase::Head)
            && self.reused
    }

    pub(crate) const fn in_phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            TransportErrorKind::AddressRefused => "the request may not connect to this address",
            TransportErrorKind::Canceled => "the request was canceled",
            TransportErrorKind::Closed => "the peer closed the connection",
            TransportErrorKind::Connect => "no connection could be made",
            TransportErrorKind::HeaderLimit => "the response head is larger than allowed",
            TransportErrorKind::NotTls => "the peer does not speak TLS",
            TransportErrorKind::Other => "the transport failed",
            TransportErrorKind::Protocol => "the peer does not speak correct HTTP",
            TransportErrorKind::Proxy => "the proxy cannot be used",
            TransportErrorKind::Resolve => "the host name could not be resolved",
            TransportErrorKind::Timeout => "nothing arrived in time",
            TransportErrorKind::Tls => "the TLS handshake failed",
            TransportErrorKind::Unsupported => "the transport does not support this request",
        };
        let when = match self.phase {
            Phase::Body => "in the response body",
            Phase::Connect => "while connecting",
            Phase::Head => "before the response",
        };
        write!(f, "{what} ({when})")
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The name resolved to an address that the request's `AddressPolicy` does not permit.
    AddressRefused,
    /// The transport was shut down or the request dropped.
    Canceled,
    /// The peer closed or reset the connection.
    Closed,
    /// No connection could be made: refused, unreachable.
    Connect,
    /// The response head, or the number of interim ones before it, is over the transport's limit.
    HeaderLimit,
    /// The peer answered, but not in TLS. Never used for a certificate error.
    NotTls,
    /// Something the other kinds do not cover.
    Other,
    /// The peer broke HTTP framing.
    Protocol,
    /// The proxy refused the request, does not accept the credentials, or is not a proxy.
    Proxy,
    /// The host name could not be resolved.
    Resolve,
    /// A time limit passed.
    Timeout,
    /// The TLS handshake failed, or the certificate is not acceptable.
    Tls,
    /// The request needs something that the transport cannot do, or a capability that the transport
    /// does not [declare](crate::Transport::capabilities); nothing was sent.
    Unsupported,
}

impl TransportErrorKind {
    /// Whether another attempt may help.
    ///
    /// It may after `Closed`, `Connect`, `Other`, `Protocol`, `Resolve` and `Timeout`. It does not
    /// after `AddressRefused`, `Canceled`, `HeaderLimit`, `NotTls`, `Proxy`, `Tls` and
    /// `Unsupported` (RT2: certificate errors are not retried).
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Closed
            | Self::Connect
            | Self::Other
            | Self::Protocol
            | Self::Resolve
            | Self::Timeout => true,
            Self::AddressRefused
            | Self::Canceled
            | Self::HeaderLimit
            | Self::NotTls
            | Self::Proxy
            | Self::Tls
            | Self::Unsupported => false,
        }
    }
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server requires a client certificate, or did not accept the one it got.
    ClientCertificate,
    /// The certificate is no longer valid.
    Expired,
    /// The two sides have no protocol version or no cipher in common.
    NothingInCommon,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The peer sent no byte in answer to the first message of the handshake: it closed the
    /// connection or stayed silent.
    ///
    /// The error is of the kind `Closed` or `Timeout`. Only for a peer that the transport is
    /// directly connected to.
    Unanswered,
    /// No trusted authority has signed the certificate.
    UnknownIssuer,
    /// The certificate is for another host.
    WrongName,
}

/// How far an exchange was when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an exchange has these three phases"
)]
pub enum Phase {
    /// The response head had arrived, its body had not ended.
    Body,
    /// Nothing of the request had been sent.
    Connect,
    /// The request was sent, perhaps in part; no final response head had arrived.
    Head,
}
