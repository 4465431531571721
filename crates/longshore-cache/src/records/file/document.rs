//! Records as JSON documents. Unknown fields are ignored.

use std::time::Duration;

use longshore_model::{Digest, MediaType, Tag};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::records::{ContentRecord, ListKey, ListRecord, TagRecord};

/// The version of the documents. A document of another version is not read.
const VERSION: u32 = 1;

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    Record(T),
    /// A document of another version of this program. It is replaced by the next write, but not
    /// removed.
    OtherVersion,
    /// Anything else.
    Corrupt,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    record: T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

pub(super) fn write(record: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let version = VERSION;
    serde_json::to_vec(&Versioned { version, record })
}

fn read<T: DeserializeOwned>(document: &[u8]) -> Parsed<T> {
    match serde_json::from_slice::<Version>(document) {
        Ok(Version { version: VERSION }) => match serde_json::from_slice(document) {
            Ok(record) => Parsed::Record(record),
            Err(_) => Parsed::Corrupt,
        },
        Ok(_) => Parsed::OtherVersion,
        Err(_) => Parsed::Corrupt,
    }
}

impl<T> Parsed<T> {
    /// Converts the record; corrupt if it is not the record that the file should contain.
    fn and_then<U>(self, convert: impl FnOnce(T) -> Option<U>) -> Parsed<U> {
        match self {
            Self::Record(record) => convert(record).map_or(Parsed::Corrupt, Parsed::Record),
            Self::OtherVersion => Parsed::OtherVersion,
            Self::Corrupt => Parsed::Corrupt,
        }
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct Content {
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    size: u64,
    first_cached: Duration,
    last_validated: Duration,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_key: Option<String>,
}

impl Content {
    pub(super) fn new(record: ContentRecord) -> Self {
        Self {
            digest: record.digest,
            media_type: record.media_type,
            size: record.size,
            first_cached: record.first_cached,
            last_validated: record.last_validated,
            content_key: record.content_key.map(|key| to_hex(&key)),
        }
    }

    pub(super) fn read(document: &[u8], digest: &Digest) -> Parsed<ContentRecord> {
        read::<Self>(document).and_then(|content| {
            let content_key = match content.content_key {
                Some(key) => Some(from_hex(&key)?),
                None => None,
            };
            let record = ContentRecord {
                digest: content.digest,
                media_type: content.media_type,
                size: content.size,
                first_cached: content.first_cached,
                last_validated: content.last_validated,
                content_key,
            };
            (record.digest == *digest).then_some(record)
        })
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct TagDocument {
    tag: Tag,
    digest: Digest,
    first_cached: Duration,
    last_validated: Duration,
}

impl TagDocument {
    pub(super) fn new(tag: &Tag, record: TagRecord) -> Self {
        Self {
            tag: tag.clone(),
            digest: record.digest,
            first_cached: record.first_cached,
            last_validated: record.last_validated,
        }
    }

    /// Reads the document of a tag.
    pub(super) fn read(document: &[u8]) -> Parsed<(Tag, TagRecord)> {
        read::<Self>(document).and_then(|found| {
            let record = TagRecord {
                digest: found.digest,
                first_cached: found.first_cached,
                last_validated: found.last_validated,
            };
            Some((found.tag, record))
        })
    }

    /// Reads the document of this tag.
    pub(super) fn read_of(document: &[u8], tag: &Tag) -> Parsed<TagRecord> {
        Self::read(document).and_then(|(found, record)| (found == *tag).then_some(record))
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct List {
    /// `None` for the list of tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
    entries: Vec<String>,
    last_validated: Duration,
}

impl List {
    pub(super) fn new(key: &ListKey, record: ListRecord) -> Self {
        Self {
            subject: subject(key).cloned(),
            entries: record.entries,
            last_validated: record.last_validated,
        }
    }

    pub(super) fn read(document: &[u8], key: &ListKey) -> Parsed<ListRecord> {
        read::<Self>(document).and_then(|found| {
            let is_wanted = found.subject.as_ref() == subject(key);
            is_wanted.then(|| ListRecord::new(found.entries, found.last_validated))
        })
    }
}

const fn subject(key: &ListKey) -> Option<&Digest> {
    match key {
        ListKey::Tags => None,
        ListKey::Referrers(subject) => Some(subject),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

fn from_hex(text: &str) -> Option<Box<[u8]>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_ignored_and_other_versions_are_told_apart() {
        let digest = Digest::sha256(b"");
        let tag: Tag = "latest".parse().unwrap();
        let record = TagRecord::new(digest.clone(), Duration::new(5, 7));
        let written = write(&TagDocument::new(&tag, record.clone())).unwrap();
        let text = String::from_utf8(written).unwrap();
        let expected = format!(
            "{{\"version\":1,\"tag\":\"latest\",\"digest\":\"{digest}\",\
             \"first_cached\":{{\"secs\":5,\"nanos\":7}},\
             \"last_validated\":{{\"secs\":5,\"nanos\":7}}}}"
        );
        assert_eq!(text, expected);
        let read = |text: &str| TagDocument::read_of(text.as_bytes(), &tag);
        assert_eq!(read(&text), Parsed::Record(record.clone()));
        let more = text.replace("\"version\"", "\"etag\":[1],\"version\"");
        assert_eq!(read(&more), Parsed::Record(record));
        assert_eq!(read(&text.replace(":1,", ":2,")), Parsed::OtherVersion);
        assert_eq!(read("{\"version\":2}"), Parsed::OtherVersion);
        assert_eq!(read(&text.replace("latest", "other")), Parsed::Corrupt);
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]), Parsed::Corrupt, "{end}");
        }
    }

    #[test]
    fn a_content_key_is_any_bytes() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)).as_deref(), Some(&bytes[..]));
        for text in ["0", "0g", "é", "000"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
