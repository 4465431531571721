//! Copies of some images of an index, and of the referrers of an image.

use longshore_testkit::image::DescribedContent;

use super::*;

const AMD64: &str = "linux/amd64";
const S390X: &str = "linux/s390x";

#[test]
fn one_platform_is_the_manifest_of_that_image() {
    let Some(destination) = Watched::docker() else {
        return;
    };
    let source = Watched::kit();
    let tree = image::twenty_platforms(71);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let ended = Longshore::copy(&from, &to)
        .args(["--platform", S390X])
        .run();
    let child = tree.child(S390X).unwrap();
    names(&ended, child);
    destination.peer.assert_holds("some/app", "1", child);
}

#[test]
fn several_platforms_require_sparse_or_new_index() {
    let (mut source, mut destination) = (Watched::kit(), Watched::kit());
    let tree = image::twenty_platforms(72);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let platforms = ["--platform", AMD64, "--platform", S390X];
    let ended = Longshore::copy(&from, &to).args(platforms).run();
    assert!(!ended.status.success(), "{}", ended.stdout);
    for word in ["--sparse", "--new-index"] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
    only_reads(&destination.asked());
    let blobs = source.asked();
    assert!(
        blobs.iter().all(|it| !it.target.contains("/blobs/")),
        "{blobs:#?}"
    );
}

#[test]
fn a_new_index_has_a_digest_of_its_own_and_says_so() {
    let Some(destination) = Watched::docker() else {
        return;
    };
    let source = Watched::kit();
    let tree = image::twenty_platforms(73);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let platforms = ["--platform", AMD64, "--platform", S390X];
    // docker-registry refuses an index if one of its images is absent.
    let sparse = Longshore::copy(&from, &to)
        .args(platforms)
        .args(["--sparse"])
        .run();
    assert!(!sparse.status.success(), "{}", sparse.stdout);
    assert!(sparse.stderr.contains("--new-index"), "{}", sparse.stderr);
    assert_eq!(destination.peer.manifest("some/app", "1"), None);

    let copy = Longshore::copy(&from, &to).args(platforms);
    let ended = copy.args(["--new-index"]).run();
    let index = destination.peer.manifest("some/app", "1").unwrap();
    let digest = longshore_model::Digest::sha256(&index);
    assert_ne!(digest, *tree.digest());
    assert!(
        ended.succeeded().contains(digest.as_str()),
        "{}",
        ended.stdout
    );
    let index = String::from_utf8(index).unwrap();
    for child in tree.children() {
        let platform = child.descriptor().platform.as_ref().unwrap().to_string();
        let chosen = [AMD64, S390X].contains(&platform.as_str());
        let digest = child.digest().as_str();
        assert_eq!(index.contains(digest), chosen, "{platform}");
        assert_eq!(
            destination.peer.manifest("some/app", digest).is_some(),
            chosen
        );
    }
}

#[test]
fn a_sparse_index_keeps_its_digest_in_a_layout() {
    let source = Watched::kit();
    let tree = image::twenty_platforms(74);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let place = tempdir().unwrap();
    let layout = place.path().join("layout");
    let copy = Longshore::copy(&source.image("some/app:1"), &at(&layout));
    let platforms = ["--platform", AMD64, "--platform", S390X, "--sparse"];
    names(&copy.args(platforms).run(), &tree);
    let there = layout::assert_clean(&layout);
    assert!(there.contains(tree.digest()));
    for child in tree.children() {
        let platform = child.descriptor().platform.as_ref().unwrap().to_string();
        let chosen = [AMD64, S390X].contains(&platform.as_str());
        assert_eq!(there.contains(child.digest()), chosen, "{platform}");
    }
}

/// An image; signatures of its index, of one of its images and of that signature; and manifests
/// that cosign stores under tags.
struct Signed {
    tree: Tree,
    referrers: Vec<Tree>,
    tagged: Vec<(String, Tree)>,
}

