//! What both kinds of calls do alike: the one in use here, and the one for other systems.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};

use super::{Entry, FileMode};

macro_rules! tests_of {
    ($sys:ident) => {
        mod $sys {
            use super::super::$sys as sys;
            use super::*;

            #[test]
            fn a_file_is_made_once_renamed_and_removed() {
                let temp = tempfile::tempdir().unwrap();
                let root = sys::open_root(temp.path()).unwrap();
                sys::make_dir(&root, "dir", FileMode::Shared).unwrap();
                let again = sys::make_dir(&root, "dir", FileMode::Shared).unwrap_err();
                assert_eq!(again.kind(), ErrorKind::AlreadyExists);
                let dir = sys::open_dir(&root, "dir").unwrap();

                let mut made = sys::create(&root, "new", FileMode::Private).unwrap();
                made.write_all(b"content").unwrap();
                let again = sys::create(&root, "new", FileMode::Private).unwrap_err();
                assert_eq!(again.kind(), ErrorKind::AlreadyExists);
                fs::write(temp.path().join("dir/file"), "replaced").unwrap();
                sys::rename(&root, "new", &dir, "file").unwrap();
                sys::sync(&dir).unwrap();
                assert_eq!(sys::sync_file(&dir, "file").unwrap(), Some(()));

                assert_eq!(sys::entry(&root, "dir").unwrap(), Entry::Directory);
                assert_eq!(sys::entry(&dir, "file").unwrap(), Entry::File(7));
                let (mut file, size) = sys::open_file(&dir, "file").unwrap().unwrap();
                let mut content = String::new();
                file.read_to_string(&mut content).unwrap();
                assert_eq!((content.as_str(), size), ("content", 7));
                let names: Vec<_> = sys::names(&root).unwrap().map(Result::unwrap).collect();
                assert_eq!(names, ["dir"]);

                sys::remove_dir(&root, "dir").unwrap_err();
                sys::remove(&dir, "file").unwrap();
                sys::remove_dir(&root, "dir").unwrap();
                assert_eq!(sys::names(&root).unwrap().count(), 0);
            }

            #[test]
            fn what_is_not_there_is_not_found() {
                let temp = tempfile::tempdir().unwrap();
                let root = sys::open_root(temp.path()).unwrap();
                let not_found =
                    |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::NotFound);
                not_found(sys::open_root(&temp.path().join("x")).unwrap_err());
                not_found(sys::open_dir(&root, "x").unwrap_err());
                not_found(sys::open_file(&root, "x").unwrap_err());
                not_found(sys::sync_file(&root, "x").unwrap_err());
                not_found(sys::entry(&root, "x").unwrap_err());
                not_found(sys::rename(&root, "x", &root, "y").unwrap_err());
                not_found(sys::remove(&root, "x").unwrap_err());
                not_found(sys::remove_dir(&root, "x").unwrap_err());
            }

            #[test]
            fn a_lock_file_is_made_or_opened() {
                let temp = tempfile::tempdir().unwrap();
                let root = sys::open_root(temp.path()).unwrap();
                let (made, _) = sys::open_or_create(&root, "lock").unwrap().unwrap();
                let (opened, _) = sys::open_or_create(&root, "lock").unwrap().unwrap();
                sys::try_lock(&made).unwrap();
                let busy = sys::try_lock(&opened).unwrap_err();
                assert_eq!(busy.kind(), ErrorKind::WouldBlock);
                sys::unlock(&made).unwrap();
                sys::try_lock(&opened).unwrap();
                assert!(sys::is_linked(&opened).unwrap());
                sys::remove(&root, "lock").unwrap();
                assert_eq!(sys::is_linked(&opened).unwrap(), !sys::TELLS_UNLINKED);
            }

            #[test]
            fn a_new_file_can_be_read_and_written() {
                let temp = tempfile::tempdir().unwrap();
                let root = sys::open_root(temp.path()).unwrap();
                let mut old = sys::create(&root, "old", FileMode::Shared).unwrap();
                old.write_all(b"con").unwrap();
                let mut new = sys::create(&root, "new", FileMode::Shared).unwrap();
                if !sys::share_content(&old, &new) {
                    fs::write(temp.path().join("new"), "con").unwrap();
                }
                let mut content = Vec::new();
                new.read_to_end(&mut content).unwrap();
                new.write_all(b"tent").unwrap();
                assert_eq!(content, b"con");
                assert_eq!(fs::read(temp.path().join("new")).unwrap(), b"content");
                assert_eq!(fs::read(temp.path().join("old")).unwrap(), b"con");
                let stamps = [sys::stamp(&old), sys::stamp(&new)];
                assert_eq!(stamps[0].is_some(), stamps[1].is_some());
                assert!(stamps[0].is_none() || stamps[0] != stamps[1]);
                assert!(!sys::is_private(&new), "other users can read it");
            }

            #[cfg(unix)]
            #[test]
            fn dg9_no_link_is_followed() {
                let temp = tempfile::tempdir().unwrap();
                let root = sys::open_root(temp.path()).unwrap();
                fs::create_dir(temp.path().join("dir")).unwrap();
                fs::write(temp.path().join("file"), "").unwrap();
                for name in ["dir", "file"] {
                    let link = temp.path().join(format!("{name}-link"));
                    std::os::unix::fs::symlink(name, link).unwrap();
                }
                for name in ["dir-link", "file-link", "file"] {
                    let error = sys::open_dir(&root, name).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::NotADirectory, "{name}");
                }
                for name in ["dir-link", "file-link"] {
                    assert!(sys::open_file(&root, name).unwrap().is_none(), "{name}");
                    assert!(
                        sys::open_or_create(&root, name).unwrap().is_none(),
                        "{name}"
                    );
                    assert_eq!(sys::sync_file(&root, name).unwrap(), None);
                    assert_eq!(sys::entry(&root, name).unwrap(), Entry::Other);
                    // The link itself goes, not what it leads to.
                    sys::remove(&root, name).unwrap();
                }
                assert_eq!(sys::entry(&root, "dir").unwrap(), Entry::Directory);
                assert_eq!(sys::entry(&root, "file").unwrap(), Entry::File(0));
                assert!(sys::open_file(&root, "dir").unwrap().is_none());
                assert!(sys::open_or_create(&root, "dir").unwrap().is_none());
            }
        }
    };
}

tests_of!(portable);
#[cfg(unix)]
tests_of!(unix);
