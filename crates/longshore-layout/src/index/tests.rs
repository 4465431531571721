use longshore_model::{Digest, MediaType};

use super::*;

const OTHERS: &str = concat!(
    r#"{"schemaVersion":2,"org.example.note":{"n":1.50,"big":123456789012345678901234567890},"#,
    r#""manifests":[{"mediaType":"application/vnd.example.thing","#,
    r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","#,
    r#""size":0,"x":1e2,"annotations":{"org.opencontainers.image.ref.name":"other"}}]}"#,
);

fn descriptor(content: &str) -> Descriptor {
    Descriptor::of(MediaType::OCI_MANIFEST, content.as_bytes())
}

fn parse(text: &str) -> IndexFile {
    IndexFile::parse(text.as_bytes()).unwrap()
}

fn names(index: &IndexFile) -> Vec<(Option<String>, Digest)> {
    let named = |entry: &Descriptor| (name::of(entry).map(str::to_owned), entry.digest.clone());
    index.entries().map(named).collect()
}

/// Writes and reads again: what is understood of the bytes is what was meant.
fn round_trip(index: &IndexFile) -> IndexFile {
    let again = IndexFile::parse(&index.to_bytes().unwrap()).unwrap();
    assert!(again.entries().eq(index.entries()));
    again
}

#[test]
fn the_empty_index_is_read_and_written_as_it_is() {
    let index = IndexFile::parse(EMPTY).unwrap();
    assert_eq!(index.entries().count(), 0);
    assert_eq!(round_trip(&index).entries().count(), 0);
}

