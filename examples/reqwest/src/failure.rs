//! Maps the errors of reqwest to the kinds of failure that a client distinguishes.

use std::error::Error;
use std::io;

use longshore::origin::AddressRefused;
use longshore::transport::{Phase, TransportError, TransportErrorKind};

/// The error of a request without a response.
///
/// reqwest does not say whether the connection had served before, so this transport does not
/// declare the capability error phase. The phase that is set here only helps people who read the
/// error.
pub(crate) fn sending(error: reqwest::Error) -> TransportError {
    let phase = if error.is_connect() {
        Phase::Connect
    } else {
        Phase::Head
    };
    failed(error, phase)
}

/// The error of a body that broke off.
pub(crate) fn receiving(error: reqwest::Error) -> TransportError {
    failed(error, Phase::Body)
}

fn failed(error: reqwest::Error, phase: Phase) -> TransportError {
    let kind = kind(&error, phase);
    // The URL of an error may have a signed query, and errors are shown and logged.
    TransportError::new(kind, phase).with_source(error.without_url())
}

fn kind(error: &reqwest::Error, phase: Phase) -> TransportErrorKind {
    if error.is_builder() {
        return TransportErrorKind::Unsupported;
    }
    if let Some(kind) = of_chain(error, phase) {
        return kind;
    }
    if error.is_timeout() {
        TransportErrorKind::Timeout
    } else if error.is_dns() {
        TransportErrorKind::Resolve
    } else if error.is_connect() {
        TransportErrorKind::Connect
    } else {
        TransportErrorKind::Other
    }
}

/// The first error of a chain whose meaning is known.
fn of_chain(error: &(dyn Error + 'static), phase: Phase) -> Option<TransportErrorKind> {
    let own = if error.is::<AddressRefused>() {
        Some(TransportErrorKind::AddressRefused)
    } else if let Some(error) = error.downcast_ref::<rustls::Error>() {
        Some(of_tls(error))
    } else if let Some(error) = error.downcast_ref::<TransportError>() {
        // The request's own body failed.
        Some(error.kind())
    } else if let Some(error) = error.downcast_ref::<hyper::Error>() {
        of_hyper(error)
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        of_io(error, phase)
    } else {
        None
    };
    own.or_else(|| of_chain(error.source()?, phase))
}

/// Tells a peer that does not speak TLS from one whose certificate is not acceptable. A client
/// falls back to plain http on loopback for the first, and never for the second.
fn of_tls(error: &rustls::Error) -> TransportErrorKind {
    match error {
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            TransportErrorKind::NotTls
        }
        _ => TransportErrorKind::Tls,
    }
}

fn of_hyper(error: &hyper::Error) -> Option<TransportErrorKind> {
    if error.is_parse() {
        Some(TransportErrorKind::Protocol)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Some(TransportErrorKind::Closed)
    } else {
        None
    }
}

fn of_io(error: &io::Error, phase: Phase) -> Option<TransportErrorKind> {
    // `source` of an `io::Error` leaves out the error that it wraps.
    let inner = error.get_ref().and_then(|inner| of_chain(inner, phase));
    inner.or(match error.kind() {
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(TransportErrorKind::Closed),
        // Chunked framing that cannot be read.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if phase == Phase::Body => {
            Some(TransportErrorKind::Protocol)
        }
        io::ErrorKind::TimedOut => Some(TransportErrorKind::Timeout),
        _ => None,
    })
}
