//! How each kind of value is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{Entry, Fields, Known, Reading};

/// Reads an object through its [`Fields`] and puts it where it belongs.
///
/// A descriptor is large: returned through the layers of the deserializer it would be copied at
/// each of them.
pub(super) struct ObjectSeed<'r, F, P> {
    reading: &'r Reading,
    put: P,
    fields: PhantomData<F>,
}

impl<'r, F, P> ObjectSeed<'r, F, P> {
    pub(super) fn new(reading: &'r Reading, put: P) -> Self {
        Self {
            reading,
            put,
            fields: PhantomData,
        }
    }
}

impl<'de, F: Fields<'de>, P: FnOnce(F::Built)> DeserializeSeed<'de> for ObjectSeed<'_, F, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fields<'de>, P: FnOnce(F::Built)> Visitor<'de> for ObjectSeed<'_, F, P> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(F::EXPECTING)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.reading;
        let mut fields = F::default();
        let mut unknown = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Text)? {
            let mut entry = Entry {
                map: &mut map,
                reading,
            };
            if let Known::No = fields.read(&key, &mut entry)? {
                map.next_value_seed(UnknownSeed { reading })?;
                if !unknown.insert(key) {
                    return Err(reading.duplicate_key());
                }
            }
        }
        (self.put)(fields.build(reading)?);
        Ok(())
    }
}

/// Reads a list of objects, which grows as they arrive (LI2).
pub(super) struct ObjectsSeed<'r, F> {
    reading: &'r Reading,
    fields: PhantomData<F>,
}

impl<'r, F> ObjectsSeed<'r, F> {
    pub(super) fn new(reading: &'r Reading) -> Self {
        Self {
            reading,
            fields: PhantomData,
        }
    }
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
        loop {
            let seed = ObjectSeed::<F, _>::new(self.reading, |object| {
                if objects.is_empty() {
                    objects.reserve(self.reading.list_capacity());
                }
                objects.push(object);
            });
            if list.next_element_seed(seed)?.is_none() {
                return Ok(objects);
            }
        }
    }
}

/// Reads a list of values, each counted.
pub(super) struct ListSeed<'r, T> {
    reading: &'r Reading,
    values: PhantomData<T>,
}

impl<'r, T> ListSeed<'r, T> {
    pub(super) fn new(reading: &'r Reading) -> Self {
        Self {
            reading,
            values: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for ListSeed<'_, T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListSeed<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            self.reading.count_value()?;
            values.push(value);
        }
        Ok(values)
    }
}

/// Reads an object whose values are empty objects: in Go, a set of its keys.
pub(super) struct NamesSeed<'r> {
    reading: &'r Reading,
}

impl<'r> NamesSeed<'r> {
    pub(super) fn new(reading: &'r Reading) -> Self {
        Self { reading }
    }
}

impl<'de> DeserializeSeed<'de> for NamesSeed<'_> {
    type Value = BTreeSet<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NamesSeed<'_> {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of empty objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let reading = self.reading;
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key()? {
            // What else may stand in it means nothing to anyone, but has to be bounded.
            map.next_value_seed(UnknownSeed { reading })?;
            if !names.insert(name) {
                return Err(reading.duplicate_key());
            }
        }
        Ok(names)
    }
}

/// Reads an object of strings.
pub(super) struct StringMapSeed<'r> {
    reading: &'r Reading,
}

impl<'r> StringMapSeed<'r> {
    pub(super) fn new(reading: &'r Reading) -> Self {
        Self { reading }
    }
}

impl<'de> DeserializeSeed<'de> for StringMapSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for StringMapSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut strings = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            self.reading.count_value()?;
            if strings.insert(key, value).is_some() {
                return Err(self.reading.duplicate_key());
            }
        }
        Ok(strings)
    }
}

/// Visits any value and keeps nothing of it (LI2), refusing a key given twice at any depth of it.
pub(super) struct UnknownSeed<'r> {
    pub(super) reading: &'r Reading,
}

impl<'de> DeserializeSeed<'de> for UnknownSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.reading.count_value()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UnknownSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let reading = self.reading;
        while list.next_element_seed(Self { reading })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.reading;
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Text)? {
            map.next_value_seed(Self { reading })?;
            if !keys.insert(key) {
                return Err(reading.duplicate_key());
            }
        }
        Ok(())
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
pub(super) struct OrNull<S>(pub(super) S);

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
