//! Rust source taken apart: code, comments, literals, and what is for tests.
//!
//! A small scanner, not a parser: it knows comments (nested), string and character literals (raw
//! ones too), and lifetimes. What is left out is replaced by spaces, so every byte keeps its place.

use std::ops::Range;

/// What a piece of source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// The code, without comments and literals.
pub(crate) fn code(source: &str) -> String {
    only(source, Kind::Code)
}

/// The comments alone.
pub(crate) fn comments(source: &str) -> String {
    only(source, Kind::Comment)
}

/// The string and character literals alone, with their quotes.
pub(crate) fn literals(source: &str) -> String {
    only(source, Kind::Literal)
}

fn only(source: &str, wanted: Kind) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = token(rest, first, before);
        let (piece, after) = rest.split_at(length);
        if kind == wanted {
            out.push_str(piece);
        } else {
            blank(&mut out, piece);
        }
        before = piece.chars().next_back();
        rest = after;
    }
    out
}

/// Appends as many spaces as a piece has bytes, and its line ends.
fn blank(out: &mut String, piece: &str) {
    out.extend(piece.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
}

/// The length in bytes of what stands at the start, and what it is.
fn token(rest: &str, first: char, before: Option<char>) -> (usize, Kind) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match first {
        '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), Kind::Comment),
        '/' if rest.starts_with("/*") => (block_comment(rest), Kind::Comment),
        '"' => (quoted(rest, '"'), Kind::Literal),
        '\'' if is_character(rest) => (quoted(rest, '\''), Kind::Literal),
        'r' | 'b' | 'c' if !in_word => match raw_string(rest) {
            Some(length) => (length, Kind::Literal),
            None => (1, Kind::Code),
        },
        _ => (first.len_utf8(), Kind::Code),
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// From an opening quote to the closing one, escapes skipped.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether a single quote opens a character literal rather than a lifetime.
fn is_character(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some(_), Some(second)) => second == '\'',
        _ => false,
    }
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`, `cr"…"` at the start, if one is there.
fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        after.trim_start_matches('#').starts_with('"')
    })?;
    let after = rest.strip_prefix(prefix)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let opening = prefix.len() + hashes + 1;
    let body = rest.get(opening..)?;
    Some(
        body.find(&end)
            .map_or(rest.len(), |at| opening + at + end.len()),
    )
}

/// The names of the modules in other files that cleaned code declares for tests only.
fn test_modules(code: &str) -> impl Iterator<Item = &str> {
    code.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let (name, _) = after.trim_start().strip_prefix("mod ")?.split_once(';')?;
        name.chars()
            .all(|c| c.is_alphanumeric() || c == '_')
            .then_some(name)
    })
}

/// Blanks every item under `#[cfg(test)]` in code that [`code`] has cleaned.
pub(crate) fn without_tests(code: &str) -> String {
    blank_tests(code, code)
}

/// Blanks every item under `#[cfg(test)]` in a text that was taken from the same source as `code`.
pub(crate) fn blank_tests(text: &str, code: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for item in test_items(code) {
        out.push_str(text.get(end..item.start).unwrap_or_default());
        blank(&mut out, text.get(item.clone()).unwrap_or_default());
        end = item.end;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    out
}

/// The positions of the items under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    const MARK: &str = "#[cfg(test)]";
    let mut items = Vec::new();
    let mut end = 0;
    while let Some(at) = code.get(end..).and_then(|rest| rest.find(MARK)) {
        let start = end + at;
        end = start + item_length(code.get(start..).unwrap_or_default());
        items.push(start..end);
    }
    items
}

/// The files of a crate without its test modules; `sources` has the paths and texts.
pub(crate) fn outside_tests(
    sources: &[(String, String)],
) -> impl Iterator<Item = &(String, String)> {
    let for_tests: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| test_files(path, text))
        .collect();
    sources.iter().filter(move |(path, _)| {
        !for_tests.iter().any(|stem| {
            path.strip_prefix(stem)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    })
}

/// The files, without `.rs`, of the modules a file declares for its tests.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let directory = stem.strip_suffix("/lib").unwrap_or(stem);
    test_modules(&code(text))
        .map(|name| format!("{directory}/{name}"))
        .collect()
}

/// From an attribute to the `;` or the closing brace of the item it stands on.
fn item_length(from: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in from.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    from.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        for (source, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", 1)"#, "f(      , 1)"),
            (r##"f(r#"a "b" c"#)"##, "f(            )"),
            (r#"b"x" y"#, "b    y"),
            ("'a' 'b", "    'b"),
            (r"'\'' x", "     x"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("bar\"s\"", "bar   "),
            ("// ü\nx", "     \nx"),
        ] {
            assert_eq!(code(source), expected, "{source}");
        }
    }

    #[test]
    fn comments_and_literals_can_be_had_alone() {
        let source = "let a = \"b // c\"; // d\nr\"e\"";
        assert_eq!(comments(source).trim(), "// d");
        let literals = literals(source);
        assert_eq!(
            literals.split_whitespace().collect::<Vec<_>>(),
            ["\"b", "//", "c\"", "r\"e\""]
        );
        assert_eq!(literals.len(), source.len());
    }

    #[test]
    fn tests_are_blanked_in_any_text_of_the_source() {
        let source = "f(\"a\");\n#[cfg(test)]\nmod tests { g(\"}\"); }\nh(\"ü\");";
        let kept = blank_tests(&literals(source), &code(source));
        assert_eq!(
            kept.split_whitespace().collect::<Vec<_>>(),
            ["\"a\"", "\"ü\""]
        );
    }

    #[test]
    fn an_open_literal_or_comment_runs_to_the_end() {
        for source in ["\"abc", "/* abc", "r#\"abc\"", "'\\"] {
            assert_eq!(code(source).trim(), "", "{source}");
        }
    }

    #[test]
    fn modules_for_tests_are_named() {
        let source = "mod a;\n#[cfg(test)]\nmod b;\nmod c;\n#[cfg(test)]\nmod d { mod e; }";
        assert_eq!(test_modules(source).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn test_items_are_dropped_and_what_follows_is_kept() {
        let source = "a;\n#[cfg(test)]\nmod tests { fn x() { y } }\nb;\n#[cfg(test)]\nmod t;\nc;";
        let kept: Vec<String> = without_tests(source)
            .lines()
            .map(|line| line.trim().to_owned())
            .collect();
        assert_eq!(kept, ["a;", "", "", "b;", "", "", "c;"]);
    }
}
