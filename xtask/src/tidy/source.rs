//! Rust source with comments, literals and tests taken out, so that a word found is code.
//!
//! A small scanner, not a parser: it knows comments (nested), string and character literals (raw
//! ones too), and lifetimes. Every line keeps its number.

/// Replaces comments and the contents of literals by spaces.
pub(crate) fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = token(rest, first, out.chars().next_back());
        let (piece, after) = rest.split_at(length);
        if keep {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

/// The length in bytes of what stands at the start, and whether it is code.
fn token(rest: &str, first: char, before: Option<char>) -> (usize, bool) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match first {
        '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
        '/' if rest.starts_with("/*") => (block_comment(rest), false),
        '"' => (quoted(rest, '"'), false),
        '\'' if is_character(rest) => (quoted(rest, '\''), false),
        'r' | 'b' | 'c' if !in_word => match raw_string(rest) {
            Some(length) => (length, false),
            None => (1, true),
        },
        _ => (first.len_utf8(), true),
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
pub(crate) fn test_modules(code: &str) -> impl Iterator<Item = &str> {
    code.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let (name, _) = after.trim_start().strip_prefix("mod ")?.split_once(';')?;
        name.chars()
            .all(|c| c.is_alphanumeric() || c == '_')
            .then_some(name)
    })
}

/// Blanks every item under `#[cfg(test)]` in code that [`code`] has cleaned.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, from) = rest.split_at(at);
        let (item, after) = from.split_at(item_length(from));
        out.push_str(before);
        out.extend(item.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out.push_str(rest);
    out
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
            ("// ü\nx", "    \nx"),
        ] {
            assert_eq!(code(source), expected, "{source}");
        }
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
