use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;

use longshore_model::annotation::REF_NAME;
use longshore_model::{Algorithm, Document, MediaType, VerifyError};
use longshore_store::{PRIVATE_DIR, StoreErrorKind};
use tempfile::TempDir;

use super::*;
use crate::error::{LayoutErrorKind, NameReason};

mod killed;
mod lookup;
mod skopeo;
mod verify;

fn parent() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(path: &Path) -> BTreeSet<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(path).unwrap().map(name).collect()
}

fn check_names(path: &Path, expected: &[&str]) {
    let expected = expected.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(names(path), expected);
}

/// Writes an index of no images that `seed` makes unlike others, and describes it.
fn image(layout: &Layout, seed: &str) -> Descriptor {
    let note = serde_json::to_string(seed).unwrap();
    let content =
        format!(r#"{{"schemaVersion":2,"manifests":[],"annotations":{{"seed":{note}}}}}"#);
    let descriptor = Descriptor::of(MediaType::OCI_INDEX, content.as_bytes());
    layout
        .store()
        .put(&descriptor.digest, content.as_bytes())
        .unwrap();
    descriptor
}

fn tag_names(layout: &Layout) -> Vec<String> {
    let tags = layout.tags().unwrap();
    tags.into_iter().map(|(name, _)| name).collect()
}

fn make(path: &Path, marker: &str, index: &str) {
    fs::create_dir_all(path.join("blobs")).unwrap();
    fs::write(path.join(LAYOUT_FILE), marker).unwrap();
    fs::write(path.join(INDEX_FILE), index).unwrap();
}

const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const NO_IMAGES: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

#[test]
fn a_new_layout_is_whole_and_holds_nothing_else() {
    let parent = parent();
    let path = parent.path().join("a/b/images");
    drop(Layout::create_or_open(&path).unwrap());
    check_names(&path, &["blobs", "index.json", "oci-layout"]);
    assert_eq!(fs::read_to_string(path.join(LAYOUT_FILE)).unwrap(), MARKER);
    let layout = Layout::open(&path).unwrap();
    assert_eq!(layout.path(), path);
    assert_eq!(layout.entries().unwrap(), []);
    check_names(&path, &["blobs", "index.json", "oci-layout"]);
}

#[test]
fn an_empty_directory_becomes_a_layout() {
    let parent = parent();
    drop(Layout::create_or_open(parent.path()).unwrap());
    Layout::open(parent.path()).unwrap();
}

#[test]
fn what_is_no_layout_is_refused_and_left_alone() {
    let parent = parent();
    let file = parent.path().join("file");
    fs::write(&file, "content").unwrap();
    let full = parent.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes.txt"), "content").unwrap();
    let absent = parent.path().join("absent");

    for open in [Layout::create_or_open, Layout::open] {
        let error = open(&file).unwrap_err();
        assert!(matches!(&error, LayoutError::NotADirectory { path } if *path == file));
        assert_eq!(error.kind(), LayoutErrorKind::NotALayout);
        assert_eq!(
            error.to_string(),
            format!("{} is not a directory", file.display())
        );
    }
    let error = Layout::create_or_open(&full).unwrap_err();
    assert!(matches!(&error, LayoutError::NotEmpty { path } if *path == full));
    assert_eq!(error.kind(), LayoutErrorKind::NotALayout);
    let error = Layout::open(&full).unwrap_err();
    assert!(matches!(&error, LayoutError::NotALayout { path } if *path == full));
    let error = Layout::open(&absent).unwrap_err();
    assert!(matches!(&error, LayoutError::Absent { path } if *path == absent));

    check_names(parent.path(), &["file", "full"]);
    check_names(&full, &["notes.txt"]);
    let below = Layout::create_or_open(&file.join("images")).unwrap_err();
    assert!(matches!(&below, LayoutError::NotADirectory { path } if *path == file));
}

#[test]
fn an_initialisation_that_was_killed_is_finished() {
    // The names an initialisation makes, in its order; killed after each.
    let steps: [&dyn Fn(&Path); 3] = [
        &|path| fs::create_dir(path.join(PRIVATE_DIR)).unwrap(),
        &|path| fs::create_dir(path.join("blobs")).unwrap(),
        &|path| fs::write(path.join(INDEX_FILE), crate::index::EMPTY).unwrap(),
    ];
    for killed_after in 0..=steps.len() {
        let parent = parent();
        for step in &steps[..killed_after] {
            step(parent.path());
        }
        let error = Layout::open(parent.path()).unwrap_err();
        assert!(matches!(error, LayoutError::NotALayout { .. }), "{error}");
        drop(Layout::create_or_open(parent.path()).unwrap());
        check_names(parent.path(), &["blobs", "index.json", "oci-layout"]);
    }
}

#[test]
fn names_like_ours_do_not_make_a_directory_ours() {
    let steps: [&dyn Fn(&Path); 3] = [
        &|path| fs::write(path.join("index.json"), NO_IMAGES).unwrap(),
        &|path| fs::write(path.join("index.json"), "a longer one".repeat(100)).unwrap(),
        &|path| fs::create_dir_all(path.join("blobs/sha256")).unwrap(),
    ];
    for step in steps {
        let parent = parent();
        step(parent.path());
        let before = names(parent.path());
        let error = Layout::create_or_open(parent.path()).unwrap_err();
        assert!(matches!(error, LayoutError::NotEmpty { .. }), "{error}");
        assert_eq!(names(parent.path()), before);
    }
}

#[test]
fn tags_come_back_as_they_went_in() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    let two = image(&layout, "two");
    layout.tag("v1", one.clone()).unwrap();
    layout.tag("v1.0", one.clone()).unwrap();
    layout.tag("v2", two.clone()).unwrap();
    assert_eq!(tag_names(&layout), ["v1", "v1.0", "v2"]);

    let read = Layout::open(parent.path()).unwrap();
    for (name, expected) in [("v1", &one), ("v1.0", &one), ("v2", &two)] {
        let found = read.resolve(name).unwrap();
        assert_eq!(
            (&found.digest, found.size),
            (&expected.digest, expected.size)
        );
        let manifest = read.manifest(&found).unwrap();
        assert_eq!(manifest.digest(), &expected.digest);
    }
    layout.tag("v1", two.clone()).unwrap();
    assert_eq!(read.resolve("v1").unwrap().digest, two.digest);
    assert_eq!(read.resolve("v1.0").unwrap().digest, one.digest);
}

