//! Only one crate contains the path of the protocol: the others use endpoints.

use super::{Finding, source};

/// Whether the file must not contain the path: all crates except the one that writes it.
pub(crate) fn is_checked(path: &str) -> bool {
    path.starts_with("crates/") && path.contains("/src/") && !path.starts_with(HOME)
}

const HOME: &str = "crates/longshore-proto/";
const PATH: &str = "/v2";

/// Finds string literals that begin with the path or contain it followed by more text. Tests are
/// not checked.
pub(crate) fn check(sources: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in source::outside_tests(sources) {
        let literals = source::blank_tests(&source::literals(text), &source::code(text));
        for (line, text) in (1..).zip(literals.lines()) {
            if holds_path(text) {
                let what = format!("only {HOME} may contain `{PATH}`");
                findings.push(Finding::at(path, line, what));
            }
        }
    }
    findings
}

fn holds_path(line: &str) -> bool {
    line.match_indices(PATH).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + PATH.len()..).unwrap_or_default();
        let is_whole = !after.starts_with(|c: char| c.is_alphanumeric());
        after.starts_with('/') || (before.ends_with('"') && is_whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let sources = [("crates/longshore/src/a.rs".to_owned(), text.to_owned())];
        check(&sources).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_path_in_a_literal_is_found() {
        for literal in [
            "\"/v2\"",
            "\"/v2/\"",
            "\"{base}/v2/{name}\"",
            "b\"/v2/\"",
            "r#\"/v2?n=1\"#",
        ] {
            assert_eq!(
                found(&format!("fn f() {{\n    g({literal});\n}}\n")),
                ["crates/longshore/src/a.rs:2: only crates/longshore-proto/ may contain `/v2`"],
                "{literal}"
            );
        }
    }

    #[test]
    fn comments_tests_and_other_words_are_fine() {
        for text in [
            "// GET \"/v2/\"",
            "/// `/v2/`",
            "const V: &str = \"linux/amd64/v2\";",
            "const V: &str = \"/v25\";",
            "#[cfg(test)]\nmod tests { const V: &str = \"/v2/\"; }",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn only_code_of_the_other_crates_is_checked() {
        for (path, expected) in [
            ("crates/longshore/src/hosts.rs", true),
            ("crates/longshore-testkit/src/registry.rs", true),
            ("crates/longshore-proto/src/endpoint.rs", false),
            ("crates/longshore/tests/client.rs", false),
            ("tests/src/registry.rs", false),
            ("xtask/src/bench/server.rs", false),
            ("bench/floor/src/main.rs", false),
        ] {
            assert_eq!(is_checked(path), expected, "{path}");
        }
    }
}
