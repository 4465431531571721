//! The text form of an end of a copy: a reference to a registry, or an image layout and a name in
//! it.
//!
//! ```text
//! end       = registry / layout
//! registry  = [ "docker://" ] reference
//! layout    = "oci:" DIR [ ":" NAME ]       ; DIR ends at the first colon, as in skopeo
//!           / ( "ocidir://" / "oci-layout://" ) plain
//! plain     = DIR [ ":" TAG ]               ; TAG starts after the last colon
//! ```
//!
//! A *reference* is what [`Reference`] parses. A *NAME* has the characters of image-spec v1.1.1
//! "Pre-Defined Annotation Keys", so it may be a whole reference. A colon before a `/` belongs to
//! *DIR*; a colon in the last component of a *plain* starts a tag, so a directory whose own name
//! contains a colon is written with a `/` at its end.
//!
//! The forms of other programs for archives, daemons and other storage are errors that name the
//! form. Nothing is looked up: the meaning of a text does not depend on existing files.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use longshore::origin::Escaped;
use longshore_layout::{Layout, LayoutError, NameReason};
use longshore_model::{Digest, NameError, Reference, ReferenceError, ReferenceParts, Tag};

/// Maximum length of the text of an end, in bytes: a path of 4096 bytes with a name.
pub const END_NAME_LIMIT_BYTES: usize = 8192;

const REGISTRY_FORM: &str = "docker://";
const SKOPEO_FORM: &str = "oci:";
/// Prefixes of image layouts in regctl and buildx. The first one is what `Display` writes.
const LAYOUT_FORMS: [&str; 2] = ["ocidir://", "oci-layout://"];

/// Prefixes of other programs for things that are neither a registry nor an image layout.
const OTHER_FORMS: [(&str, &str); 6] = [
    (
        "containers-storage:",
        "the image storage of Podman and CRI-O",
    ),
    ("dir:", "a directory in a format of skopeo"),
    ("docker-archive:", "an archive for `docker load`"),
    ("docker-daemon:", "a Docker daemon"),
    ("oci-archive:", "an archive of an image layout"),
    ("oci://", "a registry in the form of Helm"),
];

/// An end of a copy, as a user names it.
///
/// The grammar is that of the forms `docker://REF`, `REF`, `oci:DIR[:NAME]`, `ocidir://DIR[:TAG]`
/// and `oci-layout://DIR[:TAG]`. `Display` writes a text that parses to the same value.
///
/// ```
/// use longshore_copy::EndName;
///
/// let end: EndName = "alpine:3.20".parse()?;
/// assert_eq!(end.to_string(), "docker://docker.io/library/alpine:3.20");
/// let end: EndName = "oci:images:3.20".parse()?;
/// assert_eq!(end, EndName::Layout(EndName::parse_layout("images:3.20")?));
/// # Ok::<(), longshore_copy::EndNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EndName {
    /// An image in a registry.
    Registry(Reference),
    /// An image layout on disk.
    Layout(LayoutName),
}

impl EndName {
    /// Parses an end where both a registry and a layout are possible. Text without a prefix is a
    /// reference to a registry.
    ///
    /// # Errors
    ///
    /// [`EndNameError`] says which part breaks the grammar. A text that looks like a path is
    /// [`EndNameError::Path`], because it is more likely a layout without its prefix.
    pub fn parse(text: &str) -> Result<Self, EndNameError> {
        if let Some(layout) = LayoutName::prefixed(text)? {
            return Ok(Self::Layout(layout));
        }
        let reference = match text.strip_prefix(REGISTRY_FORM) {
            Some(reference) => reference,
            None if looks_like_path(text) => {
                let text = text.to_owned();
                return Err(EndNameError::Path { text });
            }
            None => {
                check_url(text)?;
                text
            }
        };
        Ok(Self::Registry(Reference::parse(reference)?))
    }

