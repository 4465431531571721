//! The shape of the file, read so that no copy of a secret is left behind (OU3).
//!
//! A derived `Deserialize` would also accept an array of the field values in place of an object, so
//! objects are read through [`Object`]. A malformed entry is an error for its own registry only, so
//! entries are read through [`Lenient`]. The JSON parser copies text with escapes to its own
//! buffer, the only place that is not wiped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use longshore_auth::Credential;
use longshore_origin::Secret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::{Entry, Helper};

/// A whole file.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    auths: Option<Object<BTreeMap<String, Lenient<Auth>>>>,
    cred_helpers: Option<Object<BTreeMap<String, Lenient<HelperName>>>>,
    creds_store: Option<String>,
}

/// One entry of `auths`.
#[derive(Default)]
pub(super) struct Auth {
    auth: Lenient<Text>,
    identitytoken: Lenient<Text>,
    password: Lenient<Text>,
    registrytoken: Lenient<Text>,
    username: Lenient<Text>,
}

/// The name of a helper in `credHelpers`.
#[derive(Default)]
pub(super) struct HelperName(String);

/// The settings of a file that are used.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) auths: BTreeMap<String, Lenient<Auth>>,
    pub(super) helpers: BTreeMap<String, Helper>,
    pub(super) store: String,
}

impl Settings {
    /// Reads a current file, or one from before Docker 1.7, which had the entries at its top.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Object(file) = serde_json::from_slice::<Object<File>>(bytes)?;
        let is_old =
            file.auths.is_none() && file.cred_helpers.is_none() && file.creds_store.is_none();
        let auths = if is_old {
            old_entries(bytes)
        } else {
            file.auths.unwrap_or_default().0
        };
        let helpers = file.cred_helpers.unwrap_or_default().0.into_iter();
        let helpers = helpers.map(|(key, helper)| match helper {
            Lenient::Value(HelperName(name)) => (key, Helper::Named(name)),
            Lenient::OtherType => (key, Helper::Malformed),
        });
        Ok(Self {
            auths,
            helpers: helpers.collect(),
            store: file.creds_store.unwrap_or_default(),
        })
    }
}

/// The entries at the top level of an old file. In a current file, the values at the top level have
/// another shape and are not entries.
fn old_entries(bytes: &[u8]) -> BTreeMap<String, Lenient<Auth>> {
    let entries = serde_json::from_slice::<Object<BTreeMap<String, Lenient<Auth>>>>(bytes);
    let Object(entries) = entries.unwrap_or_default();
    let is_entry = |entry: &Lenient<Auth>| match entry {
        Lenient::Value(auth) => auth.text_fields().is_ok(),
        Lenient::OtherType => false,
    };
    if entries.values().all(is_entry) {
        entries
    } else {
        BTreeMap::new()
    }
}

impl Auth {
    /// Checks that every field is text, or absent.
    fn text_fields(&self) -> Result<(), &'static str> {
        for (field, reason) in [
            (&self.auth, "\"auth\" is not text"),
            (&self.identitytoken, "\"identitytoken\" is not text"),
            (&self.password, "\"password\" is not text"),
            (&self.registrytoken, "\"registrytoken\" is not text"),
            (&self.username, "\"username\" is not text"),
        ] {
            if matches!(field, Lenient::OtherType) {
                return Err(reason);
            }
        }
        Ok(())
    }
}

impl Lenient<Auth> {
    /// The credential of the entry; an empty entry has none.
    pub(super) fn entry(self) -> Option<Entry> {
        let Self::Value(auth) = self else {
            return Some(Entry::Malformed("it is not an object"));
        };
        if let Err(reason) = auth.text_fields() {
            return Some(Entry::Malformed(reason));
        }
        let credential = |credential| Some(Entry::Credential(credential));
        if let Some(token) = auth.registrytoken.text() {
            return credential(Credential::Token(token));
        }
        if let Some(token) = auth.identitytoken.text() {
            return credential(Credential::IdentityToken(token));
        }
        match (auth.auth.text(), auth.username.text(), auth.password.text()) {
            (Some(auth), ..) => {
                Some(decode(&auth).map_or_else(Entry::Malformed, Entry::Credential))
            }
            (None, None, None) => None,
            (None, username, password) => credential(Credential::Basic {
                username: username.map_or_else(String::new, |name| name.expose().to_owned()),
                password: password.unwrap_or_else(|| Secret::new(String::new())),
            }),
        }
    }
}

