//! What is kept of unfinished blobs: in which files, for how long, and from whom it is taken.

use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use super::*;
use crate::dir::FileMode;
use crate::store::Partial;

const CONTENT: &[u8] = b"content";

fn content() -> Digest {
    Digest::sha256(CONTENT)
}

/// Where what is kept of [`CONTENT`] lies.
fn kept_name() -> String {
    format!(".longshore/partial/sha256-{}", content().encoded())
}

fn keep(store: &FsStore, digest: &Digest, written: &[u8]) {
    let mut writer = store.begin(digest, None).unwrap();
    writer.write(written).unwrap();
    writer.keep().unwrap();
}

fn kept(store: &FsStore) -> Vec<Partial> {
    store.partials().unwrap().map(Result::unwrap).collect()
}

/// Makes a file where what is kept lies, with all directories.
fn plant(root: &TempDir, name: &str, written: &[u8]) {
    let at = root.path().join(name);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    fs::write(at, written).unwrap();
}

#[test]
fn what_is_kept_stays_when_the_last_store_is_gone() {
    let root = root();
    let store = open(&root);
    keep(&store, &content(), b"cont");
    drop(store);
    check_tree(
        root.path(),
        &[
            ".longshore/",
            ".longshore/lock",
            ".longshore/partial/",
            &kept_name(),
            "blobs/",
            "blobs/sha256/",
        ],
    );
    let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().mode() & 0o777;
    assert_eq!(mode(".longshore"), 0o700);
    assert_eq!(mode(".longshore/partial"), 0o700);

    let store = open(&root);
    let mut writer = store.resume(&content(), 7).unwrap();
    assert_eq!(writer.position(), 4);
    writer.write(b"ent").unwrap();
    writer.commit().unwrap();
    drop(store);
    let blob = format!("blobs/sha256/{}", content().encoded());
    check_tree(root.path(), &["blobs/", "blobs/sha256/", &blob]);
    assert_eq!(fs::read(root.path().join(&blob)).unwrap(), CONTENT);
}

#[test]
fn cleared_partials_leave_no_private_directory() {
    let root = root();
    let store = open(&root);
    keep(&store, &content(), b"cont");
    // Whatever else stands there goes too, except what cannot.
    plant(&root, ".longshore/partial/notes", b"");
    symlink("nowhere", root.path().join(".longshore/partial/link")).unwrap();
    store.clear_partials().unwrap();
    drop(store);
    check_tree(root.path(), &["blobs/", "blobs/sha256/"]);
}

#[test]
fn what_was_not_added_to_for_a_week_goes_at_the_next_write() {
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 60 * 60);
    let cases = [
        (now, true),
        (now + 6 * day, true),
        (now + PARTIAL_AGE_LIMIT - day / 24, true),
        (now + PARTIAL_AGE_LIMIT + day / 24, false),
        (now + 10_000 * day, false),
        // The clock was set back.
        (now - 10_000 * day, true),
    ];
    for (later, expected) in cases {
        let root = root();
        let store = open(&root);
        keep(&store, &content(), b"cont");
        drop(store);
        plant(&root, ".longshore/partial/notes", b"");
        plant(&root, ".longshore/partial/md4-00", b"");
        let dir = Arc::new(Dir::open(root.path()).unwrap());
        let session =
            Arc::new(Session::begin(dir, FileMode::Shared, later, &Interrupt::new()).unwrap());
        let resumed = session.resume(&content(), 7).unwrap();
        assert_eq!(resumed.is_some(), expected);
        let left = fs::read_dir(root.path().join(".longshore/partial")).unwrap();
        assert_eq!(left.count(), 0, "what has no name of ours is nobody's");
    }
}

#[test]
fn what_ages_is_the_file() {
    let root = root();
    drop(open(&root).lock().unwrap());
    plant(&root, &kept_name(), b"cont");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(root.path().join(kept_name()))
        .unwrap();
    let week = PARTIAL_AGE_LIMIT + Duration::from_secs(60);
    file.set_modified(SystemTime::now() - week).unwrap();
    let store = open(&root);
    assert_eq!(kept(&store).len(), 1, "looking removes nothing");
    assert_eq!(store.resume(&content(), 7).unwrap().position(), 0);
    assert_eq!(kept(&store), []);
}

