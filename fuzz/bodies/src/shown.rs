//! What an error may show.

use std::error::Error;

/// An error and what led to it are lines without control characters, and short (OU1).
pub(crate) fn is_plain(error: &dyn Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        let shown = error.to_string();
        assert!(
            !shown.contains(char::is_control) && shown.chars().count() <= SHOWN_LIMIT_CHARACTERS,
            "OU1: {shown:?}"
        );
        next = error.source();
    }
}

/// The most an error may show: 512 characters of what it was given (OU1), and its own words.
const SHOWN_LIMIT_CHARACTERS: usize = 512 + 128;
