//! Web pages in place of a registry's answer, sent by a captive portal, a proxy, or a web server
//! that is not a registry.

/// Whether the body of an answer is a web page: it begins like HTML, after a byte order mark, white
/// space and comments.
#[must_use]
pub fn is_web_page(body: &[u8]) -> bool {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    loop {
        rest = rest.trim_ascii_start();
        let comment = rest.strip_prefix(b"<!--");
        match comment.and_then(|comment| find(comment, b"-->").map(|at| (comment, at))) {
            Some((comment, end)) => rest = comment.get(end + 3..).unwrap_or_default(),
            None => break,
        }
    }
    BEGINNINGS.iter().any(|beginning| {
        rest.get(..beginning.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    })
}

/// Beginnings of HTML documents. XML documents that are not HTML begin with none of them.
const BEGINNINGS: [&[u8]; 5] = [b"<!doctype html", b"<html", b"<head", b"<body", b"<title"];

/// The visible text of a web page: its title, or else the text without tags, with white space
/// collapsed.
pub(crate) fn visible_text(page: &str) -> String {
    let title = between(page, "<title", "</title").and_then(|title| title.split_once('>'));
    let text = match title.map(|(_, text)| text) {
        Some(text) if !text.trim().is_empty() => text.to_owned(),
        _ => without_tags(page),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        // Style sheets and scripts are not visible text.
        let hidden = ["style", "script"].iter().find_map(|name| {
            let start = tag.get(..name.len())?;
            start
                .eq_ignore_ascii_case(name)
                .then(|| format!("</{name}"))
        });
        let tag = match hidden {
            Some(end) => tag.get(find(tag.as_bytes(), end.as_bytes()).unwrap_or(tag.len())..),
            None => Some(tag),
        };
        rest = tag
            .and_then(|tag| tag.split_once('>'))
            .map_or("", |it| it.1);
    }
    text.push_str(rest);
    text
}

/// The text between the first `begin` and the next `end`, without regard to case.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let from = find(text.as_bytes(), begin.as_bytes())? + begin.len();
    let rest = text.get(from..)?;
    rest.get(..find(rest.as_bytes(), end.as_bytes())?)
}

/// The position of an ASCII text, without regard to case.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut windows = text.windows(wanted.len());
    windows.position(|window| window.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_a_web_page_and_nothing_else_is() {
        for page in [
            "<!DOCTYPE html><html></html>",
            "\u{feff} \r\n<HTML lang=en>",
            "<!-- portal -->\n<!-- 2 --><head>",
            "<title>Log in</title>",
        ] {
            assert!(is_web_page(page.as_bytes()), "{page}");
        }
        for other in [
            "",
            "{}",
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "<Error/>",
            "no <html>",
            "<!-- <html>",
        ] {
            assert!(!is_web_page(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn the_text_of_a_web_page_is_what_a_reader_sees() {
        for (page, text) in [
            (
                "<html><TITLE id=a>403\n Forbidden</TITLE><p>x",
                "403 Forbidden",
            ),
            ("<html><title></title><h1>Log</h1>\n<p>in</html>", "Log in"),
            (
                "<html><style>p {a: b}</style><p>yes<script>1<2</SCRIPT>",
                "yes",
            ),
            ("<html><script>never closed", ""),
            ("<html", ""),
            ("<html>no</html>", "no"),
        ] {
            assert_eq!(visible_text(page), text, "{page}");
        }
    }
}
