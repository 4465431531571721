//! The directory that one process uses at a time.

use super::*;
use crate::fs::directory::StoreDirectory;

const KNOWN: u32 = 7;

fn open_at(above: &Path, version: u32) -> Result<StoreDirectory, StoreError> {
    StoreDirectory::open(above, "store", version, Duration::ZERO, &Interrupt::new())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn ca12_a_new_directory_is_private_and_has_a_version() {
    let root = root();
    let above = root.path().join("cache/longshore");
    let directory = open_at(&above, KNOWN).unwrap();
    assert_eq!(directory.dir().path(), above.join("store"));
    check_tree(
        root.path(),
        &[
            "cache/",
            "cache/longshore/",
            "cache/longshore/store/",
            "cache/longshore/store/lock",
            "cache/longshore/store/version",
        ],
    );
    for name in ["cache", "cache/longshore", "cache/longshore/store"] {
        assert_eq!(mode(&root.path().join(name)), 0o700, "{name}");
    }
    let version = above.join("store/version");
    assert_eq!(mode(&version), 0o600);
    assert_eq!(fs::read_to_string(version).unwrap(), "7\n");
}

#[test]
fn ca12_an_open_directory_is_made_private_and_the_one_above_is_left() {
    let root = root();
    drop(open_at(root.path(), KNOWN).unwrap());
    let store = root.path().join("store");
    for path in [root.path(), &store] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let directory = open_at(root.path(), KNOWN).unwrap();
    assert_eq!((mode(root.path()), mode(&store)), (0o777, 0o700));
    let digest = Digest::sha256(b"content");
    let blobs = directory.store(Durability::Each);
    blobs.put(&digest, b"content").unwrap();
    assert!(blobs.path(&digest).unwrap().starts_with(&store));
}

// Only root can give a file away; the tests run as root in continuous integration.
#[test]
fn ca12_the_directory_of_another_user_is_refused() {
    let root = root();
    let store = root.path().join("store");
    fs::create_dir(&store).unwrap();
    if std::os::unix::fs::chown(&store, Some(12_345), None).is_err() {
        eprintln!("SKIPPED: this user cannot give a directory away");
        return;
    }
    let error = open_at(root.path(), KNOWN).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Hostile);
    assert_eq!(
        error.to_string(),
        format!(
            "{} belongs to another user or its mode cannot be set to 0700; remove it, or choose \
             another directory",
            store.display()
        )
    );
}

#[test]
fn ca12_the_version_of_a_newer_program_is_refused() {
    let root = root();
    drop(open_at(root.path(), KNOWN + 1).unwrap());
    let version = root.path().join("store/version");
    for _ in 0..2 {
        let error = open_at(root.path(), KNOWN).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Version);
        assert_eq!(
            error.to_string(),
            format!(
                "{} states version 8, but this program knows only versions up to 7; use a newer \
                 program, or another directory",
                version.display()
            )
        );
        assert_eq!(fs::read_to_string(&version).unwrap(), "8\n");
    }
    // The refusal has let go of the lock.
    drop(open_at(root.path(), KNOWN + 1).unwrap());
    drop(open_at(root.path(), KNOWN + 2).unwrap());
    assert_eq!(fs::read_to_string(&version).unwrap(), "9\n");
}

#[test]
fn ca12_what_is_no_version_is_refused() {
    let root = root();
    drop(open_at(root.path(), KNOWN).unwrap());
    let version = root.path().join("store/version");
    let refused = || {
        let error = open_at(root.path(), KNOWN).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Version);
        assert_eq!(
            error.to_string(),
            format!(
                "{} does not state the version of a store; empty its directory, or choose another \
                 one",
                version.display()
            )
        );
    };
    let long = "1".repeat(1 << 20);
    for text in [
        "", "7", "\n", "+7\n", "-1\n", "0\n", "7\r\n", "7\n7\n", "x\n", &long,
    ] {
        fs::write(&version, text).unwrap();
        refused();
    }
    fs::write(&version, b"\xff\n").unwrap();
    refused();
    // Other files without a version, as in a directory of something else.
    fs::remove_file(&version).unwrap();
    fs::write(root.path().join("store/other"), "").unwrap();
    refused();
    assert!(!version.exists());
    // What a process leaves that dies at its first start.
    fs::remove_file(root.path().join("store/other")).unwrap();
    fs::write(root.path().join("store/version.new"), "half").unwrap();
    drop(open_at(root.path(), KNOWN).unwrap());
    assert_eq!(fs::read_to_string(&version).unwrap(), "7\n");
}

