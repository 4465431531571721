//! Image configurations: what an image runs on, what it runs, and how it was made.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::digest::Digest;
use crate::json::{self, Entry, Fields, Known, Reading, Slot};
use crate::platform::Platform;

pub use error::ConfigError;
pub use history::History;
pub use runtime::{Healthcheck, RuntimeConfig};

use history::HistoryFields;
use runtime::RuntimeFields;

mod error;
mod history;
mod runtime;

/// Default maximum length of an image configuration, in bytes. The reader of the blob enforces it
/// (LI1).
pub const CONFIG_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// The configuration of an image, a view of the blob that a manifest names as `config`.
///
/// All text is whatever the peer sent; nothing of it may reach a terminal unescaped (OU1). Fields
/// that are not named here are not kept (LI2); they are in the bytes of the blob.
///
/// Source: image-spec v1.1.1 "Image Configuration"; Docker's `image.json` has the same fields.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ImageConfig {
    /// When the image was made, as RFC 3339 date and time.
    pub created: Option<String>,
    /// Who made the image and maintains it.
    pub author: Option<String>,
    /// The CPU architecture, by its `GOARCH` name.
    pub architecture: String,
    /// The variant of the CPU, `v7` for example.
    pub variant: Option<String>,
    /// The operating system, by its `GOOS` name.
    pub os: String,
    /// The version of the operating system, `10.0.20348.707` for example.
    pub os_version: Option<String>,
    /// Features of the operating system that the image needs.
    pub os_features: Vec<String>,
    /// What a container made from the image runs, and how.
    pub config: Option<RuntimeConfig>,
    /// The layers, by their uncompressed content.
    pub rootfs: RootFs,
    /// How the image was made, the first step first.
    pub history: Vec<History>,
}

impl ImageConfig {
    /// Makes the configuration of an image with these layers and nothing else.
    #[must_use]
    pub fn new(platform: &Platform, diff_ids: Vec<Digest>) -> Self {
        Self {
            created: None,
            author: None,
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            os_version: platform.os_version.clone(),
            os_features: platform.os_features.clone(),
            config: None,
            rootfs: RootFs { diff_ids },
            history: Vec::new(),
        }
    }

    /// Reads the configuration of an image.
    ///
    /// The length is not limited here: see [`CONFIG_LIMIT_BYTES`]. That the bytes are those the
    /// manifest names is for the caller to verify first.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which rule the document breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        Ok(json::read_document::<ConfigFields>(bytes)?)
    }

    /// Returns what the image runs on, as an index would say it.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            ..Platform::new(&*self.os, &*self.architecture)
        }
    }

    /// Pairs every step of the history with the position of the layer it made, from 0, where it
    /// made one.
    ///
    /// `None` when the history does not account for the layers one by one. Use the result for
    /// display only: many images have no history, and some have a wrong one.
    pub fn steps(&self) -> Option<impl Iterator<Item = (&History, Option<usize>)>> {
        let made = self.history.iter().filter(|step| !step.empty_layer).count();
        let mut layers = 0..self.rootfs.diff_ids.len();
        let agree = made == layers.len();
        let steps = self.history.iter().map(move |step| {
            let layer = if step.empty_layer {
                None
            } else {
                layers.next()
            };
            (step, layer)
        });
        agree.then_some(steps)
    }
}

impl Serialize for ImageConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        json::write_option(&mut map, member::CREATED, self.created.as_ref())?;
        json::write_option(&mut map, member::AUTHOR, self.author.as_ref())?;
        map.serialize_entry(member::ARCHITECTURE, &self.architecture)?;
        json::write_option(&mut map, member::VARIANT, self.variant.as_ref())?;
        map.serialize_entry(member::OS, &self.os)?;
        json::write_option(&mut map, member::OS_VERSION, self.os_version.as_ref())?;
        json::write_list(&mut map, member::OS_FEATURES, &self.os_features)?;
        json::write_option(&mut map, member::CONFIG, self.config.as_ref())?;
        map.serialize_entry(member::ROOTFS, &self.rootfs)?;
        json::write_list(&mut map, member::HISTORY, &self.history)?;
        map.end()
    }
}

