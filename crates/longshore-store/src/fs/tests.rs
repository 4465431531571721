use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use longshore_model::Digest;
use tempfile::TempDir;

use super::*;
use crate::conformance;
use crate::error::StoreErrorKind;

mod directory;
mod failpoints;
mod partials;
mod sharded;
mod verified;

fn root() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(root: &TempDir) -> FsStore {
    FsStore::open(root.path(), Durability::Batch).unwrap()
}

/// The names below `path`, directories with a slash behind, in order.
fn tree(path: &Path) -> BTreeSet<String> {
    fn walk(path: &Path, prefix: &str, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                names.insert(format!("{name}/"));
                walk(&entry.path(), &format!("{name}/"), names);
            } else {
                names.insert(name);
            }
        }
    }
    let mut names = BTreeSet::new();
    walk(path, "", &mut names);
    names
}

fn check_tree(path: &Path, expected: &[&str]) {
    let expected = expected.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(tree(path), expected);
}

fn hostile<T: std::fmt::Debug>(outcome: Result<T, StoreError>, at: &Path) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Hostile, "{error}");
    match error {
        StoreError::NotADirectory { path } | StoreError::NotAFile { path } => assert_eq!(path, at),
        other => panic!("another error: {other}"),
    }
}

#[test]
fn every_durability_conforms() {
    for durability in [Durability::Batch, Durability::Each, Durability::None] {
        let roots = root();
        let count = AtomicUsize::new(0);
        conformance::check(|| {
            let n = count.fetch_add(1, Ordering::Relaxed).to_string();
            let root = roots.path().join(n);
            fs::create_dir(&root).unwrap();
            FsStore::open(&root, durability).unwrap()
        });
    }
}

