//! Properties of the values: what is printed reads back, nothing panics, pieces do not matter.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_model::{
    Algorithm, Descriptor, Digest, Document, Hasher, ImageConfig, ImageManifest, Index, Manifest,
    MediaType, Platform, Reference, ReferenceParts, RepositoryName, Tag, TagOrDigest, Verifier,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// Checks that a value prints the text it was read from, and reads back from it.
fn round_trip<T>(text: &str) -> Result<(), TestCaseError>
where
    T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Display + PartialEq + std::fmt::Debug,
{
    let value: T = text.parse().unwrap();
    prop_assert_eq!(value.to_string(), text);
    prop_assert_eq!(value.to_string().parse::<T>().unwrap(), value);
    Ok(())
}

const PATH: &str = "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,8}){0,3}";
const TAG: &str = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}";
const REGISTRY: &str = "localhost|docker\\.io|[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){1,2}(:[0-9]{1,5})?\
                        |[A-Z][a-z]{0,3}|\\[[0-9a-f:]{2,8}\\](:[0-9]{1,5})?";
const DIGEST: &str = "sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}";
const ANY_DIGEST: &str = "[a-z0-9]{7,9}([+._-][a-z0-9]{1,4}){0,2}:[a-zA-Z0-9=_-]{1,40}";
const MEDIA_TYPE: &str = "[a-zA-Z0-9][a-z0-9.+!#$&^_-]{0,20}/[a-z0-9][a-z0-9.+_-]{0,20}(; ?a=b)?";

proptest! {
    #[test]
    fn printing_gives_the_text_that_was_read(
        path in PATH, tag in TAG, digest in DIGEST, any in ANY_DIGEST,
        media_type in MEDIA_TYPE, platform in "[a-z]{1,8}/[a-z0-9_]{1,8}(/v[0-9.]{1,3})?",
    ) {
        round_trip::<RepositoryName>(&path)?;
        round_trip::<Tag>(&tag)?;
        round_trip::<Digest>(&digest)?;
        round_trip::<Digest>(&any)?;
        round_trip::<TagOrDigest>(&tag)?;
        round_trip::<TagOrDigest>(&digest)?;
        round_trip::<MediaType>(&media_type)?;
        round_trip::<Platform>(&platform)?;
    }

    #[test]
    fn the_canonical_form_of_a_reference_is_a_fixed_point(
        registry in option::of(REGISTRY), path in PATH,
        tag in option::of(TAG), digest in option::of(DIGEST),
    ) {
        let mut text = String::new();
        registry.iter().for_each(|registry| text.push_str(&format!("{registry}/")));
        text.push_str(&path);
        tag.iter().for_each(|tag| text.push_str(&format!(":{tag}")));
        digest.iter().for_each(|digest| text.push_str(&format!("@{digest}")));
        let reference = match Reference::parse(&text) {
            Ok(reference) => reference,
            // Sixty-four hexadecimal digits, or a path that needs one component less.
            Err(error) => return Err(TestCaseError::reject(error.to_string())),
        };
        round_trip::<Reference>(reference.as_str())?;
        prop_assert_eq!(&Reference::parse(reference.familiar()).unwrap(), &reference);
        prop_assert_eq!(reference.digest_str(), digest.as_deref());
        match (&tag, &digest) {
            (None, None) => prop_assert_eq!(reference.tag_str(), Some("latest")),
            _ => prop_assert_eq!(reference.tag_str(), tag.as_deref()),
        }
        prop_assert!(reference.repository_str().ends_with(&path) || registry.is_none());
        let target = digest.or(tag).unwrap_or_else(|| "latest".to_owned());
        prop_assert_eq!(reference.target().to_string(), target);
    }

    #[test]
    fn reading_never_panics_and_what_is_read_reads_back(text in any::<String>()) {
        let _ = text.parse::<Algorithm>();
        let _ = ReferenceParts::parse(&text);
        if let Ok(reference) = Reference::parse(&text) {
            round_trip::<Reference>(reference.as_str())?;
        }
        if let Ok(digest) = text.parse::<Digest>() {
            round_trip::<Digest>(digest.as_str())?;
        }
        if let Ok(media_type) = text.parse::<MediaType>() {
            round_trip::<MediaType>(media_type.as_str())?;
        }
    }

    #[test]
    fn text_close_to_a_reference_never_panics(
        text in "[a.:/@_A\\[\\]0-9é-]{0,24}(@sha256:.{0,8})?",
    ) {
        let _ = ReferenceParts::parse(&text);
        if let Ok(reference) = Reference::parse(&text) {
            round_trip::<Reference>(reference.as_str())?;
            prop_assert_eq!(Reference::parse(reference.familiar()).unwrap(), reference);
        }
    }

    #[test]
    fn bytes_never_panic_the_manifest_reader(
        bytes in vec(any::<u8>(), 0..64), content_type in option::of(any::<String>()),
    ) {
        let _ = Manifest::parse(bytes.into(), content_type.as_deref());
    }

    #[test]
    fn a_damaged_manifest_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = sample().bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(manifest) = Manifest::parse(bytes.clone().into(), None) {
            prop_assert_eq!(manifest.bytes(), &bytes);
            let written = Manifest::from_document(manifest.document()).unwrap();
            prop_assert_eq!(written.document(), manifest.document());
        }
    }

    #[test]
    fn a_damaged_configuration_never_panics(
        at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = CONFIG.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(config) = ImageConfig::parse(&bytes) {
            let written = serde_json::to_vec(&config).unwrap();
            prop_assert_eq!(ImageConfig::parse(&written).unwrap(), config);
        }
    }

    #[test]
    fn splitting_a_stream_anywhere_gives_the_same_digest(
        content in vec(any::<u8>(), 0..600), mut cuts in vec(any::<prop::sample::Index>(), 0..6),
        algorithm in "sha256|sha384|sha512",
    ) {
        let algorithm: Algorithm = algorithm.parse().unwrap();
        let expected = Digest::of(&algorithm, &content).unwrap();
        let mut hasher = Hasher::new(&algorithm).unwrap();
        let mut verifier = Verifier::new(&expected, Some(content.len() as u64)).unwrap();
        cuts.sort_by_key(|cut| cut.index(content.len() + 1));
        let mut start = 0;
        for end in cuts.iter().map(|cut| cut.index(content.len() + 1)).chain([content.len()]) {
            hasher.update(&content[start..end]);
            verifier.update(&content[start..end]).unwrap();
            start = end;
        }
        prop_assert_eq!(hasher.finish(), expected);
        prop_assert_eq!(verifier.finish(), Ok(()));
    }

    #[test]
    fn documents_survive_being_written(
        layers in vec(descriptor(), 0..4), config in descriptor(),
        subject in option::of(descriptor()), artifact_type in option::of(media_type()),
        annotations in btree_map(any::<String>(), any::<String>(), 0..3),
        index in any::<bool>(),
    ) {
        let document = if index {
            let mut index = Index::new(layers);
            index.subject = subject;
            index.artifact_type = artifact_type;
            index.annotations = annotations;
            Document::Index(index)
        } else {
            let mut image = ImageManifest::new(config, layers);
            image.subject = subject;
            image.artifact_type = artifact_type;
            image.annotations = annotations;
            Document::Image(image)
        };
        let manifest = Manifest::from_document(&document).unwrap();
        prop_assert_eq!(manifest.document(), &document);
        prop_assert_eq!(manifest.digest(), &Digest::sha256(manifest.bytes()));
    }
}

