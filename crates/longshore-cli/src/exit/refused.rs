//! What the user can do about a registry that refuses a write.

use longshore::model::TagOrDigest;
use longshore::proto::WriteRefusal;
use longshore::proto::endpoint::Endpoint;
use longshore::{Error, ErrorKind};

use super::Exit;

/// Returns the exit code and the advice for a refused write; `None` for another error, or if the
/// answer does not give the reason.
pub(super) fn advice(error: &Error) -> Option<(Exit, String)> {
    let registry = error.registry();
    Some(match error.write_refusal()? {
        WriteRefusal::BlobUnknown { .. } => (
            Exit::NotFound,
            "put everything that the manifest refers to into the repository first; `longshore \
             copy` and `longshore push` do that"
                .to_owned(),
        ),
        WriteRefusal::ImmutableTag => (Exit::Auth, immutable(error)),
        WriteRefusal::ManifestInvalid { .. } => (
            Exit::Unsupported,
            format!(
                "{registry} does not accept this kind of manifest, or finds an error in it: see \
                 its documentation for the types that it supports"
            ),
        ),
        WriteRefusal::Quota => (
            Exit::Disk,
            "delete what is no longer needed, or ask the administrator of the registry for more"
                .to_owned(),
        ),
        WriteRefusal::ReadOnly => (
            match error.kind() {
                ErrorKind::Unsupported => Exit::Unsupported,
                _ => Exit::Disk,
            },
            format!(
                "{registry} is read-only for now, or is a mirror: try again later, or ask its \
                 administrator"
            ),
        ),
        WriteRefusal::RepositoryMissing => (
            Exit::NotFound,
            format!("create the repository first, with the program or web page of {registry}"),
        ),
        _ => return None,
    })
}

fn immutable(error: &Error) -> String {
    let tag = match error.operation().endpoint() {
        Some(Endpoint::ManifestPut(put)) => match &put.target {
            TagOrDigest::Tag(tag) => format!("the tag {tag}"),
            TagOrDigest::Digest(digest) => format!("the manifest {digest}"),
        },
        _ => "it".to_owned(),
    };
    format!(
        "{tag} is immutable: give another tag, or have the owner of the repository allow changes"
    )
}
