//! Names and digests below the top of the index.

use longshore_model::{INDEX_DEPTH_LIMIT, ImageManifest, Index};

use super::*;

/// Writes an index of `children`, which is told from others by `seed`.
pub(super) fn index_of(layout: &Layout, seed: &str, children: Vec<Descriptor>) -> Descriptor {
    let mut index = Index::new(children);
    let seed = ("seed".to_owned(), seed.to_owned());
    index.annotations.extend([seed]);
    write(layout, &Document::Index(index))
}

/// Writes an image of one layer with the content `seed`.
pub(super) fn image_of(layout: &Layout, seed: &str) -> (ImageManifest, Descriptor) {
    let config = put(
        layout,
        MediaType::OCI_CONFIG,
        format!("{{\"seed\":\"{seed}\"}}"),
    );
    let layer = put(layout, MediaType::OCI_LAYER, seed.to_owned());
    let image = ImageManifest::new(config, vec![layer]);
    let descriptor = write(layout, &Document::Image(image.clone()));
    (image, descriptor)
}

pub(super) fn write(layout: &Layout, document: &Document) -> Descriptor {
    let manifest = Manifest::from_document(document).unwrap();
    layout
        .store()
        .put(manifest.digest(), manifest.bytes())
        .unwrap();
    manifest.descriptor()
}

pub(super) fn put(layout: &Layout, media_type: MediaType, content: String) -> Descriptor {
    let descriptor = Descriptor::of(media_type, content.as_bytes());
    layout
        .store()
        .put(&descriptor.digest, content.as_bytes())
        .unwrap();
    descriptor
}

pub(super) fn named(mut descriptor: Descriptor, name: &str) -> Descriptor {
    let name = (REF_NAME.to_owned(), name.to_owned());
    descriptor.annotations.extend([name]);
    descriptor
}

// Nested lookup.
#[test]
fn the_first_depth_that_has_a_name_decides() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let images: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|seed| image_of(&layout, seed).1)
        .collect();
    let deep = index_of(
        &layout,
        "deep",
        vec![
            named(images[0].clone(), "deep"),
            named(images[1].clone(), "both"),
            named(images[0].clone(), "same"),
        ],
    );
    let middle = index_of(
        &layout,
        "middle",
        vec![
            deep,
            named(images[2].clone(), "both"),
            named(images[0].clone(), "same"),
            named(images[0].clone(), "twice"),
        ],
    );
    let beside = index_of(&layout, "beside", vec![named(images[1].clone(), "twice")]);
    layout.tag("top", middle.clone()).unwrap();
    layout.add(beside).unwrap();

    let digest = |name| layout.resolve_nested(name).unwrap().digest;
    assert_eq!(digest("top"), middle.digest);
    assert_eq!(digest("both"), images[2].digest);
    assert_eq!(digest("deep"), images[0].digest);
    assert_eq!(digest("same"), images[0].digest);
    match layout.resolve_nested("twice").unwrap_err() {
        LayoutError::Ambiguous { name, count, .. } => assert_eq!((&*name, count), ("twice", 2)),
        other => panic!("another error: {other}"),
    }
    for name in ["absent", "seed", ""] {
        let error = layout.resolve_nested(name).unwrap_err();
        assert!(matches!(error, LayoutError::NoSuchName { .. }), "{error}");
    }
    // Names below the top have no meaning to who does not ask for it.
    let error = layout.resolve("deep").unwrap_err();
    assert!(matches!(error, LayoutError::NoSuchName { .. }), "{error}");
    layout.tag("both", images[0].clone()).unwrap();
    assert_eq!(
        layout.resolve_nested("both").unwrap().digest,
        images[0].digest
    );
}

