//! Properties of a manifest that registries are known to refuse, found before it is sent.
//!
//! A registry that refuses a manifest often answers with a code that gives no reason. The rules
//! here name the most likely reasons. They never stop a copy, because most registries accept most
//! of these properties.

use std::fmt;

use longshore::origin::Escaped;
use longshore_model::{
    Algorithm, Descriptor, Digest, Document, ImageManifest, Manifest, MediaType,
};

/// The size up to which registries should accept a manifest, in bytes.
///
/// Source: distribution-spec v1.1.1 "Pushing Manifests".
pub const PORTABLE_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// A property of a manifest that some registries refuse. `Display` writes one sentence without a
/// full stop: the property, and the registries that are known to refuse it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Concern {
    /// A blob has no bytes.
    EmptyBlob {
        /// The first such blob.
        digest: Digest,
    },
    /// A layer has URLs to fetch it from, or is of a type that is not redistributed.
    ForeignLayer {
        /// The first such layer.
        digest: Digest,
    },
    /// The manifest is larger than [`PORTABLE_MANIFEST_BYTES`].
    Large {
        /// Its size in bytes.
        bytes: usize,
    },
    /// The config is the empty one, and no artifact type says what the manifest is.
    NoArtifactType,
    /// An image manifest lists no layers.
    NoLayers,
    /// The manifest does not say its own type.
    NoMediaType,
    /// A digest is not of SHA-256.
    OtherAlgorithm {
        /// The first such digest.
        digest: Digest,
    },
    /// An index lists a manifest of Docker's schema 1.
    Schema1 {
        /// The first such manifest.
        digest: Digest,
    },
    /// An index lists manifests that the destination will not have. Only the caller knows this and
    /// adds it; [`preflight`] does not find it.
    Sparse {
        /// The number of absent manifests.
        absent: usize,
    },
    /// The config is not that of an image, so the manifest is an artifact.
    UnknownConfig {
        /// The media type of the config.
        media_type: MediaType,
    },
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyBlob { digest } => write!(
                f,
                "the blob {digest} has 0 bytes, and Amazon ECR and Google Artifact Registry refuse \
                 empty blobs"
            ),
            Self::ForeignLayer { digest } => write!(
                f,
                "{digest} is a foreign layer, whose URLs the CNCF Distribution registry refuses \
                 unless it is configured to allow them"
            ),
            Self::Large { bytes } => write!(
                f,
                "the manifest has {bytes} bytes, and registries need not accept more than \
                 {PORTABLE_MANIFEST_BYTES}; the CNCF Distribution registry does not"
            ),
            Self::NoArtifactType => f.write_str(
                "the configuration is empty and there is no `artifactType`, which \
                 image-spec v1.1.1 requires then; registries that check this refuse it",
            ),
            Self::NoLayers => f.write_str(
                "the manifest lists no layers, and image-spec v1.1.1 says that some registries \
                 accept only manifests with at least one",
            ),
            Self::NoMediaType => f.write_str(
                "the manifest has no `mediaType` of its own, and Amazon ECR refuses such manifests",
            ),
            Self::OtherAlgorithm { digest } => write!(
                f,
                "the digest {digest} is not of SHA-256, the only algorithm that registries have \
                 to support"
            ),
            Self::Schema1 { digest } => write!(
                f,
                "{digest} is a manifest of Docker's schema 1, which registries no longer accept, \
                 the CNCF Distribution registry since version 3"
            ),
            Self::Sparse { absent } => write!(
                f,
                "manifests that the index lists are absent from the destination ({absent}), and \
                 the CNCF Distribution registry and Nexus refuse such an index"
            ),
            Self::UnknownConfig { media_type } => write!(
                f,
                "the type of the configuration is {}, and Quay and GitLab accept only the types \
                 that they know or are configured to allow",
                Escaped::text(media_type.as_str())
            ),
        }
    }
}

