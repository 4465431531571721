//! Values that may be malformed without making the rest of their document unusable.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::seed::{ObjectSeed, UnknownSeed};
use super::{Fields, Reading};

/// The type of a field of a lenient object.
pub(super) trait Form<'de>: Sized {
    type Value;

    fn of_text(self, text: &str) -> Option<Self::Value> {
        let _ = text;
        None
    }

    fn of_list<A: SeqAccess<'de>>(
        self,
        reading: &Reading,
        list: A,
    ) -> Result<Option<Self::Value>, A::Error> {
        UnknownSeed { reading }.visit_seq(list)?;
        Ok(None)
    }

    fn of_object<A: MapAccess<'de>>(
        self,
        reading: &Reading,
        object: A,
    ) -> Result<Option<Self::Value>, A::Error> {
        UnknownSeed { reading }.visit_map(object)?;
        Ok(None)
    }
}

/// Text.
pub(super) struct TextForm;

impl Form<'_> for TextForm {
    type Value = String;

    fn of_text(self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

/// A list of texts.
pub(super) struct TextsForm;

impl<'de> Form<'de> for TextsForm {
    type Value = Vec<String>;

    fn of_list<A: SeqAccess<'de>>(
        self,
        reading: &Reading,
        mut list: A,
    ) -> Result<Option<Vec<String>>, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(text) = list.next_element_seed(OrNothing::new(reading, TextForm))? {
            reading.count_value()?;
            match (&mut texts, text) {
                (Some(texts), Some(text)) => texts.push(text),
                _ => texts = None,
            }
        }
        Ok(texts)
    }
}

/// An object with these fields, which may be malformed itself.
pub(super) struct ObjectForm<F>(PhantomData<F>);

impl<F> Default for ObjectForm<F> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T, F: Fields<'de, Built = Option<T>>> Form<'de> for ObjectForm<F> {
    type Value = T;

    fn of_object<A: MapAccess<'de>>(
        self,
        reading: &Reading,
        object: A,
    ) -> Result<Option<T>, A::Error> {
        let mut built = None;
        ObjectSeed::<F, _>::new(reading, |value| built = value).visit_map(object)?;
        Ok(built)
    }
}

/// Reads a value of the expected form; a value of any other form is skipped like an unknown field.
pub(super) struct OrNothing<'r, S> {
    reading: &'r Reading,
    form: S,
}

impl<'r, S> OrNothing<'r, S> {
    pub(super) fn new(reading: &'r Reading, form: S) -> Self {
        Self { reading, form }
    }
}

impl<'de, S: Form<'de>> DeserializeSeed<'de> for OrNothing<'_, S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Form<'de>> Visitor<'de> for OrNothing<'_, S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.form.of_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        self.form.of_list(self.reading, list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.form.of_object(self.reading, map)
    }
}
