//! Parts of an image that could not be read.

use longshore::ErrorClass;
use longshore::ErrorKind;
use longshore_copy::TransferError;

use crate::exit::Failure;

/// Parts that could not be read, in the order in which they are shown.
///
/// `inspect` shows as much of an image as it can read. A feature that the registry does not
/// support, or content that needs credentials, is not a failure. The command fails if the registry
/// cannot answer now, if it refuses the credentials, or if content does not match its digest.
#[derive(Debug, Default)]
pub(super) struct Problems {
    texts: Vec<String>,
    /// The first failure, and the index of its line.
    failure: Option<(usize, Failure)>,
}

impl Problems {
    /// Records a part that could not be read.
    pub(super) fn note(&mut self, what: &str, reason: &dyn std::error::Error) {
        self.texts.push(format!("{what}: {}", chain(reason)));
    }

    /// Records a request that failed.
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

    /// Like [`note_request`](Self::note_request), for an operation of several requests.
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

    /// Returns one line for each problem, not escaped.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Returns the lines except that of the first failure, which is reported separately.
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
