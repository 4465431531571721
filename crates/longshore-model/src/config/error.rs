//! Why a configuration is refused.

use crate::json::{Fault, VALUES_LIMIT};

/// Why a blob is not accepted as an image configuration. It is refused whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A member name is repeated in one object, so two readers could use different values (DG5).
    #[error("a member name is repeated in one object, at line {line} column {column}")]
    DuplicateKey {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// It is not JSON, or a field has the wrong form or is missing.
    #[error("malformed image configuration: {reason}, at line {line} column {column}")]
    Malformed {
        /// What is wrong, at most 200 characters and without control characters.
        reason: Box<str>,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
    },
    /// It is not UTF-8.
    #[error("the image configuration is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first byte that is not part of a character, from 0.
        at: usize,
    },
    /// It has more layers, steps and other values than [`VALUES_LIMIT`].
    #[error("the image configuration has more than {VALUES_LIMIT} values")]
    TooManyValues,
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::DuplicateKey { line, column } => Self::DuplicateKey { line, column },
            Fault::Malformed {
                reason,
                line,
                column,
            } => Self::Malformed {
                reason,
                line,
                column,
            },
            Fault::NotUtf8 { at } => Self::NotUtf8 { at },
            // There are no descriptors in a configuration.
            Fault::TooManyDescriptors | Fault::TooManyValues => Self::TooManyValues,
        }
    }
}