#[test]
fn an_image_may_have_no_name() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    layout.add(one.clone()).unwrap();
    layout.add(one.clone()).unwrap();
    assert_eq!(layout.entries().unwrap(), [one]);
    assert_eq!(tag_names(&layout), [""; 0]);
    let error = layout.resolve("v1").unwrap_err();
    assert_eq!(error.kind(), LayoutErrorKind::Name);
    let expected = format!("no image is named `v1` in {}", parent.path().display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_name_is_taken_from_one_entry_and_a_digest_from_all_of_its_own() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    let two = image(&layout, "two");
    for (name, image) in [("v1", &one), ("v1.0", &one), ("v2", &two)] {
        layout.tag(name, image.clone()).unwrap();
    }
    layout.remove("v1").unwrap();
    assert_eq!(tag_names(&layout), ["v1.0", "v2"]);
    assert_eq!(layout.resolve("v1.0").unwrap().digest, one.digest);
    let error = layout.remove("v1").unwrap_err();
    assert!(matches!(&error, LayoutError::NoSuchName { name, .. } if name == "v1"));

    layout.tag("v1", one.clone()).unwrap();
    assert_eq!(layout.delete(&one.digest).unwrap(), 2);
    assert_eq!(tag_names(&layout), ["v2"]);
    assert_eq!(layout.delete(&one.digest).unwrap(), 0);
    // The blobs stay, so that whoever uses them still can.
    layout.manifest(&one).unwrap();
    layout.tag("again", one).unwrap();
    layout.remove("again").unwrap();
    layout.remove("v2").unwrap();
    assert_eq!(layout.entries().unwrap(), []);
}

