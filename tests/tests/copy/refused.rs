//! Destinations that refuse writes, and sources that change during the copy: each case has one
//! error message and one exit code, and leaves nothing half written.

use http::StatusCode;
use longshore_testkit::registry::{ImmutableTags, Part, Quirks, Quota};
use longshore_tests::disk::SmallDisk;

use super::*;

const NOT_FOUND: i32 = 3;
const AUTH: i32 = 4;
const UNSUPPORTED: i32 = 9;
const DISK: i32 = 13;

#[test]
fn a_registry_that_is_read_only() {
    let Some(mut registry) = DockerRegistry::builder().start() else {
        return;
    };
    registry.restart_read_only();
    let place = tempdir().unwrap();
    let layout = layout_of(&image::single(101), &place);
    let reference = format!("{}/some/app:1", registry.authority());
    let push = Longshore::new(["push", &format!("{}:1", layout.display()), &reference]);
    let copy = Longshore::copy(&at(&layout), &reference);
    for command in [push, copy] {
        let words = [&registry.authority(), "some/app", "read-only"];
        command.run().failed_with_hint(UNSUPPORTED, &words);
    }
    let requests = registry.settled_requests();
    assert!(
        requests
            .iter()
            .all(|it| it.status != 201 && it.status != 202)
    );
}

/// Copies to a registry with these quirks, which already has a tag.
#[track_caller]
fn refused_by(quirks: Quirks, code: i32, words: &[&str]) {
    let (old, tree) = (image::single(108), image::single(109));
    let destination = Watched::new(Peer::kit_with(quirks));
    assert!(destination.peer.give(&old, "old/app", "1"));
    let place = tempdir().unwrap();
    let layout = layout_of(&tree, &place);
    let name = if words.contains(&"new/app") {
        "new/app"
    } else {
        "old/app"
    };
    let ended = Longshore::copy(&at(&layout), &destination.image(&format!("{name}:1"))).run();
    let address = destination.peer.address().to_string();
    ended.failed_with_hint(code, &[words, &[&address, name]].concat());
    // Only the existing tag is visible.
    destination.peer.assert_holds("old/app", "1", &old);
    let digest = tree.digest().as_str();
    assert_eq!(destination.peer.manifest(name, digest), None);
}

#[test]
fn a_tag_that_is_immutable() {
    for immutable in [
        ImmutableTags::bad_request(),
        ImmutableTags::conflict(),
        ImmutableTags::precondition(),
    ] {
        let mut quirks = Quirks::default();
        quirks.immutable_tags = Some(immutable);
        refused_by(quirks, AUTH, &["the tag 1 is immutable"]);
    }
}

#[test]
fn a_quota_that_is_used_up() {
    for status in [StatusCode::FORBIDDEN, StatusCode::INSUFFICIENT_STORAGE] {
        let mut quirks = Quirks::default();
        quirks.quota = Some(Quota::new(2000, status));
        refused_by(quirks, DISK, &["quota"]);
    }
}

#[test]
fn a_repository_that_must_exist_first() {
    let mut quirks = Quirks::default();
    quirks.repository_must_exist = true;
    refused_by(quirks, NOT_FOUND, &["new/app", "create"]);
}

#[test]
fn a_layout_on_a_full_or_read_only_disk() {
    let Some(mut disk) = SmallDisk::mount(512) else {
        return;
    };
    let source = Watched::kit();
    let tree = image::Image::new(102).layers(20, 40_000).build();
    assert!(source.peer.give(&tree, "some/app", "1"));
    let layout = disk.path().join("layout");
    let copy = || Longshore::copy(&source.image("some/app:1"), &at(&layout)).run();
    let place = layout.display().to_string();
    copy().failed_with_hint(DISK, &[&place, "No space left", "make room"]);
    layout::assert_clean(&layout);
    assert_eq!(layout::entries(&layout), []);
    disk.make_read_only();
    copy().failed_with_hint(DISK, &["Read-only file system", "can be written"]);
    layout::assert_clean(&layout);
}

#[test]
fn a_tag_that_moves_while_it_is_copied() {
    let (Some(destination), source) = (Watched::docker(), Watched::kit()) else {
        return;
    };
    let (tree, later) = (image::twenty_platforms(103), image::single(104));
    assert!(source.peer.give(&tree, "some/app", "1"));
    let contents = source.registry().contents().clone();
    let moved = later.clone();
    source.registry().requests().watch(move |request| {
        if Part::of(request) == Part::Blob {
            contents.add("some/app", "1", &moved);
        }
    });
    // DG4: a tag is resolved once.
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    names(&Longshore::copy(&from, &to).run(), &tree);
    destination.peer.assert_holds("some/app", "1", &tree);
    assert!(source.peer.manifest("some/app", "1").unwrap() == later.document());
}

#[test]
fn an_image_that_is_deleted_while_it_is_copied() {
    let (Some(destination), source) = (Watched::docker(), Watched::kit()) else {
        return;
    };
    let tree = image::single(105);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let contents = source.registry().contents().clone();
    let digests: Vec<_> = tree
        .all_blobs()
        .iter()
        .map(|it| it.descriptor.digest.clone())
        .collect();
    source.registry().requests().watch(move |request| {
        if Part::of(request) == Part::Manifest {
            for digest in &digests {
                contents.remove("some/app", digest);
            }
        }
    });
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let ended = Longshore::copy(&from, &to).run();
    let name = source.peer.address().to_string();
    ended.failed_with_hint(NOT_FOUND, &[&name, "some/app", "404"]);
    assert_eq!(destination.peer.manifest("some/app", "1"), None);
}

#[test]
fn a_source_or_a_destination_that_does_not_exist() {
    let place = tempdir().unwrap();
    let layout = layout_of(&image::single(106), &place);
    let destination = Watched::kit();
    let to = destination.image("some/app:1");
    let absent = place.path().join("absent");
    let ended = Longshore::copy(&at(&absent), &to).run();
    ended.failed_with_hint(11, &[&absent.display().to_string()]);
    let other = at(&layout).replace(":1", ":nosuch");
    Longshore::copy(&other, &to)
        .run()
        .failed_with_hint(NOT_FOUND, &["nosuch"]);
    let nobody = ["--retry-attempts", "1"];
    let ended = Longshore::copy(&at(&layout), "127.0.0.1:1/a:1")
        .args(nobody)
        .run();
    ended.failed_with_hint(6, &["127.0.0.1:1"]);
    assert_eq!(destination.peer.requests_so_far(), 0);
}

#[test]
fn a_destination_that_is_given_twice() {
    let place = tempdir().unwrap();
    let layout = layout_of(&image::single(107), &place);
    let mut destination = Watched::kit();
    let to = destination.image("some/app:1");
    let ended = Longshore::new(["copy", &at(&layout), &to, &to]).run();
    ended.failed_with_hint(2, &["some/app:1"]);
    only_reads(&destination.asked());
}
