//! Files that change under a running cache.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use longshore_tests::longshore::Longshore;

use super::*;

/// Changes one byte of a file in place.
fn flip(path: &Path, position: u64) {
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.seek(std::io::SeekFrom::Start(position)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(std::io::SeekFrom::Start(position)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

fn truncate(path: &Path, length: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

#[test]
fn ca3_a_blob_that_is_damaged_on_disk_is_fetched_again() {
    type Damage = fn(&Path, &Path);
    let damages: [(&str, Damage); 7] = [
        ("truncated", |path, _| truncate(path, 1000)),
        ("emptied", |path, _| truncate(path, 0)),
        ("longer", |path, _| truncate(path, 1_000_000)),
        ("deleted", |path, _| fs::remove_file(path).unwrap()),
        ("a link to the same bytes", |path, aside| {
            fs::rename(path, aside).unwrap();
            symlink(aside, path).unwrap();
        }),
        ("a directory", |path, _| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("a pipe", |path, _| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
    ];
    let scene = Scene::set();
    scene.pull();
    scene.wait_stored();
    let aside = tempfile::tempdir().unwrap();
    let layer = scene.layer();
    let digest = &layer.descriptor.digest;
    let path = place::blob(&scene.serve.cache(), digest);
    let kept = aside.path().join("aside");
    for (number, (what, damage)) in (1..).zip(damages) {
        assert_eq!(scene.asked(digest), number, "before: {what}");
        damage(&path, &kept);
        let body = get(scene.address(), &blob(APP, digest)).whole();
        assert!(body == layer.content.bytes(), "{what}");
        assert_eq!(scene.asked(digest), number + 1, "{what}");
        let is_stored = || fs::symlink_metadata(&path).is_ok_and(|it| it.is_file());
        wait_until(what, || is_stored() && fs::read(&path).unwrap() == body);
        // The target of the link is outside of this directory.
        if kept.exists() {
            assert!(fs::read(&kept).unwrap() == body);
        }
    }
}

// The bytes of a manifest are in memory once they were read; a new process reads them from the disk
// and compares their hash.
#[test]
fn ca3_a_manifest_with_a_flipped_bit_is_fetched_again() {
    let mut scene = Scene::set();
    scene.pull();
    let digest = scene.tree.digest().clone();
    let path = place::blob(&scene.serve.cache(), &digest);
    wait_until("the manifest is stored", || path.exists());
    scene.serve.restart();
    flip(&path, 20);
    scene.registry.requests().clear();
    for reference in ["1", digest.as_str()] {
        let body = get(scene.address(), &manifest(APP, reference)).whole();
        assert!(body == scene.tree.document());
    }
    let requests = scene.registry.requests_to(Part::Manifest);
    let gets = requests.iter().filter(|it| it.method == "GET").count();
    assert_eq!(gets, 1, "{requests:?}");
    wait_until("it is stored again", || {
        fs::read(&path).is_ok_and(|it| it == scene.tree.document())
    });
}

// The bytes of a blob are hashed when they are written, and not when they are read: a client
// compares the digest. A flipped bit is found by the client.
#[test]
fn ca3_a_blob_with_a_flipped_bit_has_its_length_and_is_refused_by_a_client() {
    let scene = Scene::set();
    scene.pull();
    scene.wait_stored();
    let layer = scene.layer();
    flip(
        &place::blob(&scene.serve.cache(), &layer.descriptor.digest),
        70_000,
    );
    let body = get(scene.address(), &blob(APP, &layer.descriptor.digest)).whole();
    let right = layer.content.bytes();
    assert_eq!(body.len(), right.len());
    let place = tempfile::tempdir().unwrap();
    let reference = format!("{}/{APP}:1", scene.serve.authority());
    let layout = place.path().join("layout");
    let ended = Longshore::pull(&reference, &layout)
        .args(["--plain-http"])
        .run();
    // 5: the digest of the content is wrong.
    assert_eq!(ended.status.code(), Some(5), "{}", ended.stderr);
    assert!(!longshore_tests::layout::blob(&layout, &layer.descriptor.digest).exists());
}

#[test]
fn ca3_a_file_that_is_truncated_while_it_is_read_never_ends_cleanly() {
    let scene = Scene::set();
    // More than the sockets of both sides hold.
    let content = repeated(48 << 20);
    let large = add_blob(scene.registry.contents(), APP, content);
    let digest = &large.descriptor.digest;
    let path = blob(APP, digest);
    let size = large.descriptor.size;
    assert_eq!(begin(scene.address(), "GET", &path).unwrap().count(), size);
    let file = place::blob(&scene.serve.cache(), digest);
    wait_until("the blob is stored", || file.exists());
    let mut reading = begin(scene.address(), "GET", &path).unwrap();
    assert_eq!(reading.answer.status, 200);
    reading.read(100_000);
    truncate(&file, 1 << 20);
    let came = reading.count();
    assert!(came < size, "{came}");
    // And the next client gets all of it.
    assert_eq!(begin(scene.address(), "GET", &path).unwrap().count(), size);
    assert_eq!(scene.asked(digest), 2);
}
