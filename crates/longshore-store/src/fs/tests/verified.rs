//! Reused blobs were verified: hashed now, or recorded by an earlier run.

use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use super::*;

const CONTENT: &[u8] = b"content";

fn content() -> Digest {
    Digest::sha256(CONTENT)
}

/// Returns a root with one blob, written, flushed and recorded.
fn recorded() -> TempDir {
    let root = root();
    let store = open(&root);
    store.put(&content(), CONTENT).unwrap();
    store.flush().unwrap();
    store.record_verified().unwrap();
    root
}

fn blob(root: &TempDir) -> PathBuf {
    root.path().join(content().blob_path())
}

fn record(root: &TempDir) -> PathBuf {
    root.path().join(".longshore/verified")
}

/// Returns whether a new store reuses the blob without hashing it.
fn is_remembered(root: &TempDir) -> bool {
    let store = open(root);
    let file = File::open(blob(root)).unwrap();
    let stamp = Stamp::of(&file).unwrap();
    store
        .shared
        .verified
        .knows(store.root(), &content(), &stamp)
}

fn existing(root: &TempDir) -> Existing {
    open(root).reuse_verified(&content(), 7).unwrap()
}

#[test]
fn dg10_a_blob_that_was_written_is_not_hashed_again_by_the_next_run() {
    let root = recorded();
    check_tree(
        root.path(),
        &[
            ".longshore/",
            ".longshore/verified",
            "blobs/",
            "blobs/sha256/",
            &format!("blobs/sha256/{}", content().encoded()),
        ],
    );
    let mode = fs::metadata(record(&root)).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(is_remembered(&root));
    assert_eq!(existing(&root), Existing::Verified);
    // There is nothing new to record, so the record is not rewritten.
    let before = fs::metadata(record(&root)).unwrap().ino();
    let store = open(&root);
    assert_eq!(
        store.reuse_verified(&content(), 7).unwrap(),
        Existing::Verified
    );
    store.record_verified().unwrap();
    drop(store);
    assert_eq!(fs::metadata(record(&root)).unwrap().ino(), before);
}

#[test]
fn dg10_a_blob_overwritten_with_the_same_length_is_detected() {
    let changes: [&dyn Fn(&Path); 3] = [
        &|at| fs::write(at, "CONTENT").unwrap(),
        // A copy that preserves all times has this effect.
        &|at| {
            let modified = fs::metadata(at).unwrap().modified().unwrap();
            fs::write(at, "CONTENT").unwrap();
            let file = fs::OpenOptions::new().write(true).open(at).unwrap();
            file.set_modified(modified).unwrap();
            // A clock may take several milliseconds for one tick.
            let changed = || fs::metadata(at).unwrap().ctime_nsec();
            let before = changed();
            while changed() == before {
                fs::set_permissions(at, fs::Permissions::from_mode(0o600)).unwrap();
            }
        },
        &|at| {
            let other = at.with_extension("new");
            fs::write(&other, "CONTENT").unwrap();
            fs::rename(&other, at).unwrap();
        },
    ];
    for change in changes {
        let root = recorded();
        change(&blob(&root));
        assert_eq!(existing(&root), Existing::Damaged);
        // Writing it again is the remedy.
        let store = open(&root);
        store.put(&content(), CONTENT).unwrap();
        drop(store);
        assert_eq!(existing(&root), Existing::Verified);
    }
}

#[test]
fn dg10_a_blob_of_another_program_is_remembered_once_it_was_hashed() {
    let root = root();
    open(&root).put(&content(), CONTENT).unwrap();
    assert!(!is_remembered(&root), "it was not recorded");
    let day = Duration::from_secs(24 * 60 * 60);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(blob(&root))
        .unwrap();
    file.set_modified(SystemTime::now() - day).unwrap();
    let store = open(&root);
    assert_eq!(
        store.reuse_verified(&content(), 7).unwrap(),
        Existing::Verified
    );
    store.flush().unwrap();
    store.record_verified().unwrap();
    drop(store);
    // Its file has just changed, so the next change might leave the same times.
    assert!(!is_remembered(&root));
    assert!(!record(&root).exists());
}

#[test]
fn dg10_a_record_that_others_could_write_is_ignored() {
    let damages: [&dyn Fn(&Path); 5] = [
        &|at| fs::set_permissions(at, fs::Permissions::from_mode(0o644)).unwrap(),
        &|at| fs::remove_file(at).unwrap(),
        &|at| {
            let text = fs::read_to_string(at).unwrap();
            fs::write(at, &text[..text.len() / 2]).unwrap();
        },
        &|at| fs::write(at, [0xff; 100]).unwrap(),
        &|at| {
            let other = at.with_extension("other");
            fs::rename(at, &other).unwrap();
            symlink("verified.other", at).unwrap();
        },
    ];
    for damage in damages {
        let root = recorded();
        damage(&record(&root));
        assert!(!is_remembered(&root));
        assert_eq!(existing(&root), Existing::Verified, "it is hashed");
    }
}

#[test]
fn dg10_content_that_is_not_durable_is_not_recorded() {
    let root = root();
    let store = FsStore::open(root.path(), Durability::None).unwrap();
    store.put(&content(), CONTENT).unwrap();
    store.flush().unwrap();
    store.record_verified().unwrap();
    drop(store);
    assert!(!root.path().join(PRIVATE_DIR).exists());
}

// RT11: hashing what is reused does not delay the end of a command.
#[test]
fn rt11_an_interrupt_ends_the_hashing_of_a_reused_blob() {
    let root = root();
    open(&root).put(&content(), CONTENT).unwrap();
    let interrupt = Interrupt::new();
    let store = open(&root).with_interrupt(interrupt.clone());
    interrupt.set();
    let error = store.reuse_verified(&content(), 7).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Interrupted);
}
