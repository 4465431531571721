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
use longshore_origin::{JsonShapeError, check_json_object};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

/// The position at which a page is malformed.
///
/// A parser's message may quote any amount of the page, so only the position is kept (OU1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected at line {line} column {column}")]
#[non_exhaustive]
pub struct PageError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
}

impl From<JsonShapeError> for PageError {
    fn from(error: JsonShapeError) -> Self {
        let (line, column) = (error.line, error.column);
        Self { line, column }
    }
}

impl From<serde_json::Error> for PageError {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        Self { line, column }
    }
}

/// Reads a page of tags.
///
/// A missing or `null` list counts as empty, and `null` or empty entries are skipped: some
/// registries send them.
///
/// # Errors
///
/// [`PageError`] when the page is malformed, or nests to [`JSON_DEPTH_LIMIT`] (LI).
///
/// [`JSON_DEPTH_LIMIT`]: longshore_origin::JSON_DEPTH_LIMIT
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
        name: Some(name.as_str().to_owned()),
        tags: Some(tags),
        repositories: None,
    })
}

/// Writes a page of repository names.
#[must_use]
pub fn write_repositories(names: &[String]) -> Vec<u8> {
    write(&Page {
        name: None,
        tags: None,
        repositories: Some(names),
    })
}

/// A page of either kind, with its names as a server has them or as a client reads them.
#[derive(DeriveDeserialize, Serialize)]
struct Page<L> {
    /// A client knows it, and does not read it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<L>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<L>,
}

fn write(page: &Page<&[String]>) -> Vec<u8> {
    // Strings in lists always serialise.
    serde_json::to_vec(page).unwrap_or_default()
}

fn read(page: &[u8]) -> Result<Page<Names>, PageError> {
    check_json_object(page)?;
    Ok(serde_json::from_slice(page)?)
}

/// A list of names, without `null` and empty entries.
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
    use longshore_origin::JSON_DEPTH_LIMIT;

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
            ("", 1, 1),
            (r#" [{"tags":["1"]}]"#, 1, 2),
            ("{\n\"tags\":{\"a\":1}}", 2, 7),
            (r#"{"tags":["1"],"tags":["2"]}"#, 1, 20),
            (r#"{"tags":[7]}"#, 1, 10),
        ] {
            let error = read_tags(page.as_bytes()).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{page}");
        }
    }

    // LI: one depth limit applies to all JSON, whichever parser reads it.
    #[test]
    fn li_a_page_is_refused_at_the_depth_limit_of_all_json() {
        assert_eq!(JSON_DEPTH_LIMIT, longshore_model::JSON_DEPTH_LIMIT);
        let page = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            read_tags(
                format!("{{\"x\":\"[\\\"\",\n\"y\":{open}{close},\"tags\":[\"1\"]}}").as_bytes(),
            )
        };
        assert_eq!(page(JSON_DEPTH_LIMIT - 2).unwrap(), ["1"]);
        assert_eq!(
            page(JSON_DEPTH_LIMIT - 1),
            Err(PageError {
                line: 2,
                column: 4 + JSON_DEPTH_LIMIT - 1
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