impl Signed {
    fn in_repository(source: &Watched, name: &str) -> Self {
        let tree = image::index(75, &[AMD64.parse().unwrap(), S390X.parse().unwrap()]);
        let of_index = image::attached(76, &tree);
        let of_child = image::attached(77, tree.child(S390X).unwrap());
        let of_signature = image::attached(78, &of_child);
        let tag = |digest: &longshore_model::Digest, kind: &str| {
            format!("sha256-{}.{kind}", digest.encoded())
        };
        let tagged = vec![
            (tag(tree.digest(), "sig"), image::single(79)),
            (
                tag(tree.child(AMD64).unwrap().digest(), "att"),
                image::single(80),
            ),
        ];
        assert!(source.peer.give(&tree, name, "1"));
        let contents = source.registry().contents();
        let referrers = vec![of_index, of_child, of_signature];
        for referrer in &referrers {
            contents.attach(name, referrer);
        }
        for (tag, tree) in &tagged {
            contents.add(name, tag, tree);
        }
        // Another image of the repository, which must not be copied.
        contents.add(name, "2", &image::single(81));
        Self {
            tree,
            referrers,
            tagged,
        }
    }
}

#[test]
fn referrers_of_the_index_and_of_its_images_and_digest_tags_are_copied() {
    let source = Watched::kit();
    let signed = Signed::in_repository(&source, "some/app");
    let kit = Watched::kit();
    for destination in [Some(kit), Watched::docker()] {
        let Some(destination) = destination else {
            return;
        };
        let (from, to) = (source.image("some/app:1"), destination.image("other/app:1"));
        let ended = Longshore::copy(&from, &to).args(["--referrers"]).run();
        names(&ended, &signed.tree);
        destination
            .peer
            .assert_holds("other/app", "1", &signed.tree);
        for referrer in &signed.referrers {
            let digest = referrer.digest().as_str();
            destination.peer.assert_holds("other/app", digest, referrer);
        }
        for (tag, tree) in &signed.tagged {
            destination.peer.assert_holds("other/app", tag, tree);
        }
        assert_eq!(destination.peer.manifest("other/app", "2"), None);
        // If the registry has no API for referrers, they are found by a tag.
        let list = Longshore::new(["referrers", &destination.peer.name("other/app:1")]).run();
        let digest = signed.referrers.first().unwrap().digest().as_str();
        assert!(list.succeeded().contains(digest), "{}", list.stdout);
    }
}

#[test]
fn without_the_option_only_the_image_is_copied() {
    let (source, destination) = (Watched::kit(), Watched::kit());
    let signed = Signed::in_repository(&source, "some/app");
    let (from, to) = (source.image("some/app:1"), destination.image("other/app:1"));
    names(&Longshore::copy(&from, &to).run(), &signed.tree);
    destination
        .peer
        .assert_holds("other/app", "1", &signed.tree);
    for referrer in &signed.referrers {
        let digest = referrer.digest().as_str();
        assert_eq!(destination.peer.manifest("other/app", digest), None);
    }
}

/// The blobs of an image, in the order of its manifest.
fn blobs(tree: &Tree) -> Vec<&DescribedContent> {
    tree.blobs().iter().collect()
}

#[test]
fn an_image_with_the_same_blob_twice_moves_it_once() {
    let Some(mut destination) = Watched::docker() else {
        return;
    };
    let mut source = Watched::kit();
    // An index with another index and one of its images, so both list that image.
    let inner = image::index(82, &[AMD64.parse().unwrap(), S390X.parse().unwrap()]);
    let tree = image::index_of(vec![inner.clone(), inner.child(AMD64).unwrap().clone()]);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    names(&Longshore::copy(&from, &to).run(), &tree);
    let (read, written) = (source.asked(), destination.asked());
    for child in inner.children() {
        for blob in blobs(child) {
            let digest = blob.descriptor.digest.encoded();
            let times = |requests: &[Logged], method: &str| {
                let about = |it: &&&Logged| it.target.contains(digest);
                by(method, requests).iter().filter(about).count()
            };
            assert_eq!(times(&read, "GET"), 1, "{read:#?}");
            assert_eq!(times(&written, "PUT"), 1, "{written:#?}");
        }
    }
}
