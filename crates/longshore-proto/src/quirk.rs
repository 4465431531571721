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
    /// How to ask for a blob's head.
    pub head_blob: HeadBlob,
    /// How to ask for a manifest's head.
    pub head_manifest: HeadManifest,
    /// How to ask what refers to a manifest.
    pub referrers: ReferrersSupport,
    /// How the registry accepts uploads.
    pub upload: UploadQuirks,
}

/// What a registry allows in an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadQuirks {
    /// Whether the registry accepts a blob in parts.
    pub chunks: Chunks,
    /// When to request a mount.
    pub mounts: Mounts,
    /// What the `Range` of a session counts.
    pub range: RangeTrust,
}

impl UploadQuirks {
    const DEFAULT: Self = Self {
        chunks: Chunks::Allowed,
        mounts: Mounts::From,
        range: RangeTrust::Blob,
    };
}

/// Whether a registry accepts a blob in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunks {
    /// In parts of any size, as the specification requires.
    #[default]
    Allowed,
    /// In parts of at most this many bytes.
    AtMost(u64),
    /// Only as a whole.
    Never,
}

/// When to request the mount of a blob from another repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mounts {
    /// Always, even if no other repository with the blob is known.
    Anonymous,
    /// Only if another repository with the blob is known.
    #[default]
    From,
    /// Never.
    Never,
}

/// How to interpret the `Range` of an upload session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeTrust {
    /// It counts the bytes of the blob that the registry has, as the specification says.
    #[default]
    Blob,
    /// Ignore it: the client counts what it sent.
    Nothing,
}

impl Quirks {
    /// What is known of the registry of this name; the default for one nothing is known of.
    #[must_use]
    pub fn of(registry: &str) -> Self {
        let known = KNOWN.iter().find(|(name, _)| matches(name, registry));
        known.map_or_else(Self::default, |(_, quirks)| quirks.clone())
    }

    const DEFAULT: Self = Self {
        absent: Absent::NotFound,
        head_blob: HeadBlob::Head,
        head_manifest: HeadManifest::Head,
        referrers: ReferrersSupport::Api,
        upload: UploadQuirks::DEFAULT,
    };
}

/// The known peculiarities of registries.
///
/// - GHCR redirects the referrers API to a web page and limits its rate there, and refuses chunks
///   above 4 MiB.
/// - Ollama's registry answers 405 to `HEAD` on a manifest.
/// - Amazon's ECR Public answers 401 to `HEAD` on a blob, whatever the token.
/// - Amazon's ECR always returns the `Range` of the first chunk of a session.
/// - Google's registries accept a blob only as a whole.
const KNOWN: &[(&str, Quirks)] = &[
    (
        "ghcr.io",
        Quirks {
            referrers: ReferrersSupport::Tag,
            upload: UploadQuirks {
                chunks: Chunks::AtMost(4 * 1024 * 1024),
                ..UploadQuirks::DEFAULT
            },
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
    (
        "public.ecr.aws",
        Quirks {
            head_blob: HeadBlob::Get,
            ..Quirks::DEFAULT
        },
    ),
    ("*.dkr.ecr.*.amazonaws.com", ECR),
    ("*.dkr.ecr.*.amazonaws.com.cn", ECR),
    ("gcr.io", GOOGLE),
    ("*.gcr.io", GOOGLE),
    ("*-docker.pkg.dev", GOOGLE),
];

const ECR: Quirks = Quirks {
    upload: UploadQuirks {
        range: RangeTrust::Nothing,
        ..UploadQuirks::DEFAULT
    },
    ..Quirks::DEFAULT
};

const GOOGLE: Quirks = Quirks {
    upload: UploadQuirks {
        chunks: Chunks::Never,
        ..UploadQuirks::DEFAULT
    },
    ..Quirks::DEFAULT
};

/// Whether the name of a registry fits a pattern, label by label. A label that begins with `*`
/// stands for every label with that ending.
fn matches(pattern: &str, registry: &str) -> bool {
    let mut labels = registry.split('.');
    let mut patterns = pattern.split('.');
    patterns.all(|pattern| {
        let Some(label) = labels.next() else {
            return false;
        };
        match pattern.strip_prefix('*') {
            Some(ending) => label.ends_with(ending),
            None => label == pattern,
        }
    }) && labels.next().is_none()
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

/// How a host answers `HEAD` on a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadBlob {
    /// `HEAD` is not supported: send `GET` at once, and do not read the body. Every host gets a
    /// `GET` after a `HEAD` without a usable answer, so this only saves a request.
    Get,
    /// As the specification says.
    #[default]
    Head,
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
        assert_eq!(Quirks::of("public.ecr.aws").head_blob, HeadBlob::Get);
    }

    #[test]
    fn a_pattern_covers_the_registries_of_one_provider_only() {
        for (registry, quirks) in [
            ("1234.dkr.ecr.eu-west-1.amazonaws.com", ECR),
            ("1234.dkr.ecr.cn-north-1.amazonaws.com.cn", ECR),
            ("eu.gcr.io", GOOGLE),
            ("europe-docker.pkg.dev", GOOGLE),
            ("dkr.ecr.eu-west-1.amazonaws.com", Quirks::DEFAULT),
            ("a.dkr.ecr.b.amazonaws.com.example", Quirks::DEFAULT),
            ("a.eu.gcr.io", Quirks::DEFAULT),
            ("evilgcr.io", Quirks::DEFAULT),
            ("pkg.dev", Quirks::DEFAULT),
        ] {
            assert_eq!(Quirks::of(registry), quirks, "{registry}");
        }
    }
}