/// Returns the properties of a manifest that some registries refuse, each kind at most once.
#[must_use]
pub fn preflight(manifest: &Manifest) -> Vec<Concern> {
    let mut found = Vec::new();
    let bytes = manifest.bytes().len();
    if bytes > PORTABLE_MANIFEST_BYTES {
        found.push(Concern::Large { bytes });
    }
    let document = manifest.document();
    let media_type = match document {
        Document::Image(image) => image.media_type.as_ref(),
        Document::Index(index) => index.media_type.as_ref(),
        _ => return found,
    };
    if media_type.is_none() {
        found.push(Concern::NoMediaType);
    }
    found.extend(digest_concern(manifest, document));
    match document {
        Document::Image(image) => {
            found.extend(config_concerns(image));
            if image.layers.is_empty() {
                found.push(Concern::NoLayers);
            }
            let is_foreign =
                |it: &Descriptor| it.media_type.is_foreign_layer() || !it.urls.is_empty();
            let foreign = first(image.layers.iter(), is_foreign);
            found.extend(foreign.map(|digest| Concern::ForeignLayer { digest }));
            let empty = first(document.children(), |it| it.size == 0);
            found.extend(empty.map(|digest| Concern::EmptyBlob { digest }));
        }
        _ => {
            let schema1 = first(document.children(), is_schema1);
            found.extend(schema1.map(|digest| Concern::Schema1 { digest }));
        }
    }
    found
}

fn first<'a>(
    mut descriptors: impl Iterator<Item = &'a Descriptor>,
    is_it: impl Fn(&Descriptor) -> bool,
) -> Option<Digest> {
    let found = descriptors.find(|descriptor| is_it(descriptor))?;
    Some(found.digest.clone())
}

fn digest_concern(manifest: &Manifest, document: &Document) -> Option<Concern> {
    let listed = document.children().chain(document.subject());
    let mut digests = listed.map(|it| &it.digest).chain([manifest.digest()]);
    let other = digests.find(|digest| digest.algorithm() != Algorithm::Sha256)?;
    Some(Concern::OtherAlgorithm {
        digest: other.clone(),
    })
}

/// Source: image-spec v1.1.1 "Image Manifest Property Descriptions", `config` and `artifactType`.
fn config_concerns(image: &ImageManifest) -> impl Iterator<Item = Concern> {
    let media_type = &image.config.media_type;
    let is_empty = *media_type == MediaType::OCI_EMPTY;
    let unknown = (!media_type.is_config()).then(|| Concern::UnknownConfig {
        media_type: media_type.clone(),
    });
    let no_type = (is_empty && image.artifact_type.is_none()).then_some(Concern::NoArtifactType);
    unknown.into_iter().chain(no_type)
}

fn is_schema1(descriptor: &Descriptor) -> bool {
    let media_type = &descriptor.media_type;
    *media_type == MediaType::DOCKER_MANIFEST_SCHEMA1
        || *media_type == MediaType::DOCKER_MANIFEST_SCHEMA1_SIGNED
}

#[cfg(test)]
mod tests {
    use longshore_model::Index;

    use super::*;

    fn blob(media_type: MediaType, content: &[u8]) -> Descriptor {
        Descriptor::of(media_type, content)
    }

    fn image() -> ImageManifest {
        let layer = blob(MediaType::OCI_LAYER_GZIP, b"layer");
        ImageManifest::new(blob(MediaType::OCI_CONFIG, b"config"), vec![layer])
    }

    #[track_caller]
    fn check(document: &Document, expected: &[Concern]) {
        let manifest = Manifest::from_document(document).unwrap();
        let found = preflight(&manifest);
        assert_eq!(found, expected);
        for concern in found {
            let shown = concern.to_string();
            assert!(!shown.contains(['\n', '\u{1b}']), "{shown}");
            assert!(!shown.ends_with('.'), "{shown}");
        }
    }

    #[track_caller]
    fn check_image(change: impl FnOnce(&mut ImageManifest), expected: &[Concern]) {
        let mut image = image();
        change(&mut image);
        check(&Document::Image(image), expected);
    }

    #[test]
    fn a_usual_image_has_no_concern() {
        check_image(|_| {}, &[]);
        let child = blob(MediaType::OCI_MANIFEST, b"child");
        check(&Document::Index(Index::new(vec![child])), &[]);
    }

