//! What hyper, rustls and the system report, as the kinds and phases retries are decided by.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::{fmt, io};

use hyper_util::client::legacy;
use longshore_transport::{Phase, TlsFault, TransportError, TransportErrorKind};

use crate::wire::Facts;

/// The error of a request that got no response head.
pub(crate) fn sending(error: legacy::Error) -> TransportError {
    let source = error.source();
    if let Some(connecting) = source.and_then(|e| e.downcast_ref::<ConnectFailure>())
        && let Some(own) = connecting.take()
    {
        return own;
    }
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    let facts = extensions.get::<Facts>();
    let cause = source.and_then(|e| classify(e, Phase::Head));
    let (kind, phase) = match facts {
        // The request was handed to a connection, and given back or not.
        Some(_) => match cause {
            Some(Cause { kind, unsent: true }) => (kind, Phase::Connect),
            Some(Cause {
                kind,
                unsent: false,
            }) => (kind, Phase::Head),
            None => (TransportErrorKind::Other, Phase::Head),
        },
        // No connection became ready to take it.
        None => (
            cause.map_or(TransportErrorKind::Connect, |cause| cause.kind),
            Phase::Connect,
        ),
    };
    let reused = facts.is_some_and(Facts::is_reused);
    if let Some(flooded) = facts.and_then(|facts| flooded(facts, Phase::Head)) {
        return flooded.on_reused(reused);
    }
    let tls = source.and_then(tls_fault);
    #[cfg(feature = "http2")]
    let tls = tls.or_else(|| facts?.trouble().tls());
    with_tls(TransportError::new(kind, phase), tls)
        .on_reused(reused)
        .with_source(Beneath(error))
}

/// The error of a connection that was closed because its peer sent too many frames.
#[cfg(feature = "http2")]
fn flooded(facts: &Facts, phase: Phase) -> Option<TransportError> {
    let flood = facts.trouble().flood()?;
    Some(TransportError::new(flood.kind(), phase).with_source(flood))
}

#[cfg(not(feature = "http2"))]
fn flooded(_: &Facts, _: Phase) -> Option<TransportError> {
    None
}

fn with_tls(error: TransportError, fault: Option<TlsFault>) -> TransportError {
    match fault {
        Some(fault) => error.with_tls(fault),
        None => error,
    }
}

/// The error of a body that broke off.
pub(crate) fn receiving(
    error: hyper::Error,
    reused: bool,
    facts: Option<&Facts>,
) -> TransportError {
    if let Some(flooded) = facts.and_then(|facts| flooded(facts, Phase::Body)) {
        return flooded.on_reused(reused);
    }
    let kind = classify(&error, Phase::Body).map_or(TransportErrorKind::Other, |cause| cause.kind);
    TransportError::new(kind, Phase::Body)
        .on_reused(reused)
        .with_source(error)
}

/// The error of a connection that was not made or not secured.
pub(crate) fn connecting(error: io::Error) -> TransportError {
    // What is not a fault of an established connection is one of making it.
    let kind = match of_io(&error, Phase::Connect) {
        TransportErrorKind::Other => TransportErrorKind::Connect,
        kind => kind,
    };
    let tls = tls_fault(&error);
    with_tls(TransportError::new(kind, Phase::Connect), tls).with_source(error)
}

struct Cause {
    kind: TransportErrorKind,
    /// Whether it is sure that the peer did nothing with the request.
    unsent: bool,
}

/// Looks down the chain for the first error whose meaning is known.
fn classify(error: &(dyn Error + 'static), phase: Phase) -> Option<Cause> {
    let sent = |kind| {
        Some(Cause {
            kind,
            unsent: false,
        })
    };
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return of_hyper(error, phase);
    }
    if let Some(error) = error.downcast_ref::<TransportError>() {
        return sent(error.kind());
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return sent(of_tls(error));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return sent(of_io(error, phase));
    }
    #[cfg(feature = "http2")]
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return Some(of_h2(error));
    }
    error.source().and_then(|e| classify(e, phase))
}

fn of_hyper(error: &hyper::Error, phase: Phase) -> Option<Cause> {
    let beneath = || error.source().and_then(|e| classify(e, phase));
    if error.is_canceled() || error.is_closed() {
        // hyper gives the request back, so nothing of it went out. What ended the connection may
        // say more: a refused client certificate is reported only now.
        let kind = beneath().map_or(TransportErrorKind::Closed, |cause| cause.kind);
        return Some(Cause { kind, unsent: true });
    }
    let kind = if error.is_parse_too_large() {
        TransportErrorKind::HeaderLimit
    } else if error.is_parse() {
        TransportErrorKind::Protocol
    } else if error.is_incomplete_message() {
        TransportErrorKind::Closed
    } else if error.is_timeout() {
        TransportErrorKind::Timeout
    } else {
        // Of a failure without a cause in the system or in our body, framing is the reason.
        let other = if error.is_user() {
            TransportErrorKind::Other
        } else {
            TransportErrorKind::Protocol
        };
        return beneath().or(Some(Cause {
            kind: other,
            unsent: false,
        }));
    };
    Some(Cause {
        kind,
        unsent: false,
    })
}

fn of_tls(error: &rustls::Error) -> TransportErrorKind {
    match error {
        // The first byte of what came is no TLS record's: text, most likely.
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            TransportErrorKind::NotTls
        }
        _ => TransportErrorKind::Tls,
    }
}

/// Searches the chain of sources for the reason why TLS failed.
pub(crate) fn tls_fault(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return of_handshake(error);
    }
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => tls_fault(inner),
        None => error.source().and_then(tls_fault),
    }
}

