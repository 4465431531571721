//! The shape of the file, read so that no copy of a secret is left behind (OU3).
//!
//! A derived `Deserialize` would also accept an array of the field values in place of an object, so
//! objects are read through [`Object`]. Text with escapes passes through a buffer of the JSON
//! parser, which is the one place that is not wiped.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use longshore_auth::Credential;
use longshore_origin::Secret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use zeroize::Zeroizing;

use super::Entry;

/// A whole file.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File {
    auths: Option<Object<BTreeMap<String, Object<Auth>>>>,
    cred_helpers: Option<Object<BTreeMap<String, String>>>,
    creds_store: Option<String>,
}

/// One entry of `auths`.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Auth {
    auth: Text,
    identitytoken: Text,
    password: Text,
    registrytoken: Text,
    username: Text,
}

/// The settings of a file that are used.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) auths: BTreeMap<String, Auth>,
    pub(super) helpers: BTreeMap<String, String>,
    pub(super) store: String,
}

impl Settings {
    /// Reads a current file, or one from before Docker 1.7, which had the entries at its top.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Object(file) = serde_json::from_slice::<Object<File>>(bytes)?;
        let is_old =
            file.auths.is_none() && file.cred_helpers.is_none() && file.creds_store.is_none();
        let Object(auths) = if is_old {
            // A current file without any of these settings has another shape, and no entries.
            serde_json::from_slice(bytes).unwrap_or_default()
        } else {
            file.auths.unwrap_or_default()
        };
        let auths = auths.into_iter().map(|(key, Object(auth))| (key, auth));
        Ok(Self {
            auths: auths.collect(),
            helpers: file.cred_helpers.unwrap_or_default().0,
            store: file.creds_store.unwrap_or_default(),
        })
    }
}

impl Auth {
    /// The credential of the entry; an empty entry has none.
    pub(super) fn entry(self) -> Option<Entry> {
        let credential = |credential| Some(Entry::Credential(credential));
        if let Text(Some(token)) = self.registrytoken {
            return credential(Credential::Token(token));
        }
        if let Text(Some(token)) = self.identitytoken {
            return credential(Credential::IdentityToken(token));
        }
        match (self.auth.0, self.username.0, self.password.0) {
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
/// and Docker pads some passwords with NUL.
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
    let pair = text.trim_end_matches('\0').split_once(':');
    let (username, password) = pair.ok_or("\"auth\" holds no colon")?;
    if username.is_empty() {
        return Err("\"auth\" holds no username");
    }
    Ok(Credential::Basic {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
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
struct Text(Option<Secret>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SomeText;

        impl Visitor<'_> for SomeText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text::default())
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(
                    (!text.is_empty()).then(|| Secret::new(text.to_owned())),
                ))
            }
        }

        deserializer.deserialize_any(SomeText)
    }
}
