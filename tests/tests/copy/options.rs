//! `--dry-run`, `--skip-existing` and `--verify-after`.

use http::{Method, StatusCode};
use longshore_testkit::registry::{Misbehaviour, Part, Quirks, Rule};

use super::*;

#[test]
fn a_dry_run_prints_what_would_be_moved_and_writes_nothing() {
    let (Some(mut source), Some(mut destination)) = (Watched::docker(), Watched::docker()) else {
        return;
    };
    let tree = image::twenty_platforms(91);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let _ = source.asked();
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let place = tempdir().unwrap();
    let layout = place.path().join("layout");
    for output in ["text", "json"] {
        let args = ["--dry-run", "--output", output];
        let ended = Longshore::new(["copy", &from, &to, &at(&layout)])
            .args(args)
            .run();
        let said = ended.succeeded();
        let bytes: u64 = tree.all_blobs().iter().map(|it| it.descriptor.size).sum();
        assert!(said.contains(tree.digest().as_str()), "{said}");
        if output == "json" {
            let _ = ended.json();
            assert!(said.contains(&bytes.to_string()), "{said}");
        }
        only_reads(&source.asked());
        only_reads(&destination.asked());
        assert_eq!(layout::names(place.path()), [""; 0]);
    }
    names(&Longshore::copy(&from, &to).run(), &tree);
}

#[test]
fn an_existing_image_is_skipped_after_a_request_for_its_tag() {
    let (Some(mut source), Some(mut destination)) = (Watched::docker(), Watched::docker()) else {
        return;
    };
    let tree = image::twenty_platforms(92);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let copy = || Longshore::copy(&from, &to).args(["--skip-existing"]).run();
    let _ = copy().succeeded();
    destination.peer.assert_holds("some/app", "1", &tree);
    let _ = (source.asked(), destination.asked());
    let again = copy();
    let (has, what) = (
        to.trim_start_matches("docker://"),
        from.trim_start_matches("docker://"),
    );
    assert_eq!(again.stderr, format!("{has} has {what} already\n"));
    names(&again, &tree);
    let (read, written) = (source.asked(), destination.asked());
    assert_eq!(
        (read.len(), written.len()),
        (1, 1),
        "{read:#?}\n{written:#?}"
    );
    only_reads(&written);
    // If the tag names another image, the copy is not skipped.
    let other = image::single(93);
    assert!(source.peer.give(&other, "some/app", "1"));
    names(&copy(), &other);
    destination.peer.assert_holds("some/app", "1", &other);
}

#[test]
fn verify_after_detects_a_registry_that_stores_less_than_it_says() {
    let mut quirks = Quirks::default();
    quirks.stored_max_bytes = Some(1000);
    let destination = Watched::new(Peer::kit_with(quirks));
    let source = Watched::kit();
    let tree = image::single(94);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let copy = |to: &Watched| {
        let (from, to) = (source.image("some/app:1"), to.image("some/app:1"));
        Longshore::copy(&from, &to).args(["--verify-after"]).run()
    };
    let ended = copy(&destination);
    let address = destination.peer.address().to_string();
    let large = tree.blobs().iter().find(|it| it.descriptor.size > 1000);
    let digest = large.unwrap().descriptor.digest.as_str();
    let (size, stored) = (large.unwrap().descriptor.size.to_string(), "1000");
    let said = ended.failed(DIGEST, &[&address, "some/app", digest, &size, stored]);
    assert!(!said.is_empty());
    let honest = Watched::kit();
    names(&copy(&honest), &tree);
}

/// The content does not match.
const DIGEST: i32 = 5;

// DG7: what a registry acknowledged is not taken for stored. It has the image under its name, and
// lists each blob.
#[test]
fn dg7_a_registry_that_lost_a_blob_gets_it_again() {
    let (source, destination) = (Watched::kit(), Watched::kit());
    let tree = image::single(95);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let (from, to) = (source.image("some/app:1"), destination.image("some/app:1"));
    let copy = || Longshore::copy(&from, &to).args(["--verify-after"]).run();
    names(&copy(), &tree);
    let digest = tree.blobs()[1].descriptor.digest.as_str();
    let absent = Misbehaviour::Status(StatusCode::NOT_FOUND);
    let lost = Rule::on(Part::Blob, absent)
        .method(Method::GET)
        .path(digest);
    // It is asked for its last byte, and then for all of it.
    destination.registry().misbehave(lost.times(2));
    let ended = copy();
    names(&ended, &tree);
    let warning = format!("lists {digest}, and does not serve it; it was sent again");
    assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
    assert!(!copy().stderr.contains("warning"));
}
