//! Reading JSON from a peer: one pass, no key twice, bounded depth and count.
//!
//! `serde_json` tokenises and bounds the depth. What it would let pass is refused here: a key
//! given twice, at any depth, even inside a field nobody knows (DG5), and more descriptors
//! than one document may have. Every object is read by the one loop of [`ObjectSeed`].

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Fields of an object that the specifications do not name, kept so that they survive.
pub type Extra = Map<String, Value>;

/// How deep arrays and objects of a document may nest; at this depth it is refused.
///
/// `serde_json` counts, and always refuses at this depth.
pub const JSON_DEPTH_LIMIT: usize = 128;

/// How many descriptors one document may hold; with one more it is refused.
pub const DESCRIPTORS_LIMIT: usize = 10_000;

/// A rule that the reading of one document found broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    DuplicateKey,
    TooManyDescriptors,
}

/// The state of reading one document: what it may still use up, and the rule it broke.
///
/// The rule is noted beside the error because an error of `serde_json` can only carry text.
#[derive(Debug)]
pub(crate) struct Reading {
    broken: Cell<Option<Broken>>,
    descriptors_left: Cell<usize>,
}

impl Reading {
    pub(crate) fn new() -> Self {
        Self {
            broken: Cell::new(None),
            descriptors_left: Cell::new(DESCRIPTORS_LIMIT),
        }
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.broken.get()
    }

    /// Counts one descriptor against the limit of the document.
    pub(crate) fn count_descriptor<E: Error>(&self) -> Result<(), E> {
        match self.descriptors_left.get().checked_sub(1) {
            Some(left) => {
                self.descriptors_left.set(left);
                Ok(())
            }
            None => Err(self.refuse(Broken::TooManyDescriptors, "too many descriptors")),
        }
    }

    fn duplicate_key<E: Error>(&self) -> E {
        self.refuse(Broken::DuplicateKey, "key given twice")
    }

    fn refuse<E: Error>(&self, rule: Broken, message: &str) -> E {
        self.broken.set(Some(rule));
        E::custom(message)
    }
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
    fn build<E: Error>(self, extra: Extra, reading: &Reading) -> Result<Self::Built, E>;
}

/// Whether an object knows a key.
pub(crate) enum Known {
    Yes,
    No,
}

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
    pub(crate) fn seeded<S: DeserializeSeed<'de>>(
        &mut self,
        slot: &mut Slot<S::Value>,
        seed: S,
    ) -> Result<Known, A::Error> {
        if std::mem::replace(&mut slot.seen, true) {
            return Err(self.reading.duplicate_key());
        }
        slot.value = self.map.next_value_seed(OrNull(seed))?;
        Ok(Known::Yes)
    }

    /// Reads a nested object.
    pub(crate) fn object<F: Fields<'de>>(
        &mut self,
        slot: &mut Slot<F::Built>,
    ) -> Result<Known, A::Error> {
        let seed = ObjectSeed::<F>::new(self.reading);
        self.seeded(slot, seed)
    }

    /// Reads a list of objects.
    pub(crate) fn objects<F: Fields<'de>>(
        &mut self,
        slot: &mut Slot<Vec<F::Built>>,
    ) -> Result<Known, A::Error> {
        let seed = ObjectsSeed::<F> {
            reading: self.reading,
            fields: PhantomData,
        };
        self.seeded(slot, seed)
    }

    /// Reads a map from text to text.
    pub(crate) fn strings(
        &mut self,
        slot: &mut Slot<BTreeMap<String, String>>,
    ) -> Result<Known, A::Error> {
        let seed = StringsSeed {
            reading: self.reading,
        };
        self.seeded(slot, seed)
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

/// Reads an object through its [`Fields`].
pub(crate) struct ObjectSeed<'r, F> {
    reading: &'r Reading,
    fields: PhantomData<F>,
}

impl<'r, F> ObjectSeed<'r, F> {
    pub(crate) fn new(reading: &'r Reading) -> Self {
        Self {
            reading,
            fields: PhantomData,
        }
    }
}

impl<'de, F: Fields<'de>> DeserializeSeed<'de> for ObjectSeed<'_, F> {
    type Value = F::Built;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<F::Built, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fields<'de>> Visitor<'de> for ObjectSeed<'_, F> {
    type Value = F::Built;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(F::EXPECTING)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<F::Built, A::Error> {
        let reading = self.reading;
        let mut fields = F::default();
        let mut extra = Extra::new();
        while let Some(key) = map.next_key_seed(Text)? {
            let mut entry = Entry {
                map: &mut map,
                reading,
            };
            if let Known::No = fields.read(&key, &mut entry)? {
                let value = map.next_value_seed(AnySeed { reading })?;
                if extra.insert(key.into_owned(), value).is_some() {
                    return Err(reading.duplicate_key());
                }
            }
        }
        fields.build(extra, reading)
    }
}

/// Reads a list of objects, which grows as they arrive (LI2).
struct ObjectsSeed<'r, F> {
    reading: &'r Reading,
    fields: PhantomData<F>,
}

impl<'de, F: Fields<'de>> DeserializeSeed<'de> for ObjectsSeed<'_, F> {
    type Value = Vec<F::Built>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: Fields<'de>> Visitor<'de> for ObjectsSeed<'_, F> {
    type Value = Vec<F::Built>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list, each {}", F::EXPECTING)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(object) = list.next_element_seed(ObjectSeed::<F>::new(self.reading))? {
            objects.push(object);
        }
        Ok(objects)
    }
}

/// Reads a map from text to text.
struct StringsSeed<'r> {
    reading: &'r Reading,
}

impl<'de> DeserializeSeed<'de> for StringsSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for StringsSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut strings = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if strings.insert(key, value).is_some() {
                return Err(self.reading.duplicate_key());
            }
        }
        Ok(strings)
    }
}

/// Reads any value, refusing a key given twice at any depth of it.
struct AnySeed<'r> {
    reading: &'r Reading,
}

impl<'de> DeserializeSeed<'de> for AnySeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnySeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let reading = self.reading;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(AnySeed { reading })? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let reading = self.reading;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(AnySeed { reading })?;
            if object.insert(key, value).is_some() {
                return Err(reading.duplicate_key());
            }
        }
        Ok(object.into())
    }
}

/// Reads text without copying it, unless it holds escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Reads `null` as nothing and everything else by the seed within.
struct OrNull<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// Writes the extra fields of an object after its known ones.
///
/// A key that the object knows is refused: written again it would make a document that no
/// reader here accepts.
pub(crate) fn write_extra<M: serde::ser::SerializeMap>(
    map: &mut M,
    extra: &Extra,
    known: &[&str],
) -> Result<(), M::Error> {
    for (key, value) in extra {
        if known.contains(&key.as_str()) {
            return Err(serde::ser::Error::custom("extra field repeats a known one"));
        }
        map.serialize_entry(key, value)?;
    }
    Ok(())
}

/// Writes a field unless it is empty.
pub(crate) fn write_list<M: serde::ser::SerializeMap, T: serde::Serialize>(
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
pub(crate) fn write_strings<M: serde::ser::SerializeMap>(
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
pub(crate) fn write_option<M: serde::ser::SerializeMap, T: serde::Serialize>(
    map: &mut M,
    key: &str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}
