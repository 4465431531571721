//! Ends of a copy: what parses is printed as a text that parses to the same, in both contexts.

use std::path::Path;

use longshore_copy::layout::Layout;
use longshore_copy::{END_NAME_LIMIT_BYTES, EndName, EndNameError, LayoutName};
use longshore_model::Reference;

use crate::shown::is_plain;

/// Parses the bytes as an end, and as an end that is a layout.
///
/// # Panics
///
/// When the printed text of an end does not lead back to it, when a layout has no path or a name
/// that cannot be written, when text that begins as a path is not one, or when an error or its hint
/// is not a line to show.
pub fn end_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let is_path = ["./", "../", "/"]
        .iter()
        .any(|start| text.starts_with(start));
    match EndName::parse(text) {
        Ok(end) => {
            assert!(!is_path, "{text:?} is {end:?}");
            reads_back(&end);
            if let EndName::Layout(layout) = end {
                // A form with a prefix means the same where only a layout is possible.
                assert_eq!(EndName::parse_layout(text), Ok(layout));
            }
        }
        Err(error) => failed(&error, text),
    }
    match EndName::parse_layout(text) {
        Ok(layout) => {
            is_sound(&layout, text);
            reads_back(&EndName::Layout(layout));
        }
        Err(error) => {
            let is_other = matches!(
                error,
                EndNameError::OtherForm { .. } | EndNameError::Registry | EndNameError::Url
            );
            assert!(!is_path || !is_other, "{text:?}: {error}");
            failed(&error, text);
        }
    }
}

fn reads_back(end: &EndName) {
    let text = end.to_string();
    assert_eq!(EndName::parse(&text).as_ref(), Ok(end), "{text:?}");
    match end {
        EndName::Registry(reference) => {
            assert_eq!(Reference::parse(reference.as_str()).as_ref(), Ok(reference));
        }
        EndName::Layout(layout) => {
            assert_eq!(EndName::parse_layout(&text).as_ref(), Ok(layout));
            assert_eq!(layout.to_string(), text);
        }
        _ => {}
    }
}

/// The path and the name are parts of the text, in this order and with one colon between them.
fn is_sound(layout: &LayoutName, text: &str) {
    let LayoutName { path, name, .. } = layout;
    assert_ne!(path, Path::new(""), "{text:?}");
    let mut end = path.to_string_lossy().into_owned();
    if let Some(name) = name {
        assert!(Layout::check_name(name).is_ok(), "{name:?}");
        end.push(':');
        end.push_str(name);
    }
    assert!(text.ends_with(&end), "{text:?} ends with {end:?}");
}

fn failed(error: &EndNameError, text: &str) {
    is_plain(error);
    if let EndNameError::TooLong { length } = error {
        assert!(*length == text.len() && *length > END_NAME_LIMIT_BYTES);
    }
    let hint = error.hint().unwrap_or_default();
    assert!(!hint.contains(char::is_control), "OU1: {hint:?}");
}
