//! The names of images in a layout.

use longshore_model::Descriptor;
use longshore_model::annotation::REF_NAME;

use crate::error::NameReason;

/// Maximum length of a name that is written, in bytes: enough for a reference with all its parts.
pub const REF_NAME_LIMIT_BYTES: usize = 1024;

/// Returns the name an entry has, if any.
pub(crate) fn of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// Returns where and why `name` cannot be written.
///
/// The grammar of the specification excludes some tags that registries accept, `_x` and `a__b` for
/// example. They are written too, because every reader compares the whole text; only the set of
/// characters is enforced.
pub(crate) fn check(name: &str) -> Result<(), (usize, NameReason)> {
    // ref       ::= component ("/" component)*
    // component ::= alphanum (separator alphanum)*
    // alphanum  ::= [A-Za-z0-9]+
    // separator ::= [-._:@+] | "--"
    if name.is_empty() {
        return Err((0, NameReason::Empty));
    }
    if name.len() > REF_NAME_LIMIT_BYTES {
        return Err((REF_NAME_LIMIT_BYTES, NameReason::TooLong));
    }
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@+/".contains(&byte);
    match name.bytes().position(|byte| !good(byte)) {
        Some(at) => Err((at, NameReason::Character)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_each(cases: &[(&str, Option<(usize, NameReason)>)]) {
        for (name, expected) in cases {
            assert_eq!(check(name).err(), *expected, "{name:?}");
        }
    }

    #[test]
    fn a_name_has_the_characters_of_the_specification() {
        let long = "a".repeat(REF_NAME_LIMIT_BYTES);
        let too_long = "a".repeat(REF_NAME_LIMIT_BYTES + 1);
        check_each(&[
            ("v1", None),
            ("3.20", None),
            ("_under__scores_", None),
            ("docker.io/library/alpine:3.20", None),
            ("localhost:5000/a/b@sha256:00", None),
            ("1.0.0-rc.1+build", None),
            (&long, None),
            ("", Some((0, NameReason::Empty))),
            (&too_long, Some((REF_NAME_LIMIT_BYTES, NameReason::TooLong))),
            ("a b", Some((1, NameReason::Character))),
            ("a\u{1b}[2J", Some((1, NameReason::Character))),
            ("käse", Some((1, NameReason::Character))),
            ("a\\b", Some((1, NameReason::Character))),
        ]);
    }
}
