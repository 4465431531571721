use serde_json::{Value, json};

use super::ManifestError as E;
use super::*;
use crate::json::{DESCRIPTORS_LIMIT, JSON_DEPTH_LIMIT, VALUES_LIMIT};
use crate::media_type::MediaTypeError;
use crate::verify::VerifyError;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn descriptor() -> Value {
    json!({"mediaType": "a/b", "digest": Digest::sha256(b"").as_str(), "size": 0})
}

fn parse(document: &Value, content_type: Option<&str>) -> Result<Manifest, E> {
    Manifest::parse(document.to_string().into(), content_type)
}

/// A document with the fields of a structure, and an embedded type if one is given.
fn document(structure: Structure, media_type: Option<&str>) -> Value {
    let mut document = match structure {
        Structure::Image => json!({"config": descriptor(), "layers": [descriptor()]}),
        Structure::Index => json!({"manifests": [descriptor()]}),
    };
    document["schemaVersion"] = 2.into();
    if let Some(media_type) = media_type {
        document["mediaType"] = media_type.into();
    }
    document
}

#[track_caller]
fn check_type(
    structure: Structure,
    content_type: Option<&str>,
    media_type: Option<&str>,
    expected: Result<&str, E>,
) {
    let parsed = parse(&document(structure, media_type), content_type);
    let found = parsed
        .as_ref()
        .map(|manifest| manifest.media_type().as_str());
    assert_eq!(found, expected.as_ref().copied());
}

fn media_type(text: &str) -> MediaType {
    text.parse().unwrap()
}

#[test]
fn dg5_types_that_agree_are_taken() {
    use Structure::{Image, Index};
    for (structure, given) in [
        (Image, OCI),
        (Image, DOCKER),
        (Index, OCI_INDEX),
        (Index, LIST),
    ] {
        check_type(structure, Some(given), Some(given), Ok(given));
        check_type(structure, Some(given), None, Ok(given));
        check_type(structure, None, Some(given), Ok(given));
        check_type(
            structure,
            Some(&given.to_uppercase()),
            Some(given),
            Ok(given),
        );
    }
    check_type(Image, None, None, Ok(OCI));
    check_type(Index, None, None, Ok(OCI_INDEX));
}

#[test]
fn dg5_a_generic_type_yields_to_body_and_structure() {
    use Structure::{Image, Index};
    for generic in [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/octet-stream",
        "",
    ] {
        check_type(Image, Some(generic), Some(DOCKER), Ok(DOCKER));
        check_type(Image, Some(generic), None, Ok(OCI));
        check_type(Index, Some(generic), Some(LIST), Ok(LIST));
        check_type(Index, Some(generic), None, Ok(OCI_INDEX));
    }
    check_type(Image, Some(DOCKER), Some("application/json"), Ok(DOCKER));
}

#[test]
fn dg5_specific_types_that_disagree_are_refused() {
    use Structure::{Image, Index};
    let types = |content_type, body| {
        let (content_type, media_type) = (media_type(content_type), media_type(body));
        Err(E::TypesDisagree {
            content_type,
            media_type,
        })
    };
    let structure = |given, structure| {
        Err(E::StructureDisagrees {
            media_type: media_type(given),
            structure,
        })
    };
    let unsupported = |given| {
        Err(E::UnsupportedType {
            media_type: media_type(given),
        })
    };
    check_type(Image, Some(OCI), Some(DOCKER), types(OCI, DOCKER));
    check_type(Index, Some(OCI), Some(OCI_INDEX), types(OCI, OCI_INDEX));
    check_type(Image, Some("text/html"), Some(OCI), types("text/html", OCI));
    check_type(Index, Some(OCI), None, structure(OCI, Index));
    check_type(Image, None, Some(OCI_INDEX), structure(OCI_INDEX, Image));
    check_type(
        Index,
        Some("text/plain"),
        Some(DOCKER),
        structure(DOCKER, Index),
    );
    check_type(Image, Some("text/html"), None, unsupported("text/html"));
    check_type(Image, None, Some("a/b"), unsupported("a/b"));
    let malformed = MediaTypeError::Unexpected { at: 4 };
    check_type(Image, Some("json"), None, Err(E::ContentType(malformed)));
}

#[test]
fn dg5_a_document_of_two_kinds_is_refused() {
    for key in ["config", "layers"] {
        for empty in [false, true] {
            let mut both = document(Structure::Index, None);
            both[key] = match (key, empty) {
                (_, true) => Value::Null,
                ("config", _) => descriptor(),
                _ => json!([]),
            };
            assert_eq!(parse(&both, None).unwrap_err(), E::Ambiguous, "{key}");
        }
    }
    let neither = json!({"schemaVersion": 2, "mediaType": OCI});
    assert_eq!(parse(&neither, Some(OCI)).unwrap_err(), E::NoStructure);
}

