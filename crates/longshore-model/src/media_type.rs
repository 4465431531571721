//! Media types: what a piece of content says it is.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::text::text_traits;

/// The longest media type accepted with its parameters, in bytes; longer text is refused.
///
/// RFC 6838 §4.2 bounds type and subtype by 127 characters each, but not the parameters.
pub const MEDIA_TYPE_LIMIT_BYTES: usize = 1024;

/// A media type, `type/subtype` with optional parameters.
///
/// The text is kept as it was sent. Equality, order and hash look at type and subtype only and
/// ignore case, as RFC 9110 §8.3.1 says of them.
///
/// Unknown types are kept like known ones: what may be stored in a registry is open.
#[derive(Clone)]
pub struct MediaType(Cow<'static, str>);

/// Declares the known types: one constant each, and the table that spares them an allocation.
macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*

            fn known(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

known! {
    /// `application/json`: generic, says nothing about the document.
    JSON = "application/json";
    /// `binary/octet-stream`: generic, of object stores for objects without a type.
    BINARY_OCTET_STREAM = "binary/octet-stream";
    /// `application/octet-stream`: generic, says nothing about the document.
    OCTET_STREAM = "application/octet-stream";
    /// `text/plain`: generic, says nothing about the document.
    TEXT_PLAIN = "text/plain";

    /// An OCI image manifest. Source: image-spec v1.1.1 "OCI Image Media Types", as the others.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// An OCI image configuration.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// An OCI content descriptor on its own.
    OCI_DESCRIPTOR = "application/vnd.oci.descriptor.v1+json";
    /// The `oci-layout` file of an image layout.
    OCI_LAYOUT_HEADER = "application/vnd.oci.layout.header.v1+json";
    /// The two bytes `{}` that stand for "nothing" in an artifact.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// A layer as a tar archive.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// A layer as a tar archive compressed with gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer as a tar archive compressed with zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// A layer under distribution restrictions; deprecated.
    OCI_LAYER_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    /// A gzip layer under distribution restrictions; deprecated.
    OCI_LAYER_NONDISTRIBUTABLE_GZIP =
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// A zstd layer under distribution restrictions; deprecated.
    OCI_LAYER_NONDISTRIBUTABLE_ZSTD =
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    /// The artifact manifest of release candidates of image-spec 1.1, withdrawn since.
    OCI_ARTIFACT_MANIFEST = "application/vnd.oci.artifact.manifest.v1+json";

    /// A Docker image manifest, version 2, schema 2. Source: Image Manifest Version 2, Schema 2
    /// "Media Types", as the others.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list, the counterpart of an index.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker container configuration.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// A Docker layer as a tar archive; seen in practice, not in the specification.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
    /// A Docker layer as a tar archive compressed with gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// A Docker layer as a tar archive compressed with zstd; seen in practice.
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// A Docker layer that is fetched from elsewhere; seen in practice without compression.
    DOCKER_LAYER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    /// A Docker layer compressed with gzip that is fetched from elsewhere.
    DOCKER_LAYER_FOREIGN_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// The configuration of a Docker plugin.
    DOCKER_PLUGIN_CONFIG = "application/vnd.docker.plugin.v1+json";
    /// A Docker image manifest of schema 1, obsolete.
    DOCKER_MANIFEST_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// A signed Docker image manifest of schema 1, obsolete.
    DOCKER_MANIFEST_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
}

impl MediaType {
    /// Returns the text as it was sent, with its parameters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns type and subtype, without parameters, in the case they were sent in.
    #[must_use]
    pub fn essence(&self) -> &str {
        essence(&self.0)
    }

    /// Says whether this is an image manifest, OCI or Docker schema 2.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.is_one_of(&[Self::OCI_MANIFEST, Self::DOCKER_MANIFEST])
    }

    /// Says whether this is an image index, or its Docker counterpart, a manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.is_one_of(&[Self::OCI_INDEX, Self::DOCKER_LIST])
    }

    /// Says whether this type is generic and says nothing about the document (DG5).
    #[must_use]
    pub fn is_generic(&self) -> bool {
        self.is_one_of(&[
            Self::BINARY_OCTET_STREAM,
            Self::JSON,
            Self::OCTET_STREAM,
            Self::TEXT_PLAIN,
        ])
    }

    /// Says whether this is an image configuration, OCI or Docker.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.is_one_of(&[Self::OCI_CONFIG, Self::DOCKER_CONFIG])
    }

    /// Says whether this is a file system layer of an image, in any known form.
    #[must_use]
    pub fn is_layer(&self) -> bool {
        self.is_foreign_layer()
            || self.is_one_of(&[
                Self::OCI_LAYER,
                Self::OCI_LAYER_GZIP,
                Self::OCI_LAYER_ZSTD,
                Self::DOCKER_LAYER,
                Self::DOCKER_LAYER_GZIP,
                Self::DOCKER_LAYER_ZSTD,
            ])
    }

    /// Says whether this is a layer that registries often do not hold, because its content may
    /// not be redistributed; its descriptor then names other places in `urls`.
    #[must_use]
    pub fn is_foreign_layer(&self) -> bool {
        self.is_one_of(&[
            Self::OCI_LAYER_NONDISTRIBUTABLE,
            Self::OCI_LAYER_NONDISTRIBUTABLE_GZIP,
            Self::OCI_LAYER_NONDISTRIBUTABLE_ZSTD,
            Self::DOCKER_LAYER_FOREIGN,
            Self::DOCKER_LAYER_FOREIGN_GZIP,
        ])
    }

    fn is_one_of(&self, types: &[Self]) -> bool {
        types.contains(self)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    // RFC 6838 §4.2
    // type-name             = restricted-name
    // subtype-name          = restricted-name
    // restricted-name       = restricted-name-first *126restricted-name-chars
    // restricted-name-first = ALPHA / DIGIT
    // restricted-name-chars = ALPHA / DIGIT / "!" / "#" / "$" / "&" / "-" / "^" / "_" / "." / "+"
    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        if let Some(known) = Self::known(text) {
            return Ok(known);
        }
        if text.len() > MEDIA_TYPE_LIMIT_BYTES {
            return Err(MediaTypeError::TooLong { length: text.len() });
        }
        let essence = essence(text);
        let (top, sub) = essence
            .split_once('/')
            .ok_or(MediaTypeError::Unexpected { at: essence.len() })?;
        check_name(top, 0)?;
        check_name(sub, top.len() + 1)?;
        check_parameters(text, essence.len())?;
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl PartialEq for MediaType {
    fn eq(&self, other: &Self) -> bool {
        self.essence().eq_ignore_ascii_case(other.essence())
    }
}

impl Eq for MediaType {}

impl PartialOrd for MediaType {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MediaType {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lower_case().cmp(other.lower_case())
    }
}

impl Hash for MediaType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lower_case().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}