#[test]
fn a_name_that_leads_to_different_images_is_an_error() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let entry = |seed| {
        let mut entry = image(&layout, seed);
        let name = (REF_NAME.to_owned(), "v1".to_owned());
        entry.annotations.extend([name]);
        serde_json::to_string(&entry).unwrap()
    };
    let write = |entries: &[String]| {
        let list = entries.join(",");
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{list}]}}"#);
        fs::write(parent.path().join(INDEX_FILE), index).unwrap();
    };
    write(&[entry("one"), entry("two"), entry("one")]);
    match layout.resolve("v1").unwrap_err() {
        LayoutError::Ambiguous { name, count, .. } => assert_eq!((&*name, count), ("v1", 2)),
        other => panic!("another error: {other}"),
    }
    write(&[entry("one"), entry("two"), entry("one")]);
    layout.remove("v1").unwrap();
    assert_eq!(
        layout.entries().unwrap(),
        [],
        "there is nothing to choose between"
    );
    write(&[entry("one"), entry("one")]);
    layout.resolve("v1").unwrap();
}

#[test]
fn dg3_nothing_refers_to_what_is_not_there() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let absent = Descriptor::of(MediaType::OCI_INDEX, NO_IMAGES.as_bytes());
    match layout.tag("v1", absent.clone()).unwrap_err() {
        LayoutError::Dangling {
            digest,
            expected,
            found,
        } => assert_eq!((digest, expected, found), (absent.digest, 34, None)),
        other => panic!("another error: {other}"),
    }
    let mut wrong_size = image(&layout, "one");
    wrong_size.size += 1;
    let found = Some(wrong_size.size - 1);
    for outcome in [layout.tag("v1", wrong_size.clone()), layout.add(wrong_size)] {
        match outcome.unwrap_err() {
            LayoutError::Dangling { found: size, .. } => assert_eq!(size, found),
            other => panic!("another error: {other}"),
        }
    }
    assert_eq!(layout.entries().unwrap(), []);
}

#[test]
fn a_bad_name_changes_nothing() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    match layout.tag("v 1", one).unwrap_err() {
        LayoutError::Name { name, at, reason } => {
            assert_eq!((&*name, at, reason), ("v 1", 1, NameReason::Character));
        }
        other => panic!("another error: {other}"),
    }
    assert_eq!(layout.entries().unwrap(), []);
}

#[test]
fn an_index_that_would_not_be_read_again_is_not_written() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    let entry = serde_json::to_string(&one).unwrap();
    let full = vec![entry.as_str(); longshore_model::DESCRIPTORS_LIMIT].join(",");
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{full}]}}"#);
    fs::write(parent.path().join(INDEX_FILE), &index).unwrap();
    let two = image(&layout, "two");
    let error = layout.tag("v1", two).unwrap_err();
    assert!(matches!(error, LayoutError::Overfull { .. }), "{error}");
    assert_eq!(
        fs::read_to_string(parent.path().join(INDEX_FILE)).unwrap(),
        index
    );
}

// Every writer replaces the index atomically.
#[test]
fn many_may_create_and_tag_at_once() {
    let parent = parent();
    let path = parent.path().join("images");
    thread::scope(|scope| {
        for thread in 0..6 {
            let path = &path;
            scope.spawn(move || {
                let layout = Layout::create_or_open(path).unwrap();
                for n in 0..10 {
                    let name = format!("{thread}-{n}");
                    let one = image(&layout, &name);
                    layout.tag(&name, one).unwrap();
                    // Nobody's entry is lost, and a reader always finds a whole layout.
                    Layout::open(path).unwrap().resolve(&name).unwrap();
                }
            });
        }
    });
    let layout = Layout::open(&path).unwrap();
    assert_eq!(layout.tags().unwrap().len(), 60);
    check_names(&path, &["blobs", "index.json", "oci-layout"]);
}

