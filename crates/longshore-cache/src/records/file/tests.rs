use std::fs;
use std::path::PathBuf;

use super::*;
use crate::records::conformance;

fn image() -> ImageName {
    ImageName::new("r.example".parse().unwrap(), "a/b".parse().unwrap())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn record(content: &[u8]) -> TagRecord {
    TagRecord::new(Digest::sha256(content), Duration::from_secs(9))
}

/// The files below a directory, with their paths in it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn files_follow_the_rules_of_all_drivers() {
    let root = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    conformance::check(|| {
        let path = root
            .path()
            .join(count.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&path).unwrap();
        FileRecords::open(&path).unwrap()
    })
    .await;
}

#[tokio::test]
async fn records_outlive_the_process() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let digest = Digest::sha256(b"1");
    records
        .set_tag(&image(), &tag("1"), record(b"1"))
        .await
        .unwrap();
    records.mark(&image(), &digest).await.unwrap();
    drop(records);
    fs::write(root.path().join("tmp/1-7"), "half").unwrap();

    let records = FileRecords::open(root.path()).unwrap();
    assert_eq!(
        records.tag(&image(), &tag("1")).await.unwrap(),
        Some(record(b"1"))
    );
    assert!(records.contains(&image(), &digest).await.unwrap());
    let hex = digest.encoded();
    let expected = [
        format!("own/r.example/a+b/sha256-{hex}"),
        "tags/r.example/a+b/1".to_owned(),
    ];
    assert_eq!(
        files(root.path()),
        expected.map(|path| root.path().join(path))
    );
}

#[tokio::test]
async fn records_may_have_a_directory_in_that_of_the_store() {
    let root = tempfile::tempdir().unwrap();
    let directory = Dir::open(root.path()).unwrap();
    let records = FileRecords::within(&directory).unwrap();
    records
        .set_tag(&image(), &tag("1"), record(b"1"))
        .await
        .unwrap();
    let file = root.path().join("records/tags/r.example/a+b/1");
    assert_eq!(files(root.path()), [file]);
    let records = FileRecords::open(&root.path().join("records")).unwrap();
    let found = records.tag(&image(), &tag("1")).await.unwrap();
    assert_eq!(found, Some(record(b"1")));

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("records"), "").unwrap();
    let error = FileRecords::within(&Dir::open(other.path()).unwrap()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.ends_with("is not a directory (links are not followed)"),
        "{cause}"
    );
}

// CA2: after a kill at any point, each file is complete or counts as absent.
#[tokio::test]
async fn ca2_a_corrupt_record_is_absent_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let file = root.path().join("tags/r.example/a+b/1");
    records
        .set_tag(&image(), &tag("1"), record(b"1"))
        .await
        .unwrap();
    let whole = fs::read(&file).unwrap();
    let long = vec![b' '; 64 * 1024 + 1];
    let other = String::from_utf8(whole.clone())
        .unwrap()
        .replace("\"1\"", "\"2\"");
    for content in [
        b"",
        &whole[..whole.len() - 1],
        b"[]",
        b"\xff",
        &long,
        other.as_bytes(),
    ] {
        fs::write(&file, content).unwrap();
        assert_eq!(records.tag(&image(), &tag("1")).await.unwrap(), None);
        assert!(!file.exists());
        // The mark does not depend on the tag, so nothing else is lost.
        records
            .set_tag(&image(), &tag("1"), record(b"1"))
            .await
            .unwrap();
        assert_eq!(fs::read(&file).unwrap(), whole);
    }
    fs::write(&file, "{").unwrap();
    assert_eq!(records.image(&image()).await.unwrap(), None);
    assert_eq!(records.images().await.unwrap(), []);
}

#[tokio::test]
async fn a_record_of_another_version_is_absent_and_stays() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let file = root.path().join("tags/r.example/a+b/1");
    records
        .set_tag(&image(), &tag("1"), record(b"1"))
        .await
        .unwrap();
    fs::write(&file, r#"{"version":2,"digests":[]}"#).unwrap();
    assert_eq!(records.tag(&image(), &tag("1")).await.unwrap(), None);
    assert!(file.exists());
    records
        .set_tag(&image(), &tag("1"), record(b"2"))
        .await
        .unwrap();
    assert_eq!(
        records.tag(&image(), &tag("1")).await.unwrap(),
        Some(record(b"2"))
    );
}

#[tokio::test]
async fn a_record_that_would_not_be_read_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let mut content = ContentRecord::new(Digest::sha256(b""), None, 0, Duration::ZERO);
    content.content_key = Some(vec![0; 40_000].into());
    let error = records.put_content(content.clone()).await.unwrap_err();
    let expected = "at most 65536 are allowed";
    assert!(error.to_string().ends_with(expected), "{error}");
    assert_eq!(records.content(&content.digest).await.unwrap(), None);
    let none: [PathBuf; 0] = [];
    assert_eq!(files(root.path()), none);
}

