//! Splitting a reference, first by the plain grammar, then by the rules of Docker.

use super::{DEFAULT_REGISTRY, OFFICIAL, REFERENCE_LIMIT_BYTES, ReferenceError};
use crate::digest::{Algorithm, Hasher, check_digest};
use crate::name::{NameError, check_repository, check_tag};
use crate::text::split_once;

/// The parts of a reference as they were written, before any default.
///
/// This is the plain grammar, which calls everything before the first slash a registry if it
/// can be one: `library/alpine` names a registry `library`. Only [`Reference`](super::Reference)
/// applies Docker's rules; the parts say what was written, whether there was a tag for example.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ReferenceParts<'a> {
    /// The registry, where one was written.
    pub registry: Option<&'a str>,
    /// The repository name.
    pub path: &'a str,
    /// The tag, where one was written.
    pub tag: Option<&'a str>,
    /// The digest, where one was written.
    pub digest: Option<&'a str>,
}

impl<'a> ReferenceParts<'a> {
    /// Splits `text` by the plain grammar.
    ///
    /// # Errors
    ///
    /// [`ReferenceError`] says which part leaves its grammar, and where.
    pub fn parse(text: &'a str) -> Result<Self, ReferenceError> {
        if text.len() > REFERENCE_LIMIT_BYTES {
            return Err(ReferenceError::TooLong { length: text.len() });
        }
        let registry = text
            .split_once('/')
            .and_then(|(first, _)| check_registry(first.as_bytes()).is_ok().then_some(first));
        let start = registry.map_or(0, |registry| registry.len() + 1);
        let parts = remainder(text, start, "")?;
        Ok(Self { registry, ..parts })
    }
}

/// Splits `text` by the rules of Docker into the registry, what the default puts before the
/// repository name, and the other parts.
pub(super) fn normalized(
    text: &str,
) -> Result<(&str, &'static str, ReferenceParts<'_>), ReferenceError> {
    let (registry, start) = match split_once(text, b'/') {
        Some((first, _)) if reads_as_registry(first) => {
            check_registry(first.as_bytes()).map_err(|at| registry_error(text, at))?;
            (first, first.len() + 1)
        }
        _ => (DEFAULT_REGISTRY, 0),
    };
    let hub = is_docker_hub(registry);
    let registry = if hub { DEFAULT_REGISTRY } else { registry };
    let one = !text.bytes().skip(start).any(|byte| byte == b'/');
    let prefix = if hub && one { OFFICIAL } else { "" };
    if start == 0 && is_identifier(text) {
        return Err(ReferenceError::Identifier);
    }
    Ok((registry, prefix, remainder(text, start, prefix)?))
}

/// Says whether the first component of a name reads as a registry of its own.
pub(super) fn starts_with_registry(name: &str) -> bool {
    split_once(name, b'/').is_some_and(|(first, _)| reads_as_registry(first))
}

/// Docker's rule: a first component is a registry if it could not be the first component of a
/// repository on Docker Hub (which has no dot, no colon and no upper case), or is `localhost`.
fn reads_as_registry(first: &str) -> bool {
    let marked = |byte: u8| matches!(byte, b'.' | b':' | b'A'..=b'Z');
    first == "localhost" || first.bytes().any(marked)
}

/// The names of Docker Hub, in any case. Docker itself treats the last one as another registry with
/// the same content.
pub(crate) fn is_docker_hub(registry: &str) -> bool {
    let names = ["docker.io", "index.docker.io", "registry-1.docker.io"];
    names.iter().any(|name| registry.eq_ignore_ascii_case(name))
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

// remainder ::= path (":" tag)? ("@" digest)?
fn remainder<'a>(
    text: &'a str,
    start: usize,
    prefix: &str,
) -> Result<ReferenceParts<'a>, ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::Empty);
    }
    let rest = text.get(start..).unwrap_or_default();
    let (rest, digest) = match split_once(rest, b'@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let (path, tag) = match split_once(rest, b':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    check_repository(path.as_bytes(), prefix.len()).map_err(|error| match error {
        NameError::Unexpected { .. } if text.contains("://") => ReferenceError::Scheme,
        error => ReferenceError::Name {
            start,
            reason: error.shifted(start),
        },
    })?;
    if let Some(tag) = tag {
        let start = start + path.len() + 1;
        check_tag(tag.as_bytes()).map_err(|error| match error {
            _ if tag.starts_with("//") => ReferenceError::Scheme,
            error => ReferenceError::Tag {
                start,
                reason: error.shifted(start),
            },
        })?;
    }
    if let Some(digest) = digest {
        let start = start + rest.len() + 1;
        let algorithm = check_digest(digest).map_err(|error| ReferenceError::Digest {
            start,
            reason: error.shifted(start),
        })?;
        Hasher::new(&Algorithm::known_or_other(algorithm))?;
    }
    Ok(ReferenceParts {
        registry: None,
        path,
        tag,
        digest,
    })
}

fn registry_error(text: &str, at: usize) -> ReferenceError {
    if text.contains("://") {
        ReferenceError::Scheme
    } else {
        ReferenceError::Registry { at }
    }
}

// registry  ::= host (":" [0-9]+)?
// host      ::= component ("." component)* | "[" [a-fA-F0-9:]+ "]"
// component ::= [a-zA-Z0-9] | [a-zA-Z0-9] [a-zA-Z0-9-]* [a-zA-Z0-9]
fn check_registry(registry: &[u8]) -> Result<(), usize> {
    let host = match registry {
        [b'[', rest @ ..] => {
            let inside = rest
                .iter()
                .take_while(|byte| byte.is_ascii_hexdigit() || **byte == b':');
            let length = inside.count();
            match rest.get(length) {
                Some(b']') if length > 0 => length + 2,
                _ => return Err(1 + length),
            }
        }
        _ => check_host_name(registry)?,
    };
    match registry.get(host..) {
        None | Some([]) => Ok(()),
        Some([b':', port @ ..]) if !port.is_empty() => {
            match port.iter().position(|byte| !byte.is_ascii_digit()) {
                Some(at) => Err(host + 1 + at),
                None => Ok(()),
            }
        }
        Some([b':']) => Err(host + 1),
        Some(_) => Err(host),
    }
}

/// Returns where the host name ends: at a colon, or at the end of the text.
fn check_host_name(registry: &[u8]) -> Result<usize, usize> {
    let mut before = b'.';
    for (at, &byte) in registry.iter().enumerate() {
        match (before, byte) {
            (_, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9') => {}
            (b'.', _) => return Err(at),
            (_, b'-') => {}
            (b'-', _) => return Err(at),
            (_, b'.') => {}
            (_, b':') => return Ok(at),
            _ => return Err(at),
        }
        before = byte;
    }
    if matches!(before, b'.' | b'-') {
        Err(registry.len())
    } else {
        Ok(registry.len())
    }
}