#[test]
fn an_index_without_a_list_has_no_entries() {
    // Encoders of Go programs write null for an empty list.
    let mut index = parse(r#"{"schemaVersion":2,"manifests":null}"#);
    assert_eq!(index.entries().count(), 0);
    assert!(index.tag("v1", descriptor("1")).unwrap());
    assert_eq!(round_trip(&index).entries().count(), 1);
}

#[test]
fn what_others_wrote_survives_byte_for_byte() {
    let mut index = parse(OTHERS);
    assert!(index.tag("v1", descriptor("1")).unwrap());
    assert!(index.add(descriptor("2")).unwrap());
    let written = String::from_utf8(round_trip(&index).to_bytes().unwrap()).unwrap();
    let others = OTHERS
        .split_once("[")
        .unwrap()
        .1
        .strip_suffix("]}")
        .unwrap();
    assert!(written.contains(others), "{written}");
    let note = r#""org.example.note":{"n":1.50,"big":123456789012345678901234567890}"#;
    assert!(written.contains(note), "{written}");
}

#[test]
fn several_names_lead_to_one_digest() {
    let mut index = IndexFile::parse(EMPTY).unwrap();
    let image = descriptor("1");
    for name in ["v1", "v1.0", "latest"] {
        assert!(index.tag(name, image.clone()).unwrap());
    }
    let expected =
        ["v1", "v1.0", "latest"].map(|name| (Some(name.to_owned()), image.digest.clone()));
    assert_eq!(names(&round_trip(&index)), expected);
}

#[test]
fn a_name_moves_in_its_place() {
    let mut index = IndexFile::parse(EMPTY).unwrap();
    for (name, content) in [("a", "1"), ("b", "2"), ("c", "3")] {
        index.tag(name, descriptor(content)).unwrap();
    }
    assert!(index.tag("b", descriptor("4")).unwrap());
    let expected = [("a", "1"), ("b", "4"), ("c", "3")]
        .map(|(name, content)| (Some(name.to_owned()), descriptor(content).digest));
    assert_eq!(names(&round_trip(&index)), expected);
}

#[test]
fn a_name_given_to_several_is_one_afterwards() {
    let entry = |content: &str| {
        let mut entry = descriptor(content);
        let name = (REF_NAME.to_owned(), "v1".to_owned());
        entry.annotations.extend([name]);
        serde_json::to_string(&entry).unwrap()
    };
    let list = [entry("1"), entry("2"), entry("1")].join(",");
    let mut index = parse(&format!(r#"{{"schemaVersion":2,"manifests":[{list}]}}"#));
    assert!(index.tag("v1", descriptor("1")).unwrap());
    let expected = [(Some("v1".to_owned()), descriptor("1").digest)];
    assert_eq!(names(&round_trip(&index)), expected);
}

#[test]
fn the_same_again_changes_nothing() {
    let mut index = IndexFile::parse(EMPTY).unwrap();
    assert!(index.tag("v1", descriptor("1")).unwrap());
    assert!(!index.tag("v1", descriptor("1")).unwrap());
    assert!(!index.add(descriptor("1")).unwrap());
    assert!(index.add(descriptor("2")).unwrap());
    assert!(!index.add(descriptor("2")).unwrap());
    assert_eq!(index.entries().count(), 2);
}

#[test]
fn an_image_without_a_name_gets_one() {
    let mut index = IndexFile::parse(EMPTY).unwrap();
    let mut annotated = descriptor("1");
    let note = ("org.example.note".to_owned(), "kept".to_owned());
    annotated.annotations.extend([note]);
    index.add(descriptor("1")).unwrap();
    index.tag("v1", descriptor("1")).unwrap();
    let expected = [(Some("v1".to_owned()), descriptor("1").digest)];
    assert_eq!(names(&index), expected);

    // Said in other words by somebody else, it is another entry.
    let mut index = IndexFile::parse(EMPTY).unwrap();
    index.add(annotated.clone()).unwrap();
    index.tag("v1", descriptor("1")).unwrap();
    let expected = [
        (None, annotated.digest),
        (Some("v1".to_owned()), descriptor("1").digest),
    ];
    assert_eq!(names(&round_trip(&index)), expected);
}

#[test]
fn a_name_that_came_with_the_descriptor_is_not_taken_over() {
    let mut index = IndexFile::parse(EMPTY).unwrap();
    let mut named = descriptor("1");
    let name = (REF_NAME.to_owned(), "elsewhere".to_owned());
    named.annotations.extend([name]);
    index.add(named.clone()).unwrap();
    assert_eq!(names(&index), [(None, named.digest.clone())]);
    index.tag("here", named.clone()).unwrap();
    assert_eq!(names(&index), [(Some("here".to_owned()), named.digest)]);
}

#[test]
fn what_is_no_index_is_refused() {
    let cases = [
        "",
        "[]",
        "{}",
        r#"{"schemaVersion":1,"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:0","size":0}]}"#,
        r#"{"schemaVersion":2,"manifests":[]}trailing"#,
    ];
    for text in cases {
        let outcome = IndexFile::parse(text.as_bytes());
        assert!(
            matches!(outcome, Err(Unusable::Manifest(_))),
            "{text}: {outcome:?}"
        );
    }
    let config = serde_json::to_string(&descriptor("1")).unwrap();
    let image = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
    let outcome = IndexFile::parse(image.as_bytes());
    assert!(matches!(outcome, Err(Unusable::NotAnIndex)), "{outcome:?}");
}

// Removing a name keeps all other entries; removing a digest removes all its entries and no others.
#[test]
fn only_what_was_named_is_removed() {
    let mut index = parse(OTHERS);
    for (name, content) in [("v1", "1"), ("v1.0", "1"), ("v2", "2")] {
        assert!(index.tag(name, descriptor(content)).unwrap());
    }
    let before = names(&index);
    assert_eq!(index.remove("v"), 0);
    assert_eq!(index.remove("v1"), 1);
    assert_eq!(
        names(&round_trip(&index)),
        [&before[..1], &before[2..]].concat()
    );
    assert!(index.tag("v1", descriptor("1")).unwrap());
    assert_eq!(index.delete(&Digest::sha256(b"3")), 0);
    assert_eq!(index.delete(&Digest::sha256(b"1")), 2);
    assert_eq!(names(&index), [before[0].clone(), before[3].clone()]);
    let written = String::from_utf8(round_trip(&index).to_bytes().unwrap()).unwrap();
    assert!(
        written.contains("123456789012345678901234567890"),
        "{written}"
    );
}
