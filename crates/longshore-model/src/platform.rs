//! Platforms: what an image runs on, and which of several images fits.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, MapAccess};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::json::{self, Entry, Fields, Known, Reading, Slot};

pub use fit::{Fit, NoSuchPlatform};

mod fit;
mod host;

/// What an image runs on.
///
/// Read from an index the text is whatever the peer sent; [`FromStr`] is stricter. `Display`
/// prints `os/architecture[/variant]` and escapes everything that is not printable ASCII.
///
/// Source: image-spec v1.1.1 "Image Index Property Descriptions", `platform`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub struct Platform {
    /// The operating system, by its `GOOS` name.
    pub os: String,
    /// The CPU architecture, by its `GOARCH` name.
    pub architecture: String,
    /// The variant of the CPU, `v7` for example.
    pub variant: Option<String>,
    /// The version of the operating system, `10.0.20348.707` for example.
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs.
    pub os_features: Vec<String>,
    /// Features of the CPU that the image needs. Reserved in image-spec, in use with Docker.
    pub features: Vec<String>,
}

impl Platform {
    /// Makes a platform without variant, versions and features.
    #[must_use]
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            os: os.into(),
            architecture: architecture.into(),
            ..Self::default()
        }
    }

    /// Says whether this is `unknown/unknown`, which builders give to attestations: such an
    /// entry of an index is nothing to run, and is never selected.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    // platform ::= os "/" architecture ("/" variant)?
    // each     ::= [A-Za-z0-9_.-]+
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut at = 0;
        let mut parts = Vec::new();
        for part in text.split('/') {
            let good =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
            if let Some(bad) = part.bytes().position(|byte| !good(byte)) {
                return Err(PlatformError { at: at + bad });
            }
            if part.is_empty() || parts.len() == 3 {
                return Err(PlatformError { at });
            }
            parts.push(part);
            at += part.len() + 1;
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture)),
            [os, architecture, variant] => Ok(Self {
                variant: Some(variant.to_owned()),
                ..Self::new(os, architecture)
            }),
            _ => Err(PlatformError { at: text.len() }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}",
            self.os.escape_default(),
            self.architecture.escape_default()
        )?;
        if let Some(variant) = &self.variant {
            f.write_char('/')?;
            variant.escape_default().fmt(f)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::read_object::<PlatformFields, D>(deserializer, &Reading::new(0))?
            .map(|platform| *platform)
            .ok_or_else(|| D::Error::custom("malformed platform"))
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(member::ARCHITECTURE, &self.architecture)?;
        map.serialize_entry(member::OS, &self.os)?;
        json::write_option(&mut map, member::OS_VERSION, self.os_version.as_ref())?;
        json::write_list(&mut map, member::OS_FEATURES, &self.os_features)?;
        json::write_option(&mut map, member::VARIANT, self.variant.as_ref())?;
        json::write_list(&mut map, member::FEATURES, &self.features)?;
        map.end()
    }
}

/// Text that is not `os/architecture[/variant]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a platform is `os/architecture` or `os/architecture/variant`: unexpected at byte {at}")]
#[non_exhaustive]
pub struct PlatformError {
    /// Where the text leaves the grammar, in bytes from 0.
    pub at: usize,
}

/// The known fields of a platform: those of another form hold `None`.
#[derive(Default)]
pub(crate) struct PlatformFields {
    architecture: Slot<Option<String>>,
    os: Slot<Option<String>>,
    os_version: Slot<Option<String>>,
    os_features: Slot<Option<Vec<String>>>,
    variant: Slot<Option<String>>,
    features: Slot<Option<Vec<String>>>,
}

impl<'de> Fields<'de> for PlatformFields {
    type Built = Option<Box<Platform>>;
    const EXPECTING: &'static str = "a platform object";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            member::ARCHITECTURE => entry.text_or_nothing(&mut self.architecture),
            member::OS => entry.text_or_nothing(&mut self.os),
            member::OS_VERSION => entry.text_or_nothing(&mut self.os_version),
            member::OS_FEATURES => entry.texts_or_nothing(&mut self.os_features),
            member::VARIANT => entry.text_or_nothing(&mut self.variant),
            member::FEATURES => entry.texts_or_nothing(&mut self.features),
            _ => Ok(Known::No),
        }
    }

    /// Returns `None` for a platform that is malformed. The index around it can still be used.
    fn build<E: Error>(self, _: &Reading) -> Result<Option<Box<Platform>>, E> {
        Ok(self.platform().map(Box::new))
    }
}

impl PlatformFields {
    fn platform(self) -> Option<Platform> {
        Some(Platform {
            os: self.os.optional()??,
            architecture: self.architecture.optional()??,
            variant: self.variant.transposed()?,
            os_version: self.os_version.transposed()?,
            os_features: self.os_features.transposed()?.unwrap_or_default(),
            features: self.features.transposed()?.unwrap_or_default(),
        })
    }
}

/// The names of the members (image-spec v1.1.1 "Image Index Property Descriptions").
mod member {
    crate::json::member_names! {
        ARCHITECTURE = "architecture";
        OS = "os";
        OS_VERSION = "os.version";
        OS_FEATURES = "os.features";
        VARIANT = "variant";
        FEATURES = "features";
    }
}

#[cfg(test)]
mod tests;
