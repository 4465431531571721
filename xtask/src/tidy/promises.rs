//! The promises in ARCHITECTURE.md: each names a test, and the test is there.
//!
//! A row's last cell names it: `name` is a file `tests/name.rs`, a directory `tests/name/`, or a
//! function `name` in some test.

use super::Finding;

/// Where the table stands.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

const BEGIN: &str = "<!-- promises -->";
const END: &str = "<!-- /promises -->";

/// The names of the tests in the table.
fn names(markdown: &str) -> Vec<&str> {
    let body = markdown
        .split_once(BEGIN)
        .and_then(|(_, after)| after.split_once(END));
    let rows = body.map_or("", |(body, _)| body).lines();
    rows.filter_map(|row| row.trim_end().strip_suffix("` |")?.rsplit_once('`'))
        .map(|(_, name)| name)
        .collect()
}

/// Finds promises without a test, and a document without promises.
///
/// `sources` are the paths and texts of all Rust files.
pub(crate) fn check(markdown: &str, sources: &[(String, String)]) -> Vec<Finding> {
    let names = names(markdown);
    if names.is_empty() {
        return vec![Finding::whole(DOCUMENT, format!("no {BEGIN} … {END}"))];
    }
    let is_there = |name: &&str| {
        let (file, directory) = (format!("/tests/{name}.rs"), format!("/tests/{name}/"));
        let function = format!("fn {name}()");
        sources.iter().any(|(path, text)| {
            path.ends_with(&file) || path.contains(&directory) || text.contains(&function)
        })
    };
    names
        .iter()
        .filter(|name| !is_there(name))
        .map(|name| Finding::whole(DOCUMENT, format!("promises a test {name}: there is none")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        <!-- promises -->\n\
        | promise | test |\n\
        | --- | --- |\n\
        | a `thing` holds | `a_file` |\n\
        | another | `a_directory` |\n\
        | a third | `a_function` |\n\
        <!-- /promises -->\n";

    fn source(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn a_promise_is_kept_by_a_file_a_directory_or_a_function() {
        let sources = [
            source("crates/a/tests/a_file.rs", ""),
            source("tests/tests/a_directory/main.rs", ""),
            source("crates/a/src/lib.rs", "#[test]\nfn a_function() {}"),
        ];
        assert_eq!(check(TABLE, &sources), []);
    }

    #[test]
    fn a_promise_nobody_keeps_is_found() {
        let sources = [
            source("crates/a/tests/a_file.rs", ""),
            source("crates/a/src/lib.rs", "fn a_function_of_another_name() {}"),
        ];
        let found: Vec<String> = check(TABLE, &sources)
            .iter()
            .map(Finding::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "ARCHITECTURE.md: promises a test a_directory: there is none",
                "ARCHITECTURE.md: promises a test a_function: there is none",
            ]
        );
    }

    #[test]
    fn a_document_without_promises_is_found() {
        let found = check("# Architecture\n", &[]);
        assert_eq!(
            found,
            [Finding::whole(
                "ARCHITECTURE.md",
                "no <!-- promises --> … <!-- /promises -->"
            )]
        );
    }
}