fn of_handshake(error: &rustls::Error) -> Option<TlsFault> {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError as Certificate;
    Some(match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => TlsFault::Expired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            Certificate::UnknownIssuer => TlsFault::UnknownIssuer,
            _ => return None,
        },
        rustls::Error::PeerIncompatible(_) => TlsFault::NothingInCommon,
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::HandshakeFailure | Alert::InsufficientSecurity | Alert::ProtocolVersion => {
                TlsFault::NothingInCommon
            }
            // These alerts can only concern the client certificate.
            Alert::AccessDenied
            | Alert::BadCertificate
            | Alert::CertificateExpired
            | Alert::CertificateRequired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate => TlsFault::ClientCertificate,
            _ => return None,
        },
        _ => return None,
    })
}

fn of_io(error: &io::Error, phase: Phase) -> TransportErrorKind {
    if let Some(inner) = error.get_ref()
        && let Some(Cause { kind, .. }) = classify(inner, phase)
    {
        return kind;
    }
    match error.kind() {
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::WriteZero => TransportErrorKind::Closed,
        // h2 keeps only the kind and text of what rustls said; before a body, nothing else has
        // this kind.
        io::ErrorKind::InvalidData if phase != Phase::Body => TransportErrorKind::Tls,
        // Chunked framing that cannot be read.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => TransportErrorKind::Protocol,
        io::ErrorKind::TimedOut => TransportErrorKind::Timeout,
        _ => TransportErrorKind::Other,
    }
}

#[cfg(feature = "http2")]
fn of_h2(error: &h2::Error) -> Cause {
    if let Some(error) = error.get_io() {
        return Cause {
            kind: of_io(error, Phase::Head),
            unsent: false,
        };
    }
    let kind = match error.reason() {
        Some(
            h2::Reason::NO_ERROR
            | h2::Reason::INTERNAL_ERROR
            | h2::Reason::REFUSED_STREAM
            | h2::Reason::CANCEL
            | h2::Reason::ENHANCE_YOUR_CALM,
        ) => TransportErrorKind::Closed,
        Some(h2::Reason::INADEQUATE_SECURITY) => TransportErrorKind::Tls,
        _ => TransportErrorKind::Protocol,
    };
    // RFC 9113 §8.7: a refused stream was not processed.
    let unsent = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    Cause { kind, unsent }
}

/// A connector's error on its way through hyper-util, which lends errors but does not give them
/// back.
#[derive(Debug)]
pub(crate) struct ConnectFailure(Mutex<Option<TransportError>>);

impl ConnectFailure {
    fn take(&self) -> Option<TransportError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl From<TransportError> for ConnectFailure {
    fn from(error: TransportError) -> Self {
        Self(Mutex::new(Some(error)))
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection could be made")
    }
}

impl Error for ConnectFailure {}

/// What is beneath hyper-util's own error, which says nothing ours does not.
#[derive(Debug)]
struct Beneath(legacy::Error);

impl fmt::Display for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.source() {
            Some(source) => write!(f, "{source}"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Error for Beneath {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source().and_then(Error::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "http2")]
    #[test]
    fn only_a_refused_stream_is_sure_not_to_have_been_read() {
        for (reason, kind, unsent) in [
            (h2::Reason::NO_ERROR, TransportErrorKind::Closed, false),
            (
                h2::Reason::INTERNAL_ERROR,
                TransportErrorKind::Closed,
                false,
            ),
            (h2::Reason::REFUSED_STREAM, TransportErrorKind::Closed, true),
            (h2::Reason::CANCEL, TransportErrorKind::Closed, false),
            (
                h2::Reason::ENHANCE_YOUR_CALM,
                TransportErrorKind::Closed,
                false,
            ),
            (
                h2::Reason::INADEQUATE_SECURITY,
                TransportErrorKind::Tls,
                false,
            ),
            (
                h2::Reason::PROTOCOL_ERROR,
                TransportErrorKind::Protocol,
                false,
            ),
            (
                h2::Reason::FRAME_SIZE_ERROR,
                TransportErrorKind::Protocol,
                false,
            ),
            (
                h2::Reason::HTTP_1_1_REQUIRED,
                TransportErrorKind::Protocol,
                false,
            ),
        ] {
            let cause = classify(&h2::Error::from(reason), Phase::Head).unwrap();
            assert_eq!((cause.kind, cause.unsent), (kind, unsent), "{reason:?}");
        }
    }

    #[test]
    fn system_errors_have_the_kind_their_phase_gives_them() {
        let of = |kind: io::ErrorKind, phase| of_io(&io::Error::from(kind), phase);
        for (kind, expected) in [
            (io::ErrorKind::ConnectionReset, TransportErrorKind::Closed),
            (io::ErrorKind::BrokenPipe, TransportErrorKind::Closed),
            (io::ErrorKind::UnexpectedEof, TransportErrorKind::Closed),
            (io::ErrorKind::TimedOut, TransportErrorKind::Timeout),
            (io::ErrorKind::HostUnreachable, TransportErrorKind::Other),
        ] {
            assert_eq!(of(kind, Phase::Head), expected);
            assert_eq!(of(kind, Phase::Body), expected);
        }
        assert_eq!(
            of(io::ErrorKind::InvalidData, Phase::Head),
            TransportErrorKind::Tls
        );
        assert_eq!(
            of(io::ErrorKind::InvalidData, Phase::Body),
            TransportErrorKind::Protocol
        );
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let inner = io::Error::new(io::ErrorKind::InvalidData, alert);
        assert_eq!(of_io(&inner, Phase::Body), TransportErrorKind::Tls);
        let unreachable = connecting(io::Error::from(io::ErrorKind::HostUnreachable));
        assert_eq!(
            (unreachable.kind(), unreachable.phase()),
            (TransportErrorKind::Connect, Phase::Connect)
        );
    }
}
