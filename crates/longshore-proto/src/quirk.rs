//! What registries do differently, as data.
//!
//! The machines take these switches, and never look at the name of a host.

use http::StatusCode;

/// The switches for one host; the default is what the specification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quirks {
    /// Which statuses mean that the thing asked for is not there.
    pub absent: Absent,
    /// How to ask for a manifest's head.
    pub head_manifest: HeadManifest,
    /// How to ask what refers to a manifest.
    pub referrers: ReferrersSupport,
}

impl Quirks {
    /// What is known of the registry of this name; the default for one nothing is known of.
    #[must_use]
    pub fn of(registry: &str) -> Self {
        let known = KNOWN.iter().find(|(name, _)| *name == registry);
        known.map_or_else(Self::default, |(_, quirks)| quirks.clone())
    }

    const DEFAULT: Self = Self {
        absent: Absent::NotFound,
        head_manifest: HeadManifest::Head,
        referrers: ReferrersSupport::Api,
    };
}

/// What registries are known for. GHCR redirects the referrers API to a web page and limits its
/// rate there; Ollama's registry answers 405 to `HEAD` on a manifest.
const KNOWN: &[(&str, Quirks)] = &[
    (
        "ghcr.io",
        Quirks {
            referrers: ReferrersSupport::Tag,
            ..Quirks::DEFAULT
        },
    ),
    (
        "registry.ollama.ai",
        Quirks {
            head_manifest: HeadManifest::Get,
            ..Quirks::DEFAULT
        },
    ),
];

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
    /// `HEAD` is not supported: send `GET` at once. Every host gets a `GET` after a `HEAD` without
    /// a usable answer, so this only saves a request.
    Get,
    /// As the specification says.
    #[default]
    Head,
}

/// How a host answers what refers to a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReferrersSupport {
    /// As the specification says; where it answers 404, by a tag.
    #[default]
    Api,
    /// By a tag: asking the API does harm or is useless.
    Tag,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_registry_is_taken_at_the_word_of_the_specification() {
        assert_eq!(Quirks::of("registry.example"), Quirks::default());
        assert_eq!(Quirks::DEFAULT, Quirks::default());
        assert_eq!(Quirks::of("ghcr.io").referrers, ReferrersSupport::Tag);
    }
}
