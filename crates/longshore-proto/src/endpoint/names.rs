//! Pages of names: tags and repositories.
//!
//! ```text
//! { "name": "<repository>", "tags": [ "<tag>", … ] }
//! { "repositories": [ "<repository>", … ] }
//! ```
//!
//! Source: distribution-spec v1.1.1 "Listing Tags"; Docker Registry HTTP API V2 "Catalog".

use std::fmt;

use longshore_model::RepositoryName;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

/// So deep arrays and objects of a page may nest; at this depth it is refused (LI).
pub const PAGE_DEPTH_LIMIT: usize = 128;

/// Where a page is not one.
///
/// What a parser says of it may quote it at any length, so only the place is kept (OU1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected at line {line} column {column}")]
#[non_exhaustive]
pub struct PageError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
}

impl From<serde_json::Error> for PageError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self { line, column }
    }
}

/// Reads a page of tags.
///
/// A missing or `null` list is empty, and so are entries: some registries send them.
///
/// # Errors
///
/// [`PageError`] where it is no such page, or nests to [`PAGE_DEPTH_LIMIT`].
pub fn read_tags(page: &[u8]) -> Result<Vec<String>, PageError> {
    Ok(read(page)?.tags.unwrap_or_default().0)
}

/// Reads a page of repository names.
///
/// # Errors
///
/// As [`read_tags`].
pub fn read_repositories(page: &[u8]) -> Result<Vec<String>, PageError> {
    Ok(read(page)?.repositories.unwrap_or_default().0)
}

/// Writes a page of tags.
#[must_use]
pub fn write_tags(name: &RepositoryName, tags: &[String]) -> Vec<u8> {
    write(&Page {
        name: Some(name.as_str()),
        tags: Some(tags),
        repositories: None,
    })
}

/// Writes a page of repository names.
#[must_use]
pub fn write_repositories(names: &[String]) -> Vec<u8> {
    write(&Page {
        repositories: Some(names),
        ..Page::default()
    })
}

#[derive(Default, Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<&'a [String]>,
}

fn write(page: &Page<'_>) -> Vec<u8> {
    // Strings in lists always serialise.
    serde_json::to_vec(page).unwrap_or_default()
}

#[derive(DeriveDeserialize)]
struct Lists {
    tags: Option<Names>,
    repositories: Option<Names>,
}

fn read(page: &[u8]) -> Result<Lists, PageError> {
    if let Some(at) = not_an_object(page) {
        return Err(place(page, at));
    }
    Ok(serde_json::from_slice(page)?)
}

/// The position at which a document is not an object, or nests too deep. The parser would take a
/// list of the fields for an object, and skips what nobody wants without counting.
fn not_an_object(page: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in page.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' if depth == 0 => return Some(at),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth >= PAGE_DEPTH_LIMIT {
            return Some(at);
        }
    }
    None
}

fn place(page: &[u8], at: usize) -> PageError {
    let before = page.get(..at).unwrap_or_default();
    let line_start = before.iter().rposition(|&byte| byte == b'\n');
    PageError {
        line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
        column: at + 1 - line_start.map_or(0, |newline| newline + 1),
    }
}

/// A list of names, without those that say nothing.
#[derive(Default)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AList;

        impl<'de> Visitor<'de> for AList {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element::<Option<String>>()? {
                    names.extend(name.filter(|name| !name.is_empty()));
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_seq(AList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_lists_and_entries_are_empty() {
        for (page, expected) in [
            (r#"{"name":"a","tags":["1","2"]}"#, &["1", "2"][..]),
            (r#"{"name":"a","tags":null}"#, &[]),
            (r#"{"name":"a"}"#, &[]),
            (r#"{"name":7,"tags":[null,"","1"],"x":[{}]}"#, &["1"]),
        ] {
            assert_eq!(read_tags(page.as_bytes()).unwrap(), expected, "{page}");
        }
        assert_eq!(
            read_repositories(br#"{"repositories":["a/b"]}"#).unwrap(),
            ["a/b"]
        );
    }

    #[test]
    fn what_is_no_page_is_refused_where_it_is_none() {
        for (page, line, column) in [
            ("<html>", 1, 1),
            ("", 1, 0),
            (r#" [{"tags":["1"]}]"#, 1, 2),
            ("{\n\"tags\":{\"a\":1}}", 2, 7),
            (r#"{"tags":["1"],"tags":["2"]}"#, 1, 20),
            (r#"{"tags":[7]}"#, 1, 10),
        ] {
            let error = read_tags(page.as_bytes()).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{page}");
        }
    }

    #[test]
    fn li_a_page_nests_so_deep_and_no_deeper() {
        let page = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            read_tags(
                format!("{{\"x\":\"[\\\"\",\n\"y\":{open}{close},\"tags\":[\"1\"]}}").as_bytes(),
            )
        };
        assert_eq!(page(PAGE_DEPTH_LIMIT - 2).unwrap(), ["1"]);
        assert_eq!(
            page(PAGE_DEPTH_LIMIT - 1),
            Err(PageError {
                line: 2,
                column: 4 + PAGE_DEPTH_LIMIT - 1
            })
        );
    }

    #[test]
    fn pages_that_were_written_read_back() {
        let names = ["b".to_owned(), "a/c".to_owned()];
        let name = "x".parse().unwrap();
        assert_eq!(read_tags(&write_tags(&name, &names)).unwrap(), names);
        assert_eq!(
            read_repositories(&write_repositories(&names)).unwrap(),
            names
        );
    }
}
