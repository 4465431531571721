//! Referrers, as several commands show them.

use std::collections::BTreeMap;

use longshore::model::{Digest, MediaType};
use longshore_copy::{Referrer, ReferrersSource};
use serde::Serialize;

/// What is shown for a registry that cannot list referrers.
pub(crate) const NOTHING: &str =
    "no referrers: the registry has no API for them, and no tag stands in for it";

/// Returns the source of a list of referrers as JSON names it.
pub(crate) fn source_name(source: ReferrersSource) -> Option<&'static str> {
    match source {
        ReferrersSource::Api => Some("api"),
        ReferrersSource::Nothing => None,
        ReferrersSource::Tag => Some("tag"),
    }
}

/// The fields of a referrer in JSON.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    digest: &'a Digest,
    media_type: &'a MediaType,
    artifact_type: Option<&'a MediaType>,
    size: u64,
    annotations: &'a BTreeMap<String, String>,
    /// Its own referrers, if a tree is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    referrers: Option<Vec<Self>>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(referrer: &'a Referrer, tree: bool) -> Self {
        let descriptor = &referrer.descriptor;
        Self {
            digest: &descriptor.digest,
            media_type: &descriptor.media_type,
            artifact_type: descriptor.artifact_type.as_ref(),
            size: descriptor.size,
            annotations: &descriptor.annotations,
            referrers: tree.then(|| Self::all(&referrer.referrers, tree)),
        }
    }

    pub(crate) fn all(referrers: &'a [Referrer], tree: bool) -> Vec<Self> {
        referrers.iter().map(|it| Self::new(it, tree)).collect()
    }
}
