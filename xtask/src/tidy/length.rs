//! Functions of the facade stay short: long logic belongs in a state machine.

use super::{Finding, source};

/// Where functions are measured.
pub(crate) const DIRECTORY: &str = "crates/longshore/src/";

/// Maximum number of lines of a function, from its `fn` to its closing brace.
const LIMIT_LINES: usize = 60;

/// Finds longer functions in the code of a crate, without its tests.
pub(crate) fn check(sources: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in source::outside_tests(sources) {
        let code = source::without_tests(&source::code(text));
        for function in functions(&code) {
            if function.lines > LIMIT_LINES {
                let what = format!(
                    "fn {} has {} lines; the limit is {LIMIT_LINES}",
                    function.name, function.lines
                );
                findings.push(Finding::at(path, function.line, what));
            }
        }
    }
    findings
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// The functions with a body in cleaned code.
fn functions(code: &str) -> impl Iterator<Item = Function<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices("fn ").filter_map(move |(at, word)| {
        let before = code.get(..at)?;
        let after = code.get(at + word.len()..)?;
        let name = after.split(|c: char| !is_word(c)).next()?;
        if before.ends_with(is_word) || name.is_empty() {
            return None;
        }
        let length = length(code.get(at..)?)?;
        let text = code.get(at..at + length)?;
        Some(Function {
            name,
            line: before.matches('\n').count() + 1,
            lines: text.matches('\n').count() + 1,
        })
    })
}

/// From `fn` to the brace that closes the body; `None` where a `;` comes instead of a body.
fn length(from: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in from.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return Some(at + 1);
                }
            }
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let sources = [("a.rs".to_owned(), text.to_owned())];
        check(&sources).iter().map(Finding::to_string).collect()
    }

    fn function(name: &str, lines: usize) -> String {
        format!(
            "pub async fn {name}(a: [u8; 2]) {{\n{}}}\n",
            "    a({ 1 });\n".repeat(lines - 2)
        )
    }

    #[test]
    fn a_function_of_61_lines_is_found_where_it_begins() {
        assert_eq!(found(&function("short", 60)), [""; 0]);
        let text = format!("{}\n{}", function("short", 60), function("long", 61));
        assert_eq!(
            found(&text),
            ["a.rs:62: fn long has 61 lines; the limit is 60"]
        );
    }

    #[test]
    fn a_signature_counts_and_one_without_a_body_does_not() {
        let long = format!("fn a(\n{}) {{}}\n", "    x: u8,\n".repeat(60));
        assert_eq!(found(&long).len(), 1);
        let declared = format!("trait T {{\n    fn a();\n{}}}\n", "\n".repeat(70));
        assert_eq!(found(&declared), [""; 0]);
    }

    #[test]
    fn tests_and_words_that_end_alike_are_no_functions() {
        let test = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function("long", 90));
        assert_eq!(found(&test), [""; 0]);
        assert_eq!(functions("a_fn x() {} let f: fn (u8);").count(), 0);
    }
}