/// The other half of the next test.
#[test]
fn child_that_is_killed_while_it_resumes() {
    let Some(root) = std::env::var_os("LONGSHORE_TEST_RESUMES_IN") else {
        return;
    };
    let store = FsStore::open(Path::new(&root), Durability::Batch).unwrap();
    let mut writer = store.resume(&content(), 7).unwrap();
    let from = usize::try_from(writer.position()).unwrap();
    writer.write(&CONTENT[from..from + 2]).unwrap();
    let mut other = store.begin(&Digest::sha256(b"other"), None).unwrap();
    other.write(b"oth").unwrap();
    println!("half written");
    // Nobody writes to this: it ends with the process.
    let _ = io::stdin().read_line(&mut String::new());
}

// RT9: partial content survives its process, however the process ended.
#[test]
fn rt9_a_killed_process_leaves_what_it_resumed() {
    let root = root();
    for written in [2, 4, 6] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("fs::tests::partials::child_that_is_killed_while_it_resumes")
            .env("LONGSHORE_TEST_RESUMES_IN", root.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("half written")));
        // While it lives, what it writes is nobody else's.
        let store = open(&root);
        store.clear_leftovers().unwrap();
        assert_eq!(kept(&store), []);
        drop(store);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(&root);
        store.clear_leftovers().unwrap();
        assert_eq!(kept(&store), [Partial::new(content(), written)]);
        assert_eq!(store.list().unwrap().count(), 0);
    }
    let store = open(&root);
    let mut writer = store.resume(&content(), 7).unwrap();
    writer.write(b"t").unwrap();
    writer.commit().unwrap();
    drop(store);
    let blob = format!("blobs/sha256/{}", content().encoded());
    check_tree(root.path(), &["blobs/", "blobs/sha256/", &blob]);
}

#[test]
fn the_longest_of_what_dead_processes_left_is_kept() {
    let root = root();
    let name = |n: u32| format!("{n}-sha256-{}", content().encoded());
    plant(&root, ".longshore/1-0/lock", b"");
    plant(&root, &format!(".longshore/1-0/{}", name(0)), b"con");
    plant(&root, &format!(".longshore/1-0/{}", name(7)), b"cont");
    plant(&root, ".longshore/1-0/8", b"half");
    plant(&root, &format!(".longshore/2-0/{}", name(1)), b"c");
    // None of these is a name a session gives.
    plant(&root, &format!(".longshore/2-0/x{}", name(1)), b"content");
    plant(&root, ".longshore/2-0/9-md4-00", b"content");
    plant(&root, ".longshore/2-0/9-sha256-00", b"content");
    symlink(
        "../../oci-layout",
        root.path().join(".longshore/2-0").join(name(3)),
    )
    .unwrap();
    let store = open(&root);
    store.clear_leftovers().unwrap();
    assert_eq!(kept(&store), [Partial::new(content(), 4)]);
    drop(store);
    check_tree(
        root.path(),
        &[
            ".longshore/",
            ".longshore/lock",
            ".longshore/partial/",
            &kept_name(),
        ],
    );
    assert_eq!(fs::read(root.path().join(kept_name())).unwrap(), b"cont");
}

#[test]
fn li2_what_claims_to_be_huge_is_discarded_unread() {
    let root = root();
    plant(&root, &kept_name(), b"cont");
    let at = root.path().join(kept_name());
    let file = fs::OpenOptions::new().write(true).open(&at).unwrap();
    file.set_len(1 << 40).unwrap();
    let store = open(&root);
    assert_eq!(store.resume(&content(), 7).unwrap().position(), 0);
    assert!(!at.exists());
}

#[test]
fn what_is_kept_is_not_lost_to_another_error() {
    let elsewhere = root();
    let root = root();
    let store = open(&root);
    keep(&store, &content(), b"cont");
    let at = root.path().join("blobs");
    fs::remove_dir_all(&at).unwrap();
    symlink(elsewhere.path(), &at).unwrap();
    // Another one: the first has the directory open that was there.
    let store = open(&root);
    hostile(store.resume(&content(), 7), &at);
    assert_eq!(kept(&store), [Partial::new(content(), 4)]);
    fs::remove_file(&at).unwrap();
    assert_eq!(store.resume(&content(), 7).unwrap().position(), 4);
}

