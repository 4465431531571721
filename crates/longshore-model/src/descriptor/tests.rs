use serde_json::json;

use super::*;
use crate::digest::Algorithm;
use crate::verify::VerifyError;

const HEX: &str = "5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270";

fn full() -> serde_json::Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{HEX}"),
        "size": 7682,
        "urls": ["https://example.com/example-manifest"],
        "annotations": {"a": "b"},
        "data": "aGVsbG8=",
        "platform": {
            "architecture": "arm", "os": "linux", "os.version": "1", "os.features": ["f"],
            "variant": "v7", "features": ["neon"],
        },
        "artifactType": "application/vnd.example+type",
    })
}

/// Changes one field of a good descriptor and says what becomes of it.
fn check(key: &str, value: serde_json::Value, expected: Result<(), &str>) {
    let mut object = full();
    object[key] = value;
    let read = serde_json::from_str::<Descriptor>(&object.to_string());
    match (read, expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) if error.to_string().contains(part) => {}
        (read, _) => panic!("{key}: {read:?}, expected {expected:?}"),
    }
}

#[test]
fn every_field_survives_a_round_trip() {
    let descriptor: Descriptor = serde_json::from_value(full()).unwrap();
    assert_eq!(descriptor.size, 7682);
    assert_eq!(descriptor.digest.encoded(), HEX);
    assert_eq!(
        descriptor.platform.as_ref().unwrap().to_string(),
        "linux/arm/v7"
    );
    assert_eq!(serde_json::to_value(&descriptor).unwrap(), full());
    let text = serde_json::to_string(&descriptor).unwrap();
    assert_eq!(
        serde_json::from_str::<Descriptor>(&text).unwrap(),
        descriptor
    );
}

#[test]
fn only_three_fields_are_required_and_null_is_absent() {
    let text = format!(r#"{{"mediaType":"a/b","digest":"sha256:{HEX}","size":0,"urls":null}}"#);
    let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
    let digest = format!("sha256:{HEX}").parse().unwrap();
    assert_eq!(
        descriptor,
        Descriptor::new("a/b".parse().unwrap(), digest, 0)
    );
    for (key, message) in [
        ("mediaType", "missing field `mediaType`"),
        ("digest", "missing field `digest`"),
        ("size", "missing field `size`"),
    ] {
        check(key, json!(null), Err(message));
    }
}

#[test]
fn li3_sizes_are_integers_below_two_to_the_63() {
    check("size", json!(0), Ok(()));
    check("size", json!(i64::MAX), Ok(()));
    check(
        "size",
        json!(i64::MAX as u64 + 1),
        Err("an integer from 0 to 2^63 - 1"),
    );
    check(
        "size",
        json!(u64::MAX),
        Err("an integer from 0 to 2^63 - 1"),
    );
    check("size", json!(-1), Err("an integer from 0 to 2^63 - 1"));
    check("size", json!(1.5), Err("an integer from 0 to 2^63 - 1"));
    check("size", json!("7682"), Err("an integer from 0 to 2^63 - 1"));
}

#[test]
fn malformed_fields_are_refused() {
    check("digest", json!("sha256:00"), Err("64 hexadecimal digits"));
    check(
        "mediaType",
        json!(""),
        Err("a media type is `type/subtype`"),
    );
    check("annotations", json!({"a": 1}), Err("expected a string"));
    // The other entries of an index can be used.
    check("platform", json!("none"), Ok(()));
    check("platform", json!({"os": "linux"}), Ok(()));
}

#[test]
fn dg5_a_key_given_twice_is_refused_wherever_it_stands() {
    let base = format!(r#""mediaType":"a/b","digest":"sha256:{HEX}","size":0"#);
    for more in [
        r#""size":0"#,
        r#""si\u007ae":0"#,
        r#""urls":null,"urls":[]"#,
        r#""x":1,"x":1"#,
        r#""x":[{"y":1,"y":2}]"#,
        r#""annotations":{"a":"b","a":"b"}"#,
        r#""platform":{"os":"a","architecture":"b","os":"a"}"#,
        r#""platform":{"os":"a","architecture":"b","x":1,"x":2}"#,
    ] {
        let error = serde_json::from_str::<Descriptor>(&format!("{{{base},{more}}}")).unwrap_err();
        assert!(
            error.to_string().starts_with("key given twice"),
            "{more}: {error}"
        );
    }
}

#[test]
fn dg3_a_descriptor_verifies_its_content() {
    let descriptor = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
    assert_eq!(descriptor.digest.short(), "44136fa355b3");
    let mut verifier = descriptor.verifier().unwrap();
    verifier.update(b"{}").unwrap();
    assert_eq!(verifier.finish(), Ok(()));
}

fn with_data(data: &str) -> Descriptor {
    let mut descriptor = Descriptor::of(MediaType::OCTET_STREAM, b"hello");
    descriptor.data = Some(data.to_owned());
    descriptor
}

#[test]
fn dg3_embedded_content_is_verified() {
    let content = with_data("aGVsbG8=").embedded().unwrap();
    assert_eq!(content.as_deref(), Some(b"hello".as_slice()));
    let none = Descriptor::of(MediaType::OCTET_STREAM, b"hello");
    assert_eq!(none.embedded(), Ok(None));
    let verify = |data: &str| match with_data(data).embedded() {
        Err(DataError::Verify(error)) => error,
        other => panic!("{data}: {other:?}"),
    };
    let (expected, actual) = (Digest::sha256(b"hello"), Digest::sha256(b"hellp"));
    assert_eq!(verify("aGVsbHA="), VerifyError::Digest { expected, actual });
    let (expected, actual) = (5, 4);
    assert_eq!(
        verify("aGVsbA=="),
        VerifyError::TooShort { expected, actual }
    );
    assert_eq!(verify("aGVsbG8h"), VerifyError::TooLong { expected });
    let error = with_data("aGVsbG8h").embedded().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the embedded content does not match its descriptor: content is longer than the expected \
         5 bytes"
    );
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512] {
        let mut other = with_data("aGVsbG8=");
        other.digest = Digest::of(&algorithm, b"hello").unwrap();
        assert_eq!(other.embedded(), Ok(content.clone()));
    }
}

#[test]
fn dg1_embedded_content_that_cannot_be_verified_is_refused() {
    let mut descriptor = with_data("aGVsbG8=");
    descriptor.digest = format!("blake3:{HEX}").parse().unwrap();
    let error = descriptor.embedded().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the digest algorithm blake3 is not supported, so the content cannot be verified"
    );
}

#[test]
fn embedded_content_is_base64_to_the_letter() {
    for (data, at) in [
        ("aGVs\nbG8=", Some(4)),
        ("aGVsbG8=\n", Some(8)),
        ("aGVsbG_=", Some(6)),
        ("aGVsbG9=", Some(6)),
        ("aGVsbG8", None),
        ("aGVsbG8==", Some(7)),
        ("=", Some(0)),
        ("a", None),
    ] {
        let error = with_data(data).embedded().unwrap_err();
        assert_eq!(error, DataError::Encoding { at }, "{data}");
        let place = at.map_or_else(
            || "it ends too early".to_owned(),
            |at| format!("unexpected character at byte {at}"),
        );
        let expected = format!("the embedded content is not base64: {place}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn the_empty_descriptor_is_that_of_the_specification() {
    let expected = json!({
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
        "data": "e30=",
    });
    assert_eq!(serde_json::to_value(Descriptor::empty()).unwrap(), expected);
    let content = Descriptor::empty().embedded().unwrap();
    assert_eq!(content.as_deref(), Some(b"{}".as_slice()));
}
