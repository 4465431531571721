//! Content that an index lists under types that are not known.

use bytes::Bytes;
use longshore_copy::{CopyOptions, TransferError, copy};
use longshore_model::{Descriptor, Document, Index, Manifest, MediaType};
use longshore_testkit::image::{DescribedContent, Image, Tree};
use longshore_testkit::registry::{Builder, Quirks, Registry};

use crate::support::{Scene, end, memory};

const NOTE: &[u8] = br#"{"note":"sail"}"#;
const CACHE: &[u8] = b"not JSON, and stored as a blob";
const LAYER: &[u8] = b"a layer";

fn described(kind: &'static str, bytes: &'static [u8]) -> DescribedContent {
    DescribedContent::new(kind.parse().unwrap(), Bytes::from_static(bytes).into())
}

/// A manifest, a blob, and a layer.
fn listed() -> [DescribedContent; 3] {
    [
        described("application/vnd.x+json", NOTE),
        described("application/vnd.x.cache", CACHE),
        described(MediaType::OCI_LAYER_GZIP.as_str(), LAYER),
    ]
}

fn registry() -> Builder {
    let mut quirks = Quirks::default();
    quirks.unknown_manifests = true;
    Registry::builder().quirks(quirks)
}

/// A registry whose image `a:mixed` is an index of an image and of other content.
fn scene() -> (Scene, Manifest) {
    let tree: Tree = Image::new(1).build();
    let scene = Scene::with_target(tree, registry());
    let [note, cache, layer] = listed();
    let mut entries: Vec<Descriptor> = vec![scene.tree.descriptor().clone()];
    entries.extend([&note, &cache, &layer].map(|it| it.descriptor.clone()));
    let index = Manifest::from_document(&Document::Index(Index::new(entries))).unwrap();
    let contents = scene.source.contents();
    for blob in [&cache, &layer] {
        contents.set_blob("a", &blob.descriptor.digest, blob.content.clone());
    }
    contents.add_document("a", "note", note);
    let document = DescribedContent::new(MediaType::OCI_INDEX, index.bytes().clone().into());
    contents.add_document("a", "mixed", document);
    (scene, index)
}

/// Demands that the target has the index under this name, and says whether it has the first entry
/// as a manifest.
fn note_is_a_manifest(scene: &Scene, name: &str, index: &Manifest) -> bool {
    let contents = scene.target.contents();
    let tagged = contents.tagged(name, "2").unwrap();
    assert_eq!(tagged.descriptor.digest, *index.digest());
    let [note, cache, layer] = listed();
    for blob in [&cache, &layer] {
        let found = contents.blob(name, &blob.descriptor.digest).unwrap();
        assert_eq!(found.bytes(), blob.content.bytes());
    }
    let as_manifest = contents.manifest(name, &note.descriptor.digest);
    let as_blob = contents.blob(name, &note.descriptor.digest);
    assert!(as_manifest.is_some() != as_blob.is_some());
    if let Some(found) = &as_manifest {
        assert_eq!(found.descriptor, note.descriptor);
    }
    let is_manifest = as_manifest.is_some();
    let found = as_manifest.map(|it| it.content).or(as_blob).unwrap();
    assert_eq!(found.bytes(), NOTE);
    is_manifest
}

#[tokio::test]
async fn content_of_unknown_types_is_copied_as_the_source_has_it() {
    let (scene, index) = scene();
    let source = end(&scene.source, "a:mixed").await;
    let (layout, memory) = (scene.layout("images"), memory());
    let ends = vec![scene.to("b:2").await, layout.clone(), memory.clone()];
    let options = CopyOptions::default();
    let report = copy(source, ends, &options).await.unwrap();
    let errors: Vec<_> = report
        .destinations
        .iter()
        .map(|it| it.error.is_some())
        .collect();
    assert_eq!(errors, [false; 3]);
    assert!(note_is_a_manifest(&scene, "b", &index));
    // Stores do not tell manifests from blobs.
    for (source, name) in [(layout, "c"), (memory, "d")] {
        for content in listed() {
            let store = source.store().unwrap();
            let size = store.size(&content.descriptor.digest).unwrap();
            assert_eq!(size, Some(content.content.length()));
        }
        let to = scene.to(&format!("{name}:2")).await;
        copy(source, vec![to], &options).await.unwrap();
        assert!(!note_is_a_manifest(&scene, name, &index));
    }
}

// DG3: digest and length must both match.
#[tokio::test]
async fn dg3_a_manifest_of_an_unknown_type_has_the_size_that_its_index_says() {
    let (scene, _) = scene();
    let [note, ..] = listed();
    let mut entry = note.descriptor;
    entry.size += 1;
    let index = Manifest::from_document(&Document::Index(Index::new(vec![entry]))).unwrap();
    let document = DescribedContent::new(MediaType::OCI_INDEX, index.bytes().clone().into());
    scene.source.contents().add_document("a", "wrong", document);
    let source = end(&scene.source, "a:wrong").await;
    let options = CopyOptions::default();
    let error = copy(source, vec![scene.to("b:2").await], &options)
        .await
        .unwrap_err();
    assert!(
        matches!(error, TransferError::ManifestSize { .. }),
        "{error}"
    );
}