#[test]
fn a_descriptor_is_found_wherever_it_stands() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (mut image, plain) = image_of(&layout, "a");
    let subject = Descriptor::of(MediaType::OCI_MANIFEST, b"not here");
    image.subject = Some(subject.clone());
    let image_at = write(&layout, &Document::Image(image.clone()));
    let inner = index_of(&layout, "inner", vec![image_at.clone()]);
    let outer = index_of(&layout, "outer", vec![inner.clone()]);
    layout.add(outer.clone()).unwrap();

    let config = image.config;
    let layer = image.layers[0].clone();
    for expected in [outer, inner, image_at, config, layer, subject] {
        let found = layout.find(&expected.digest).unwrap();
        assert_eq!(found.as_ref(), Some(&expected));
    }
    // It is there, but nothing leads to it.
    assert_eq!(layout.find(&plain.digest).unwrap(), None);
}

#[test]
fn what_is_not_there_hides_nothing_and_what_is_damaged_may() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (_, wanted) = image_of(&layout, "wanted");
    let (_, absent) = image_of(&layout, "absent");
    let index = index_of(&layout, "index", vec![absent.clone(), wanted.clone()]);
    layout.add(index).unwrap();
    let other = Digest::sha256(b"other");

    layout.store().delete(&absent.digest).unwrap();
    assert_eq!(layout.find(&wanted.digest).unwrap(), Some(wanted.clone()));
    assert_eq!(layout.find(&absent.digest).unwrap(), Some(absent.clone()));
    assert_eq!(layout.find(&other).unwrap(), None);

    fs::write(layout.store().path(&absent.digest).unwrap(), "{}").unwrap();
    assert_eq!(layout.find(&wanted.digest).unwrap(), Some(wanted));
    let error = layout.find(&other).unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::Content)
    );
    let error = layout.resolve_nested("v1").unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::Content)
    );
}

#[test]
fn li_indexes_are_followed_to_their_depth_and_no_deeper() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (_, bottom) = image_of(&layout, "bottom");
    let mut nested = named(bottom.clone(), "bottom");
    for depth in 0..INDEX_DEPTH_LIMIT {
        nested = index_of(&layout, &depth.to_string(), vec![nested]);
    }
    layout.add(nested.clone()).unwrap();
    let layer = Digest::sha256(b"bottom");
    assert_eq!(
        layout.resolve_nested("bottom").unwrap().digest,
        bottom.digest
    );
    assert!(layout.find(&layer).unwrap().is_some());

    layout.delete(&nested.digest).unwrap();
    layout
        .add(index_of(&layout, "one more", vec![nested]))
        .unwrap();
    // Its descriptor stands in a document that is read; but it is not read itself.
    assert_eq!(
        layout.resolve_nested("bottom").unwrap().digest,
        bottom.digest
    );
    match layout.find(&layer).unwrap_err() {
        LayoutError::TooDeep { digest } => assert_eq!(digest, bottom.digest),
        other => panic!("another error: {other}"),
    }
}

#[test]
fn li_what_is_repeated_is_read_once() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (_, mut below) = image_of(&layout, "a");
    // Followed by the letter, this is a thousand to the eighth documents.
    for depth in 0..INDEX_DEPTH_LIMIT {
        below = index_of(&layout, &depth.to_string(), vec![below; 1000]);
    }
    layout.add(below).unwrap();
    assert_eq!(layout.find(&Digest::sha256(b"other")).unwrap(), None);
    let report = layout.verify(|_| ()).unwrap();
    assert!(report.is_sound());
    assert_eq!((report.manifests, report.blobs), (9, 11));
}

#[test]
fn li2_a_document_is_not_read_at_a_size_it_has_not() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let (_, at) = image_of(&layout, "a");
    // All but one are wrong, and a terabyte would be read again and again.
    let wrong = put(&layout, MediaType::OCI_INDEX, "wrong".to_owned());
    let path = layout.store().path(&wrong.digest).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(1 << 40).unwrap();
    let claim = |size| Descriptor::new(MediaType::OCI_INDEX, wrong.digest.clone(), size);
    let mut entries: Vec<_> = (0..9_000)
        .map(|n| claim(DOCUMENT_LIMIT_BYTES - n))
        .collect();
    entries.push(at.clone());
    layout.add(index_of(&layout, "index", entries)).unwrap();
    let config = layout.manifest(&at).unwrap();
    let config = &config.document().as_image().unwrap().config;
    assert_eq!(layout.find(&config.digest).unwrap().as_ref(), Some(config));
}
