//! The documents of image-spec v1.1.1, written field by field in a fixed order.

use longshore_model::{Descriptor, Digest, MediaType};
use serde::Serialize;

use super::tree::{DescribedContent, Tree};

#[derive(Serialize)]
pub(super) struct Config<'a> {
    pub(super) created: &'a str,
    pub(super) architecture: &'a str,
    pub(super) os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) variant: Option<&'a str>,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub(super) os_version: Option<&'a str>,
    pub(super) config: Run<'a>,
    pub(super) rootfs: RootFs,
    pub(super) history: Vec<History<'a>>,
}

#[derive(Serialize)]
pub(super) struct Run<'a> {
    #[serde(rename = "Cmd")]
    pub(super) cmd: &'a [&'a str],
}

#[derive(Serialize)]
pub(super) struct RootFs {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
pub(super) struct History<'a> {
    pub(super) created: &'a str,
    pub(super) created_by: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest<'a> {
    schema_version: u8,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<MediaType>,
    config: &'a Descriptor,
    layers: Vec<&'a Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<&'a Descriptor>,
}

impl<'a> Manifest<'a> {
    pub(super) fn new(
        media_type: MediaType,
        config: &'a DescribedContent,
        layers: &'a [DescribedContent],
    ) -> Self {
        Self {
            schema_version: 2,
            media_type,
            artifact_type: None,
            config: &config.descriptor,
            layers: layers.iter().map(|layer| &layer.descriptor).collect(),
            subject: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'a> {
    schema_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    manifests: Vec<&'a Descriptor>,
}

pub(super) fn index_document(media_type: MediaType, children: &[Tree]) -> Index<'_> {
    Index {
        schema_version: 2,
        media_type: Some(media_type),
        manifests: children.iter().map(Tree::descriptor).collect(),
    }
}

/// The `index.json` of a layout, which has no media type of its own.
pub(super) fn layout_index(manifests: &[Descriptor]) -> Index<'_> {
    Index {
        schema_version: 2,
        media_type: None,
        manifests: manifests.iter().collect(),
    }
}