#[test]
fn blobs_lie_where_an_image_layout_has_them() {
    let root = root();
    let store = open(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    let path = root.path().join("blobs/sha256").join(digest.encoded());
    assert_eq!(store.path(&digest), Some(path.clone()));
    assert_eq!(fs::read(path).unwrap(), b"content");
    drop(store);
    let blob = format!("blobs/sha256/{}", digest.encoded());
    check_tree(root.path(), &["blobs/", "blobs/sha256/", &blob]);
}

#[test]
fn dg9_only_the_private_directory_is_private() {
    let root = root();
    let store = open(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    let mode = |name: &str| {
        let metadata = fs::symlink_metadata(root.path().join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(".longshore"), 0o700);
    assert_eq!(mode(".longshore/lock"), 0o600);
    for name in tree(root.path())
        .iter()
        .filter(|name| name.starts_with(".longshore/"))
    {
        assert_eq!(mode(name) & 0o077, 0, "{name}");
    }
    // What the umask leaves of these.
    assert_eq!(mode("blobs") & !0o755, 0);
    assert_eq!(mode("blobs/sha256") & 0o700, 0o700);
    let blob = mode(&format!("blobs/sha256/{}", digest.encoded()));
    assert_eq!((blob & 0o600, blob & !0o644), (0o600, 0));
}

#[test]
fn a_store_survives_the_loss_of_its_directories() {
    let root = root();
    let store = open(&root);
    let content = Digest::sha256(b"content");
    store.put(&content, b"content").unwrap();
    fs::remove_dir_all(root.path().join("blobs")).unwrap();
    assert_eq!(store.size(&content).unwrap(), None);
    let lost = store.put(&content, b"content").unwrap_err();
    assert_eq!(lost.kind(), StoreErrorKind::Io);
    store.put(&content, b"content").unwrap();
    assert_eq!(store.size(&content).unwrap(), Some(7));
}

#[test]
fn reading_makes_nothing() {
    let root = root();
    let store = open(&root);
    let digest = Digest::sha256(b"content");
    assert_eq!(store.size(&digest).unwrap(), None);
    assert_eq!(store.list().unwrap().count(), 0);
    store.delete(&digest).unwrap();
    store.flush().unwrap();
    drop(store);
    check_tree(root.path(), &[]);
}

#[test]
fn rt9_a_dropped_writer_leaves_no_file() {
    let root = root();
    let store = open(&root);
    let mut writer = store.begin(&Digest::sha256(b"content"), Some(7)).unwrap();
    writer.write(b"cont").unwrap();
    let session = format!(".longshore/{}-0", std::process::id());
    let file = format!("{session}/0");
    assert!(tree(root.path()).contains(&file));
    drop(writer);
    assert!(!tree(root.path()).contains(&file));
    drop(store);
    check_tree(root.path(), &["blobs/", "blobs/sha256/"]);
}

#[test]
fn rt9_a_refused_write_leaves_no_file() {
    let root = root();
    let store = open(&root);
    let mut writer = store.begin(&Digest::sha256(b"content"), Some(7)).unwrap();
    writer.write(b"content!").unwrap_err();
    assert!(!tree(root.path()).iter().any(|name| name.ends_with("/0")));
}

#[test]
fn a_writer_outlives_its_store() {
    let root = root();
    let store = open(&root);
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, None).unwrap();
    drop(store);
    writer.write(b"content").unwrap();
    writer.commit().unwrap();
    assert_eq!(open(&root).size(&digest).unwrap(), Some(7));
    assert!(!root.path().join(PRIVATE_DIR).exists());
}

#[test]
fn what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not() {
    let root = root();
    let living = open(&root);
    let digest = Digest::sha256(b"content");
    let mut writer = living.begin(&digest, None).unwrap();
    writer.write(b"cont").unwrap();

    let private = root.path().join(PRIVATE_DIR);
    for (session, files) in [
        ("1-0", &["lock", "0", "17"][..]),
        ("1-1", &[]),
        ("2-0", &["lock"]),
    ] {
        fs::create_dir(private.join(session)).unwrap();
        for file in files {
            fs::write(private.join(session).join(file), "half").unwrap();
        }
    }
    // Not ours to judge: the next version may keep something here.
    fs::create_dir(private.join("other")).unwrap();

    let next = open(&root);
    next.clear_leftovers().unwrap();
    let pid = std::process::id();
    let session = |n| format!(".longshore/{pid}-{n}/");
    let lock = |n| format!(".longshore/{pid}-{n}/lock");
    check_tree(
        root.path(),
        &[
            ".longshore/",
            ".longshore/lock",
            ".longshore/other/",
            &session(0),
            &lock(0),
            &format!("{}0", session(0)),
            &session(1),
            &lock(1),
            "blobs/",
            "blobs/sha256/",
        ],
    );
    writer.write(b"ent").unwrap();
    writer.commit().unwrap();
    assert_eq!(next.size(&digest).unwrap(), Some(7));
}

/// The other half of the next test: a process that is killed in the middle of a blob.
#[test]
fn child_that_is_killed() {
    let Some(root) = std::env::var_os("LONGSHORE_TEST_KILLED_IN") else {
        return;
    };
    let store = FsStore::open(Path::new(&root), Durability::Batch).unwrap();
    let whole = Digest::sha256(b"whole");
    store.put(&whole, b"whole").unwrap();
    let mut writer = store.begin(&Digest::sha256(b"content"), Some(7)).unwrap();
    writer.write(b"cont").unwrap();
    println!("half written");
    // Nobody writes to this: it ends with the process.
    let _ = io::stdin().read_line(&mut String::new());
}

#[test]
fn rt9_a_killed_process_leaves_whole_blobs_and_no_lock() {
    let root = root();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fs::tests::child_that_is_killed", "--nocapture"])
        .env("LONGSHORE_TEST_KILLED_IN", root.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("half written")));
    child.kill().unwrap();
    child.wait().unwrap();
    let left = format!(".longshore/{}-0/", child.id());
    assert!(tree(root.path()).contains(&left));

    let store = open(&root);
    let whole = Digest::sha256(b"whole");
    let digests: Vec<_> = store.list().unwrap().map(Result::unwrap).collect();
    assert_eq!(digests, std::slice::from_ref(&whole));
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    assert!(!tree(root.path()).contains(&left));
    drop(store);
    check_tree(
        root.path(),
        &[
            "blobs/",
            "blobs/sha256/",
            &format!("blobs/sha256/{}", whole.encoded()),
            &format!("blobs/sha256/{}", digest.encoded()),
        ],
    );
}

/// The other half of the next test: on a disk of 256 KiB.
#[test]
fn child_on_a_small_disk() {
    let Some(disk) = std::env::var_os("LONGSHORE_TEST_SMALL_DISK") else {
        return;
    };
    let disk = Path::new(&disk);
    let content = vec![0; 1 << 20];
    let digest = Digest::sha256(&content);
    let small = Digest::sha256(b"content");
    let store = FsStore::open(disk, Durability::Batch).unwrap();
    let mut writer = store.begin(&digest, None).unwrap();
    let mut pieces = content.chunks(1 << 16);
    let error = pieces.find_map(|piece| writer.write(piece).err()).unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    // What was cut short cannot be committed, and has given its room back.
    let error = writer.commit().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Abandoned, "{error}");
    assert_eq!(store.list().unwrap().count(), 0);
    store.put(&small, b"content").unwrap();
    // Nor is it kept: whoever has to make room shall not have to look for it.
    let mut writer = store.resume(&digest, 1 << 20).unwrap();
    let mut pieces = content.chunks(1 << 16);
    let error = pieces.find_map(|piece| writer.write(piece).err()).unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    drop(writer);
    assert_eq!(store.partials().unwrap().count(), 0);
    let mut writer = store.resume(&digest, 1 << 20).unwrap();
    writer.write(b"\0\0\0").unwrap();
    writer.keep().unwrap();

    let exclusive = store.lock().unwrap();
    exclusive.replace("document", b"old").unwrap();
    let error = exclusive.replace("document", &content).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert_eq!(fs::read(disk.join("document")).unwrap(), b"old");
    exclusive.replace("document", b"new").unwrap();
    drop(exclusive);
    drop(store);
    directory::check_full_disk(disk);

    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk)
        .status();
    assert!(remounted.unwrap().success());
    let store = FsStore::open(disk, Durability::Batch).unwrap();
    assert_eq!(store.size(&small).unwrap(), Some(7));
    assert_eq!(store.partials().unwrap().count(), 1);
    let error = store.resume(&digest, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    let error = store.put(&digest, &content).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    let error = store.lock().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    directory::check_read_only_disk(disk);
}