fn media_type() -> impl Strategy<Value = MediaType> {
    MEDIA_TYPE.prop_map(|text| text.parse().unwrap())
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let required = (media_type(), DIGEST, 0..=i64::MAX as u64);
    let platform = (
        any::<String>(),
        any::<String>(),
        option::of(any::<String>()),
    );
    let optional = (
        vec(any::<String>(), 0..2),
        option::of("[a-zA-Z0-9+/]{0,12}"),
        option::of(platform),
        option::of(media_type()),
    );
    (required, optional).prop_map(|((media_type, digest, size), optional)| {
        let mut descriptor = Descriptor::new(media_type, digest.parse().unwrap(), size);
        let (urls, data, platform, artifact_type) = optional;
        descriptor.urls = urls;
        descriptor.data = data;
        descriptor.platform = platform.map(|(os, architecture, variant)| {
            let mut platform = Platform::new(os, architecture);
            platform.variant = variant;
            Box::new(platform)
        });
        descriptor.artifact_type = artifact_type;
        descriptor
    })
}

const CONFIG: &str = r#"{"architecture":"arm","os":"linux","variant":"v7","x":[1,{"y":"z"}],
    "config":{"Env":["A=b"],"Cmd":[],"Volumes":{"/v":{}},"Healthcheck":{"Interval":1000}},
    "rootfs":{"type":"layers","diff_ids":["md5:9d3dd9504c685a304985025df4ed0283"]},
    "history":[{"created_by":"RUN \u001b[0m","empty_layer":true},{"comment":"\""}]}"#;

fn sample() -> Manifest {
    let mut entry = Descriptor::of(MediaType::OCI_MANIFEST, b"x");
    entry.platform = "linux/arm/v7".parse().ok().map(Box::new);
    entry
        .annotations
        .insert("a".to_owned(), "\u{1b}\"".to_owned());
    Manifest::from_document(&Document::Index(Index::new(vec![entry]))).unwrap()
}