impl MediaType {
    fn lower_case(&self) -> impl Iterator<Item = u8> {
        self.essence().bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MediaType({})", self.as_str())
    }
}

text_traits!(MediaType, "a media type, `type/subtype`");

/// Text that is not a media type. Positions are in bytes from 0; a text that ends too early is
/// reported at its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaTypeError {
    /// The text is longer than [`MEDIA_TYPE_LIMIT_BYTES`].
    #[error("the media type has {length} bytes, and at most {MEDIA_TYPE_LIMIT_BYTES} are allowed")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// The text leaves the grammar, or type or subtype is longer than 127 bytes.
    #[error("a media type is `type/subtype`: unexpected character or end at byte {at}")]
    Unexpected {
        /// Where the text leaves the grammar.
        at: usize,
    },
}

fn essence(text: &str) -> &str {
    match text.split_once(';') {
        Some((essence, _)) => essence.trim_end_matches([' ', '\t']),
        None => text,
    }
}

fn check_name(name: &str, start: usize) -> Result<(), MediaTypeError> {
    let good = |(at, byte): (usize, u8)| {
        byte.is_ascii_alphanumeric()
            || at > 0
                && matches!(
                    byte,
                    b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+'
                )
    };
    let end = name
        .bytes()
        .enumerate()
        .position(|byte| !good(byte))
        .unwrap_or(name.len());
    if end < name.len() || name.is_empty() || name.len() > NAME_LIMIT_BYTES {
        return Err(MediaTypeError::Unexpected {
            at: start + end.min(NAME_LIMIT_BYTES),
        });
    }
    Ok(())
}

/// Parameters are carried, never acted on: they only have to be harmless in a header.
fn check_parameters(text: &str, start: usize) -> Result<(), MediaTypeError> {
    let good = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    match text.bytes().skip(start).position(|byte| !good(byte)) {
        Some(at) => Err(MediaTypeError::Unexpected { at: start + at }),
        None => Ok(()),
    }
}

