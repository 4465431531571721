//! What a case found.

use std::error::Error;
use std::fmt;
use std::io;

use longshore_transport::TransportError;

/// A transport broke a rule, or a case could not be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConformanceError {
    case: &'static str,
    found: String,
}

impl ConformanceError {
    pub(super) fn new(case: &'static str, Finding(found): Finding) -> Self {
        Self { case, found }
    }

    /// The name of the case.
    #[must_use]
    pub fn case(&self) -> &'static str {
        self.case
    }
}

impl fmt::Display for ConformanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.case, self.found)
    }
}

impl Error for ConformanceError {}

/// How a case ended.
pub(super) type Outcome = Result<(), Finding>;

/// What was found instead of what the rule demands.
#[derive(Debug)]
pub(super) struct Finding(String);

impl From<String> for Finding {
    fn from(found: String) -> Self {
        Self(found)
    }
}

impl From<&str> for Finding {
    fn from(found: &str) -> Self {
        Self(found.to_owned())
    }
}

impl From<io::Error> for Finding {
    fn from(error: io::Error) -> Self {
        Self(format!("the test server failed: {error}"))
    }
}

impl From<http::Error> for Finding {
    fn from(error: http::Error) -> Self {
        Self(format!("the request cannot be written: {error}"))
    }
}

impl From<TransportError> for Finding {
    fn from(error: TransportError) -> Self {
        Self(format!("the exchange failed: {}", chain(&error)))
    }
}

/// Returns an error with the text of `found`, unless the rule holds.
pub(super) fn ensure(holds: bool, found: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Finding(found())) }
}

/// Returns an error if the two values differ.
pub(super) fn equal<T: PartialEq + fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    let holds = found == expected;
    ensure(holds, || {
        format!("{what}: found {found:?}, expected {expected:?}")
    })
}

/// The text of an error and of all its sources.
pub(super) fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