#[test]
fn a_full_disk_and_a_read_only_one_are_told() {
    let disk = root();
    // A mount of its own needs a name space of its own.
    let mounted = "mount -t tmpfs -o size=256k,mode=0755 none \"$0\" || exit 77; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mounted])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "fs::tests::child_on_a_small_disk", "--nocapture"])
        .env("LONGSHORE_TEST_SMALL_DISK", disk.path())
        .output();
    match output.map(|output| (output.status.code(), output)) {
        Ok((Some(0), _)) => {}
        Ok((Some(101), output)) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
        other => eprintln!("SKIPPED: no small disk could be mounted: {other:?}"),
    }
}

#[test]
fn sessions_may_begin_and_end_at_once() {
    let root = root();
    let round = |thread: u8| {
        for n in 0..20_u8 {
            let content = [thread, n];
            let digest = Digest::sha256(&content);
            let store = open(&root);
            store.put(&digest, &content).unwrap();
            store.flush().unwrap();
            let exclusive = store.lock().unwrap();
            exclusive.replace("document", &content).unwrap();
        }
    };
    thread::scope(|scope| {
        for thread in 0..6 {
            let round = &round;
            scope.spawn(move || round(thread));
        }
    });
    let store = open(&root);
    assert_eq!(store.list().unwrap().count(), 120);
    assert_eq!(fs::read(root.path().join("document")).unwrap().len(), 2);
    assert!(!root.path().join(PRIVATE_DIR).exists());
}

#[test]
fn a_lock_held_for_too_long_is_an_error() {
    let root = root();
    let store = open(&root);
    let held = store.lock().unwrap();
    let error = PrivateLock::take(store.root(), Duration::ZERO, &Interrupt::new()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Locked);
    let lock = root.path().join(".longshore/lock");
    let text = error.to_string();
    let process = format!("process {}", std::process::id());
    assert!(text.starts_with(&process), "{text}");
    assert!(text.contains(&lock.display().to_string()), "{text}");
    drop(held);
    assert_eq!(fs::read(&lock).unwrap(), b"", "no process holds it");
    // Another program holds the lock and writes no ID; the ID of a killed process is still in the
    // file.
    fs::write(&lock, "4000000000\n").unwrap();
    let held = fs::OpenOptions::new().write(true).open(&lock).unwrap();
    Dir::try_lock(&held).unwrap();
    let error = PrivateLock::take(store.root(), Duration::ZERO, &Interrupt::new()).unwrap_err();
    let expected = match cfg!(target_os = "linux") {
        true => process,
        false => "process 4000000000".to_owned(),
    };
    let text = error.to_string();
    assert!(text.starts_with(&expected), "{text}");
    drop(held);
    PrivateLock::take(store.root(), Duration::ZERO, &Interrupt::new()).unwrap();
}