#[test]
fn dg5_a_key_given_twice_is_refused() {
    let text = document(Structure::Image, None).to_string();
    for more in [
        r#""layers":[]"#,
        r#""annotations":{"a":"1","a":"2"}"#,
        r#""x":{"y":[{"z":1,"z":1}]}"#,
        r#""annotations":null,"annotations":null"#,
    ] {
        let twice = format!("{},\n{more}}}", text.strip_suffix('}').unwrap());
        let error = Manifest::parse(twice.into(), None).unwrap_err();
        assert!(
            matches!(error, E::DuplicateKey { line: 2, .. }),
            "{more}: {error}"
        );
    }
}

#[test]
fn li2_the_bytes_are_kept_and_unknown_fields_are_not() {
    let text = format!(
        "{{ \"manifests\" : [], \"org.example\": {{\"deep\": [1]}},\n\
         \"annotations\":{{\"a\":\"b\"}}, \"schemaVersion\": 2, \"subject\": {} }}\n",
        descriptor()
    );
    let manifest = Manifest::parse(text.clone().into(), None).unwrap();
    // DG4
    assert_eq!(manifest.bytes(), text.as_bytes());
    assert_eq!(manifest.digest(), &Digest::sha256(text.as_bytes()));
    assert_eq!(manifest.descriptor().size, text.len() as u64);
    let index = manifest.document().as_index().unwrap();
    assert_eq!(index.annotations["a"], "b");
    assert_eq!(index.subject.as_ref().unwrap().digest, Digest::sha256(b""));
    let written = Manifest::from_document(manifest.document()).unwrap();
    assert_eq!(written.document(), manifest.document());
    let written = String::from_utf8_lossy(written.bytes()).into_owned();
    assert!(!written.contains("org.example"), "{written}");
}

