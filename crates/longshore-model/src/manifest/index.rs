//! Indexes: lists of manifests, mostly of one image for several platforms.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::fields::member;
use crate::descriptor::Descriptor;
use crate::json;
use crate::media_type::MediaType;
use crate::platform::{NoSuchPlatform, Platform};

/// Nesting depth of indexes at which a reader that follows them refuses the next index.
pub const INDEX_DEPTH_LIMIT: usize = 8;

/// A list of manifests. Its schema version is 2.
///
/// Source: image-spec v1.1.1 "Image Index Property Descriptions"; Image Manifest Version 2,
/// Schema 2 "Manifest List" has the same fields.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Index {
    /// The type the document itself gives, where it does.
    pub media_type: Option<MediaType>,
    /// What kind of artifact this is.
    pub artifact_type: Option<MediaType>,
    /// The manifests, and other indexes.
    pub manifests: Vec<Descriptor>,
    /// The manifest this index refers to.
    pub subject: Option<Descriptor>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// Makes an OCI index.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            media_type: Some(MediaType::OCI_INDEX),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Selects the manifest that fits a platform best.
    ///
    /// Architecture and operating system must be equal, but for well-known other names. An older
    /// variant of the CPU fits where the newer one runs it; the newest such is taken. On Windows
    /// the version must be one that the wanted version runs, see [`Platform::fits`]. Among equals
    /// the first in the index wins.
    ///
    /// Never selected are `unknown/unknown`, which stands for attestations, and content that is
    /// neither a manifest nor an index. An entry without platform is selected if it is the only
    /// one that could be meant: what it runs on is then known to its configuration alone.
    ///
    /// Source: image-spec v1.1.1 "Image Index Property Descriptions", which says of `manifests`
    /// that the first matching entry should be used, and of `variant` little; the variants
    /// follow what containerd does.
    ///
    /// # Errors
    ///
    /// [`NoSuchPlatform`] names the platforms there are.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor, NoSuchPlatform> {
        let on_platform = self.candidates().filter_map(|entry| {
            let fit = wanted.fits(entry.platform.as_deref()?)?;
            Some((fit, entry))
        });
        // Of several at the minimum this is the first.
        if let Some((_, entry)) = on_platform.min_by_key(|(fit, _)| *fit) {
            return Ok(entry);
        }
        let mut without = self.candidates().filter(|entry| entry.platform.is_none());
        match (without.next(), without.next(), self.candidates().nth(1)) {
            (Some(only), None, None) => Ok(only),
            _ => Err(NoSuchPlatform::new(
                wanted.clone(),
                self.manifests.len(),
                self.candidates()
                    .filter_map(|entry| entry.platform.as_deref().cloned())
                    .filter(|platform| *platform != Platform::default()),
            )),
        }
    }

    /// Returns the entries that may be an image to run.
    fn candidates(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().filter(|entry| {
            (entry.media_type.is_manifest() || entry.media_type.is_index())
                && !entry.platform.as_deref().is_some_and(Platform::is_unknown)
        })
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(member::SCHEMA_VERSION, &SCHEMA_VERSION)?;
        json::write_option(&mut map, member::MEDIA_TYPE, self.media_type.as_ref())?;
        json::write_option(&mut map, member::ARTIFACT_TYPE, self.artifact_type.as_ref())?;
        map.serialize_entry(member::MANIFESTS, &self.manifests)?;
        json::write_option(&mut map, member::SUBJECT, self.subject.as_ref())?;
        json::write_strings(&mut map, member::ANNOTATIONS, &self.annotations)?;
        map.end()
    }
}

/// The only schema version there is, in both kinds of document.
pub(super) const SCHEMA_VERSION: u64 = 2;

#[cfg(test)]
mod tests;