#[test]
fn a_damaged_blob_is_healed_by_writing_it_again() {
    let root = root();
    let store = open(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    fs::write(store.path(&digest).unwrap(), "co").unwrap();
    assert_eq!(
        store.size(&digest).unwrap(),
        Some(2),
        "whoever asks compares"
    );
    store.put(&digest, b"content").unwrap();
    assert_eq!(store.size(&digest).unwrap(), Some(7));
}

#[test]
fn what_is_no_blob_is_not_listed() {
    let root = root();
    let store = open(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    let blobs = root.path().join("blobs");
    let upper = digest.encoded().to_uppercase();
    for name in [
        "README",
        "sha256/README",
        "sha256/0",
        &format!("sha256/{upper}"),
    ] {
        fs::write(blobs.join(name), "").unwrap();
    }
    fs::create_dir(blobs.join("sha256").join(Digest::sha256(b"1").encoded())).unwrap();
    fs::create_dir(blobs.join("md4")).unwrap();
    fs::write(blobs.join("md4/00"), "").unwrap();
    let listed: Vec<_> = store.list().unwrap().map(Result::unwrap).collect();
    assert_eq!(listed, [digest]);
}

// DG9, from here on: what came from elsewhere may hold anything.

#[test]
fn dg9_no_link_to_a_directory_is_followed() {
    for link in ["blobs", "blobs/sha256"] {
        let elsewhere = root();
        let root = root();
        let digest = Digest::sha256(b"content");
        // A whole store stands behind the link; and yet it is not this one.
        open(&elsewhere).put(&digest, b"content").unwrap();
        let at = root.path().join(link);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(elsewhere.path().join(link), &at).unwrap();

        let store = open(&root);
        hostile(store.size(&digest), &at);
        hostile(store.open(&digest), &at);
        hostile(store.delete(&digest), &at);
        hostile(store.begin(&digest, None), &at);
        hostile(store.list().map(|_| ()), &at);
        assert_eq!(open(&elsewhere).size(&digest).unwrap(), Some(7));
    }
}

#[test]
fn dg9_only_a_regular_file_is_a_blob() {
    let digest = Digest::sha256(b"content");
    let outside = root();
    let secret = outside.path().join("secret");
    fs::write(&secret, "content").unwrap();
    let make: [&dyn Fn(&Path); 4] = [
        &|at| symlink(&secret, at).unwrap(),
        &|at| symlink("nowhere", at).unwrap(),
        &|at| fifo(at),
        &|at| fs::create_dir(at).unwrap(),
    ];
    for make in make {
        let root = root();
        let at = root.path().join("blobs/sha256").join(digest.encoded());
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        make(&at);
        let store = open(&root);
        hostile(store.size(&digest), &at);
        hostile(store.open(&digest), &at);
        assert_eq!(store.list().unwrap().count(), 0);
        // Writing replaces a link, and never writes through it; a directory stays.
        let is_dir = fs::symlink_metadata(&at).unwrap().is_dir();
        assert_eq!(store.put(&digest, b"content").is_err(), is_dir);
        assert_eq!(fs::read(&secret).unwrap(), b"content");
        if !is_dir {
            assert!(fs::symlink_metadata(&at).unwrap().is_file());
        }
    }
}

#[test]
fn dg9_the_private_directory_is_no_link_either() {
    let elsewhere = root();
    fs::create_dir(elsewhere.path().join("1-0")).unwrap();
    fs::write(elsewhere.path().join("1-0/0"), "not ours").unwrap();
    let digest = Digest::sha256(b"content");

    let links = root();
    symlink(elsewhere.path(), links.path().join(PRIVATE_DIR)).unwrap();
    hostile(
        open(&links).begin(&digest, None),
        &links.path().join(PRIVATE_DIR),
    );

    let deeper = root();
    fs::create_dir(deeper.path().join(PRIVATE_DIR)).unwrap();
    symlink(
        elsewhere.path().join("1-0"),
        deeper.path().join(".longshore/3-0"),
    )
    .unwrap();
    let store = open(&deeper);
    store.put(&digest, b"content").unwrap();

    let lock = root();
    fs::create_dir(lock.path().join(PRIVATE_DIR)).unwrap();
    let at = lock.path().join(".longshore/lock");
    symlink(elsewhere.path().join("1-0/0"), &at).unwrap();
    hostile(open(&lock).begin(&digest, None), &at);
    fs::remove_file(&at).unwrap();
    fifo(&at);
    hostile(open(&lock).begin(&digest, None), &at);

    check_tree(elsewhere.path(), &["1-0/", "1-0/0"]);
}

#[test]
fn dg9_a_document_is_a_regular_file_within_its_limit() {
    let root = root();
    let store = open(&root);
    let dir = store.root();
    assert_eq!(dir.read("document", 5).unwrap(), None);
    store.lock().unwrap().replace("document", b"12345").unwrap();
    assert_eq!(dir.read("document", 5).unwrap(), Some(b"12345".to_vec()));
    match dir.read("document", 4).unwrap_err() {
        StoreError::TooLarge { path, limit } => {
            assert_eq!((path, limit), (root.path().join("document"), 4));
        }
        other => panic!("another error: {other}"),
    }
    // LI2: a file without a block of its own claims a tebibyte.
    File::create(root.path().join("huge"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert_eq!(
        dir.read("huge", 1 << 20).unwrap_err().kind(),
        StoreErrorKind::Hostile
    );
    // Waiting for the other end of a pipe would be for ever.
    fifo(&root.path().join("pipe"));
    hostile(dir.read("pipe", 5), &root.path().join("pipe"));
    symlink("document", root.path().join("link")).unwrap();
    hostile(dir.read("link", 5), &root.path().join("link"));
    hostile(dir.read(PRIVATE_DIR, 5), &root.path().join(PRIVATE_DIR));
}

#[test]
fn dg9_a_name_is_one_component() {
    let root = root();
    let store = open(&root);
    for name in ["", ".", "..", "../x", "/etc", "a/b", "a\0b"] {
        let error = store.root().read(name, 5).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Io, "{name:?}: {error}");
        store.root().dir(name).unwrap_err();
        store.root().remove(name).unwrap_err();
    }
}

#[test]
fn what_could_not_be_made_durable_is_tried_again() {
    let (root, elsewhere) = (root(), root());
    let at = root.path().join("blobs");
    symlink(elsewhere.path(), &at).unwrap();
    let blobs = Blobs::new(
        Arc::new(Dir::open(root.path()).unwrap()),
        Arrangement::Image,
    );
    let batch = Batch::default();
    batch.add(Digest::sha256(b"content"), Origin::Reused);
    let flush = || batch.flush(&blobs, &Interrupt::new());
    hostile(flush(), &at);
    hostile(flush(), &at);
    fs::remove_file(&at).unwrap();
    flush().unwrap();
}

// CA1: the failure of one image never removes a blob that another image refers to.
#[test]
fn a_failed_fsync_removes_only_what_this_store_wrote() {
    let root = root();
    let [theirs, ours, both, replaced] =
        ["theirs", "ours", "both", "replaced"].map(|text| Digest::sha256(text.as_bytes()));
    let earlier = open(&root);
    earlier.put(&theirs, b"theirs").unwrap();
    earlier.flush().unwrap();
    drop(earlier);

    let store = open(&root);
    assert!(store.reuse(&theirs, 6).unwrap());
    store.put(&ours, b"ours").unwrap();
    store.put(&both, b"both").unwrap();
    assert!(store.reuse(&both, 4).unwrap());
    store.put(&replaced, b"replaced").unwrap();
    // Another process writes the same blob over it.
    open(&root).put(&replaced, b"replaced").unwrap();

    let Shared { blobs, batch, .. } = &*store.shared;
    let fails = |_: &Dir, _: &str| Err(io::Error::from_raw_os_error(5));
    let error = batch
        .flush_with(blobs, &Interrupt::new(), fails)
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert_eq!(store.size(&theirs).unwrap(), Some(6));
    assert_eq!(store.size(&replaced).unwrap(), Some(8));
    assert_eq!(store.size(&ours).unwrap(), None);
    assert_eq!(store.size(&both).unwrap(), None);
    // The next attempt makes the remaining blobs durable.
    let synced = AtomicUsize::new(0);
    let counts = |dir: &Dir, name: &str| {
        dir.sync_file(name)?;
        synced.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    batch.flush_with(blobs, &Interrupt::new(), counts).unwrap();
    assert_eq!(synced.into_inner(), 2);
}

// RT11: a signal ends every command soon, also one that waits for a lock.
#[test]
fn rt11_an_interrupt_ends_the_wait_for_a_lock() {
    let root = root();
    let holder = open(&root);
    let held = holder.lock().unwrap();
    let interrupt = Interrupt::new();
    let waiting = open(&root).with_interrupt(interrupt.clone());
    thread::scope(|scope| {
        let ended = scope.spawn(|| waiting.lock().map(|_| ()));
        interrupt.set();
        let error = ended.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Interrupted);
    });
    // The first write begins with the same lock.
    let error = waiting.put(&Digest::sha256(b"a"), b"a").unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Interrupted);
    drop(held);
    let store = waiting.with_interrupt(Interrupt::new());
    store.put(&Digest::sha256(b"a"), b"a").unwrap();
    assert_eq!(
        waiting.flush().unwrap_err().kind(),
        StoreErrorKind::Interrupted
    );
    store.flush().unwrap();
}

#[test]
fn a_root_that_is_no_directory_is_refused() {
    let root = root();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    hostile(FsStore::open(&file, Durability::Batch), &file);
    let error = FsStore::open(&root.path().join("absent"), Durability::Batch).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Io);
}

fn fifo(at: &Path) {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
}