// A partial blob, like the rest of a layout, may come from another user; and a file system without
// modes shows every file as executable or writable by all.
#[test]
fn dg9_a_partial_blob_of_any_mode_is_resumed_in_a_file_of_our_own() {
    let outside = root();
    let secret = outside.path().join("secret");
    let permit = |at: &Path, mode: u32| {
        fs::write(at, "cont").unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    };
    type Make<'a> = &'a dyn Fn(&Path);
    let make: [(u64, Make<'_>); 9] = [
        (0, &|at| symlink(&secret, at).unwrap()),
        (0, &|at| symlink("nowhere", at).unwrap()),
        (0, &|at| fifo(at)),
        (0, &|at| fs::create_dir(at).unwrap()),
        (4, &|at| fs::hard_link(&secret, at).unwrap()),
        (4, &|at| permit(at, 0o666)),
        (4, &|at| permit(at, 0o755)),
        (4, &|at| permit(at, 0o777)),
        (4, &|at| permit(at, 0o4644)),
    ];
    for (resumed_at, make) in make {
        fs::write(&secret, "cont").unwrap();
        let root = root();
        let at = root.path().join(kept_name());
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        make(&at);
        let store = open(&root);
        let mut writer = store.resume(&content(), 7).unwrap();
        assert_eq!(writer.position(), resumed_at);
        let rest = usize::try_from(resumed_at).unwrap();
        writer.write(&CONTENT[rest..]).unwrap();
        writer.commit().unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "cont");
        let blob = fs::symlink_metadata(store.path(&content()).unwrap()).unwrap();
        assert!(blob.is_file());
        assert_eq!((blob.nlink(), blob.mode() & 0o7777 & !0o644), (1, 0));
        assert_eq!(kept(&store), []);
    }
}

// DG3: a former writer on another host may not see the lock, and may still have its file open.
#[test]
fn dg3_a_former_writer_cannot_change_a_blob_that_was_resumed() {
    let root = root();
    let store = open(&root);
    plant(&root, &kept_name(), b"cont");
    let at = root.path().join(kept_name());
    let mut former = fs::OpenOptions::new().write(true).open(&at).unwrap();
    let mut writer = store.resume(&content(), 7).unwrap();
    assert_eq!(writer.position(), 4);
    io::Write::write_all(&mut former, b"evil, and more").unwrap();
    writer.write(b"ent").unwrap();
    writer.commit().unwrap();
    io::Write::write_all(&mut former, b"evil").unwrap();
    assert_eq!(fs::read(store.path(&content()).unwrap()).unwrap(), CONTENT);
    assert_eq!(kept(&store), []);
    drop(store);
    check_tree(
        root.path(),
        &[
            "blobs/",
            "blobs/sha256/",
            &format!("blobs/sha256/{}", content().encoded()),
        ],
    );
}

// RT11: hashing a large partial blob again does not delay the end of a command.
#[test]
fn rt11_an_interrupt_ends_a_resume_and_keeps_the_partial_blob() {
    let root = root();
    let store = open(&root);
    keep(&store, &content(), b"cont");
    let interrupt = Interrupt::new();
    let stopped = store.with_interrupt(interrupt.clone());
    interrupt.set();
    let error = stopped.resume(&content(), 7).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Interrupted);
    assert_eq!(kept(&store), [Partial::new(content(), 4)]);
    assert_eq!(store.resume(&content(), 7).unwrap().position(), 4);
}

#[test]
fn dg9_the_directory_of_partials_is_no_link() {
    let elsewhere = root();
    let outside = elsewhere
        .path()
        .join(format!("sha256-{}", content().encoded()));
    fs::write(&outside, "cont").unwrap();
    let root = root();
    fs::create_dir(root.path().join(PRIVATE_DIR)).unwrap();
    let at = root.path().join(".longshore/partial");
    symlink(elsewhere.path(), &at).unwrap();

    let store = open(&root);
    hostile(store.partials().map(|_| ()), &at);
    hostile(store.resume(&content(), 7), &at);
    hostile(store.clear_partials(), &at);
    let mut writer = store.begin(&content(), None).unwrap();
    writer.write(b"conten").unwrap();
    hostile(writer.keep(), &at);
    // What needs nothing of it goes on.
    store.put(&content(), CONTENT).unwrap();
    drop(store);
    assert_eq!(fs::read_to_string(outside).unwrap(), "cont");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
}

/// So many blobs are written again and again, by child after child.
const POOL: u64 = 4;
const POOL_SIZE: usize = 300_000;

