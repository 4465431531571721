//! Sources on this machine that are damaged, or larger than the limits.

use longshore_copy::{CopyOptions, TransferError};
use longshore_layout::Layout;
use longshore_model::{Descriptor, Digest, MediaType};
use longshore_testkit::image::Image;
use serde_json::json;

use crate::support::{Scene, copied};

/// Copies the only image of a layout whose manifest has these bytes.
async fn copy_manifest(bytes: &[u8]) -> TransferError {
    let scene = Scene::set(Image::new(1).build());
    let layout = Layout::create_or_open(&scene.place.path().join("images")).unwrap();
    let digest = Digest::sha256(bytes);
    longshore_store::Store::put(layout.store(), &digest, bytes).unwrap();
    let descriptor = Descriptor::new(MediaType::OCI_MANIFEST, digest, bytes.len() as u64);
    layout.tag("1", descriptor).unwrap();
    let to = scene.to("b:2").await;
    let copied = copied(&scene.layout("images"), &to, &CopyOptions::default()).await;
    copied.unwrap_err()
}

// LI2: memory is not sized by what a peer sends. The limit is named.
#[tokio::test]
async fn li2_a_manifest_of_a_layout_that_exceeds_a_limit_is_told_with_it() {
    let digest = Digest::sha256(b"{}");
    let layer = json!({ "mediaType": "a/b", "digest": digest.as_str(), "size": 2 });
    let layers = vec![&layer; 10_001];
    let manifest = json!({ "schemaVersion": 2, "config": layer, "layers": layers });
    let error = copy_manifest(manifest.to_string().as_bytes()).await;
    let TransferError::Manifest { source, .. } = &error else {
        panic!("{error}");
    };
    let expected = "the document has more than 10000 descriptors";
    assert_eq!(source.to_string(), expected);
}

// DG3: digest and length must both match.
#[tokio::test]
async fn dg3_damage_in_a_layout_is_told_with_the_layout() {
    for (trusts, cut) in [(false, true), (true, true), (false, false)] {
        let scene = Scene::set(Image::new(1).layers(1, 3000).build());
        scene.copy_to(scene.layout("images")).await;
        let digest = &scene.tree.blobs()[1].descriptor.digest;
        let path = scene
            .place
            .path()
            .join("images/blobs/sha256")
            .join(digest.encoded());
        let mut bytes = std::fs::read(&path).unwrap();
        if cut {
            bytes.pop();
        } else {
            bytes[7] ^= 1;
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let mut options = CopyOptions::default();
        options.run.trust_existing = trusts;
        for to in [scene.to("b:2").await, scene.layout("other")] {
            let error = copied(&scene.layout("images"), &to, &options)
                .await
                .unwrap_err();
            let TransferError::Damaged { end, digest: found } = error else {
                panic!("{error}");
            };
            assert_eq!((&end, &found), (&scene.layout("images").name(), digest));
        }
    }
}
