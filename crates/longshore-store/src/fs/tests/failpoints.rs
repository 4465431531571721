//! Every step of input and output fails, or is the last of its process.
//!
//! A child process works with a store, at one failpoint; the test then opens the store itself, as
//! the next process would.

use std::collections::BTreeMap;
use std::process::Output;

use super::*;
use crate::failpoint::{FAILPOINT_VARIABLE, failpoints, was_hit};
use crate::fs::directory::StoreDirectory;

/// Where the child works, how it makes blobs durable, and what it does.
const DIRECTORY: &str = "LONGSHORE_TEST_FAILPOINT_DIRECTORY";
const DURABILITY: &str = "LONGSHORE_TEST_FAILPOINT_DURABILITY";
const ORDER: &str = "LONGSHORE_TEST_FAILPOINT_ORDER";

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

fn content(name: &str) -> Vec<u8> {
    name.repeat(1_000).into_bytes()
}

fn digest(name: &str) -> Digest {
    Digest::sha256(&content(name))
}

fn open_in(above: &Path) -> Result<StoreDirectory, StoreError> {
    StoreDirectory::open(above, "store", 1, Duration::ZERO, &Interrupt::new())
}

/// A directory where making something durable costs nothing, if there is one.
fn quick_root() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| root())
}

// The child.

/// Returns the value of a call; `None` if it failed as the test asked for.
#[track_caller]
fn attempt<T>(outcome: Result<T, StoreError>) -> Option<T> {
    let error = match outcome {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let asked = std::env::var(FAILPOINT_VARIABLE).unwrap_or_default();
    let expected = match asked.split_once('=') {
        Some((_, "full")) => StoreErrorKind::Full,
        Some((_, "io")) => StoreErrorKind::Io,
        Some((_, "read-only")) => StoreErrorKind::ReadOnly,
        _ => panic!("no failure was asked for: {error}"),
    };
    assert!(was_hit(), "{error}");
    assert_eq!(error.kind(), expected, "{error}");
    None
}

/// Writes a blob, with one interruption after which it is resumed.
fn write_in_two_parts(store: &FsStore, name: &str) -> Result<(), StoreError> {
    let content = content(name);
    let mut writer = store.begin(&digest(name), Some(1_000))?;
    writer.write(&content[..500])?;
    writer.keep()?;
    let mut writer = store.resume(&digest(name), 1_000)?;
    let position = usize::try_from(writer.position()).unwrap();
    assert!(position == 500 || was_hit(), "{position}");
    writer.write(&content[position..])?;
    writer.commit()
}

fn write_half(store: &FsStore, name: &str) -> Result<Writer, StoreError> {
    let mut writer = store.resume(&digest(name), 1_000)?;
    writer.write(&content(name)[..500])?;
    Ok(writer)
}

/// Writes a blob; after a failure nothing more is visible than before.
#[track_caller]
fn commit(store: &FsStore, name: &str, write: fn(&FsStore, &str) -> Result<(), StoreError>) {
    let before = store.size(&digest(name));
    let written = attempt(write(store, name));
    // Only one call of this process fails.
    let after = store.size(&digest(name));
    match (written, before, after) {
        (Some(()), _, after) => {
            assert_eq!(attempt(after).unwrap_or(Some(1_000)), Some(1_000));
            println!("@committed {name}");
        }
        (None, before, after) => assert_eq!(before.unwrap(), after.unwrap(), "{name}"),
    }
}

fn put(store: &FsStore, name: &str) -> Result<(), StoreError> {
    store.put(&digest(name), &content(name))
}

fn work(store: &FsStore) {
    commit(store, "a", put);
    commit(store, "b", write_in_two_parts);
    if attempt(write_half(store, "c").and_then(Writer::keep)).is_some() {
        println!("@kept c");
    }
    if let Some(writer) = attempt(write_half(store, "d")) {
        writer.discard();
    }
    commit(store, "e", put);
    println!("@removing e");
    attempt(store.delete(&digest("e")));
    commit(store, "f", put);
    println!("@removing f");
    attempt(store.quarantine(&digest("f")));
    let refused = store.put(&digest("g"), &content("h")).unwrap_err();
    if refused.kind() != StoreErrorKind::Content {
        attempt::<()>(Err(refused));
    }
    commit(store, "a", put);
    if attempt(store.flush()).is_none() {
        store.flush().unwrap();
    }
    attempt(store.reuse_verified(&digest("a"), 1_000));
    attempt(store.record_verified());
    attempt(
        store
            .lock()
            .and_then(|exclusive| exclusive.replace("document", b"text")),
    );
    attempt(
        store
            .list()
            .and_then(Iterator::collect::<Result<Vec<_>, _>>),
    );
    attempt(
        store
            .partials()
            .and_then(Iterator::collect::<Result<Vec<_>, _>>),
    );
}

fn durability() -> Durability {
    match std::env::var(DURABILITY).as_deref() {
        Ok("each") => Durability::Each,
        _ => Durability::Batch,
    }
}

// Not a test of its own: the process of the tests below.
#[test]
fn child_at_a_failpoint() {
    let Some(above) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let above = Path::new(&above);
    let directory = match attempt(open_in(above)) {
        Some(directory) => directory,
        None => open_in(above).unwrap(),
    };
    let store = directory.store(durability());
    work(&store);
    for name in NAMES {
        // A failure of this call is for `work` to test, so try again.
        let size = attempt(store.size(&digest(name)));
        if size
            .unwrap_or_else(|| store.size(&digest(name)).unwrap())
            .is_some()
        {
            println!("@visible {name}");
        }
    }
    drop(store);
    drop(directory);
    if was_hit() {
        println!("@hit");
    }
}

// The test.

fn child(test: &str, above: &Path, durability: &str, failpoint: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("fs::tests::failpoints::{test}")])
        .arg("--nocapture")
        .env(DIRECTORY, above)
        .env(DURABILITY, durability)
        .env(FAILPOINT_VARIABLE, failpoint);
    command
}