    /// Returns the text of a reference, a repository or a registry without the prefix
    /// `docker://`, where only a registry is possible.
    #[must_use]
    pub fn registry_text(text: &str) -> &str {
        text.strip_prefix(REGISTRY_FORM).unwrap_or(text)
    }

    /// Parses an end where only an image layout is possible: `DIR[:TAG]`, or a form with a prefix.
    ///
    /// Text that begins with `./`, `../` or `/` is always a path. Other text that reads as a
    /// reference with the host of a registry is refused, so that it does not become a directory.
    ///
    /// # Errors
    ///
    /// [`EndNameError`] says which part breaks the grammar.
    pub fn parse_layout(text: &str) -> Result<LayoutName, EndNameError> {
        if let Some(layout) = LayoutName::prefixed(text)? {
            return Ok(layout);
        }
        if text.starts_with(REGISTRY_FORM) || names_registry(text) {
            return Err(EndNameError::Registry);
        }
        check_url(text)?;
        LayoutName::plain(text)
    }
}

/// The name of an image layout, and of an image in it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LayoutName {
    /// The directory of the layout; it is not empty.
    pub path: PathBuf,
    /// The name of an entry in the index of the layout, which [`Layout::check_name`] accepts.
    pub name: Option<String>,
}

impl LayoutName {
    /// Parses a text with a prefix; `None` means that there is none.
    fn prefixed(text: &str) -> Result<Option<Self>, EndNameError> {
        if text.len() > END_NAME_LIMIT_BYTES {
            return Err(EndNameError::TooLong { length: text.len() });
        }
        for (form, what) in OTHER_FORMS {
            if text.starts_with(form) {
                return Err(EndNameError::OtherForm { form, what });
            }
        }
        if let Some(rest) = text.strip_prefix(SKOPEO_FORM) {
            return Self::skopeo(rest).map(Some);
        }
        let plain = LAYOUT_FORMS.iter().find_map(|form| text.strip_prefix(form));
        plain.map(Self::plain).transpose()
    }

    /// Parses the part after `oci:` as skopeo does: the path ends at the first colon, and the name
    /// may be a whole reference.
    fn skopeo(rest: &str) -> Result<Self, EndNameError> {
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (rest, None),
        };
        let layout = Self::new(path, name)?;
        match name.map(Layout::check_name) {
            Some(Err(LayoutError::Name { at, reason, .. })) => {
                Err(EndNameError::Name { at, reason })
            }
            _ => Ok(layout),
        }
    }

    /// Parses `DIR[:TAG]`.
    fn plain(text: &str) -> Result<Self, EndNameError> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains(['/', '\\']) => (path, Some(tag)),
            _ => (text, None),
        };
        if text.is_empty() {
            return Err(EndNameError::Empty);
        }
        if path.ends_with(".tar") {
            return Err(EndNameError::Archive);
        }
        let layout = Self::new(path, tag)?;
        match tag.map(str::parse::<Tag>) {
            Some(Err(reason)) => Err(EndNameError::Tag(reason)),
            _ => Ok(layout),
        }
    }

    /// Joins the parts. The name is checked by the caller.
    fn new(path: &str, name: Option<&str>) -> Result<Self, EndNameError> {
        if path.is_empty() {
            return Err(EndNameError::NoDirectory);
        }
        if let (Some((_, algorithm)), Some(hex)) = (path.rsplit_once('@'), name)
            && format!("{algorithm}:{hex}").parse::<Digest>().is_ok()
        {
            return Err(EndNameError::Digest);
        }
        Ok(Self {
            path: PathBuf::from(path),
            name: name.map(str::to_owned),
        })
    }
}

/// Says whether text without a prefix is written as a path, and is no reference.
fn looks_like_path(text: &str) -> bool {
    let starts = ["/", "./", "../", "~"];
    starts.iter().any(|start| text.starts_with(start))
        || matches!(text, "." | "..")
        || text.contains('\\')
}