/// The other half of the next test: on a disk of 64 KiB.
#[test]
fn child_on_a_small_disk() {
    let Some(disk) = std::env::var_os("LONGSHORE_TEST_SMALL_DISK") else {
        return;
    };
    let disk = Path::new(&disk);
    let (full, path) = (disk.join("full"), disk.join("images"));
    fs::write(&full, vec![0; 1 << 20]).unwrap_err();
    let error = Layout::create_or_open(&path).unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::Full),
        "{error}"
    );
    check_names(disk, &["full"]);

    fs::remove_file(&full).unwrap();
    let layout = Layout::create_or_open(&path).unwrap();
    let one = image(&layout, "one");
    layout.tag("v1", one.clone()).unwrap();
    fs::write(&full, vec![0; 1 << 20]).unwrap_err();
    let error = layout.tag("v2", one.clone()).unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::Full),
        "{error}"
    );
    assert_eq!(tag_names(&layout), ["v1"]);
    drop(layout);
    check_names(&path, &["blobs", "index.json", "oci-layout"]);

    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk)
        .status();
    assert!(remounted.unwrap().success());
    let layout = Layout::open(&path).unwrap();
    layout.manifest(&layout.resolve("v1").unwrap()).unwrap();
    let error = layout.tag("v2", one).unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::ReadOnly),
        "{error}"
    );
    let error = Layout::create_or_open(&path).unwrap_err();
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::ReadOnly),
        "{error}"
    );
}

#[test]
fn a_full_disk_leaves_the_layout_as_it_was() {
    let disk = parent();
    // A mount of its own needs a name space of its own.
    let mounted = "mount -t tmpfs -o size=64k,mode=0755 none \"$0\" || exit 77; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mounted])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "layout::tests::child_on_a_small_disk",
            "--nocapture",
        ])
        .env("LONGSHORE_TEST_SMALL_DISK", disk.path())
        .output();
    match output.map(|output| (output.status.code(), output)) {
        Ok((Some(0), _)) => {}
        Ok((Some(101), output)) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        other => eprintln!("SKIPPED: no small disk could be mounted: {other:?}"),
    }
}

// DG9, from here on: a layout may come from anybody.

fn hostile(error: &LayoutError, at: &Path) {
    match error {
        LayoutError::Store(
            StoreError::NotADirectory { path }
            | StoreError::NotAFile { path }
            | StoreError::TooLarge { path, .. },
        ) => assert_eq!(path, at),
        other => panic!("another error: {other}"),
    }
    assert_eq!(
        error.kind(),
        LayoutErrorKind::Store(StoreErrorKind::Hostile)
    );
}

#[test]
fn dg9_a_document_that_is_no_regular_file_is_refused() {
    for name in [LAYOUT_FILE, INDEX_FILE] {
        let outside = parent();
        make(outside.path(), MARKER, NO_IMAGES);
        let replace: [&dyn Fn(&Path); 3] = [
            &|at| symlink(outside.path().join(name), at).unwrap(),
            &|at| assert!(Command::new("mkfifo").arg(at).status().unwrap().success()),
            &|at| fs::create_dir(at).unwrap(),
        ];
        for replace in replace {
            let parent = parent();
            make(parent.path(), MARKER, NO_IMAGES);
            let at = parent.path().join(name);
            fs::remove_file(&at).unwrap();
            replace(&at);
            hostile(&Layout::open(parent.path()).unwrap_err(), &at);
            hostile(&Layout::create_or_open(parent.path()).unwrap_err(), &at);
        }
    }
}

#[test]
fn dg9_an_index_turned_into_a_link_is_not_written_through() {
    let parent = parent();
    let layout = Layout::create_or_open(&parent.path().join("images")).unwrap();
    let one = image(&layout, "one");
    let outside = parent.path().join("outside");
    fs::write(&outside, NO_IMAGES).unwrap();
    let at = layout.path().join(INDEX_FILE);
    fs::remove_file(&at).unwrap();
    symlink(&outside, &at).unwrap();
    hostile(&layout.tag("v1", one).unwrap_err(), &at);
    assert_eq!(fs::read_to_string(outside).unwrap(), NO_IMAGES);
}

#[test]
fn dg9_a_link_to_other_blobs_is_refused() {
    let outside = parent();
    let elsewhere = Layout::create_or_open(outside.path()).unwrap();
    let one = image(&elsewhere, "one");
    let parent = parent();
    make(parent.path(), MARKER, NO_IMAGES);
    let at = parent.path().join("blobs");
    fs::remove_dir(&at).unwrap();
    symlink(outside.path().join("blobs"), &at).unwrap();
    hostile(&Layout::open(parent.path()).unwrap_err(), &at);

    fs::remove_file(&at).unwrap();
    fs::create_dir(&at).unwrap();
    let at = at.join("sha256");
    symlink(outside.path().join("blobs/sha256"), &at).unwrap();
    let layout = Layout::open(parent.path()).unwrap();
    hostile(&layout.manifest(&one).unwrap_err(), &at);
    hostile(&layout.tag("v1", one).unwrap_err(), &at);
}

