//! Pages of names: tags and repositories.
//!
//! ```text
//! { "name": "<repository>", "tags": [ "<tag>", … ] }
//! { "repositories": [ "<repository>", … ] }
//! ```
//!
//! Source: distribution-spec v1.1.1 "Listing Tags"; Docker Registry HTTP API V2 "Catalog".

use bytes::Bytes;
use longshore_model::RepositoryName;
use longshore_origin::{JsonShapeError, check_json_object};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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

impl PageError {
    /// The position of a byte of the page.
    fn at(page: &[u8], at: usize) -> Self {
        let before = page.get(..at).unwrap_or(page);
        let start = before.iter().rposition(|&byte| byte == b'\n');
        Self {
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            column: before.len() - start.map_or(0, |start| start + 1) + 1,
        }
    }
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
/// A missing or `null` list counts as empty.
///
/// # Errors
///
/// [`PageError`] when the page is malformed, or nests to [`JSON_DEPTH_LIMIT`] (LI).
///
/// [`JSON_DEPTH_LIMIT`]: longshore_origin::JSON_DEPTH_LIMIT
pub fn read_tags(page: &Bytes) -> Result<NamesPage, PageError> {
    NamesPage::new(page, read(page)?.tags)
}

/// Reads a page of repository names.
///
/// # Errors
///
/// As [`read_tags`].
pub fn read_repositories(page: &Bytes) -> Result<NamesPage, PageError> {
    NamesPage::new(page, read(page)?.repositories)
}

/// The names on a page, decoded one at a time: together they could take twenty times the memory of
/// the page (LI2).
///
/// `null` and empty entries are skipped, because some registries send them. An entry that is not a
/// string is returned as its JSON followed by `(not a string)`, which no grammar of names allows,
/// so that it does not hide the other names (OU2).
#[derive(Clone, Debug)]
pub struct NamesPage {
    /// The rest of the list, from the next entry.
    rest: Bytes,
}

impl NamesPage {
    fn new(page: &Bytes, list: Option<&RawValue>) -> Result<Self, PageError> {
        let Some(list) = list.map(RawValue::get) else {
            return Ok(Self { rest: Bytes::new() });
        };
        match list.strip_prefix('[') {
            Some(rest) => Ok(Self {
                rest: page.slice_ref(rest.as_bytes()),
            }),
            None => {
                // The list borrows from the page.
                let at = (list.as_ptr() as usize).saturating_sub(page.as_ptr() as usize);
                Err(PageError::at(page, at))
            }
        }
    }

    /// Takes the next entry out of the list.
    fn entry(&mut self) -> Option<Bytes> {
        let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',');
        let blanks = self.rest.iter().take_while(|it| is_between(it)).count();
        let _ = self.rest.split_to(blanks);
        let mut values = serde_json::Deserializer::from_slice(&self.rest).into_iter::<&RawValue>();
        // The whole page was parsed before, so an error here can only be the end of the list.
        let Some(Ok(_)) = values.next() else {
            self.rest.clear();
            return None;
        };
        let length = values.byte_offset();
        Some(self.rest.split_to(length))
    }
}

impl Iterator for NamesPage {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            let entry = self.entry()?;
            match serde_json::from_slice::<Option<String>>(&entry) {
                Ok(name) => match name.filter(|name| !name.is_empty()) {
                    Some(name) => return Some(name),
                    None => continue,
                },
                Err(_) => {
                    let text = String::from_utf8_lossy(&entry);
                    return Some(format!("{text:.NOT_A_STRING_CHARS$} (not a string)"));
                }
            }
        }
    }
}

/// Maximum number of characters that are kept of an entry that is not a string.
const NOT_A_STRING_CHARS: usize = 100;

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
#[derive(Deserialize, Serialize)]
struct Page<L> {
    /// A client knows it, and does not read it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
    tags: Option<L>,
    #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
    repositories: Option<L>,
}

fn write(page: &Page<&[String]>) -> Vec<u8> {
    // Strings in lists always serialise.
    serde_json::to_vec(page).unwrap_or_default()
}

fn read(page: &[u8]) -> Result<Page<&RawValue>, PageError> {
    check_json_object(page)?;
    Ok(serde_json::from_slice(page)?)
}

#[cfg(test)]
mod tests {
    use longshore_origin::JSON_DEPTH_LIMIT;

    use super::*;

    fn tags(page: &str) -> Result<Vec<String>, PageError> {
        Ok(read_tags(&Bytes::copy_from_slice(page.as_bytes()))?.collect())
    }

    // OU2
    #[test]
    fn ou2_an_entry_that_is_not_a_string_does_not_hide_the_others() {
        let page = r#"{"tags" : [ "a\n" ,7,{"b":[1]},[null] , true,"\ud800", "c" ] }"#;
        let expected = [
            "a\n",
            "7 (not a string)",
            r#"{"b":[1]} (not a string)"#,
            "[null] (not a string)",
            "true (not a string)",
            r#""\ud800" (not a string)"#,
            "c",
        ];
        assert_eq!(tags(page).unwrap(), expected);
        let long = format!("{{\"tags\":[[{}0]]}}", "0,".repeat(1000));
        let [name] = &tags(&long).unwrap()[..] else {
            panic!("wrong number of entries");
        };
        assert_eq!(name.len(), NOT_A_STRING_CHARS + " (not a string)".len());
    }

    #[test]
    fn null_lists_and_entries_are_empty() {
        for (page, expected) in [
            (r#"{"name":"a","tags":["1","2"]}"#, &["1", "2"][..]),
            (r#"{"name":"a","tags":null}"#, &[]),
            (r#"{"name":"a"}"#, &[]),
            (r#"{"name":7,"tags":[null,"","1"],"x":[{}]}"#, &["1"]),
        ] {
            assert_eq!(tags(page).unwrap(), expected, "{page}");
        }
        let page = Bytes::from_static(br#"{"repositories":["a/b"]}"#);
        assert!(read_repositories(&page).unwrap().eq(["a/b"]));
    }

    #[test]
    fn what_is_no_page_is_refused_where_it_is_none() {
        for (page, line, column) in [
            ("<html>", 1, 1),
            ("", 1, 1),
            (r#" [{"tags":["1"]}]"#, 1, 2),
            ("{\n\"tags\":{\"a\":1}}", 2, 8),
            (r#"{"tags":["1"],"tags":["2"]}"#, 1, 20),
            (r#"{"tags":["1" "2"]}"#, 1, 14),
            (r#"{"tags":["1",]}"#, 1, 14),
            (r#"{"tags":["1"]"#, 1, 13),
        ] {
            let error = tags(page).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{page}");
        }
    }

    // LI: one depth limit applies to all JSON, whichever parser reads it.
    #[test]
    fn li_a_page_is_refused_at_the_depth_limit_of_all_json() {
        assert_eq!(JSON_DEPTH_LIMIT, longshore_model::JSON_DEPTH_LIMIT);
        let page = |depth| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            tags(&format!(
                "{{\"x\":\"[\\\"\",\n\"y\":{open}{close},\"tags\":[\"1\"]}}"
            ))
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
        let page = Bytes::from(write_tags(&name, &names));
        assert!(read_tags(&page).unwrap().eq(names.clone()));
        let page = Bytes::from(write_repositories(&names));
        assert!(read_repositories(&page).unwrap().eq(names));
    }
}
