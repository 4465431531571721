//! What is wrong with a document of any kind.

use super::Broken;

/// Why the reading of a document ended. Each kind of document says it in its own error.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    DuplicateKey {
        line: usize,
        column: usize,
    },
    Malformed {
        reason: Box<str>,
        line: usize,
        column: usize,
    },
    NotUtf8 {
        at: usize,
    },
    TooManyDescriptors,
    TooManyValues,
}

impl Fault {
    pub(super) fn new(error: &serde_json::Error, broken: Option<Broken>) -> Self {
        let (line, column) = (error.line(), error.column());
        match broken {
            Some(Broken::DuplicateKey) => Self::DuplicateKey { line, column },
            Some(Broken::TooManyDescriptors) => Self::TooManyDescriptors,
            Some(Broken::TooManyValues) => Self::TooManyValues,
            None => Self::Malformed {
                reason: reason(error),
                line,
                column,
            },
        }
    }
}

/// An error while writing, which has no place.
impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::new(&error, None)
    }
}

/// The text may quote the peer, in Rust's escapes but at any length.
fn reason(error: &serde_json::Error) -> Box<str> {
    let text = error.to_string();
    let reason = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(reason, _)| reason);
    reason.chars().take(REASON_LIMIT).collect::<String>().into()
}

const REASON_LIMIT: usize = 200;
