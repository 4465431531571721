//! Entity tags of content that is named by its digest.
//!
//! RFC 9110 §8.8.3, §13.1.2 and §13.1.5:
//!
//! ```text
//! ETag          = entity-tag
//! If-None-Match = "*" / 1#entity-tag
//! If-Range      = entity-tag / HTTP-date
//! entity-tag    = [ "W/" ] DQUOTE *etagc DQUOTE
//! ```
//!
//! The entity tag of content is its digest in quotes, and strong: one digest has one sequence of
//! bytes.

use longshore_model::Digest;

/// The entity tag of the content with this digest.
pub(crate) fn of(digest: &Digest) -> String {
    ["\"", digest.as_str(), "\""].concat()
}

/// Whether the value of `If-None-Match` names the content with this digest, by the weak comparison
/// of RFC 9110 §8.8.3.2.
///
/// A digest without quotes counts as well, as it does in Distribution: some clients send it that
/// way.
pub(crate) fn is_listed(list: &str, digest: &Digest) -> bool {
    list.trim_ascii() == "*" || opaque_tags(list).any(|tag| tag == digest.as_str())
}

/// Whether the value of `If-Range` is the entity tag of the content with this digest, by the strong
/// comparison of RFC 9110 §8.8.3.2. A date never matches: this content has no modification date.
pub(crate) fn is_same(if_range: &str, digest: &Digest) -> bool {
    let quoted = if_range.strip_prefix('"');
    quoted.and_then(|text| text.strip_suffix('"')) == Some(digest.as_str())
}

/// The entity tags of a list, each without its quotes and without `W/`. A comma within quotes
/// belongs to its tag.
fn opaque_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let element = rest.strip_prefix("W/").unwrap_or(rest);
        let (tag, after) = match element.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => element.split_at(element.find([' ', '\t', ',']).unwrap_or(element.len())),
        };
        let is_over = rest.is_empty();
        rest = after;
        (!is_over).then_some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn digest() -> Digest {
        Digest::sha256(b"")
    }

    #[test]
    fn if_none_match_is_a_list_of_weak_or_strong_tags() {
        for (list, listed) in [
            ("*", true),
            (" * ", true),
            ("\"DIGEST\"", true),
            ("W/\"DIGEST\"", true),
            ("DIGEST", true),
            ("\"a\", W/\"b\"\t,\"DIGEST\"", true),
            ("\"a, b\",DIGEST , \"c\"", true),
            ("\"\", , \"DIGEST\"", true),
            ("", false),
            (",", false),
            ("W/", false),
            ("\"*\"", false),
            ("\"a, DIGEST, b\"", false),
            ("\"DIGEST", false),
            ("\"a\" \"b", false),
            ("\"DIGES", false),
            ("DIGEST2", false),
        ] {
            let list = list.replace("DIGEST", DIGEST);
            assert_eq!(is_listed(&list, &digest()), listed, "{list}");
        }
    }

    #[test]
    fn if_range_is_one_strong_tag() {
        assert!(is_same(&of(&digest()), &digest()));
        for other in [
            "W/\"DIGEST\"",
            "DIGEST",
            "\"DIGEST",
            "DIGEST\"",
            "\"a\"",
            "\"",
            "*",
            "",
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            let other = other.replace("DIGEST", DIGEST);
            assert!(!is_same(&other, &digest()), "{other}");
        }
    }
}