/// What the child said: each kind of report with the names of blobs.
fn reports(output: &Output) -> BTreeMap<String, BTreeSet<String>> {
    let mut reports = BTreeMap::<_, BTreeSet<_>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // The test harness may have begun the line.
        let Some((_, report)) = line.split_once('@') else {
            continue;
        };
        let (kind, name) = report.split_once(' ').unwrap_or((report, ""));
        reports
            .entry(kind.to_owned())
            .or_default()
            .insert(name.to_owned());
    }
    reports
}

/// Opens the store after the child, checks everything in it, and finishes what is unfinished.
fn check_store(above: &Path, output: &Output, context: &str) {
    let reports = reports(output);
    let reported = |kind: &str| reports.get(kind).cloned().unwrap_or_default();
    let directory = open_in(above).unwrap();
    let store = directory.store(Durability::Each);
    store.clear_leftovers().unwrap();
    let mut visible = BTreeSet::new();
    for found in store.list().unwrap() {
        let found = found.unwrap();
        let name = NAMES.into_iter().find(|name| digest(name) == found);
        let name = name.unwrap_or_else(|| panic!("{context}: {found}"));
        let mut read = Vec::new();
        store.open(&found).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, content(name), "{context}: {name}");
        visible.insert(name.to_owned());
    }
    for unfinished in ["c", "d", "g"] {
        assert!(!visible.contains(unfinished), "{context}: {unfinished}");
    }
    if output.status.success() {
        assert_eq!(visible, reported("visible"), "{context}");
    } else {
        let removing = reported("removing");
        for name in reported("committed").difference(&removing) {
            assert!(visible.contains(name), "{context}: {name}");
        }
    }
    let kept = store.partials().unwrap().map(Result::unwrap);
    for partial in kept {
        let known = ["b", "c", "d"]
            .iter()
            .any(|name| digest(name) == partial.digest);
        assert!(known && partial.size <= 1_000, "{context}: {partial:?}");
    }
    for name in ["b", "c"] {
        let mut writer = store.resume(&digest(name), 1_000).unwrap();
        let position = usize::try_from(writer.position()).unwrap();
        if name == "c" && reports.contains_key("kept") {
            assert_eq!(position, 500, "{context}");
        }
        writer.write(&content(name)[position..]).unwrap();
        writer.commit().unwrap();
        assert_eq!(store.size(&digest(name)).unwrap(), Some(1_000));
    }
    store.clear_partials().unwrap();
    drop(store);
    drop(directory);
    check_files(&above.join("store"), context);
}

/// Checks that no file is left over.
fn check_files(store: &Path, context: &str) {
    let document = fs::read_to_string(store.join("document"));
    assert!(document.map_or(true, |text| text == "text"), "{context}");
    for name in tree(store) {
        let known = matches!(name.as_str(), "lock" | "version" | "document" | "blobs/")
            || name.starts_with("blobs/sha256/")
            || matches!(name.as_str(), ".longshore/" | ".longshore/verified")
            || name == ".longshore/quarantine/"
            || name.ends_with(&format!("-sha256-{}", digest("f").encoded()));
        assert!(known, "{context}: {name} is left");
    }
}