/// The layers of an image by their uncompressed content, lowest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RootFs {
    /// The digests of the layers as tar archives, before compression.
    pub diff_ids: Vec<Digest>,
}

impl Serialize for RootFs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(rootfs_member::TYPE, LAYERS)?;
        map.serialize_entry(rootfs_member::DIFF_IDS, &self.diff_ids)?;
        map.end()
    }
}

/// The known fields of a configuration.
#[derive(Default)]
struct ConfigFields {
    created: Slot<String>,
    author: Slot<String>,
    architecture: Slot<String>,
    variant: Slot<String>,
    os: Slot<String>,
    os_version: Slot<String>,
    os_features: Slot<Vec<String>>,
    config: Slot<RuntimeConfig>,
    rootfs: Slot<RootFs>,
    history: Slot<Vec<History>>,
}

impl<'de> Fields<'de> for ConfigFields {
    type Built = ImageConfig;
    const EXPECTING: &'static str = "an image configuration";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            member::CREATED => entry.value(&mut self.created),
            member::AUTHOR => entry.value(&mut self.author),
            member::ARCHITECTURE => entry.value(&mut self.architecture),
            member::VARIANT => entry.value(&mut self.variant),
            member::OS => entry.value(&mut self.os),
            member::OS_VERSION => entry.value(&mut self.os_version),
            member::OS_FEATURES => entry.list(&mut self.os_features),
            member::CONFIG => entry.object::<RuntimeFields>(&mut self.config),
            member::ROOTFS => entry.object::<RootFsFields>(&mut self.rootfs),
            member::HISTORY => entry.objects::<HistoryFields>(&mut self.history),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, _: &Reading) -> Result<ImageConfig, E> {
        Ok(ImageConfig {
            created: self.created.optional(),
            author: self.author.optional(),
            architecture: self.architecture.required(member::ARCHITECTURE)?,
            variant: self.variant.optional(),
            os: self.os.required(member::OS)?,
            os_version: self.os_version.optional(),
            os_features: self.os_features.or_default(),
            config: self.config.optional(),
            rootfs: self.rootfs.required(member::ROOTFS)?,
            history: self.history.or_default(),
        })
    }
}

/// The member names of a configuration.
mod member {
    crate::json::member_names! {
        CREATED = "created";
        AUTHOR = "author";
        ARCHITECTURE = "architecture";
        VARIANT = "variant";
        OS = "os";
        OS_VERSION = "os.version";
        OS_FEATURES = "os.features";
        CONFIG = "config";
        ROOTFS = "rootfs";
        HISTORY = "history";
    }
}

/// The known fields of `rootfs`.
#[derive(Default)]
struct RootFsFields {
    kind: Slot<Layers>,
    diff_ids: Slot<Vec<Digest>>,
}

impl<'de> Fields<'de> for RootFsFields {
    type Built = RootFs;
    const EXPECTING: &'static str = "a rootfs object";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            rootfs_member::TYPE => entry.value(&mut self.kind),
            rootfs_member::DIFF_IDS => entry.list(&mut self.diff_ids),
            _ => Ok(Known::No),
        }
    }

    fn build<E: Error>(self, _: &Reading) -> Result<RootFs, E> {
        self.kind.required::<E>(rootfs_member::TYPE)?;
        Ok(RootFs {
            diff_ids: self.diff_ids.or_default(),
        })
    }
}

/// The member names of `rootfs`.
mod rootfs_member {
    crate::json::member_names! {
        TYPE = "type";
        DIFF_IDS = "diff_ids";
    }
}

/// The only type of `rootfs` there is.
///
/// image-spec v1.1.1 "Image Configuration" asks for an error at any other.
struct Layers;

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Layers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{LAYERS}`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Layers, E> {
                if text == LAYERS {
                    Ok(Layers)
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Str(text), &self))
                }
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// The one value of `type` in `rootfs`.
pub(crate) const LAYERS: &str = "layers";

#[cfg(test)]
mod tests;
