//! Reading JSON from a peer: one pass, no key twice, bounded depth and count.
//!
//! `serde_json` tokenises. It also bounds the depth, since no value is skipped: unknown fields are
//! visited like all others, one call per level, and nothing of them is kept (LI2). Two faults that
//! it would accept are refused here: a key given twice, at any depth, even inside an unknown field
//! (DG5), and more descriptors than one document may have. Every object is read by the one loop of
//! [`ObjectSeed`].

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess};

pub(crate) use fault::Fault;
pub(crate) use write::{write_flag, write_list, write_names, write_option, write_strings};

use lenient::{ObjectForm, OrNothing, TextForm, TextsForm};
use seed::{ListSeed, NamesSeed, ObjectSeed, ObjectsSeed, OrNull, StringMapSeed};

mod fault;
mod lenient;
mod seed;
mod write;

/// Nesting depth of arrays and objects at which a document is refused (LI).
///
/// `serde_json` counts the levels that are visited, and always refuses at this one.
pub const JSON_DEPTH_LIMIT: usize = 128;

/// Maximum number of descriptors in one document; a document with more is refused.
pub const DESCRIPTORS_LIMIT: usize = 10_000;

/// Maximum number of annotations, listed strings, steps of a history and values in unknown fields
/// in one document, taken together; a document with more is refused.
///
/// Such a value takes up to fifty times the memory of its text. This keeps the view of a document
/// within a few times the length of the longest one accepted (LI2).
pub const VALUES_LIMIT: usize = 100_000;

/// What a descriptor without optional fields takes, in bytes of a document.
const DESCRIPTOR_TYPICAL_BYTES: usize = 128;

/// A rule that the reading of one document found broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    DuplicateKey,
    TooManyDescriptors,
    TooManyValues,
}

/// The state of reading one document: what it may still use up, and the rule it broke.
///
/// The rule is kept apart from the error, because an error of `serde_json` can only carry text.
#[derive(Debug)]
pub(crate) struct Reading {
    broken: Cell<Option<Broken>>,
    descriptors_left: Cell<usize>,
    values_left: Cell<usize>,
    list_capacity: usize,
}

impl Reading {
    /// Starts to read a document of `length` bytes; 0 where the length is not known.
    pub(crate) fn new(length: usize) -> Self {
        Self {
            broken: Cell::new(None),
            descriptors_left: Cell::new(DESCRIPTORS_LIMIT),
            values_left: Cell::new(VALUES_LIMIT),
            list_capacity: DESCRIPTORS_LIMIT.min(length / DESCRIPTOR_TYPICAL_BYTES),
        }
    }

    /// How many descriptors to make room for at once in a list that has one.
    ///
    /// It follows from how much was received, not from anything the peer said of it (LI2).
    fn list_capacity(&self) -> usize {
        self.list_capacity
    }

    /// Counts one descriptor against the limit of the document.
    pub(crate) fn count_descriptor<E: Error>(&self) -> Result<(), E> {
        take_one(&self.descriptors_left)
            .ok_or_else(|| self.refuse(Broken::TooManyDescriptors, "too many descriptors"))
    }

    /// Counts one other value against the limit of the document.
    pub(crate) fn count_value<E: Error>(&self) -> Result<(), E> {
        take_one(&self.values_left)
            .ok_or_else(|| self.refuse(Broken::TooManyValues, "too many values"))
    }

    fn duplicate_key<E: Error>(&self) -> E {
        self.refuse(Broken::DuplicateKey, "key given twice")
    }

    fn refuse<E: Error>(&self, rule: Broken, message: &str) -> E {
        self.broken.set(Some(rule));
        E::custom(message)
    }
}

fn take_one(left: &Cell<usize>) -> Option<()> {
    left.set(left.get().checked_sub(1)?);
    Some(())
}

/// An object whose known fields are collected before it is checked and built.
pub(crate) trait Fields<'de>: Default {
    /// What is built from the fields.
    type Built;
    /// What to say was expected where another kind of value stands.
    const EXPECTING: &'static str;

    /// Reads the value of `key` into its slot, or says that `key` is not known here.
    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error>;

    /// Builds the value from what was read.
    fn build<E: Error>(self, reading: &Reading) -> Result<Self::Built, E>;
}

/// Reads the object that is all there is in `bytes`.
pub(crate) fn read_document<'de, F: Fields<'de>>(bytes: &'de [u8]) -> Result<F::Built, Fault> {
    // Once for all: otherwise every string is validated on its own, at twice the cost.
    let text = std::str::from_utf8(bytes).map_err(|error| Fault::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    let reading = Reading::new(text.len());
    let mut source = serde_json::Deserializer::from_str(text);
    read_object::<F, _>(&mut source, &reading)
        .and_then(|object| source.end().map(|()| object))
        .map_err(|error| Fault::new(&error, reading.broken.get()))
}

/// Reads an object that is a document of its own, or the value of a field.
pub(crate) fn read_object<'de, F: Fields<'de>, D: Deserializer<'de>>(
    deserializer: D,
    reading: &Reading,
) -> Result<F::Built, D::Error> {
    let mut object = None;
    ObjectSeed::<F, _>::new(reading, |built| object = Some(built)).deserialize(deserializer)?;
    object.ok_or_else(|| D::Error::custom(F::EXPECTING))
}

/// Whether an object knows a key.
pub(crate) enum Known {
    Yes,
    No,
}