/// `base64( username ":" password )`; padding is left out by some writers and demanded by none,
/// and some programs pad the password with NUL, at either end.
fn decode(auth: &Secret) -> Result<Credential, &'static str> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    // Longer than what it decodes to.
    let mut decoded = Zeroizing::new(vec![0; auth.expose().len()]);
    let length = BASE64
        .decode_slice(auth.expose(), &mut decoded)
        .map_err(|_| "\"auth\" is not base64")?;
    let decoded = decoded.get(..length).unwrap_or_default();
    let text = std::str::from_utf8(decoded).map_err(|_| "\"auth\" is not UTF-8")?;
    let pair = text.split_once(':');
    let (username, password) = pair.ok_or("\"auth\" holds no colon")?;
    if username.is_empty() {
        return Err("\"auth\" holds no username");
    }
    Ok(Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password.trim_matches('\0').to_owned()),
    })
}

/// A JSON object; `null` counts as an empty one, as it does for the programs that write these
/// files.
#[derive(Default)]
struct Object<T>(T);

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnObject<T>(PhantomData<T>);

        impl<'de, T: Default + Deserialize<'de>> Visitor<'de> for AnObject<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Object::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_any(AnObject(PhantomData))
    }
}

/// Text that is a secret, or is in the place of a secret; `null` and empty text count as absent.
#[derive(Default)]
pub(crate) struct Text(Option<Secret>);

impl Lenient<Text> {
    /// The text, unless it is empty, absent, or of another type.
    pub(crate) fn text(self) -> Option<Secret> {
        match self {
            Self::Value(Text(text)) => text,
            Self::OtherType => None,
        }
    }
}

/// A value of the expected JSON type, or of another type; `null` is read as the default of the
/// expected type.
pub(crate) enum Lenient<T> {
    OtherType,
    Value(T),
}

impl<T: Default> Default for Lenient<T> {
    fn default() -> Self {
        Self::Value(T::default())
    }
}

/// A type that [`Lenient`] can read: from text, from an object, or from both.
pub(crate) trait Shape<'de>: Default {
    fn from_text(_text: &str) -> Option<Self> {
        None
    }

    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl Shape<'_> for Text {
    fn from_text(text: &str) -> Option<Self> {
        let text = (!text.is_empty()).then(|| Secret::new(text.to_owned()));
        Some(Self(text))
    }
}

impl Shape<'_> for HelperName {
    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl<'de> Shape<'de> for Auth {
    /// The last of repeated fields counts, as in the programs that write these files.
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        let mut auth = Self::default();
        while let Some(key) = object.next_key::<Cow<'_, str>>()? {
            let field = match &*key {
                "auth" => &mut auth.auth,
                "identitytoken" => &mut auth.identitytoken,
                "password" => &mut auth.password,
                "registrytoken" => &mut auth.registrytoken,
                "username" => &mut auth.username,
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = object.next_value()?;
        }
        Ok(Some(auth))
    }
}

impl<'de, T: Shape<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue<T>(PhantomData<T>);

        impl<'de, T: Shape<'de>> Visitor<'de> for AnyValue<T> {
            type Value = Lenient<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Lenient::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Lenient::OtherType)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Lenient::OtherType)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Lenient::OtherType)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Lenient::OtherType)
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(T::from_text(text).map_or(Lenient::OtherType, Lenient::Value))
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
                let value = T::from_object(object)?;
                Ok(value.map_or(Lenient::OtherType, Lenient::Value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Lenient::OtherType)
            }
        }

        deserializer.deserialize_any(AnyValue(PhantomData))
    }
}
