//! Output of content: to pipes whose reader closes early, and to files of every kind.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use longshore_testkit::BlobContent;

use super::*;

/// The exit code for a reader that closed the pipe early.
const READER_LEFT: i32 = 15;

/// Runs a command whose standard output goes to a shell pipeline; returns its exit code.
#[track_caller]
fn piped(command: &[&str], reader: &str) -> i32 {
    let script = format!("exec 3>&1; {{ \"$@\"; echo $? >&3; }} | {reader} >&2; exec true");
    let ended = Longshore::new(command).under(&script).run();
    ended.succeeded().parse().unwrap()
}

/// Serves one blob of this content, and returns its name.
fn blob(digest: &Digest, content: impl Into<BlobContent>) -> (Registry, String) {
    let registry = Registry::builder().start().unwrap();
    registry.contents().set_blob("a", digest, content);
    let name = format!("{}/a@{digest}", registry.authority());
    (registry, name)
}

// DG11: wrong content is exit code 5, whatever the reader does.
#[test]
fn dg11_wrong_content_is_reported_even_if_the_reader_closes_early() {
    let tree = Image::new(70).layers(1, 1_000_000).build();
    let registry = serving(&tree);
    let digest = &tree.blobs()[1].descriptor.digest;
    let name = format!("{}/a@{digest}", registry.authority());
    let readers = ["head -c 5", "true", "cat"];
    for (reader, expected) in readers.into_iter().zip([READER_LEFT, READER_LEFT, 0]) {
        assert_eq!(piped(&["blob", "get", &name], reader), expected, "{reader}");
    }
    registry.misbehave(Rule::on(Part::Blob, Misbehaviour::Corrupt(900_000)));
    for reader in readers {
        assert_eq!(piped(&["blob", "get", &name], reader), DIGEST, "{reader}");
    }
}

// DG11: a document is verified before it is printed, and must also be printed in full.
#[test]
fn dg11_a_document_that_nobody_reads_is_a_failure() {
    let tree = image::single(71);
    let registry = serving(&tree);
    let name = reference(&registry);
    for command in [&["manifest", "get", &name][..], &["config", &name]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = Longshore::new(command)
            .stdout(OwnedFd::from(writer).into())
            .run();
        ended.failed_with_hint(READER_LEFT, &["before all content was verified"]);
        assert_eq!(piped(command, "cat"), 0, "{command:?}");
    }
}

// DG11: after the reader has left, a blob of 30 GiB is not read to its end.
#[test]
fn dg11_the_rest_of_a_large_blob_is_not_read() {
    let digest = Digest::sha256(b"nobody has this");
    let (_registry, name) = blob(&digest, BlobContent::repeated("x", 30 << 30));
    assert_eq!(piped(&["blob", "get", &name], "head -c 5"), READER_LEFT);
    let (registry, name) = blob(&digest, BlobContent::endless("x"));
    registry.misbehave(Rule::on(Part::Blob, Misbehaviour::NoLength));
    assert_eq!(piped(&["blob", "get", &name], "head -c 5"), READER_LEFT);
}

#[test]
fn a_blob_is_bounded_by_the_size_that_the_user_allows() {
    let tree = Image::new(72).layers(1, 300_000).build();
    let registry = serving(&tree);
    let layer = &tree.blobs()[1].descriptor;
    let name = format!("{}/a@{}", registry.authority(), layer.digest);
    let place = tempdir().unwrap();
    let file = place.path().join("layer");
    let get = |limit: &str| {
        let options = ["blob", "get", &name, "--max-size", limit, "-f"];
        Longshore::new(options).args([&file]).run()
    };
    let _ = get("10MiB").succeeded();
    fs::remove_file(&file).unwrap();
    let _ = get(&layer.size.to_string()).succeeded();
    fs::remove_file(&file).unwrap();
    let announced = registry.requests_to(Part::Blob).len();
    for endless in [false, true] {
        if endless {
            registry
                .contents()
                .set_blob("a", &layer.digest, BlobContent::endless("x"));
            registry.misbehave(Rule::on(Part::Blob, Misbehaviour::NoLength));
        }
        let limit = (layer.size - 1).to_string();
        get(&limit).failed_with_hint(PROTOCOL, &[&limit, "--max-size"]);
        assert_eq!(layout::names(place.path()), [""; 0]);
    }
    assert_eq!(registry.requests_to(Part::Blob).len(), announced + 2);
}

