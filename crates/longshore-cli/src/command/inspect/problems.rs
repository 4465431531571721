//! What could not be looked at.

use longshore::ErrorClass;
use longshore::ErrorKind;
use longshore_copy::TransferError;

use crate::exit::Failure;

/// What could not be looked at, in the order in which it is shown.
///
/// An image is inspected as far as it can be. A registry that does not offer something, or does not
/// let everybody look, is no failure. Failures are: a registry that cannot answer now, that refuses
/// the credentials it was given, and content that does not match its digest.
#[derive(Debug, Default)]
pub(super) struct Problems {
    texts: Vec<String>,
    failure: Option<Failure>,
}

impl Problems {
    /// Notes that something could not be looked at.
    pub(super) fn note(&mut self, what: &str, reason: &dyn std::error::Error) {
        self.texts.push(format!("{what}: {}", chain(reason)));
    }

    /// Notes that something could not be requested.
    pub(super) fn note_request(&mut self, what: &str, error: longshore::Error) {
        self.note(what, &error);
        let is_failure = match error.class() {
            ErrorClass::Unavailable => true,
            ErrorClass::Refused { with_credentials } => with_credentials,
            _ => error.kind() == ErrorKind::Digest,
        };
        if is_failure {
            self.failure.get_or_insert(error.into());
        }
    }

    /// As [`note_request`](Self::note_request), of several requests.
    pub(super) fn note_transfer(&mut self, what: &str, error: TransferError) {
        match error {
            TransferError::Registry(error) => self.note_request(what, error),
            error => self.note(what, &error),
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.texts.extend(other.texts);
        self.failure = self.failure.take().or(other.failure);
    }

    /// Returns one line for each thing, not escaped.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns the first failure.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Returns the messages of an error and of its sources on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