fn pool(n: u64) -> (Digest, Vec<u8>) {
    let mut content = vec![0; POOL_SIZE];
    let mut random = Random(n + 1);
    for piece in content.chunks_exact_mut(8) {
        piece.copy_from_slice(&random.next().to_le_bytes());
    }
    (Digest::sha256(&content), content)
}

/// Numbers without a pattern, the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The other half of the next test: begins, resumes, keeps, drops, discards and commits.
#[test]
fn child_that_is_killed_at_any_moment() {
    let Some(root) = std::env::var_os("LONGSHORE_TEST_KILLED_AT_ANY_MOMENT_IN") else {
        return;
    };
    let seed = std::env::var("LONGSHORE_TEST_SEED").unwrap();
    let mut random = Random(seed.parse().unwrap());
    let pool: Vec<_> = (0..POOL).map(pool).collect();
    println!("begun");
    loop {
        let store = FsStore::open(Path::new(&root), Durability::None).unwrap();
        for _ in 0..random.below(20) {
            let (digest, content) = &pool[random.below(POOL) as usize];
            let mut writer = match random.below(4) {
                0 => store.begin(digest, None).unwrap(),
                _ => store.resume(digest, content.len() as u64).unwrap(),
            };
            let from = usize::try_from(writer.position()).unwrap();
            let piece = 1 + random.below(20_000) as usize;
            let pieces = random.below(60) as usize;
            for piece in content[from..].chunks(piece).take(pieces) {
                writer.write(piece).unwrap();
            }
            if writer.position() == content.len() as u64 {
                writer.commit().unwrap();
                store.delete(digest).unwrap();
                continue;
            }
            match random.below(8) {
                0 => writer.discard(),
                1..4 => writer.keep().unwrap(),
                _ => drop(writer),
            }
        }
    }
}

// CA2: a process killed at any moment leaves only whole blobs and correct prefixes of blobs.
#[test]
fn rt9_a_process_killed_at_any_moment_leaves_nothing_wrong() {
    let root = root();
    let pool: Vec<_> = (0..POOL).map(pool).collect();
    let mut random = Random(0x1a2b_3c4d);
    let (mut whole, mut partial) = (0, 0);
    // As many more as it takes to have seen one: how far a child gets is the machine's affair.
    for round in 0..500 {
        if round >= 50 && partial > 0 {
            break;
        }
        let mut children = [0; 2].map(|_| {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("fs::tests::partials::child_that_is_killed_at_any_moment")
                .env("LONGSHORE_TEST_KILLED_AT_ANY_MOMENT_IN", root.path())
                .env(
                    "LONGSHORE_TEST_SEED",
                    (1 + random.below(1 << 32)).to_string(),
                )
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap().contains("begun")));
            child
        });
        let store = open(&root);
        for child in &mut children {
            for _ in 0..random.below(2_000) {
                store.list().unwrap().for_each(drop);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            // Beside the other, which may go on with what the first has left.
            open(&root).clear_leftovers().unwrap();
        }

        store.clear_leftovers().unwrap();
        for digest in store.list().unwrap().map(Result::unwrap) {
            let (_, content) = pool.iter().find(|(found, _)| *found == digest).unwrap();
            assert!(fs::read(store.path(&digest).unwrap()).unwrap() == *content);
            whole += 1;
        }
        for kept in kept(&store) {
            let (_, content) = pool
                .iter()
                .find(|(digest, _)| *digest == kept.digest)
                .unwrap();
            let at = format!(".longshore/partial/sha256-{}", kept.digest.encoded());
            let written = fs::read(root.path().join(at)).unwrap();
            assert_eq!(written.len() as u64, kept.size);
            assert!(content.starts_with(&written));
            partial += 1;
        }
    }
    // Else this has shown nothing.
    assert!(
        partial > 0,
        "{partial} partial and {whole} whole blobs seen"
    );

    let store = open(&root);
    for (digest, content) in &pool {
        let mut writer = store.resume(digest, content.len() as u64).unwrap();
        let from = usize::try_from(writer.position()).unwrap();
        writer.write(&content[from..]).unwrap();
        writer.commit().unwrap();
    }
    drop(store);
    assert!(!root.path().join(PRIVATE_DIR).exists());
    assert_eq!(open(&root).list().unwrap().count() as u64, POOL);
}
