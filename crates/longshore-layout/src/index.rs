//! `index.json`, changed one entry at a time.
//!
//! The file is first checked by the strict reader of the model. What is written back is the
//! original text except for the entry that changes: unknown fields, entries of other programs and
//! the spelling of their numbers survive.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_model::annotation::REF_NAME;
use longshore_model::{Descriptor, Digest, Manifest, ManifestError};
use serde_json::value::RawValue;

use crate::name;

/// The name of the list of entries; a macro, so that it can be part of a constant text.
macro_rules! manifests {
    () => {
        "manifests"
    };
}

/// The index of a layout without images.
pub(crate) const EMPTY: &[u8] = concat!(
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",""#,
    manifests!(),
    r#"":[]}"#
)
.as_bytes();

const MANIFESTS: &str = manifests!();

/// An `index.json`: its entries and its other fields.
#[derive(Debug)]
pub(crate) struct IndexFile {
    fields: BTreeMap<String, Box<RawValue>>,
    entries: Vec<Entry>,
}

/// One entry: its original text and its descriptor.
#[derive(Debug)]
struct Entry {
    raw: Box<RawValue>,
    descriptor: Descriptor,
}

/// Why an `index.json` cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    Manifest(ManifestError),
    Raw(serde_json::Error),
    NotAnIndex,
}

impl IndexFile {
    /// Reads the bytes of the file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let document = Bytes::copy_from_slice(bytes);
        let manifest = Manifest::parse(document, None).map_err(Unusable::Manifest)?;
        let index = manifest.document().as_index().ok_or(Unusable::NotAnIndex)?;
        let mut fields: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(bytes).map_err(Unusable::Raw)?;
        let raw: Option<Vec<Box<RawValue>>> = match fields.remove(MANIFESTS) {
            Some(list) => serde_json::from_str(list.get()).map_err(Unusable::Raw)?,
            None => None,
        };
        let entries = index.manifests.iter().cloned().zip(raw.unwrap_or_default());
        Ok(Self {
            fields,
            entries: entries
                .map(|(descriptor, raw)| Entry { raw, descriptor })
                .collect(),
        })
    }

    /// Returns the entries in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries.iter().map(|entry| &entry.descriptor)
    }

    /// Gives `descriptor` the name `name`, in the place of the entry that had it; returns whether
    /// that changes anything.
    ///
    /// An entry of the same image without a name is replaced too, because readers that are given no
    /// name expect one entry.
    pub(crate) fn tag(
        &mut self,
        name: &str,
        mut descriptor: Descriptor,
    ) -> Result<bool, serde_json::Error> {
        descriptor.annotations.remove(REF_NAME);
        let unnamed = descriptor.clone();
        let named = (REF_NAME.to_owned(), name.to_owned());
        descriptor.annotations.extend([named]);

        let gives_way = |entry: &Entry| {
            name::of(&entry.descriptor) == Some(name) || entry.descriptor == unnamed
        };
        let mut before = self.entries.iter().filter(|entry| gives_way(entry));
        if let (Some(only), None) = (before.next(), before.next())
            && only.descriptor == descriptor
        {
            return Ok(false);
        }
        let entry = Entry::new(descriptor)?;
        // The new entry takes the position of the first one that it replaces.
        let at = self.entries.iter().position(gives_way);
        self.entries.retain(|entry| !gives_way(entry));
        self.entries.insert(at.unwrap_or(self.entries.len()), entry);
        Ok(true)
    }

    /// Adds `descriptor` without a name, unless an entry refers to it already; returns whether that
    /// changes anything.
    pub(crate) fn add(&mut self, mut descriptor: Descriptor) -> Result<bool, serde_json::Error> {
        if self
            .entries()
            .any(|entry| entry.digest == descriptor.digest)
        {
            return Ok(false);
        }
        descriptor.annotations.remove(REF_NAME);
        self.push(descriptor)?;
        Ok(true)
    }

    /// Adds an entry for `descriptor`, which no entry refers to.
    pub(crate) fn push(&mut self, descriptor: Descriptor) -> Result<(), serde_json::Error> {
        self.entries.push(Entry::new(descriptor)?);
        Ok(())
    }

    /// Removes every entry named `name`; returns how many there were.
    pub(crate) fn remove(&mut self, name: &str) -> usize {
        self.remove_if(|descriptor| name::of(descriptor) == Some(name))
    }

    /// Removes every entry that refers to `digest`; returns how many there were.
    pub(crate) fn delete(&mut self, digest: &Digest) -> usize {
        self.remove_if(|descriptor| descriptor.digest == *digest)
    }

    fn remove_if(&mut self, gone: impl Fn(&Descriptor) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| !gone(&entry.descriptor));
        before - self.entries.len()
    }

    /// Returns the bytes of the file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let raw: Vec<&RawValue> = self.entries.iter().map(|entry| &*entry.raw).collect();
        let manifests = serde_json::value::to_raw_value(&raw)?;
        let mut fields: BTreeMap<&str, &RawValue> = BTreeMap::new();
        for (key, value) in &self.fields {
            fields.insert(key, value);
        }
        fields.insert(MANIFESTS, &manifests);
        serde_json::to_vec(&fields)
    }
}

impl Entry {
    fn new(descriptor: Descriptor) -> Result<Self, serde_json::Error> {
        Ok(Self {
            raw: serde_json::value::to_raw_value(&descriptor)?,
            descriptor,
        })
    }
}

#[cfg(test)]
mod tests;