/// Declares the member names of one kind of object, in the order of its specification: a constant
/// each, which reader and writer share.
macro_rules! member_names {
    ($($constant:ident = $name:literal;)*) => {
        $(pub(crate) const $constant: &str = $name;)*
    };
}

pub(crate) use member_names;

/// The value of one field, about to be read.
pub(crate) struct Entry<'a, A> {
    map: &'a mut A,
    reading: &'a Reading,
}

impl<'de, A: MapAccess<'de>> Entry<'_, A> {
    /// Reads a value that knows how to read itself; `null` is read as absent.
    ///
    /// Encoders of Go programs write `null` for an empty list and an absent pointer.
    pub(crate) fn value<T: Deserialize<'de>>(
        &mut self,
        slot: &mut Slot<T>,
    ) -> Result<Known, A::Error> {
        self.seeded(slot, PhantomData)
    }

    /// Reads a value by a seed; `null` is read as absent.
    fn seeded<S: DeserializeSeed<'de>>(
        &mut self,
        slot: &mut Slot<S::Value>,
        seed: S,
    ) -> Result<Known, A::Error> {
        self.first(&mut slot.seen)?;
        slot.value = self.map.next_value_seed(OrNull(seed))?;
        Ok(Known::Yes)
    }

    /// Reads a nested object.
    pub(crate) fn object<F: Fields<'de>>(
        &mut self,
        slot: &mut Slot<F::Built>,
    ) -> Result<Known, A::Error> {
        self.first(&mut slot.seen)?;
        let seed = ObjectSeed::<F, _>::new(self.reading, |object| slot.value = Some(object));
        self.map.next_value_seed(OrNull(seed))?;
        Ok(Known::Yes)
    }

    /// Reads a nested object; a value of another kind is read as nothing.
    pub(crate) fn object_or_nothing<F: Fields<'de, Built = Option<T>>, T>(
        &mut self,
        slot: &mut Slot<Option<T>>,
    ) -> Result<Known, A::Error> {
        let seed = OrNothing::new(self.reading, ObjectForm::<F>::default());
        self.seeded(slot, seed)
    }

    /// Reads text; a value of another kind is read as nothing.
    pub(crate) fn text_or_nothing(
        &mut self,
        slot: &mut Slot<Option<String>>,
    ) -> Result<Known, A::Error> {
        let seed = OrNothing::new(self.reading, TextForm);
        self.seeded(slot, seed)
    }

    /// Reads a list of texts; a value of another kind is read as nothing.
    pub(crate) fn texts_or_nothing(
        &mut self,
        slot: &mut Slot<Option<Vec<String>>>,
    ) -> Result<Known, A::Error> {
        let seed = OrNothing::new(self.reading, TextsForm);
        self.seeded(slot, seed)
    }

    /// Reads a list of objects.
    pub(crate) fn objects<F: Fields<'de>>(
        &mut self,
        slot: &mut Slot<Vec<F::Built>>,
    ) -> Result<Known, A::Error> {
        let seed = ObjectsSeed::<F>::new(self.reading);
        self.seeded(slot, seed)
    }

    /// Reads a list of values that know how to read themselves.
    pub(crate) fn list<T: Deserialize<'de>>(
        &mut self,
        slot: &mut Slot<Vec<T>>,
    ) -> Result<Known, A::Error> {
        let seed = ListSeed::new(self.reading);
        self.seeded(slot, seed)
    }

    /// Reads an object of which only the keys matter.
    pub(crate) fn names(&mut self, slot: &mut Slot<BTreeSet<String>>) -> Result<Known, A::Error> {
        let seed = NamesSeed::new(self.reading);
        self.seeded(slot, seed)
    }

    /// Reads an object of strings.
    pub(crate) fn string_map(
        &mut self,
        slot: &mut Slot<BTreeMap<String, String>>,
    ) -> Result<Known, A::Error> {
        let seed = StringMapSeed::new(self.reading);
        self.seeded(slot, seed)
    }

    /// Fails if the key was there before.
    fn first(&self, seen: &mut bool) -> Result<(), A::Error> {
        if std::mem::replace(seen, true) {
            Err(self.reading.duplicate_key())
        } else {
            Ok(())
        }
    }
}

/// The place of one known field: whether its key was there, and its value if not `null`.
pub(crate) struct Slot<T> {
    seen: bool,
    value: Option<T>,
}

impl<T> Slot<T> {
    /// Says whether the key was there, be it with `null`.
    pub(crate) fn is_seen(&self) -> bool {
        self.seen
    }

    pub(crate) fn as_ref(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// Returns the value, or fails for want of a required field.
    pub(crate) fn required<E: Error>(self, key: &'static str) -> Result<T, E> {
        self.value.ok_or_else(|| E::missing_field(key))
    }

    pub(crate) fn optional(self) -> Option<T> {
        self.value
    }

    /// Returns the value of a slot that may hold a malformed one; `None` if it does.
    pub(crate) fn transposed<V>(self) -> Option<Option<V>>
    where
        T: Into<Option<V>>,
    {
        match self.value.map(Into::into) {
            None => Some(None),
            Some(value) => value.map(Some),
        }
    }

    pub(crate) fn or_default(self) -> T
    where
        T: Default,
    {
        self.value.unwrap_or_default()
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            seen: false,
            value: None,
        }
    }
}
