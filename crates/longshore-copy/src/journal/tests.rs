use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const LOCATION: &str = "https://registry.example/v2/a/blobs/uploads/1?_state=hunter2";

fn key(repository: &str) -> UploadKey {
    UploadKey {
        origin: "https://registry.example".parse().unwrap(),
        repository: repository.parse().unwrap(),
        digest: Digest::sha256(b"keel"),
    }
}

fn entry(location: &str) -> JournalEntry {
    JournalEntry {
        size: 4,
        location: Secret::new(location.to_owned()),
        saved_at: NOW,
    }
}

#[test]
fn the_directory_follows_the_xdg_specification() {
    let dir = |state: Option<&str>, home: Option<&str>| {
        state_dir(state.map(OsString::from), home.map(PathBuf::from))
    };
    let default = if cfg!(target_os = "macos") {
        "/users/me/Library/Application Support/longshore/uploads"
    } else {
        "/users/me/.local/state/longshore/uploads"
    };
    let home = Some("/users/me");
    assert_eq!(dir(None, home), Some(default.into()));
    assert_eq!(dir(Some("relative"), home), Some(default.into()));
    assert_eq!(dir(Some(""), home), Some(default.into()));
    assert_eq!(dir(Some("/s"), None), Some("/s/longshore/uploads".into()));
    assert_eq!(dir(None, None), None);
    assert_eq!(dir(None, Some("")), None);
}

#[test]
fn ou3_debug_and_errors_do_not_show_the_session() {
    let shown = format!("{:?} {:?}", entry(LOCATION), JournalError::TooLarge);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("[redacted]"), "{shown}");
}

