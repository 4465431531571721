//! Several destinations in one run.

use longshore_testkit::Gate;
use longshore_testkit::registry::{Misbehaviour, Part, Rule};
use longshore_tests::process;
use serde_json::Value;

use super::*;

/// Copies to these destinations.
fn copy_to(source: &str, destinations: &[&str]) -> Longshore {
    Longshore::new(["copy", source]).args(destinations)
}

/// Asserts that every blob was read once.
#[track_caller]
fn read_once(source: &mut Watched, tree: &Tree) {
    let read = source.asked();
    for blob in tree.all_blobs() {
        let digest = blob.descriptor.digest.encoded();
        let times = read.iter().filter(|it| it.target.contains(digest)).count();
        assert_eq!(times, 1, "{digest}: {read:#?}");
    }
}

#[test]
fn a_copy_to_two_registries_and_a_layout_reads_the_source_once() {
    let (Some(mut source), Some(docker)) = (Watched::docker(), Watched::docker()) else {
        return;
    };
    let kit = Watched::kit();
    let tree = image::twenty_platforms(61);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let _ = source.asked();
    let place = tempdir().unwrap();
    let layout = place.path().join("layout");
    let (first, second) = (docker.image("a:1"), kit.image("b:2"));
    let ended = copy_to(
        &source.image("some/app:1"),
        &[&first, &second, &at(&layout)],
    )
    .run();
    names(&ended, &tree);
    docker.peer.assert_holds("a", "1", &tree);
    kit.peer.assert_holds("b", "2", &tree);
    layout::assert_holds(&layout, &tree);
    layout::assert_clean(&layout);
    read_once(&mut source, &tree);
}

#[test]
fn a_destination_that_refuses_is_dropped_and_the_other_gets_all() {
    let (Some(mut source), Some(good)) = (Watched::docker(), Watched::docker()) else {
        return;
    };
    let Some(mut refusing) = DockerRegistry::builder().start() else {
        return;
    };
    refusing.restart_read_only();
    let tree = image::twenty_platforms(62);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let _ = source.asked();
    let bad = format!("docker://{}/some/app:1", refusing.authority());
    let ended = copy_to(
        &source.image("some/app:1"),
        &[&bad, &good.image("some/app:1")],
    )
    .run();
    assert_eq!(ended.status.code(), Some(UNSUPPORTED), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&refusing.authority()),
        "{}",
        ended.stderr
    );
    good.peer.assert_holds("some/app", "1", &tree);
    read_once(&mut source, &tree);
    let written = |it: &&Logged| it.status < 300 && it.method != "GET" && it.method != "HEAD";
    let requests = refusing.settled_requests();
    assert_eq!(requests.iter().find(written), None);
}

// RT10: 30 seconds without progress.
#[test]
fn rt10_a_destination_that_stalls_is_dropped_and_the_other_gets_all() {
    let Some(good) = Watched::docker() else {
        return;
    };
    let (mut source, stalled) = (Watched::kit(), Watched::kit());
    let tree = image::single(63);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let gate = Gate::new();
    let held = Rule::on(Part::Upload, Misbehaviour::Hold(gate.clone()));
    stalled.registry().misbehave(held);
    let (bad, good_end) = (stalled.image("some/app:1"), good.image("some/app:1"));
    let copy = copy_to(&source.image("some/app:1"), &[&bad, &good_end]);
    let ended = copy.args(["--retry-attempts", "1"]).run();
    gate.open();
    assert_eq!(ended.status.code(), Some(UNAVAILABLE), "{}", ended.stderr);
    let name = stalled.peer.address().to_string();
    assert!(ended.stderr.contains(&name), "{}", ended.stderr);
    good.peer.assert_holds("some/app", "1", &tree);
    assert_eq!(stalled.peer.manifest("some/app", "1"), None);
    read_once(&mut source, &tree);
}

#[test]
fn nothing_is_told_of_a_destination_that_was_given_up_in_planning() {
    let (source, good) = (Watched::kit(), Watched::kit());
    let tree = image::single(64);
    assert!(source.peer.give(&tree, "some/app", "1"));
    let dead = format!("docker://127.0.0.1:{}/some/app:1", process::free_port());
    let (from, to) = (source.image("some/app:1"), good.image("some/app:1"));
    for options in [&["--dry-run"][..], &[]] {
        let copy = copy_to(&from, &[&dead, &to]).args(options);
        let ended = copy
            .args(["--retry-attempts", "1", "--output", "json"])
            .run();
        assert_eq!(ended.status.code(), Some(UNAVAILABLE), "{}", ended.stderr);
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        let [dead, good] = &told["destinations"].as_array().unwrap()[..] else {
            panic!("{told}")
        };
        let unknown = ["named", "plan", "result"].map(|field| &dead[field]);
        assert_eq!(unknown, [&Value::Null; 3], "{told}");
        assert!(dead["error"].is_string(), "{told}");
        assert_eq!(good["named"], false, "{told}");
        assert_eq!(good["plan"]["moved"], 4, "{told}");
        let moved = if options.is_empty() {
            5.into()
        } else {
            Value::Null
        };
        assert_eq!(good["result"]["moved"], moved, "{told}");
    }
}

const UNAVAILABLE: i32 = 6;
const UNSUPPORTED: i32 = 9;