#[test]
fn li1_a_document_above_its_limit_is_refused_unread() {
    for name in [LAYOUT_FILE, INDEX_FILE] {
        let parent = parent();
        make(parent.path(), MARKER, NO_IMAGES);
        let at = parent.path().join(name);
        // Valid but for its length; and a file that claims more than any machine has.
        let content = fs::read_to_string(&at).unwrap();
        fs::write(&at, content + &" ".repeat(8 * 1024 * 1024)).unwrap();
        hostile(&Layout::open(parent.path()).unwrap_err(), &at);
        fs::OpenOptions::new()
            .write(true)
            .open(&at)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        hostile(&Layout::open(parent.path()).unwrap_err(), &at);
    }
}

#[test]
fn li2_a_manifest_is_read_to_its_size_and_no_further() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    let blob = layout.store().path(&one.digest).unwrap();

    let mut huge = one.clone();
    huge.size = DOCUMENT_LIMIT_BYTES + 1;
    hostile(&layout.manifest(&huge).unwrap_err(), &blob);

    let file = fs::OpenOptions::new().write(true).open(&blob).unwrap();
    file.set_len(1 << 40).unwrap();
    match layout.manifest(&one).unwrap_err() {
        LayoutError::Store(StoreError::Content { digest, source }) => {
            assert_eq!(digest, one.digest);
            assert_eq!(source, VerifyError::TooLong { expected: one.size });
        }
        other => panic!("another error: {other}"),
    }
}

#[test]
fn dg2_a_manifest_is_verified_before_it_is_read() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    let blob = layout.store().path(&one.digest).unwrap();
    let content = fs::read_to_string(&blob).unwrap().replace("one", "two");
    fs::write(&blob, &content).unwrap();
    match layout.manifest(&one).unwrap_err() {
        LayoutError::Store(StoreError::Content {
            source: VerifyError::Digest { actual, .. },
            ..
        }) => assert_eq!(actual, Digest::sha256(content.as_bytes())),
        other => panic!("another error: {other}"),
    }
    fs::remove_file(&blob).unwrap();
    let error = layout.manifest(&one).unwrap_err();
    assert_eq!(error.kind(), LayoutErrorKind::Store(StoreErrorKind::Absent));
}

