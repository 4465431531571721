use std::process::Command;

use longshore_model::Digest;

use super::*;

#[test]
fn every_digest_and_size_is_that_of_the_bytes() {
    let trees = [
        single(1),
        twenty_platforms(2),
        nested(3, 4),
        many_layers(4, 50),
        artifact(5),
        Image::new(6).gzip().docker().build(),
    ];
    for tree in trees {
        for stored in tree.documents().into_iter().chain(tree.all_blobs()) {
            let bytes = stored.content.bytes();
            assert_eq!(stored.descriptor.digest, Digest::sha256(&bytes));
            assert_eq!(stored.descriptor.size, bytes.len() as u64);
        }
        assert_eq!(
            tree.documents().last().unwrap().descriptor.digest,
            *tree.digest()
        );
    }
}

#[test]
fn a_seed_names_one_image() {
    assert_eq!(single(1).digest(), single(1).digest());
    assert_ne!(single(1).digest(), single(2).digest());
    assert_eq!(single(1).blobs().len(), 4);
}

#[test]
fn twenty_platforms_are_twenty_images() {
    let tree = twenty_platforms(1);
    assert_eq!(tree.children().len(), 20);
    assert_eq!(tree.documents().len(), 21);
    assert_eq!(tree.all_blobs().len(), 20 * 3);
    let arm = tree.child("linux/arm/v7").unwrap();
    assert_eq!(
        arm.descriptor().platform.as_deref().cloned(),
        Some("linux/arm/v7".parse().unwrap())
    );
}

#[test]
fn nesting_goes_as_deep_as_asked() {
    let mut depth = 0;
    let tree = nested(1, 5);
    let mut level = &tree;
    while let Some(first) = level.children().first() {
        depth += 1;
        level = first;
    }
    assert_eq!(depth, 5);
    assert_eq!(tree.documents().len(), 10);
}

#[test]
fn diff_ids_are_those_of_the_archives_inside_gzip() {
    let (plain, wrapped) = (Image::new(1).build(), Image::new(1).gzip().build());
    let config: serde_json::Value =
        serde_json::from_slice(&wrapped.blobs()[0].content.bytes()).unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let archives: Vec<_> = plain.blobs()[1..]
        .iter()
        .map(|blob| blob.descriptor.digest.as_str())
        .collect();
    assert_eq!(
        diff_ids
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect::<Vec<_>>(),
        archives
    );
    assert_eq!(
        plain.blobs()[0].descriptor.digest,
        wrapped.blobs()[0].descriptor.digest
    );
}

#[test]
fn layers_beyond_memory_are_read_anywhere() {
    let large = tar::archive("large", BlobContent::random(1, 20 << 30));
    assert_eq!(large.length(), 512 + (20 << 30) + 1024);
    assert_eq!(large.read_at(large.length() - 3, 10).as_ref(), [0; 3]);
    assert_eq!(large.read_at(512, 100), BlobContent::random(1, 100).bytes());
}

#[test]
fn tar_and_gzip_read_the_layers() {
    let directory = tempfile::tempdir().unwrap();
    let tree = Image::new(1).layers(1, 70_000).gzip().build();
    write_layout(directory.path(), &[("1", &tree)]).unwrap();
    let layer = directory
        .path()
        .join("blobs/sha256")
        .join(tree.blobs()[1].descriptor.digest.encoded());
    let listing = Command::new("tar")
        .arg("-tvzf")
        .arg(layer)
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(
        listing.contains("70000") && listing.ends_with(" file-0\n"),
        "{listing}"
    );
}