/// Runs a child for each pass of each step and checks the store that it leaves.
fn check_each_step(durability: &str, action: &str) {
    for step in failpoints() {
        let mut passes = 0;
        loop {
            let root = quick_root();
            let failpoint = format!("{step}:{}={action}", passes + 1);
            let mut child = child("child_at_a_failpoint", root.path(), durability, &failpoint);
            let output = child.output().unwrap();
            let hit = match output.status.code() {
                // Aborted.
                None => true,
                Some(0) => reports(&output).contains_key("hit"),
                Some(_) => panic!("{failpoint}: {output:?}"),
            };
            assert!(hit || output.status.success(), "{failpoint}");
            check_store(root.path(), &output, &failpoint);
            if !hit {
                break;
            }
            passes += 1;
        }
        assert!(passes > 0, "{step} is a step that nothing takes");
    }
}

#[test]
fn en3_a_process_killed_at_any_step_leaves_whole_blobs() {
    check_each_step("each", "abort");
}

#[test]
fn ca2_a_process_killed_at_any_step_leaves_whole_blobs() {
    check_each_step("batch", "abort");
}

#[test]
fn ca9_a_full_disk_at_any_step_leaves_nothing_visible() {
    check_each_step("each", "full");
}

#[test]
fn ca9_a_broken_disk_at_any_step_leaves_nothing_visible() {
    check_each_step("batch", "io");
}

#[test]
fn ca9_a_read_only_disk_at_any_step_leaves_nothing_visible() {
    check_each_step("each", "read-only");
}

// Not a test of its own: the process of the test below.
#[test]
fn child_whose_steps_are_traced() {
    let (Some(above), Ok(name)) = (std::env::var_os(DIRECTORY), std::env::var(ORDER)) else {
        return;
    };
    let store = open_in(Path::new(&above)).unwrap().store(durability());
    // The session and the directories.
    store.clear_leftovers().unwrap();
    let mark = |phase: &str| eprintln!("@{phase}");
    mark("begin");
    let mut writer = store.begin(&digest("a"), Some(1_000)).unwrap();
    mark("write");
    writer.write(&content(&name)).unwrap();
    mark("commit");
    assert_eq!(writer.commit().is_ok(), name == "a");
    mark("flush");
    store.flush().unwrap();
    mark("end");
}

/// Returns the steps that change something, by phase, of a blob with the content of `name`.
fn trace(root: &TempDir, durability: &str, name: &str) -> BTreeMap<String, Vec<String>> {
    let mut child = child(
        "child_whose_steps_are_traced",
        root.path(),
        durability,
        "any=trace",
    );
    let output = child.env(ORDER, name).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut phases = BTreeMap::<_, Vec<_>>::new();
    let mut phase = "";
    let text = String::from_utf8(output.stderr).unwrap();
    for line in text.lines() {
        if let Some(next) = line.strip_prefix('@') {
            phase = next;
            phases.insert(phase.to_owned(), Vec::new());
        } else if matches!(
            line,
            "create" | "write" | "sync" | "rename" | "sync-dir" | "remove"
        ) && let Some(steps) = phases.get_mut(phase)
        {
            steps.push(line.to_owned());
        }
    }
    phases
}

// CA1: temporary file, write, verify, fsync, rename, fsync of the directory.
#[test]
fn ca1_a_blob_is_durable_before_it_is_visible() {
    // The names of the directories of the blob come first: `blobs`, the algorithm, the shard.
    let begin = ["sync-dir", "sync-dir", "sync-dir", "create"];
    let root = quick_root();
    let each = trace(&root, "each", "a");
    assert_eq!(each["begin"], begin);
    assert_eq!(each["write"], ["write"]);
    assert_eq!(each["commit"], ["sync", "rename", "sync-dir"]);
    assert_eq!(each["flush"], [""; 0]);
    // The directories exist now, but another process may have died before it made them durable.
    assert_eq!(trace(&root, "each", "a"), each);
    // Together, before anything that refers to them.
    let batch = trace(&quick_root(), "batch", "a");
    assert_eq!(batch["begin"], begin);
    assert_eq!(batch["commit"], ["rename"]);
    assert_eq!(batch["flush"], ["sync", "sync-dir"]);
    // Other content gets as far as the verification.
    for durability in ["each", "batch"] {
        let refused = trace(&quick_root(), durability, "b");
        assert_eq!(refused["commit"], ["remove"], "{durability}");
        assert_eq!(refused["flush"], [""; 0], "{durability}");
    }
}
