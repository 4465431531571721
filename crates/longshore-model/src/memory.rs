//! How much memory a document takes: upper bounds that do not depend on the allocator (LI2).

use std::collections::BTreeMap;
use std::mem::size_of;

use crate::config::History;
use crate::descriptor::Descriptor;
use crate::json::{DESCRIPTORS_LIMIT, VALUES_LIMIT};
use crate::media_type::MediaType;
use crate::platform::Platform;

/// Returns an upper bound of the memory that reading a document of `length` bytes takes, in bytes:
/// the document, its view, and what the reader needs besides (LI2).
///
/// It holds for manifests, indexes and image configurations. Strings, lists and maps count with the
/// memory that they occupy, not with their length in the document: a list of one-letter strings
/// takes twenty times the memory of its text.
#[must_use]
pub const fn document_memory_bytes(length: usize) -> usize {
    let values = min(length / SHORTEST_VALUE_BYTES, VALUES_LIMIT);
    let descriptors = min(length / SHORTEST_DESCRIPTOR_BYTES, DESCRIPTORS_LIMIT);
    // The document, its text in strings, and what allocations of short strings round up.
    let text = length.saturating_mul(2 + ROUNDING_FACTOR);
    text.saturating_add(values * VALUE_BYTES + descriptors * DESCRIPTOR_BYTES)
}

/// `"",` in a list.
const SHORTEST_VALUE_BYTES: usize = 3;

/// `{"mediaType":"a/b","digest":"a:b","size":0},` in a list.
const SHORTEST_DESCRIPTOR_BYTES: usize = 44;

/// A field of an object is at least `"os":"a",`, and its value is at least one allocation.
const ROUNDING_FACTOR: usize = 4;

/// Maximum memory of a counted value: an annotation, or a step of a history in a list that has just
/// grown.
const VALUE_BYTES: usize = max(map_bytes(1), max(4, 2 * size_of::<History>())) + ALLOCATION_BYTES;

/// Maximum memory of a descriptor without its counted values: the descriptor in a list that has
/// just grown, a map, and a platform.
const DESCRIPTOR_BYTES: usize = 2 * size_of::<Descriptor>()
    + map_bytes(1)
    + size_of::<Platform>()
    + 8 * ALLOCATION_BYTES
    + NODE_BYTES;

/// Minimum memory of an allocation, including the overhead of the allocator.
const ALLOCATION_BYTES: usize = 32;

/// Size of a node of a map from strings to strings: eleven entries, twelve children, and the links
/// of the node.
const NODE_BYTES: usize = 11 * 2 * size_of::<String>() + 12 * size_of::<usize>() + 16;

/// Minimum number of entries of a node other than the root of a map.
const NODE_ENTRIES: usize = 5;

/// Returns the memory of the nodes of a map, and of two short strings for each entry.
const fn map_bytes(entries: usize) -> usize {
    entries * (NODE_BYTES / NODE_ENTRIES + 2 * ALLOCATION_BYTES)
}

/// Returns the memory of a text.
fn text(text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        text.len() + ALLOCATION_BYTES
    }
}

fn list(texts: &Vec<String>) -> usize {
    let own = texts.capacity() * size_of::<String>();
    texts.iter().map(|it| text(it)).sum::<usize>() + own
}

fn map(texts: &BTreeMap<String, String>) -> usize {
    let nodes = match texts.len() {
        0 => 0,
        entries => (entries / NODE_ENTRIES + 1) * NODE_BYTES,
    };
    let entries = texts.iter().map(|(key, value)| text(key) + text(value));
    entries.sum::<usize>() + nodes
}

fn option(it: Option<&String>) -> usize {
    it.map_or(0, |it| text(it))
}

impl Descriptor {
    /// Returns an upper bound of the memory that this descriptor takes, in bytes: itself, and
    /// everything that it owns (LI2).
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let artifact_type = self.artifact_type.as_ref().map_or("", MediaType::as_str);
        size_of::<Self>()
            + text(self.media_type.as_str())
            + text(self.digest.as_str())
            + text(artifact_type)
            + option(self.data.as_ref())
            + list(&self.urls)
            + map(&self.annotations)
            + self.platform.as_deref().map_or(0, Platform::memory_bytes)
    }
}

impl Platform {
    fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + text(&self.os)
            + text(&self.architecture)
            + option(self.variant.as_ref())
            + option(self.os_version.as_ref())
            + list(&self.os_features)
            + list(&self.features)
    }
}

const fn min(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Document, Manifest};

    const ENTRY: &str = r#""mediaType":"a/b","digest":"a:b","size":0"#;

    /// Adds up the memory of the view of a document.
    fn view(document: &Document) -> usize {
        let annotations = match document {
            Document::Image(image) => map(&image.annotations),
            Document::Index(index) => map(&index.annotations),
        };
        let children = document.children().map(Descriptor::memory_bytes);
        children.sum::<usize>() + annotations
    }

    fn check(text: String) {
        let manifest = Manifest::parse(text.into(), None).unwrap();
        let length = manifest.bytes().len();
        let (view, bound) = (view(manifest.document()), document_memory_bytes(length));
        assert!(length + view <= bound, "{length} + {view} > {bound}");
    }

    // LI2
    #[test]
    fn li2_the_bound_covers_the_views_that_take_most() {
        for count in [1, 11, 1000, DESCRIPTORS_LIMIT, VALUES_LIMIT] {
            let texts = vec![r#""a""#; count].join(",");
            let names: Vec<_> = (0..count).map(|n| format!("\"{n:x}\":\"\"")).collect();
            let names = names.join(",");
            let entry =
                |more: String| format!(r#"{{"schemaVersion":2,"manifests":[{{{ENTRY},{more}}}]}}"#);
            check(entry(format!(r#""urls":[{texts}]"#)));
            check(entry(format!(r#""annotations":{{{names}}}"#)));
        }
        for more in [
            "",
            r#","annotations":{"":""}"#,
            r#","annotations":{"a":"b"},"urls":["c"],"data":"d","artifactType":"e/f""#,
            r#","platform":{"os":"a","architecture":"b"}"#,
        ] {
            for count in [1, 10, DESCRIPTORS_LIMIT] {
                let entries = vec![format!("{{{ENTRY}{more}}}"); count].join(",");
                check(format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#));
            }
        }
    }

    #[test]
    fn the_bound_of_a_document_of_common_size_is_moderate() {
        assert!(document_memory_bytes(5_000) < 1024 * 1024);
        let longest = document_memory_bytes(crate::MANIFEST_LIMIT_BYTES);
        assert!((8 << 20..128 << 20).contains(&longest), "{longest}");
    }
}