#[tokio::test]
async fn set_tags_at_once_leave_the_last_observation() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let observed = |seconds: u64| {
        let digest = Digest::sha256(&seconds.to_le_bytes());
        TagRecord::new(digest, Duration::from_secs(seconds))
    };
    let tasks: Vec<_> = (0..64)
        .map(|at| {
            let records = records.clone();
            tokio::spawn(async move {
                let seconds = at * 37 % 64;
                records
                    .set_tag(&image(), &tag("1"), observed(seconds))
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(
        records.tag(&image(), &tag("1")).await.unwrap(),
        Some(observed(63))
    );
    assert_eq!(files(root.path()).len(), 1, "no temporary file is left");
}

/// Waits until no sweep runs.
async fn swept(records: &FileRecords) {
    while records.files.sweeping.load(Ordering::Acquire) {
        tokio::task::yield_now().await;
    }
}

/// Sets the time of the last write of a file.
fn set_age(root: &Path, file: &str, seconds: u64) {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = fs::File::options().write(true).open(root.join(file));
    file.unwrap().set_modified(time).unwrap();
}

// CA9: clients may cause any number of records; the number of files has a limit.
#[tokio::test]
async fn ca9_the_number_of_files_has_a_limit() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap().with_limit(40);
    for at in 0_u32..400 {
        let repository = format!("r{at}").parse().unwrap();
        let image = ImageName::new("r.example".parse().unwrap(), repository);
        let digest = Digest::sha256(&at.to_le_bytes());
        records.mark(&image, &digest).await.unwrap();
        swept(&records).await;
        let list = ListRecord::new(vec!["1".to_owned()], Duration::ZERO);
        records
            .put_list(&image, &ListKey::Tags, list)
            .await
            .unwrap();
        swept(&records).await;
        let count = files(root.path()).len();
        assert!(count <= 40, "{count}");
        assert_eq!(records.files.files.load(Ordering::Relaxed), count as u64);
    }
    // No directory of a repository is left without a file.
    for top in ["own", "lists"] {
        for entry in fs::read_dir(root.path().join(top).join("r.example")).unwrap() {
            assert!(!files(&entry.unwrap().path()).is_empty());
        }
    }
    // The files are counted when the records are opened.
    drop(records);
    let count = files(root.path()).len();
    let records = FileRecords::open(root.path()).unwrap();
    assert_eq!(records.files.files.load(Ordering::Relaxed), count as u64);
    let records = records.with_limit(4);
    records.mark(&image(), &Digest::sha256(b"")).await.unwrap();
    swept(&records).await;
    assert_eq!(files(root.path()).len(), 3);
}

#[tokio::test]
async fn the_directory_of_a_repository_goes_with_its_last_file() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let digests = [Digest::sha256(b"1"), Digest::sha256(b"2")];
    for digest in &digests {
        records.mark(&image(), digest).await.unwrap();
    }
    let directory = root.path().join("own/r.example/a+b");
    for (digest, is_left) in digests.iter().zip([true, false]) {
        records.unmark(&image(), digest).await.unwrap();
        records.unmark(&image(), digest).await.unwrap();
        assert_eq!(directory.exists(), is_left);
    }
    assert_eq!(records.files.files.load(Ordering::Relaxed), 0);
    // A directory that an earlier process left empty is removed when the records are opened.
    fs::create_dir(&directory).unwrap();
    FileRecords::open(root.path()).unwrap();
    assert!(!directory.exists());
}

// CA9: what costs least to observe again goes first.
#[tokio::test]
async fn ca9_a_sweep_removes_lists_then_unused_then_old_records() {
    let root = tempfile::tempdir().unwrap();
    let records = FileRecords::open(root.path()).unwrap();
    let (used, unused) = (Digest::sha256(b"used"), Digest::sha256(b"unused"));
    let content = ContentRecord::new(used.clone(), None, 4, Duration::ZERO);
    records.put_content(content).await.unwrap();
    for digest in [&used, &unused] {
        records.mark(&image(), digest).await.unwrap();
    }
    for name in ["used", "unused"] {
        let record = record(name.as_bytes());
        records.set_tag(&image(), &tag(name), record).await.unwrap();
    }
    let list = ListRecord::new(vec!["1".to_owned()], Duration::ZERO);
    let key = ListKey::Referrers(used.clone());
    for key in [&ListKey::Tags, &key] {
        let list = list.clone();
        records.put_list(&image(), key, list).await.unwrap();
    }
    let hex = |digest: &Digest| digest.encoded().to_owned();
    let (used, unused) = (hex(&used), hex(&unused));
    let order = [
        (format!("lists/r.example/a+b/referrers-sha256-{used}"), 60),
        ("lists/r.example/a+b/tags".to_owned(), 70),
        (format!("own/r.example/a+b/sha256-{unused}"), 40),
        ("tags/r.example/a+b/unused".to_owned(), 50),
        ("tags/r.example/a+b/used".to_owned(), 10),
        (format!("own/r.example/a+b/sha256-{used}"), 20),
        (format!("meta/sha256/{}/{used}", &used[..2]), 30),
    ];
    for (file, age) in &order {
        set_age(root.path(), file, *age);
    }
    for kept in (0..order.len()).rev() {
        let (left, removed) = records.files.try_sweep(kept as u64).unwrap();
        assert_eq!((left, removed), (kept as u64, 1));
        let last = order.len() - kept;
        let mut expected: Vec<_> = order[last..]
            .iter()
            .map(|(file, _)| root.path().join(file))
            .collect();
        expected.sort();
        assert_eq!(files(root.path()), expected);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ca9_the_images_need_few_descriptors() {
    let root = tempfile::tempdir().unwrap();
    for at in 0..2_000 {
        let dir = root.path().join(format!("own/r.example/r{at:04}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("sha256-0"), "").unwrap();
    }
    let records = FileRecords::open(root.path()).unwrap();
    let most = Arc::new(AtomicU64::new(0));
    let (watched, stop) = (Arc::clone(&most), Arc::new(AtomicU64::new(0)));
    let stopped = Arc::clone(&stop);
    let watcher = std::thread::spawn(move || {
        while stopped.load(Ordering::Relaxed) == 0 {
            let open = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
            watched.fetch_max(open, Ordering::Relaxed);
        }
    });
    for _ in 0..5 {
        assert_eq!(records.images().await.unwrap().len(), 2_000);
    }
    stop.store(1, Ordering::Relaxed);
    watcher.join().unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!(most < 200, "{most}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    // CA12: directories have mode 0700 and files 0600.
    #[tokio::test]
    async fn ca12_only_the_owner_reads_records() {
        let root = tempfile::tempdir().unwrap();
        let records = FileRecords::open(root.path()).unwrap();
        records
            .set_tag(&image(), &tag("1"), record(b"1"))
            .await
            .unwrap();
        records.mark(&image(), &Digest::sha256(b"1")).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let found = files(root.path());
        assert_eq!(found.len(), 2);
        for file in found {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
            let directories = file.ancestors().skip(1);
            for directory in directories.take_while(|it| *it != root.path()) {
                assert_eq!(mode(directory), 0o700, "{}", directory.display());
            }
        }
        assert_eq!(mode(&root.path().join("tmp")), 0o700);
    }

    // CA12: no link is followed.
    #[tokio::test]
    async fn ca12_a_link_is_neither_read_nor_written_through() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let records = FileRecords::open(root.path()).unwrap();
        records
            .set_tag(&image(), &tag("1"), record(b"1"))
            .await
            .unwrap();
        let digest = Digest::sha256(b"1");
        records.mark(&image(), &digest).await.unwrap();

        // A link in place of a file is removed, and its target is not touched.
        let tag_file = root.path().join("tags/r.example/a+b/1");
        let target = outside.path().join("target");
        fs::rename(&tag_file, &target).unwrap();
        let content = fs::read(&target).unwrap();
        symlink(&target, &tag_file).unwrap();
        assert_eq!(records.tag(&image(), &tag("1")).await.unwrap(), None);
        let mark = root
            .path()
            .join(format!("own/r.example/a+b/sha256-{}", digest.encoded()));
        fs::remove_file(&mark).unwrap();
        symlink(&target, &mark).unwrap();
        assert!(!records.contains(&image(), &digest).await.unwrap());
        records.mark(&image(), &digest).await.unwrap();
        assert!(records.contains(&image(), &digest).await.unwrap());
        records
            .set_tag(&image(), &tag("1"), record(b"2"))
            .await
            .unwrap();
        assert_eq!(fs::read(&target).unwrap(), content);

        // A link in place of a directory is an error.
        let directory = root.path().join("tags/r.example");
        fs::rename(&directory, outside.path().join("tags")).unwrap();
        symlink(outside.path().join("tags"), &directory).unwrap();
        let before = files(outside.path());
        let error = records
            .set_tag(&image(), &tag("3"), record(b"3"))
            .await
            .unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.ends_with("is not a directory (links are not followed)"),
            "{cause}"
        );
        assert!(records.tag(&image(), &tag("1")).await.is_err());
        assert_eq!(files(outside.path()), before);
    }
}
