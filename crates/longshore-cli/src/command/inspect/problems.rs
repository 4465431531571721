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
    /// The first failure, and the place of its text.
    failure: Option<(usize, Failure)>,
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
            let place = self.texts.len() - 1;
            self.failure.get_or_insert_with(|| (place, error.into()));
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
        let before = self.texts.len();
        self.texts.extend(other.texts);
        let failure = other.failure.map(|(place, it)| (before + place, it));
        self.failure = self.failure.take().or(failure);
    }

    /// Returns one line for each thing, not escaped.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns the lines without that of the first failure, which is reported apart.
    pub(super) fn notes(&self) -> impl Iterator<Item = &str> {
        let failure = self.failure.as_ref().map(|(place, _)| *place);
        let notes = self.texts.iter().enumerate();
        notes.filter_map(move |(place, text)| (Some(place) != failure).then_some(text.as_str()))
    }

    /// Returns the first failure.
    pub(super) fn into_result(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), |(_, failure)| Err(failure))
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