#[test]
fn dg3_a_damaged_blob_never_ends_cleanly() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    let one = image(&layout, "one");
    let mut content = String::new();
    let read = layout.blob(&one).unwrap().read_to_string(&mut content);
    assert_eq!(read.unwrap() as u64, one.size);

    let blob = layout.store().path(&one.digest).unwrap();
    for damaged in [
        content.replace("one", "two"),
        content.replace("one", ""),
        content + " ",
    ] {
        fs::write(&blob, damaged).unwrap();
        let read = layout.blob(&one).unwrap().read_to_end(&mut Vec::new());
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

fn check_refused(marker: &str, index: &str) -> LayoutError {
    let parent = parent();
    make(parent.path(), marker, index);
    let error = Layout::open(parent.path()).unwrap_err();
    assert_eq!(error.kind(), LayoutErrorKind::Malformed, "{error}");
    // Nor does opening it for writing make it better or worse.
    let again = Layout::create_or_open(parent.path()).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(
        fs::read_to_string(parent.path().join(INDEX_FILE)).unwrap(),
        index
    );
    error
}

#[test]
fn a_malformed_layout_is_refused() {
    for marker in ["", "{}", "[]", r#"{"imageLayoutVersion":1}"#] {
        let error = check_refused(marker, NO_IMAGES);
        assert!(matches!(error, LayoutError::Malformed { .. }), "{error}");
    }
    for version in ["2.0.0", "", "10.0"] {
        let marker = format!(r#"{{"imageLayoutVersion":"{version}"}}"#);
        match check_refused(&marker, NO_IMAGES) {
            LayoutError::Version { found, .. } => assert_eq!(found, version),
            other => panic!("another error: {other}"),
        }
    }
    let error = check_refused(MARKER, "{");
    assert!(matches!(error, LayoutError::Manifest { .. }), "{error}");
}

#[test]
fn a_layout_of_a_later_1_x_is_read() {
    let parent = parent();
    make(
        parent.path(),
        r#"{"imageLayoutVersion":"1.1.0","more":true}"#,
        NO_IMAGES,
    );
    assert_eq!(Layout::open(parent.path()).unwrap().entries().unwrap(), []);
}

// A disk that failed at the wrong moment, or an earlier program, leaves a marker alone.
#[test]
fn a_layout_that_lacks_a_file_is_completed_by_the_next_run() {
    for blobs in [None, Some("blobs"), Some("blobs/sha256")] {
        let parent = parent();
        fs::write(parent.path().join(LAYOUT_FILE), MARKER).unwrap();
        if let Some(blobs) = blobs {
            fs::create_dir_all(parent.path().join(blobs)).unwrap();
        }
        let at = parent.path().join(INDEX_FILE);
        let error = Layout::open(parent.path()).unwrap_err();
        assert!(
            matches!(&error, LayoutError::Missing { path } if *path == at),
            "{error}"
        );
        Layout::check_destination(parent.path()).unwrap();
        let layout = Layout::create_or_open(parent.path()).unwrap();
        let descriptor = image(&layout, "a");
        layout.tag("v1", descriptor).unwrap();
        assert_eq!(
            tag_names(&Layout::open(parent.path()).unwrap()),
            ["v1".to_owned()]
        );
    }
}

#[test]
fn a_layout_with_blobs_but_no_index_gets_no_empty_index() {
    let parent = parent();
    let layout = Layout::create_or_open(parent.path()).unwrap();
    layout.tag("v1", image(&layout, "a")).unwrap();
    drop(layout);
    let at = parent.path().join(INDEX_FILE);
    fs::remove_file(&at).unwrap();
    for open in [Layout::create_or_open, Layout::open] {
        let error = open(parent.path()).unwrap_err();
        assert!(
            matches!(&error, LayoutError::Missing { path } if *path == at),
            "{error}"
        );
    }
    // A marker of an unknown version is not replaced either.
    let parent = parent_with_marker(r#"{"imageLayoutVersion":"2.0.0"}"#);
    let error = Layout::create_or_open(parent.path()).unwrap_err();
    assert!(matches!(error, LayoutError::Version { .. }), "{error}");
    check_names(parent.path(), &["oci-layout"]);
}

fn parent_with_marker(marker: &str) -> TempDir {
    let parent = parent();
    fs::write(parent.path().join(LAYOUT_FILE), marker).unwrap();
    parent
}

#[test]
fn ou1_what_a_layout_says_is_not_repeated_raw() {
    let evil = r"\u001b[2J\u202e\n";
    let mut errors = vec![
        check_refused(&format!(r#"{{"imageLayoutVersion":"{evil}"}}"#), NO_IMAGES),
        check_refused(&format!(r#""{evil}""#), NO_IMAGES),
        check_refused(MARKER, &format!(r#""{evil}""#)),
        check_refused(
            MARKER,
            &format!(r#"{{"schemaVersion":2,"manifests":"{evil}"}}"#),
        ),
        check_refused(
            MARKER,
            &format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{evil}"}}]}}"#),
        ),
        check_refused(
            MARKER,
            &format!(r#"{{"schemaVersion":2,"{evil}":1,"{evil}":2}}"#),
        ),
    ];
    let parent = parent();
    make(parent.path(), MARKER, NO_IMAGES);
    errors.push(
        Layout::open(parent.path())
            .unwrap()
            .resolve("v1")
            .unwrap_err(),
    );
    for error in errors {
        let mut chain = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            chain += &format!(": {cause}");
            source = cause.source();
        }
        let raw = |character: char| character.is_control() || character == '\u{202e}';
        assert!(!chain.contains(raw), "{chain:?}");
    }
}
