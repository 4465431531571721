//! The ends of a copy, as the user names them.

use std::fmt;
use std::sync::Arc;

use longshore::Client;
use longshore::model::{Reference, Tag, TagOrDigest};
use longshore_copy::{End, EndName, Journal, LayoutEnd, LayoutEntry, LayoutName, RegistryEnd};
use longshore_layout::Layout;

use crate::connect;
use crate::exit::{Exit, Failure};

/// An end of a copy.
#[derive(PartialEq)]
pub(super) enum Place {
    Layout(LayoutName),
    /// A reference, and the tag or digest in it that is used.
    Registry(Reference, TagOrDigest),
}

impl Place {
    pub(super) fn source(text: &str) -> Result<Self, Failure> {
        let end = EndName::parse(text);
        match end.map_err(|error| Failure::end(text, "a source", &error))? {
            EndName::Registry(reference) => {
                let target = reference.target();
                Ok(Self::Registry(reference, target))
            }
            EndName::Layout(layout) => Ok(Self::Layout(layout)),
            _ => Err(unknown(text)),
        }
    }

    /// Parses the source of a push.
    pub(super) fn layout(text: &str) -> Result<Self, Failure> {
        let layout = EndName::parse_layout(text);
        let layout = layout.map_err(|error| Failure::end(text, "an image layout", &error))?;
        Ok(Self::Layout(layout))
    }

    /// Parses a destination. Without a tag or a name, it gets that of the source.
    pub(super) fn destination(text: &str, source: &Self) -> Result<Self, Failure> {
        let end = EndName::parse(text);
        match end.map_err(|error| Failure::end(text, "a destination", &error))? {
            EndName::Registry(_) => Self::tagged(text, source),
            EndName::Layout(mut layout) => {
                layout.name = layout.name.or_else(|| source.name());
                Ok(Self::Layout(layout))
            }
            _ => Err(unknown(text)),
        }
    }

    /// Parses the destination of a push.
    pub(super) fn registry(text: &str, source: &Self) -> Result<Self, Failure> {
        match Self::destination(text, source)? {
            Self::Layout(_) => {
                let what = format!("\"{text}\" names an image layout, and `push` is to a registry");
                let hint = "`longshore copy` also writes image layouts";
                Err(Failure::new(Exit::Usage, &what).hint(hint))
            }
            place => Ok(place),
        }
    }

    /// Parses a destination in a registry, which has a tag or a digest. Without either, it gets the
    /// tag of the source; `latest` is never assumed.
    fn tagged(text: &str, source: &Self) -> Result<Self, Failure> {
        let (reference, tag) = connect::reference_and_tag(EndName::registry_text(text))?;
        match (tag, reference.digest()) {
            (Some(_), Some(_)) => {
                let what = format!("\"{text}\" has a tag and a digest, but a destination has one");
                Err(Failure::new(Exit::Usage, &what).hint("leave out the digest"))
            }
            (None, Some(digest)) => Ok(Self::Registry(reference, digest.into())),
            (tag, None) => match tag.or_else(|| source.tag()) {
                Some(tag) => Ok(Self::Registry(reference.with_tag(&tag), tag.into())),
                None => {
                    let what = format!("\"{text}\" has no tag, and the source has none either");
                    let hint = format!("give {text}:TAG, or {text}@DIGEST");
                    Err(Failure::new(Exit::Usage, &what).hint(&hint))
                }
            },
        }
    }

    /// Returns whether both are one place. A path may be written in several ways.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Layout(one), Self::Layout(two)) => {
                let path = |it: &LayoutName| std::path::absolute(&it.path).ok();
                one.name == two.name && path(one) == path(two)
            }
            _ => self == other,
        }
    }

    fn tag(&self) -> Option<Tag> {
        match self {
            Self::Layout(layout) => layout.name.as_ref()?.parse().ok(),
            Self::Registry(reference, _) => reference.tag(),
        }
    }

    /// The name that the image gets in a layout if none is written.
    fn name(&self) -> Option<String> {
        match self {
            Self::Layout(layout) => layout.name.clone(),
            Self::Registry(reference, _) => reference.tag_str().map(str::to_owned),
        }
    }

    pub(super) fn registry_name(&self) -> Option<&str> {
        match self {
            Self::Layout(_) => None,
            Self::Registry(reference, _) => Some(reference.registry()),
        }
    }

    /// The title of a progress bar.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Layout(layout) => layout.to_string(),
            Self::Registry(reference, _) => reference.familiar().to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(layout) => layout.fmt(f),
            Self::Registry(reference, _) => reference.fmt(f),
        }
    }
}