const NAME_LIMIT_BYTES: usize = 127;

#[cfg(test)]
mod tests {
    use super::MediaTypeError::{TooLong, Unexpected};
    use super::*;

    fn check(text: &str, expected: Result<&str, MediaTypeError>) {
        let parsed = text.parse::<MediaType>();
        assert_eq!(
            parsed.as_ref().map(MediaType::essence),
            expected.as_deref(),
            "{text}"
        );
        if let Ok(media_type) = parsed {
            assert_eq!(media_type.to_string(), text);
        }
    }

    #[test]
    fn media_types_follow_the_naming_rules() {
        let long = "a".repeat(127);
        check("text/plain", Ok("text/plain"));
        check(
            "application/vnd.x.y-z+json",
            Ok("application/vnd.x.y-z+json"),
        );
        check("text/html; charset=utf-8", Ok("text/html"));
        check("Text/HTML ;a=\"b c\"", Ok("Text/HTML"));
        check(&format!("{long}/{long}"), Ok(&format!("{long}/{long}")));
        check(&format!("{long}a/b"), Err(Unexpected { at: 127 }));
        check(
            &format!("a/b;{}", "c".repeat(1024)),
            Err(TooLong { length: 1028 }),
        );
        check("", Err(Unexpected { at: 0 }));
        check("invalid", Err(Unexpected { at: 7 }));
        check("/b", Err(Unexpected { at: 0 }));
        check("a/", Err(Unexpected { at: 2 }));
        check("a/b/c", Err(Unexpected { at: 3 }));
        check(".foo/bar", Err(Unexpected { at: 0 }));
        check("a/b c", Err(Unexpected { at: 3 }));
        check(" a/b", Err(Unexpected { at: 0 }));
        check("a/b\r\nX: y", Err(Unexpected { at: 3 }));
        check("a/b; c=\u{1b}", Err(Unexpected { at: 7 }));
        check("a/b; c=é", Err(Unexpected { at: 7 }));
    }

    #[test]
    fn parameters_and_case_do_not_tell_types_apart() {
        let sent = "Application/Vnd.OCI.image.index.v1+JSON; charset=utf-8";
        let sent: MediaType = sent.parse().unwrap();
        assert_eq!(sent, MediaType::OCI_INDEX);
        assert_eq!(sent.cmp(&MediaType::OCI_INDEX), Ordering::Equal);
        assert_ne!(sent, MediaType::OCI_MANIFEST);
        let set = std::collections::HashSet::from([MediaType::OCI_INDEX]);
        assert!(set.contains(&sent) && sent.is_index());
    }

    #[test]
    fn classes_do_not_overlap() {
        let classes = |media_type: &MediaType| {
            [
                media_type.is_manifest(),
                media_type.is_index(),
                media_type.is_generic(),
                media_type.is_config(),
                media_type.is_layer(),
            ]
        };
        for (media_type, expected) in [
            (MediaType::OCI_MANIFEST, 0),
            (MediaType::DOCKER_MANIFEST, 0),
            (MediaType::OCI_INDEX, 1),
            (MediaType::DOCKER_LIST, 1),
            (MediaType::JSON, 2),
            (MediaType::TEXT_PLAIN, 2),
            (MediaType::OCTET_STREAM, 2),
            (MediaType::BINARY_OCTET_STREAM, 2),
            (MediaType::OCI_CONFIG, 3),
            (MediaType::DOCKER_CONFIG, 3),
            (MediaType::OCI_LAYER_ZSTD, 4),
            (MediaType::DOCKER_LAYER_GZIP, 4),
            (MediaType::DOCKER_LAYER_FOREIGN_GZIP, 4),
            (MediaType::OCI_LAYER_NONDISTRIBUTABLE, 4),
            (MediaType::OCI_EMPTY, 5),
            (MediaType::DOCKER_MANIFEST_SCHEMA1, 5),
        ] {
            let only = std::array::from_fn(|class| class == expected);
            assert_eq!(classes(&media_type), only, "{media_type}");
        }
        assert!(MediaType::DOCKER_LAYER_FOREIGN_GZIP.is_foreign_layer());
        assert!(!MediaType::DOCKER_LAYER_GZIP.is_foreign_layer());
    }
}