#[test]
fn a_device_a_fifo_and_a_link_are_written_and_not_replaced() {
    let tree = image::single(73);
    let registry = serving(&tree);
    let layer = &tree.blobs()[1];
    let name = format!("{}/a@{}", registry.authority(), layer.descriptor.digest);
    let get = |to: &Path| Longshore::new(["blob", "get", &name, "-f"]).args([to]);
    let _ = get(Path::new("/dev/null")).run().succeeded();
    let null = fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());

    let place = tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let made = Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(made.success());
    let writing = get(&at("fifo")).start();
    let mut read = Vec::new();
    fs::File::open(at("fifo"))
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    assert_eq!(read, layer.content.bytes());
    let _ = writing.end().succeeded();
    assert!(fs::metadata(at("fifo")).unwrap().file_type().is_fifo());

    fs::write(at("file"), "old").unwrap();
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("file", at("link")).unwrap();
    let _ = get(&at("link")).run().succeeded();
    assert!(at("link").is_symlink());
    assert_eq!(fs::read(at("file")).unwrap(), layer.content.bytes());
    let mode = fs::metadata(at("file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(layout::names(place.path()), ["fifo", "file", "link"]);

    get(place.path()).run().failed_with_hint(13, &["directory"]);
}

#[test]
fn a_file_that_a_killed_run_left_is_removed_by_the_next() {
    let tree = Image::new(74).layers(1, 1_000_000).build();
    let registry = serving(&tree);
    let name = format!(
        "{}/a@{}",
        registry.authority(),
        tree.blobs()[1].descriptor.digest
    );
    let gate = Gate::new();
    registry.misbehave(Rule::on(
        Part::Blob,
        Misbehaviour::HoldAfter(1000, gate.clone()),
    ));
    let place = tempdir().unwrap();
    let file = place.path().join("layer");
    let get = || Longshore::new(["blob", "get", &name, "-f"]).args([&file]);
    let mut living = get().start();
    living.wait_until(|| (layout::names(place.path()).len() == 1).then_some(()));
    let [first] = layout::names(place.path()).try_into().unwrap();
    assert!(
        first.starts_with(".longshore-") && first.ends_with(".tmp"),
        "{first}"
    );
    let mut other = get().start();
    other.wait_until(|| (layout::names(place.path()).len() == 2).then_some(()));
    assert_eq!(other.kill().signal(), Some(9));
    // The temporary file of the running process is kept.
    gate.open();
    registry.behave();
    let _ = get().run().succeeded();
    let _ = living.end().succeeded();
    assert_eq!(layout::names(place.path()), ["layer"]);
}

// DG11: a FIFO is a pipe too.
#[test]
fn dg11_a_fifo_whose_reader_closes_early_is_a_failure() {
    let tree = Image::new(75).layers(1, 1_000_000).build();
    let registry = serving(&tree);
    let name = format!(
        "{}/a@{}",
        registry.authority(),
        tree.blobs()[1].descriptor.digest
    );
    let place = tempdir().unwrap();
    let fifo = place.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for (rule, code) in [
        (None, READER_LEFT),
        (Some(Misbehaviour::Corrupt(900_000)), DIGEST),
    ] {
        if let Some(misbehaviour) = rule {
            registry.misbehave(Rule::on(Part::Blob, misbehaviour));
        }
        let writing = Longshore::new(["blob", "get", &name, "-f"])
            .args([&fifo])
            .start();
        let mut start = [0; 5];
        fs::File::open(&fifo)
            .unwrap()
            .read_exact(&mut start)
            .unwrap();
        writing.end().failed(code, &[]);
    }
}

// RT11: a stopped command leaves no partial output file.
#[test]
fn rt11_a_file_that_is_not_complete_is_removed_when_the_command_is_stopped() {
    let tree = Image::new(76).layers(1, 1_000_000).build();
    let registry = serving(&tree);
    let name = format!(
        "{}/a@{}",
        registry.authority(),
        tree.blobs()[1].descriptor.digest
    );
    let gate = Gate::new();
    registry.misbehave(Rule::on(
        Part::Blob,
        Misbehaviour::HoldAfter(1000, gate.clone()),
    ));
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let place = tempdir().unwrap();
        let file = place.path().join("layer");
        fs::write(&file, "old").unwrap();
        let get = Longshore::new(["blob", "get", &name, "-f"]).args([&file]);
        let mut running = get.start();
        running.wait_until(|| (layout::names(place.path()).len() == 2).then_some(()));
        running.signal(signal);
        assert_eq!(running.end().failed(code, &[]), "error: stopped\n");
        assert_eq!(layout::names(place.path()), ["layer"]);
        assert_eq!(fs::read(&file).unwrap(), b"old");
    }
    gate.open();
}