    #[test]
    fn a_manifest_without_its_type_is_a_concern() {
        check_image(|image| image.media_type = None, &[Concern::NoMediaType]);
        let mut index = Index::new(vec![]);
        index.media_type = None;
        check(&Document::Index(index), &[Concern::NoMediaType]);
    }

    #[test]
    fn a_configuration_that_is_not_of_an_image_is_a_concern() {
        let media_type: MediaType = "application/vnd.example+json".parse().unwrap();
        let config = blob(media_type.clone(), b"{ }");
        let concern = Concern::UnknownConfig { media_type };
        check_image(|image| image.config = config, &[concern]);

        let artifact = ImageManifest::artifact("application/x".parse().unwrap(), vec![]);
        let media_type = MediaType::OCI_EMPTY;
        let empty = Concern::UnknownConfig { media_type };
        check(&Document::Image(artifact), std::slice::from_ref(&empty));
        let no_type = [empty, Concern::NoArtifactType];
        check_image(|image| image.config = Descriptor::empty(), &no_type);
    }

    #[test]
    fn the_first_layer_of_each_kind_is_named() {
        check_image(|image| image.layers.clear(), &[Concern::NoLayers]);
        let digest = Digest::sha256(b"");
        let empty = blob(MediaType::OCI_LAYER, b"");
        let concern = Concern::EmptyBlob { digest };
        check_image(
            |image| image.layers = vec![empty.clone(), empty],
            &[concern],
        );
        let mut other = blob(MediaType::OCI_LAYER, b"other");
        other.urls.push("https://layers.example/".to_owned());
        let digest = other.digest.clone();
        let foreign = blob(MediaType::DOCKER_LAYER_FOREIGN_GZIP, b"foreign");
        let concern = Concern::ForeignLayer { digest };
        check_image(|image| image.layers.extend([other, foreign]), &[concern]);
    }

    #[test]
    fn a_digest_of_another_algorithm_is_a_concern_wherever_it_is() {
        let digest = Digest::of(&Algorithm::Sha512, b"layer").unwrap();
        let other = || Descriptor::new(MediaType::OCI_LAYER, digest.clone(), 5);
        let concern = Concern::OtherAlgorithm {
            digest: digest.clone(),
        };
        let expected = std::slice::from_ref(&concern);
        check_image(|image| image.layers.push(other()), expected);
        check_image(|image| image.subject = Some(other()), expected);

        let bytes = Manifest::from_document(&Document::Image(image())).unwrap();
        let bytes = bytes.bytes().clone();
        let digest = Digest::of(&Algorithm::Sha512, &bytes).unwrap();
        let manifest = Manifest::parse_verified(bytes, None, &digest).unwrap();
        assert_eq!(preflight(&manifest), [Concern::OtherAlgorithm { digest }]);
    }

    #[test]
    fn a_large_manifest_is_a_concern() {
        let text = "x".repeat(PORTABLE_MANIFEST_BYTES);
        let mut image = image();
        image.annotations.insert("a".to_owned(), text);
        let manifest = Manifest::from_document(&Document::Image(image)).unwrap();
        let bytes = manifest.bytes().len();
        assert_eq!(preflight(&manifest), [Concern::Large { bytes }]);
    }

    #[test]
    fn a_manifest_of_schema_1_in_an_index_is_a_concern() {
        let child = blob(MediaType::DOCKER_MANIFEST_SCHEMA1_SIGNED, b"old");
        let digest = child.digest.clone();
        check(
            &Document::Index(Index::new(vec![child])),
            &[Concern::Schema1 { digest }],
        );
    }

    #[test]
    fn a_concern_says_what_it_is_and_who_refuses_it() {
        let sparse = Concern::Sparse { absent: 3 }.to_string();
        assert_eq!(
            sparse,
            "manifests that the index lists are absent from the destination (3), and the CNCF \
             Distribution registry and Nexus refuse such an index"
        );
        let large = Concern::Large { bytes: 5_000_000 }.to_string();
        assert!(large.contains("5000000 bytes"), "{large}");
        assert!(large.contains("4194304"), "{large}");
    }
}
