//! Referrers, as several commands show them.

use longshore::model::{Descriptor, MediaType};
use longshore_copy::ReferrersSource;
use serde_json::{Value, json};

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

/// Returns the fields of a referrer.
pub(crate) fn json(referrer: &Descriptor) -> Value {
    json!({
        "digest": referrer.digest.to_string(),
        "media_type": referrer.media_type.as_str(),
        "artifact_type": referrer.artifact_type.as_ref().map(MediaType::as_str),
        "size": referrer.size,
        "annotations": referrer.annotations,
    })
}
