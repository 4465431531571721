//! Descriptors: how one document points at content.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::digest::{Digest, UnsupportedAlgorithm};
use crate::json::{self, Entry, Fields, Known, Reading, Slot};
use crate::media_type::MediaType;
use crate::platform::{Platform, PlatformFields};
use crate::verify::Verifier;

pub use data::DataError;

mod data;

/// The largest size a descriptor may give, in bytes; anything above refuses the document (LI3).
///
/// Source: image-spec v1.1.1 "Properties" of descriptors, where `size` is an *int64*.
pub const SIZE_LIMIT_BYTES: u64 = i64::MAX as u64;

/// Points at content: its type, its digest and its size.
///
/// Source: image-spec v1.1.1 "OCI Content Descriptors".
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Descriptor {
    /// What the content is.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes, at most [`SIZE_LIMIT_BYTES`].
    pub size: u64,
    /// Other URLs of the content. They are never fetched unless that is enabled (RD6).
    pub urls: Vec<String>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
    /// The content itself in base64, as it was sent; [`embedded`](Self::embedded) decodes it.
    pub data: Option<String>,
    /// What kind of artifact the content is, where it is a manifest.
    pub artifact_type: Option<MediaType>,
    /// The platform of the content, in an index. A malformed platform is read as
    /// [`Platform::default`], which matches no request, so that the other entries can be used.
    pub platform: Option<Box<Platform>>,
}

impl Descriptor {
    /// Makes a descriptor with the three required fields.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            artifact_type: None,
            platform: None,
        }
    }

    /// Describes `content` under its SHA-256 digest.
    #[must_use]
    pub fn of(media_type: MediaType, content: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(content), content.len() as u64)
    }

    /// Starts to verify content that arrives in pieces against this digest and size.
    ///
    /// # Errors
    ///
    /// [`UnsupportedAlgorithm`] when the digest cannot be computed (DG1).
    pub fn verifier(&self) -> Result<Verifier, UnsupportedAlgorithm> {
        Verifier::new(&self.digest, Some(self.size))
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::read_object::<DescriptorFields, D>(deserializer, &Reading::new(0))
    }
}

impl Serialize for Descriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(member::MEDIA_TYPE, &self.media_type)?;
        map.serialize_entry(member::DIGEST, &self.digest)?;
        map.serialize_entry(member::SIZE, &self.size)?;
        json::write_list(&mut map, member::URLS, &self.urls)?;
        json::write_strings(&mut map, member::ANNOTATIONS, &self.annotations)?;
        json::write_option(&mut map, member::DATA, self.data.as_ref())?;
        json::write_option(&mut map, member::PLATFORM, self.platform.as_ref())?;
        json::write_option(&mut map, member::ARTIFACT_TYPE, self.artifact_type.as_ref())?;
        map.end()
    }
}

/// The known fields of a descriptor.
#[derive(Default)]
pub(crate) struct DescriptorFields {
    media_type: Slot<MediaType>,
    digest: Slot<Digest>,
    size: Slot<Size>,
    rare: Option<Box<RareFields>>,
}

/// The fields that few descriptors have. Apart, so that the many without them stay small while
/// they are moved from hand to hand.
#[derive(Default)]
struct RareFields {
    urls: Slot<Vec<String>>,
    annotations: Slot<BTreeMap<String, String>>,
    data: Slot<String>,
    platform: Slot<Option<Box<Platform>>>,
    artifact_type: Slot<MediaType>,
}

impl DescriptorFields {
    fn rare(&mut self) -> &mut RareFields {
        self.rare.get_or_insert_default()
    }
}

impl<'de> Fields<'de> for DescriptorFields {
    type Built = Descriptor;
    const EXPECTING: &'static str = "a descriptor object";

    fn read<A: MapAccess<'de>>(
        &mut self,
        key: &str,
        entry: &mut Entry<'_, A>,
    ) -> Result<Known, A::Error> {
        match key {
            member::MEDIA_TYPE => entry.value(&mut self.media_type),
            member::DIGEST => entry.value(&mut self.digest),
            member::SIZE => entry.value(&mut self.size),
            member::URLS => entry.list(&mut self.rare().urls),
            member::ANNOTATIONS => entry.string_map(&mut self.rare().annotations),
            member::DATA => entry.value(&mut self.rare().data),
            member::PLATFORM => {
                entry.object_or_nothing::<PlatformFields, _>(&mut self.rare().platform)
            }
            member::ARTIFACT_TYPE => entry.value(&mut self.rare().artifact_type),
            _ => Ok(Known::No),
        }
    }

    // Else the finished descriptor is copied once more on its way into the list.
    #[inline(always)]
    fn build<E: Error>(self, reading: &Reading) -> Result<Descriptor, E> {
        reading.count_descriptor()?;
        let media_type = self.media_type.required(member::MEDIA_TYPE)?;
        let digest = self.digest.required(member::DIGEST)?;
        let Size(size) = self.size.required::<E>(member::SIZE)?;
        let mut descriptor = Descriptor::new(media_type, digest, size);
        if let Some(rare) = self.rare {
            descriptor.urls = rare.urls.or_default();
            descriptor.annotations = rare.annotations.or_default();
            descriptor.data = rare.data.optional();
            descriptor.artifact_type = rare.artifact_type.optional();
            descriptor.platform = rare.platform.optional().map(Option::unwrap_or_default);
        }
        Ok(descriptor)
    }
}

/// A size within its range (LI3).
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, an integer from 0 to 2^63 - 1")
            }

            fn visit_u64<E: Error>(self, size: u64) -> Result<Size, E> {
                if size > SIZE_LIMIT_BYTES {
                    return Err(E::invalid_value(
                        serde::de::Unexpected::Unsigned(size),
                        &self,
                    ));
                }
                Ok(Size(size))
            }
        }

        deserializer.deserialize_u64(Bytes)
    }
}

/// The member names of a descriptor.
mod member {
    crate::json::member_names! {
        MEDIA_TYPE = "mediaType";
        DIGEST = "digest";
        SIZE = "size";
        URLS = "urls";
        ANNOTATIONS = "annotations";
        DATA = "data";
        PLATFORM = "platform";
        ARTIFACT_TYPE = "artifactType";
    }
}

#[cfg(test)]
mod tests;
