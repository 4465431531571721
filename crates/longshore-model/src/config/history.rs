//! How an image was made, step by step.

use serde::de::{Error, MapAccess};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::json::{self, Entry, Fields, Known, Reading, Slot};

/// One step in the making of an image, in words for people.
///
/// Source: image-spec v1.1.1 "Image Configuration", `history`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct History {
    /// When the step was done, as RFC 3339 date and time.
    pub created: Option<String>,
    /// The command that was run.
    pub created_by: Option<String>,
    /// Who did it.
    pub author: Option<String>,
    /// What was said of it.
    pub comment: Option<String>,
    /// Whether the step made no layer, because it changed no file.
    pub empty_layer: bool,
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::write_option(&mut map, member::CREATED, self.created.as_ref())?;
        json::write_option(&mut map, member::CREATED_BY, self.created_by.as_ref())?;
        json::write_option(&mut map, member::AUTHOR, self.author.as_ref())?;
        json::write_option(&mut map, member::COMMENT, self.comment.as_ref())?;
        json::write_flag(&mut map, member::EMPTY_LAYER, self.empty_layer)?;
        map.end()
    }
}

/// The known fields of a step.
#[derive(Default)]
pub(super) struct HistoryFields {
    created: Slot<String>,
    created_by: Slot<String>,
    author: Slot<String>,
    comment: Slot<String>,
    empty_layer: Slot<bool>,
}

impl<'de> Fields<'de> for HistoryFields {
    type Built = History;
    const EXPECTING: &'static str = "a history object";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            member::CREATED => entry.value(&mut self.created),
            member::CREATED_BY => entry.value(&mut self.created_by),
            member::AUTHOR => entry.value(&mut self.author),
            member::COMMENT => entry.value(&mut self.comment),
            member::EMPTY_LAYER => entry.value(&mut self.empty_layer),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, reading: &Reading) -> Result<History, E> {
        reading.count_value()?;
        Ok(History {
            created: self.created.optional(),
            created_by: self.created_by.optional(),
            author: self.author.optional(),
            comment: self.comment.optional(),
            empty_layer: self.empty_layer.or_default(),
        })
    }
}

/// The member names of a step.
mod member {
    crate::json::member_names! {
        CREATED = "created";
        CREATED_BY = "created_by";
        AUTHOR = "author";
        COMMENT = "comment";
        EMPTY_LAYER = "empty_layer";
    }
}