#[test]
fn each_part_of_the_key_names_another_file() {
    let first = key("a");
    let mut names = vec![first.file_name(), key("a/b").file_name()];
    let origin = "https://registry.example:5000".parse().unwrap();
    let digest = Digest::sha256(b"");
    names.push(
        UploadKey {
            origin,
            ..first.clone()
        }
        .file_name(),
    );
    names.push(UploadKey { digest, ..first }.file_name());
    assert!(names.iter().all(|name| is_ours(name)), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(location in "\\PC{1,200}", size: u64, seconds: u64) {
        let mut entry = entry(&location);
        entry.size = size;
        entry.saved_at = Duration::from_secs(seconds);
        let text = write(&key("a"), &entry).unwrap();
        prop_assert_eq!(parse(text.clone(), &key("a")), Some(entry));
        prop_assert_eq!(parse(text, &key("b")), None);
    }

    #[test]
    fn a_file_that_was_cut_is_no_entry(end in 0_usize..200) {
        let text = write(&key("a"), &entry(LOCATION)).unwrap();
        let cut = text.expose().get(..end).unwrap_or_default();
        prop_assert_eq!(parse(Secret::new(cut.to_owned()), &key("a")), None);
    }
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    struct Fixture {
        temporary: TempDir,
        path: PathBuf,
        journal: Journal,
    }

    fn fixture() -> Fixture {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("state/uploads");
        // Files are made at the time of the system.
        let journal = Journal::in_dir(&path, system_time()).unwrap();
        Fixture {
            temporary,
            path,
            journal,
        }
    }

    fn system_time() -> Duration {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Puts something else in the place of an entry, which must count as absent and be removed.
    #[track_caller]
    fn is_absent(fixture: &Fixture, replace: impl FnOnce(&Path)) {
        let file = fixture.path.join(key("a").file_name());
        fixture.journal.put(&key("a"), &entry(LOCATION)).unwrap();
        replace(&file);
        assert_eq!(fixture.journal.get(&key("a"), NOW), None);
        assert_eq!(names(&fixture.path), [""; 0]);
    }

    #[test]
    fn an_entry_is_kept_replaced_and_removed() {
        let Fixture { journal, path, .. } = &fixture();
        assert_eq!(journal.get(&key("a"), NOW), None);
        journal
            .put(&key("a"), &entry("https://one.example"))
            .unwrap();
        journal
            .put(&key("b"), &entry("https://two.example"))
            .unwrap();
        journal.put(&key("a"), &entry(LOCATION)).unwrap();
        assert_eq!(journal.get(&key("a"), NOW), Some(entry(LOCATION)));
        // Another process opens the same directory.
        let again = Journal::in_dir(path, system_time()).unwrap();
        assert_eq!(again.get(&key("a"), NOW), Some(entry(LOCATION)));
        again.remove(&key("a")).unwrap();
        again.remove(&key("a")).unwrap();
        assert_eq!(journal.get(&key("a"), NOW), None);
        assert_eq!(names(path), [key("b").file_name()]);
    }

    // OU3: a session on disk is readable by its owner only.
    #[test]
    fn ou3_the_directory_is_0700_and_each_file_0600() {
        let Fixture {
            journal,
            path,
            temporary,
        } = &fixture();
        journal.put(&key("a"), &entry(LOCATION)).unwrap();
        assert_eq!(mode(path), 0o700);
        assert_eq!(mode(&temporary.path().join("state")), 0o700);
        assert_eq!(mode(&path.join(key("a").file_name())), 0o600);
        assert!(!key("a").file_name().contains("registry"));
    }

    #[test]
    fn ou3_a_directory_that_others_may_access_is_refused() {
        let Fixture { path, .. } = &fixture();
        for open in [0o750, 0o701, 0o1777] {
            set_mode(path, open);
            let error = Journal::in_dir(path, NOW).unwrap_err();
            assert!(matches!(error, JournalError::NotPrivate { .. }), "{error}");
        }
        set_mode(path, 0o700);
        assert!(names(path).is_empty());
    }

    #[test]
    fn a_directory_behind_a_link_is_refused() {
        let Fixture { path, .. } = &fixture();
        let link = path.with_file_name("link");
        symlink(path, &link).unwrap();
        let error = Journal::in_dir(&link, NOW).unwrap_err();
        let JournalError::Store(StoreError::NotADirectory { path }) = error else {
            panic!("{error}")
        };
        assert_eq!(path, link);
        let error = Journal::in_dir(Path::new("/"), NOW).unwrap_err();
        assert!(matches!(error, JournalError::Path { .. }), "{error}");
    }

    #[test]
    fn ou3_the_directory_above_is_as_private() {
        let Fixture {
            path, temporary, ..
        } = &fixture();
        let above = path.parent().unwrap();
        for open in [0o750, 0o701, 0o1777] {
            set_mode(above, open);
            let error = Journal::in_dir(path, NOW).unwrap_err();
            let JournalError::NotPrivate { path } = error else {
                panic!("{error}")
            };
            assert_eq!(path, above);
        }
        set_mode(above, 0o700);
        let link = temporary.path().join("link");
        symlink(above, &link).unwrap();
        let error = Journal::in_dir(&link.join("uploads"), NOW).unwrap_err();
        let JournalError::Store(StoreError::NotADirectory { path }) = error else {
            panic!("{error}")
        };
        assert_eq!(path, link);
    }

    #[test]
    fn one_upload_at_a_time_has_an_entry() {
        let Fixture {
            journal,
            path,
            temporary: _kept,
        } = fixture();
        let (journal, again) = (Arc::new(journal), Journal::in_dir(&path, system_time()));
        let again = Arc::new(again.unwrap());
        let held = journal.lock(&key("a")).unwrap();
        assert!(again.lock(&key("a")).is_none());
        assert!(journal.lock(&key("a")).is_none());
        let other = again.lock(&key("b"));
        assert!(other.is_some());
        drop((held, other));
        assert_eq!(names(&path), [""; 0]);
        assert!(again.lock(&key("a")).is_some());
        assert!(again.take_failure().is_none());
        // A lock that nobody holds is left by a process that was killed.
        fs::write(path.join(key("a").lock_name()), "").unwrap();
        set_mode(&path.join(key("a").lock_name()), 0o600);
        assert!(again.lock(&key("a")).is_some());
        fs::remove_dir(&path).unwrap();
        assert!(again.lock(&key("a")).is_none());
        let failure = again.take_failure().unwrap();
        assert!(matches!(failure, JournalError::Store(_)), "{failure}");
    }

    #[test]
    fn a_hostile_file_counts_as_absent_and_is_removed() {
        let fixture = &fixture();
        let victim = fixture.temporary.path().join("victim");
        fs::write(
            &victim,
            write(&key("a"), &entry(LOCATION)).unwrap().expose(),
        )
        .unwrap();
        set_mode(&victim, 0o600);
        is_absent(fixture, |file| fs::write(file, "{}").unwrap());
        is_absent(fixture, |file| fs::write(file, [0xff, 0xfe]).unwrap());
        is_absent(fixture, |file| fs::write(file, "[".repeat(60_000)).unwrap());
        is_absent(fixture, |file| {
            let other = write(&key("b"), &entry(LOCATION)).unwrap();
            fs::write(file, other.expose()).unwrap();
        });
        is_absent(fixture, |file| {
            let mut text = fs::read_to_string(file).unwrap();
            text.push_str(&" ".repeat(usize::try_from(JOURNAL_ENTRY_LIMIT_BYTES).unwrap()));
            fs::write(file, text).unwrap();
        });
        is_absent(fixture, |file| set_mode(file, 0o644));
        is_absent(fixture, |file| {
            fs::remove_file(file).unwrap();
            symlink(&victim, file).unwrap();
        });
        is_absent(fixture, |file| {
            fs::remove_file(file).unwrap();
            assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
        });
        assert!(victim.exists());
    }

    #[test]
    fn an_entry_that_is_too_large_is_not_saved() {
        let Fixture { journal, path, .. } = &fixture();
        let location = "x".repeat(usize::try_from(JOURNAL_ENTRY_LIMIT_BYTES).unwrap());
        let error = journal.put(&key("a"), &entry(&location)).unwrap_err();
        assert!(matches!(error, JournalError::TooLarge), "{error}");
        assert!(names(path).is_empty());
    }

    #[test]
    fn an_entry_lives_for_seven_days() {
        let fixture = &fixture();
        let second = Duration::from_secs(1);
        for (now, is_kept) in [
            (NOW + JOURNAL_LIFETIME, true),
            (NOW - JOURNAL_LIFETIME, true),
            (NOW + JOURNAL_LIFETIME + second, false),
            (NOW - JOURNAL_LIFETIME - second, false),
        ] {
            fixture.journal.put(&key("a"), &entry(LOCATION)).unwrap();
            assert_eq!(fixture.journal.get(&key("a"), now).is_some(), is_kept);
            assert_eq!(names(&fixture.path).len(), usize::from(is_kept));
        }
    }

    #[test]
    fn opening_the_journal_removes_expired_files_and_no_foreign_ones() {
        let Fixture { journal, path, .. } = &fixture();
        journal.put(&key("a"), &entry(LOCATION)).unwrap();
        fs::write(path.join("7-0.tmp"), "").unwrap();
        fs::write(path.join("notes.txt"), "").unwrap();
        Journal::in_dir(path, system_time() + JOURNAL_LIFETIME / 2).unwrap();
        assert_eq!(names(path).len(), 3);
        Journal::in_dir(path, system_time() + 2 * JOURNAL_LIFETIME).unwrap();
        assert_eq!(names(path), ["notes.txt"]);
    }

    #[test]
    fn a_temporary_file_of_a_killed_process_is_not_overwritten() {
        let Fixture { journal, path, .. } = &fixture();
        let process = std::process::id();
        let next = TEMPORARY.load(Ordering::Relaxed);
        for number in next..next + 3 {
            fs::write(path.join(format!("{process}-{number}.tmp")), "left").unwrap();
        }
        journal.put(&key("a"), &entry(LOCATION)).unwrap();
        assert_eq!(journal.get(&key("a"), NOW), Some(entry(LOCATION)));
        for name in names(path).iter().filter(|name| name.ends_with(".tmp")) {
            assert_eq!(fs::read(path.join(name)).unwrap(), b"left");
        }
    }
}
