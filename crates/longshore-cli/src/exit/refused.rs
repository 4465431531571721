//! What the user can do about a registry that refuses to be written to.
//!
//! No code of the specification says that a tag is immutable, that a quota is used up or that the
//! registry is read-only, and statuses differ, so the text of the answer is searched.

use longshore::model::TagOrDigest;
use longshore::proto::endpoint::{Endpoint, Verb};
use longshore::proto::error_code::ErrorCode;
use longshore::{Error, ErrorKind, Operation};

use super::Exit;

/// Returns the exit code and the advice for a write that was refused; `None` for another error, or
/// if the reason is not known.
pub(super) fn advice(error: &Error) -> Option<(Exit, String)> {
    let refusal = error.refusal().filter(|_| is_write(error))?;
    if let ErrorKind::Auth | ErrorKind::RateLimited | ErrorKind::RealmRefused = error.kind() {
        return None;
    }
    let text = refusal.to_string().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let registry = error.registry();
    let names = |code| refusal.body.names(&code);
    Some(if says(&["immutable", "cannot be overwritten"]) {
        (Exit::Auth, immutable(error))
    } else if says(&[
        "quota",
        "exceed the configured upper limit",
        "storage limit",
    ]) || refusal.status == 507
    {
        let hint = "the quota is used up: delete what is no longer needed, or ask the \
                    administrator of the registry for more";
        (Exit::Disk, hint.to_owned())
    } else if says(&["read-only", "read only", "readonly"]) {
        let hint =
            format!("{registry} is read-only now: try again later, or ask its administrator");
        (Exit::Disk, hint)
    } else if names(ErrorCode::NameUnknown) {
        let hint = format!(
            "{registry} does not create repositories by itself: create it first, with the \
             registry's own program or web page"
        );
        (Exit::NotFound, hint)
    } else if names(ErrorCode::ManifestBlobUnknown) {
        let hint = "put everything that the manifest names into the repository first; \
                    `longshore copy` and `longshore push` do that";
        (Exit::NotFound, hint.to_owned())
    } else if names(ErrorCode::ManifestInvalid) {
        let hint = format!(
            "{registry} does not accept this kind of manifest, or finds an error in it: see its \
             documentation for the types that it supports"
        );
        (Exit::Unsupported, hint)
    } else if error.kind() == ErrorKind::Unsupported {
        let hint = format!("{registry} may be read-only, or may be a mirror");
        (Exit::Unsupported, hint)
    } else {
        return None;
    })
}

fn is_write(error: &Error) -> bool {
    match error.operation() {
        Operation::Push { .. } => true,
        Operation::Request(endpoint) => matches!(endpoint.verb(), Verb::Mount | Verb::Push),
        _ => false,
    }
}

fn immutable(error: &Error) -> String {
    let tag = match error.operation().endpoint() {
        Some(Endpoint::ManifestPut(put)) => match &put.target {
            TagOrDigest::Tag(tag) => format!("the tag {tag}"),
            TagOrDigest::Digest(digest) => format!("the manifest {digest}"),
        },
        _ => "the content".to_owned(),
    };
    format!(
        "{tag} is immutable in this repository: give another tag, or have the owner of the \
         repository allow it to be replaced"
    )
}