/// Says whether a text without a prefix is a reference with a host that only a registry has: one
/// with a port, in a top-level domain, `localhost`, or an IPv4 address.
fn names_registry(text: &str) -> bool {
    let Ok(ReferenceParts {
        registry: Some(registry),
        ..
    }) = ReferenceParts::parse(text)
    else {
        return false;
    };
    let is_domain = |(_, last): (&str, &str)| {
        last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    registry == "localhost"
        || registry.contains(':')
        || registry.rsplit_once('.').is_some_and(is_domain)
        || registry.parse::<Ipv4Addr>().is_ok()
}

/// Refuses a text with a scheme that is not one of the known forms.
fn check_url(text: &str) -> Result<(), EndNameError> {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.contains(['/', '.']) => Err(EndNameError::Url),
        _ => Ok(()),
    }
}

impl FromStr for EndName {
    type Err = EndNameError;

    fn from_str(text: &str) -> Result<Self, EndNameError> {
        Self::parse(text)
    }
}

impl fmt::Display for EndName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{REGISTRY_FORM}{reference}"),
            Self::Layout(layout) => layout.fmt(f),
        }
    }
}

/// Writes `oci:DIR[:NAME]`, or `ocidir://DIR[:TAG]` for a path that the first form cannot hold.
impl fmt::Display for LayoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        let [plain, _] = LAYOUT_FORMS;
        let is_plain = path.contains(':') || path.starts_with("//");
        let form = if is_plain { plain } else { SKOPEO_FORM };
        write!(f, "{form}{path}")?;
        match &self.name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

/// Why a text is not an end. The messages do not repeat the text, except for the hint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndNameError {
    /// The path ends in `.tar`.
    #[error("it names an archive, and archives are not supported yet")]
    Archive,
    /// The path of a layout is followed by a digest.
    #[error("it selects an entry of an image layout by its digest, and only names are supported")]
    Digest,
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// What follows the path is not the name of an entry in a layout.
    #[error("malformed name after the directory: {reason}")]
    Name {
        /// The position in the name, in bytes from 0.
        at: usize,
        /// What is wrong with the name.
        reason: NameReason,
    },
    /// The path of a layout is empty.
    #[error("it contains no directory")]
    NoDirectory,
    /// A form of another program for something that is neither a registry nor an image layout.
    #[error("`{form}` names {what}, which is not supported")]
    OtherForm {
        /// The prefix of the form.
        form: &'static str,
        /// What the form names.
        what: &'static str,
    },
    /// A path without a prefix, where text without a prefix is a reference.
    #[error("it is a path, and a path needs the prefix `oci:` here")]
    Path {
        /// The text.
        text: String,
    },
    /// It is not a reference. Positions are those in the text after `docker://`.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference to a registry, where only an image layout is possible.
    #[error("it names an image in a registry, and not an image layout")]
    Registry,
    /// What follows the last colon is not a tag.
    #[error("malformed tag after the last colon: {0}")]
    Tag(NameError),
    /// The text is longer than [`END_NAME_LIMIT_BYTES`].
    #[error("it has {length} bytes, and at most {END_NAME_LIMIT_BYTES} are allowed")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// A URL with an unknown scheme.
    #[error("it is a URL, and not the name of a registry's image or of an image layout")]
    Url,
}

impl EndNameError {
    /// Returns what the user can write instead, where this error suggests one thing.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Archive => {
                "name a directory for an image layout; \
                 `tar -cf IMAGE.tar -C DIR .` makes an archive of it"
            }
            Self::Empty => "name a directory, as DIR or DIR:TAG",
            Self::OtherForm { form: "oci://", .. } => "write docker://REF for a registry",
            Self::Path { text } => {
                let text = Escaped::text(text);
                return Some(format!("write oci:{text} for an image layout"));
            }
            Self::Registry => "write ./ before the path of a directory; copy writes to a registry",
            Self::Tag(_) => "end the path with / if its last component contains a colon",
            Self::Url => "write docker://REF, without https://, for a registry",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

#[cfg(test)]
mod tests;
