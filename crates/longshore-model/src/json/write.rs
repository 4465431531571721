//! Writing the fields of an object that are there.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Error, Serialize, SerializeMap};

use super::Extra;

/// Writes the extra fields of an object after its known ones.
///
/// A key that the object knows is refused: written again it would make a document that no
/// reader here accepts.
pub(crate) fn write_extra<M: SerializeMap>(
    map: &mut M,
    extra: &Extra,
    known: &[&str],
) -> Result<(), M::Error> {
    for (key, value) in extra {
        if known.contains(&key.as_str()) {
            return Err(M::Error::custom("extra field repeats a known one"));
        }
        map.serialize_entry(key, value)?;
    }
    Ok(())
}

/// Writes a field unless it is empty.
pub(crate) fn write_list<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &str,
    list: &[T],
) -> Result<(), M::Error> {
    if list.is_empty() {
        Ok(())
    } else {
        map.serialize_entry(key, list)
    }
}

/// Writes a map of strings unless it is empty.
pub(crate) fn write_strings<M: SerializeMap>(
    map: &mut M,
    key: &str,
    strings: &BTreeMap<String, String>,
) -> Result<(), M::Error> {
    if strings.is_empty() {
        Ok(())
    } else {
        map.serialize_entry(key, strings)
    }
}

/// Writes a field if it is there.
pub(crate) fn write_option<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}

/// Writes a set of names as an object of empty objects, unless it is empty.
pub(crate) fn write_names<M: SerializeMap>(
    map: &mut M,
    key: &str,
    names: &BTreeSet<String>,
) -> Result<(), M::Error> {
    if names.is_empty() {
        return Ok(());
    }
    let objects = names.iter().map(|name| (name, Extra::new()));
    map.serialize_entry(key, &objects.collect::<BTreeMap<_, _>>())
}

/// Writes a flag if it is set.
pub(crate) fn write_flag<M: SerializeMap>(
    map: &mut M,
    key: &str,
    flag: bool,
) -> Result<(), M::Error> {
    if flag {
        map.serialize_entry(key, &true)
    } else {
        Ok(())
    }
}
