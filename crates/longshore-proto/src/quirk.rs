//! What registries do differently, as data.
//!
//! The machines take these switches; none of them asks which host it talks to.

use http::StatusCode;

/// The switches for one host; the default is what the specification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quirks {
    /// Which statuses mean that the thing asked for is not there.
    pub absent: Absent,
    /// How to ask for a manifest's head.
    pub head_manifest: HeadManifest,
}

/// Which statuses of a read mean that the thing is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absent {
    /// 404, as the specification says (distribution-spec v1.1.1 "Pulling manifests").
    #[default]
    NotFound,
    /// 404 and 403: virtual repositories that hide what they do not have.
    NotFoundOrForbidden,
}

impl Absent {
    /// Whether this status means absence.
    #[must_use]
    pub fn includes(self, status: StatusCode) -> bool {
        status == StatusCode::NOT_FOUND
            || self == Self::NotFoundOrForbidden && status == StatusCode::FORBIDDEN
    }
}

/// How a host answers `HEAD` on a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadManifest {
    /// It does not: send `GET` and drop the body.
    Get,
    /// As the specification says.
    #[default]
    Head,
}