#[test]
fn ca12_a_link_in_place_of_the_directory_or_a_file_is_refused() {
    let root = root();
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let store = root.path().join("store");
    symlink(&elsewhere, &store).unwrap();
    hostile(open_at(root.path(), KNOWN), &store);
    assert_eq!(tree(&elsewhere), BTreeSet::new());
    fs::remove_file(&store).unwrap();
    fs::write(&store, "").unwrap();
    hostile(open_at(root.path(), KNOWN), &store);

    fs::remove_file(&store).unwrap();
    drop(open_at(root.path(), KNOWN).unwrap());
    let target = elsewhere.join("file");
    fs::write(&target, "7\n").unwrap();
    for name in ["lock", "version"] {
        let path = store.join(name);
        fs::remove_file(&path).unwrap();
        symlink(&target, &path).unwrap();
        hostile(open_at(root.path(), KNOWN), &path);
        assert_eq!(fs::read_to_string(&target).unwrap(), "7\n");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "7\n").unwrap();
    }
    // A link where the version is written is removed, not followed.
    symlink(&target, store.join("version.new")).unwrap();
    drop(open_at(root.path(), KNOWN + 1).unwrap());
    assert_eq!(fs::read_to_string(&target).unwrap(), "7\n");
    // The directory above is the user's, a link to it too.
    let link = root.path().join("link");
    symlink(root.path(), &link).unwrap();
    drop(open_at(&link, KNOWN + 1).unwrap());
}

#[test]
fn ca12_a_second_opener_waits_and_takes_over() {
    let root = root();
    let first = open_at(root.path(), KNOWN).unwrap();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            StoreDirectory::open(
                root.path(),
                "store",
                KNOWN,
                Duration::from_secs(60),
                &Interrupt::new(),
            )
        });
        drop(first);
        let second = second.join().unwrap().unwrap();
        let error = open_at(root.path(), KNOWN).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Locked);
        drop(second);
    });
    drop(open_at(root.path(), KNOWN).unwrap());
}

#[test]
fn ca12_waiting_for_the_directory_can_be_interrupted() {
    let root = root();
    let _held = open_at(root.path(), KNOWN).unwrap();
    let interrupt = Interrupt::new();
    interrupt.set();
    let error = StoreDirectory::open(
        root.path(),
        "store",
        KNOWN,
        Duration::from_secs(60),
        &interrupt,
    )
    .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Interrupted);
}

// Not a test of its own: the process of the test below.
#[test]
fn child_that_holds_a_directory() {
    let Some(above) = std::env::var_os("LONGSHORE_TEST_HOLD_DIRECTORY") else {
        return;
    };
    let _held = open_at(Path::new(&above), KNOWN).unwrap();
    println!("held");
    // Until it is killed.
    let _ = io::stdin().read(&mut [0]);
}

#[test]
fn ca12_another_process_is_named_and_its_death_frees_the_directory() {
    let root = root();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "fs::tests::directory::child_that_holds_a_directory",
            "--nocapture",
        ])
        .env("LONGSHORE_TEST_HOLD_DIRECTORY", root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")));
    match open_at(root.path(), KNOWN).unwrap_err() {
        StoreError::Locked { path, holder, .. } => {
            assert_eq!(path, root.path().join("store/lock"));
            assert_eq!(holder.unwrap().process, child.id());
        }
        other => panic!("another error: {other}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(open_at(root.path(), KNOWN).unwrap());
}

/// CA9: on a full disk nothing is written, and what is there is still read.
pub(super) fn check_full_disk(disk: &Path) {
    let small = Digest::sha256(b"content");
    let content = vec![0; 1 << 20];
    let large = Digest::sha256(&content);
    let directory = open_at(disk, KNOWN).unwrap();
    let store = directory.store(Durability::Each);
    store.put(&small, b"content").unwrap();
    let mut writer = store.begin(&large, Some(1 << 20)).unwrap();
    let early = writer.reader().unwrap();
    let mut taken = 0;
    let error = content.chunks(1 << 14).find_map(|piece| {
        taken = writer.position();
        writer.write(piece).err()
    });
    assert_eq!(error.unwrap().kind(), StoreErrorKind::Full);
    assert!(taken > 0);
    // Readers of the blob still have what was written, although its file has no name any more.
    let mut last = [1];
    assert_eq!(early.read_at(&mut last, taken - 1).unwrap(), 1);
    assert_eq!(last, [0]);
    drop(early);
    let mut found = [0; 7];
    let reader = store.open(&small).unwrap().into_random();
    assert_eq!(reader.read_at(&mut found, 0).unwrap(), 7);
    assert_eq!(&found, b"content");
    let listed: Vec<_> = store.list().unwrap().map(Result::unwrap).collect();
    assert_eq!(listed, [small]);
}

/// CA9: a directory on a read-only disk is refused as such.
pub(super) fn check_read_only_disk(disk: &Path) {
    let error = open_at(disk, KNOWN).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    let store = FsStore::open_sharded(&disk.join("store"), Durability::Each).unwrap();
    let small = Digest::sha256(b"content");
    assert_eq!(store.size(&small).unwrap(), Some(7));
    let error = store.quarantine(&small).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
}
