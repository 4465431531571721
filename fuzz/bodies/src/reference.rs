//! References: what parses is canonical, within limits, and made of values that parse alone.

use longshore_model::{
    Digest, REPOSITORY_NAME_LIMIT_BYTES, Reference, ReferenceParts, RepositoryName,
    TAG_LIMIT_BYTES, Tag, TagOrDigest, Verifier,
};

use crate::shown::is_plain;

/// Reads the bytes as one reference.
///
/// # Panics
///
/// When the canonical text, the familiar text or the parts of a reference do not lead back to it,
/// when a part is longer than its limit, or when an error is no line to show.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Reference::parse(text) {
        Ok(reference) => {
            reads_back(&reference);
            is_made_of_its_parts(&reference);
            as_written(text);
        }
        Err(error) => is_plain(&error),
    }
}

fn reads_back(reference: &Reference) {
    for text in [reference.to_string().as_str(), reference.familiar()] {
        assert_eq!(Reference::parse(text).as_ref(), Ok(reference), "{text:?}");
    }
}

fn is_made_of_its_parts(reference: &Reference) {
    let repository = reference.repository();
    assert_eq!(
        repository.as_str().parse::<RepositoryName>().as_ref(),
        Ok(&repository)
    );
    assert!(
        repository.as_str().len() <= REPOSITORY_NAME_LIMIT_BYTES,
        "DG8"
    );
    let mut text = format!("{}/{repository}", reference.registry());
    if let Some(tag) = reference.tag() {
        assert_eq!(tag.as_str().parse::<Tag>().as_ref(), Ok(&tag));
        assert!(tag.as_str().len() <= TAG_LIMIT_BYTES, "DG8");
        text.push_str(&format!(":{tag}"));
        assert_eq!(reference.with_tag(&tag).target(), TagOrDigest::Tag(tag));
    }
    if let Some(digest) = reference.digest() {
        assert_eq!(digest.as_str().parse::<Digest>().as_ref(), Ok(&digest));
        assert!(Verifier::new(&digest, None).is_ok(), "DG1: {digest}");
        text.push_str(&format!("@{digest}"));
        assert_eq!(reference.with_digest(&digest), *reference);
        assert_eq!(reference.target(), TagOrDigest::Digest(digest));
    }
    assert_eq!(text, reference.to_string());
}

/// The plain grammar accepts at least what Docker's rules do, and its parts are the text.
fn as_written(text: &str) {
    let parts = ReferenceParts::parse(text)
        .unwrap_or_else(|error| panic!("{text:?} has no parts: {error}"));
    let registry = parts
        .registry
        .map(|registry| format!("{registry}/"))
        .unwrap_or_default();
    let tag = parts.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    let digest = parts
        .digest
        .map(|digest| format!("@{digest}"))
        .unwrap_or_default();
    assert_eq!(format!("{registry}{}{tag}{digest}", parts.path), text);
}