#[test]
fn a_referrer_is_listed_under_its_own_type_or_that_of_its_config() {
    let signature = media_type("application/vnd.example.signature");
    let list = |document| Manifest::from_document(&document).unwrap().as_referrer();

    let mut artifact = ImageManifest::artifact(signature.clone(), Vec::new());
    assert_eq!(artifact.layers, [Descriptor::empty()]);
    artifact.annotations.insert("a".to_owned(), "b".to_owned());
    let entry = list(Document::Image(artifact.clone()));
    assert_eq!(entry.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(entry.artifact_type, Some(signature.clone()));
    assert_eq!(entry.annotations, artifact.annotations);

    let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    let image = ImageManifest::new(config, Vec::new());
    let entry = list(Document::Image(image));
    assert_eq!(entry.artifact_type, Some(MediaType::OCI_CONFIG));

    let mut index = Index::new(Vec::new());
    assert_eq!(list(Document::Index(index.clone())).artifact_type, None);
    index.artifact_type = Some(signature.clone());
    assert_eq!(list(Document::Index(index)).artifact_type, Some(signature));
}

#[test]
fn dg2_bytes_asked_for_by_digest_are_verified_before_they_are_parsed() {
    let text = Bytes::from(document(Structure::Image, None).to_string());
    for algorithm in ["sha256", "sha384", "sha512"] {
        let digest = Digest::of(&algorithm.parse().unwrap(), &text).unwrap();
        let manifest = Manifest::parse_verified(text.clone(), None, &digest).unwrap();
        assert_eq!(manifest.digest(), &digest);
        assert_eq!(manifest.descriptor().digest, digest);
    }
    let expected = Digest::sha256(b"other");
    let error = Manifest::parse_verified("not json".into(), None, &expected).unwrap_err();
    let actual = Digest::sha256(b"not json");
    assert_eq!(error, E::Verify(VerifyError::Digest { expected, actual }));
    // DG1
    let error = Manifest::parse_verified(text, None, &"md5:00".parse().unwrap()).unwrap_err();
    assert!(matches!(error, E::UnsupportedAlgorithm(_)), "{error}");
}

#[test]
fn li_a_document_has_at_most_ten_thousand_descriptors() {
    let mut image = document(Structure::Image, None);
    image["layers"] = vec![descriptor(); DESCRIPTORS_LIMIT - 1].into();
    let manifest = parse(&image, None).unwrap();
    assert_eq!(manifest.document().children().count(), DESCRIPTORS_LIMIT);
    image["subject"] = descriptor();
    assert_eq!(parse(&image, None).unwrap_err(), E::TooManyDescriptors);
}

#[test]
fn li2_many_small_values_do_not_blow_up_the_view() {
    // Takes what `make` gives for `limit`, and refuses it for one more.
    let check = |make: fn(usize) -> Value, limit: usize| {
        let with = |count| {
            let mut index = document(Structure::Index, None);
            for (key, value) in make(count).as_object().unwrap() {
                index[key] = value.clone();
            }
            parse(&index, None).map(drop)
        };
        assert_eq!(with(limit), Ok(()));
        assert_eq!(with(limit + 1), Err(E::TooManyValues));
    };
    fn strings(count: usize) -> Value {
        (0..count)
            .map(|n| (n.to_string(), Value::from("")))
            .collect()
    }
    // The unknown field is a value itself.
    check(|count| json!({"x": vec![0; count]}), VALUES_LIMIT - 1);
    check(
        |count| json!({"x": vec![json!({"y": 0}); count]}),
        VALUES_LIMIT / 2 - 1,
    );
    check(|count| json!({"annotations": strings(count)}), VALUES_LIMIT);
    check(
        |count| {
            let mut entry = descriptor();
            entry["urls"] = vec![""; count].into();
            json!({"manifests": [entry]})
        },
        VALUES_LIMIT,
    );
}

#[test]
fn li_json_nests_less_than_128_deep() {
    // The document itself is the first level.
    for (depth, good) in [(JSON_DEPTH_LIMIT - 2, true), (JSON_DEPTH_LIMIT - 1, false)] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let text = format!(r#"{{"schemaVersion":2,"manifests":[],"x":{deep}}}"#);
        match Manifest::parse(text.into(), None) {
            Ok(_) => assert!(good, "{depth}"),
            Err(E::Malformed { reason, .. }) => {
                assert_eq!((&*reason, good), ("recursion limit exceeded", false));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let deep = "[".repeat(1_000_000);
    let error = Manifest::parse(format!(r#"{{"x":{deep}"#).into(), None).unwrap_err();
    assert!(matches!(error, E::Malformed { .. }), "{error}");
}

#[test]
fn li3_a_size_out_of_range_refuses_the_document() {
    for size in ["-1", "9223372036854775808", "1e3", "\"1\""] {
        let text = document(Structure::Index, None)
            .to_string()
            .replace(":0,", ":7,");
        let text = text.replace("\"size\":0", &format!("\"size\":{size}"));
        let error = Manifest::parse(text.into(), None).unwrap_err().to_string();
        assert!(error.contains("expected a size"), "{size}: {error}");
    }
}

#[test]
fn malformed_documents_say_where() {
    let check = |text: &str, expected: &str| {
        let error = Manifest::parse(text.to_owned().into(), None).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    };
    let malformed = "malformed document: ";
    check(
        "",
        &format!("{malformed}EOF while parsing a value, at line 1 column 0"),
    );
    check(
        "{} x",
        &format!("{malformed}trailing characters, at line 1 column 4"),
    );
    check(
        "[]",
        &format!(
            "{malformed}invalid type: sequence, expected an image manifest or index, \
             at line 1 column 0"
        ),
    );
    check(
        "{}",
        "the document is neither an image manifest nor an index",
    );
    check(r#"{"manifests":[]}"#, "the schema version is missing");
    check(
        r#"{"schemaVersion":1,"fsLayers":[]}"#,
        "the schema version is 1, not 2",
    );
    check(
        r#"{"schemaVersion":2,"layers":[]}"#,
        "the image manifest has no config",
    );
}

#[test]
fn ou1_a_quoted_value_is_escaped_and_cut() {
    let text = json!({"config": format!("\u{1b}\u{202e}{}", "x".repeat(1000))});
    let E::Malformed { reason, .. } = parse(&text, None).unwrap_err() else {
        panic!("another error");
    };
    assert!(
        reason.starts_with(r#"invalid type: string "\u{1b}\u{202e}xxx"#),
        "{reason}"
    );
    assert_eq!(reason.len(), 200);
}

#[test]
fn ou1_of_a_media_type_the_essence_is_shown() {
    let long = format!("text/x;\tq={}", "x".repeat(1000));
    let error = parse(&json!({"manifests": []}), Some(&long)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "documents of the media type text/x are not supported"
    );
    // The reason is in the message, since the error has no source.
    let error = parse(&json!({"manifests": []}), Some("text")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed Content-Type: a media type is `type/subtype`: unexpected character or end at \
         byte 4"
    );
    assert!(std::error::Error::source(&error).is_none());
}

mod corpus;
