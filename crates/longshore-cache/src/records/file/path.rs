//! The path of each record.
//!
//! ```text
//! content  = "meta/" algorithm "/" two "/" encoded       two: the first two digits of the digest
//! mark     = "own/" image "/" digest
//! tag      = "tags/" image "/" tag-file
//! list     = "lists/" image "/" ( "tags" / "referrers-" digest )
//! image    = name "/" name                               the upstream and its repository
//! name     = a name with "+" for each "/"
//! digest   = algorithm "-" encoded
//! tag-file = lower-case tag [ "+" case ]
//! case     = one hexadecimal digit for each four characters of the tag: a bit is set where the
//!            character is an upper-case letter, the highest bit for the first of the four
//! ```
//!
//! No two records share a path, even on a file system that ignores case: names and registered
//! digests have no upper-case letters, and neither names nor tags have a `+`. A name is one
//! component, so `a/b` is not below `a`. A digest of an unknown algorithm may have upper-case
//! letters: its `algorithm` is `other` and its `encoded` is the SHA-256 of its text.

use longshore_model::{Algorithm, Digest, RepositoryName, Tag};

use crate::name::{ImageName, UpstreamName};
use crate::records::ListKey;

/// The directory of all records, in the directory of a cache.
pub(super) const RECORDS: &str = "records";
/// The top directories.
pub(super) const META: &str = "meta";
pub(super) const OWN: &str = "own";
pub(super) const TAGS: &str = "tags";
pub(super) const LISTS: &str = "lists";
/// Files that are being written.
pub(super) const TEMPORARY: &str = "tmp";

/// The path of a file: its directories below the root, and its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilePath {
    pub(super) directories: Vec<String>,
    pub(super) name: String,
}

pub(super) fn content(digest: &Digest) -> FilePath {
    let (algorithm, encoded) = parts(digest);
    let shard = encoded.get(..2).unwrap_or(&encoded).to_owned();
    FilePath {
        directories: vec![META.to_owned(), algorithm, shard],
        name: encoded,
    }
}

pub(super) fn mark(name: &ImageName, digest: &Digest) -> FilePath {
    FilePath {
        directories: image(OWN, name),
        name: digest_component(digest),
    }
}

pub(super) fn tag(name: &ImageName, tag: &Tag) -> FilePath {
    FilePath {
        directories: image(TAGS, name),
        name: tag_component(tag),
    }
}

pub(super) fn list(name: &ImageName, key: &ListKey) -> FilePath {
    FilePath {
        directories: image(LISTS, name),
        name: match key {
            ListKey::Tags => "tags".to_owned(),
            ListKey::Referrers(subject) => format!("referrers-{}", digest_component(subject)),
        },
    }
}

/// The directories of a repository below a top directory.
pub(super) fn image(top: &str, name: &ImageName) -> Vec<String> {
    let component = |name: &str| name.replace('/', "+");
    vec![
        top.to_owned(),
        component(name.upstream.as_str()),
        component(name.repository.as_str()),
    ]
}

/// Reads the names back from the components of [`image`].
pub(super) fn upstream_of(component: &str) -> Option<UpstreamName> {
    component.replace('+', "/").parse().ok()
}

pub(super) fn repository_of(component: &str) -> Option<RepositoryName> {
    component.replace('+', "/").parse().ok()
}

fn digest_component(digest: &Digest) -> String {
    let (algorithm, encoded) = parts(digest);
    format!("{algorithm}-{encoded}")
}

/// The algorithm and the encoded part of a digest, as components of a path.
pub(super) fn parts(digest: &Digest) -> (String, String) {
    match digest.algorithm() {
        known @ (Algorithm::Sha256 | Algorithm::Sha384 | Algorithm::Sha512) => {
            (known.as_str().to_owned(), digest.encoded().to_owned())
        }
        _ => {
            let hash = Digest::sha256(digest.as_str().as_bytes());
            ("other".to_owned(), hash.encoded().to_owned())
        }
    }
}

fn tag_component(tag: &Tag) -> String {
    let text = tag.as_str();
    let mut name = text.to_ascii_lowercase();
    if name == text {
        return name;
    }
    name.push('+');
    for four in text.as_bytes().chunks(4) {
        let bits = (0..4).fold(0, |bits, at| {
            let is_upper = four.get(at).is_some_and(u8::is_ascii_uppercase);
            bits << 1 | u32::from(is_upper)
        });
        name.extend(char::from_digit(bits, 16));
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(upstream: &str, repository: &str) -> ImageName {
        ImageName::new(upstream.parse().unwrap(), repository.parse().unwrap())
    }

    fn joined(path: &FilePath) -> String {
        format!("{}/{}", path.directories.join("/"), path.name)
    }

    #[test]
    fn each_record_has_its_place() {
        let name = image("team/mirror", "a/b");
        let digest = Digest::sha256(b"");
        let hex = digest.encoded();
        assert_eq!(joined(&content(&digest)), format!("meta/sha256/e3/{hex}"));
        assert_eq!(
            joined(&mark(&name, &digest)),
            format!("own/team+mirror/a+b/sha256-{hex}")
        );
        let tag_of = |text: &str| joined(&tag(&name, &text.parse().unwrap()));
        assert_eq!(tag_of("latest"), "tags/team+mirror/a+b/latest");
        assert_eq!(tag_of("LATEst"), "tags/team+mirror/a+b/latest+f0");
        assert_eq!(tag_of("3.20-RC"), "tags/team+mirror/a+b/3.20-rc+06");
        assert_eq!(
            joined(&list(&name, &ListKey::Tags)),
            "lists/team+mirror/a+b/tags"
        );
        let referrers = ListKey::Referrers(digest.clone());
        let expected = format!("lists/team+mirror/a+b/referrers-sha256-{hex}");
        assert_eq!(joined(&list(&name, &referrers)), expected);
        let other = mark(&name, &"md4:AbC".parse().unwrap()).name;
        assert_eq!(
            other,
            format!("other-{}", Digest::sha256(b"md4:AbC").encoded())
        );
    }

    #[test]
    fn the_longest_tag_fits_a_file_name() {
        let longest = "A".repeat(128).parse().unwrap();
        assert_eq!(tag_component(&longest).len(), 161);
    }

    proptest! {
        #[test]
        fn two_tags_share_no_path_in_any_case(a in "[aA_][aAb.-]{0,6}", b in "[aA_][aAb.-]{0,6}") {
            let path = |tag: &str| tag_component(&tag.parse().unwrap());
            let is_same = path(&a).eq_ignore_ascii_case(&path(&b));
            prop_assert_eq!(is_same, a == b);
        }

        #[test]
        fn names_read_back(
            upstream in "[a-c]{1,2}(/[a-c]{1,2}){0,2}",
            repository in "[a-c]([._/-][a-c]){0,3}",
        ) {
            let name = image(&upstream, &repository);
            let path = super::image(OWN, &name);
            let [_, upstream, repository] = &path[..] else { panic!("three components") };
            prop_assert_eq!(upstream_of(upstream), Some(name.upstream));
            prop_assert_eq!(repository_of(repository), Some(name.repository));
        }
    }
}
