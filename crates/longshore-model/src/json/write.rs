//! Writing the fields of an object that are there.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeMap};

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
    let objects = names.iter().map(|name| (name, NoFields {}));
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

/// An object without fields.
#[derive(serde::Serialize)]
struct NoFields {}