/// Makes the failure for a kind of end that the library supports and this program does not.
fn unknown(text: &str) -> Failure {
    Failure::new(Exit::Usage, &format!("\"{text}\" cannot be copied"))
}

/// Checks the ends before any request: that the layouts can be used, and that no destination is
/// given twice.
pub(super) fn check(source: &Place, destinations: &[Place]) -> Result<(), Failure> {
    if let Place::Layout(layout) = source {
        Layout::open(&layout.path).map_err(Failure::source_layout)?;
    }
    for (number, place) in destinations.iter().enumerate() {
        if destinations.iter().take(number).any(|it| it.is_same(place)) {
            let what = format!("{place} is given twice");
            return Err(Failure::new(Exit::Usage, &what).hint("name each destination once"));
        }
        if let Place::Layout(layout) = place {
            Layout::check_destination(&layout.path)?;
        }
    }
    Ok(())
}

/// Makes the ends of a copy.
pub(super) struct Opener<'a> {
    /// The client for the registries among the ends.
    pub(super) client: Option<&'a Client>,
    /// The size of the chunks of an upload, in bytes.
    pub(super) chunk: Option<u64>,
    pub(super) journal: Option<Arc<Journal>>,
}

impl Opener<'_> {
    pub(super) async fn open(&self, place: &Place) -> Result<Arc<dyn End>, Failure> {
        let (reference, target) = match (place, self.client) {
            (Place::Registry(reference, target), Some(client)) => {
                (client.repository(reference).await?, target.clone())
            }
            (Place::Layout(layout), _) => {
                let entry = LayoutEntry::new(&layout.path);
                return Ok(Arc::new(LayoutEnd::new(match &layout.name {
                    Some(name) => entry.named(name),
                    None => entry,
                })));
            }
            (Place::Registry(..), None) => return Err(unknown(&place.to_string())),
        };
        let mut end = RegistryEnd::new(reference, target);
        if let Some(bytes) = self.chunk {
            end = end.with_chunk(bytes);
        }
        if let Some(journal) = &self.journal {
            end = end.with_journal(Arc::clone(journal));
        }
        Ok(Arc::new(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_without_a_tag_gets_that_of_the_source() {
        let digest = longshore::model::Digest::sha256(b"x");
        let by_digest = format!("r.example/b@{digest}");
        for (source, destination, expected) in [
            ("alpine:3.20", "r.example/a", "r.example/a:3.20"),
            ("alpine", "docker://r.example/a", "r.example/a:latest"),
            ("alpine:3.20", "r.example/a:1", "r.example/a:1"),
            ("alpine:3.20", "oci:images", "oci:images:3.20"),
            ("alpine:3.20", "ocidir://images:1", "oci:images:1"),
            ("alpine:3.20", &by_digest, &by_digest),
            (&by_digest, "oci:images", "oci:images"),
            ("oci:images:v1", "r.example/a", "r.example/a:v1"),
            (
                "oci:images:r.example/b:v1",
                "oci:other",
                "oci:other:r.example/b:v1",
            ),
        ] {
            let source = Place::source(source).unwrap();
            let place = Place::destination(destination, &source).unwrap();
            assert_eq!(place.to_string(), expected);
        }
        // The name of an entry in a layout is no tag if it is a whole reference.
        for source in ["oci:images", "oci:images:r.example/b:v1", &by_digest] {
            let source = Place::source(source).unwrap();
            let failure = Place::destination("r.example/a", &source).err().unwrap();
            assert_eq!(failure.exit(), Exit::Usage);
        }
    }
}
