//! The destination of a pull: `DIR[:TAG]`, or a form that other programs use.

use longshore_copy::{EndName, EndNameError, LayoutName};

use crate::exit::{Exit, Failure};

const HINT: &str = "give an image layout, as DIR[:TAG] or oci:DIR[:TAG]; \
                    write ./ before a path that begins like another form";

/// Parses a destination. Text that does not name an image layout is a usage error.
pub(super) fn parse(text: &str) -> Result<LayoutName, Failure> {
    EndName::parse_layout(text).map_err(|error| {
        let exit = match error {
            EndNameError::Archive | EndNameError::Empty => Exit::Destination,
            _ => Exit::Usage,
        };
        let hint = match error.hint() {
            Some(hint) if exit == Exit::Destination => hint,
            _ => HINT.to_owned(),
        };
        let what = format!("\"{text}\" is not a destination of `pull`");
        Failure::caused(exit, what, &error).hint(&hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_that_is_not_a_layout_is_a_usage_error_with_a_hint() {
        for (text, word) in [
            ("docker://registry.example/a:1", "in a registry"),
            ("registry.example/a:1", "in a registry"),
            ("docker-archive:image.tar", "`docker load`"),
            ("https://registry.example/a", "URL"),
            ("oci:", "no directory"),
            ("oci:img:", "not a destination"),
            ("img:", "it is empty"),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{text}");
            let shown = failure.to_string();
            assert!(shown.contains(word), "{shown}");
            assert!(shown.contains("oci:DIR[:TAG]"), "{shown}");
        }
    }

    #[test]
    fn an_archive_is_refused_with_a_hint() {
        for text in ["image.tar", "image.tar:v1"] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.exit(), Exit::Destination);
            let shown = failure.to_string();
            assert!(shown.contains("tar -cf IMAGE.tar"), "{shown}");
        }
    }
}
