//! The arrangement of a cache: many blobs, for their owner only.

use super::*;

fn sharded(root: &TempDir) -> FsStore {
    FsStore::open_sharded(root.path(), Durability::Each).unwrap()
}

fn blob(root: &TempDir, digest: &Digest) -> PathBuf {
    let (algorithm, encoded) = (digest.algorithm(), digest.encoded());
    let path = format!("blobs/{algorithm}/{}/{encoded}", &encoded[..2]);
    root.path().join(path)
}

#[test]
fn a_sharded_store_conforms() {
    for durability in [Durability::Batch, Durability::Each, Durability::None] {
        let roots = root();
        let count = AtomicUsize::new(0);
        conformance::check(|| {
            let n = count.fetch_add(1, Ordering::Relaxed).to_string();
            let root = roots.path().join(n);
            fs::create_dir(&root).unwrap();
            FsStore::open_sharded(&root, durability).unwrap()
        });
    }
}

#[test]
fn ca12_directories_and_files_are_for_their_owner_only() {
    let root = root();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let store = sharded(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    assert_eq!(store.path(&digest), Some(blob(&root, &digest)));
    assert_eq!(fs::read(blob(&root, &digest)).unwrap(), b"content");
    let other = Digest::sha256(b"other");
    let mut unfinished = store.resume(&other, 5).unwrap();
    unfinished.write(b"oth").unwrap();
    store.lock().unwrap().replace("document", b"text").unwrap();
    let names = tree(root.path());
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let metadata = fs::symlink_metadata(root.path().join(&name)).unwrap();
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(metadata.permissions().mode() & 0o777, expected, "{name}");
    }
}

#[test]
fn ca12_no_link_is_followed_in_any_directory() {
    let digest = Digest::sha256(b"content");
    let elsewhere = root();
    let full = sharded(&elsewhere);
    full.put(&digest, b"content").unwrap();
    let file = blob(&elsewhere, &digest);
    for levels in 0..4 {
        let root = root();
        let at = blob(&root, &digest);
        let at = at.ancestors().nth(levels).unwrap();
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(file.ancestors().nth(levels).unwrap(), at).unwrap();
        let store = sharded(&root);
        hostile(store.open(&digest).map(|_| ()), at);
        hostile(store.size(&digest), at);
        if levels > 0 {
            hostile(store.begin(&digest, None).map(|_| ()), at);
        }
        // A shard that is a link is passed over like a blob that is one.
        match levels {
            0 | 1 => assert_eq!(store.list().unwrap().count(), 0),
            _ => hostile(store.list().map(|_| ()), at),
        }
    }
    assert_eq!(full.size(&digest).unwrap(), Some(7));
}

#[test]
fn ca3_a_bad_blob_is_set_aside() {
    let root = root();
    let store = sharded(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    fs::write(blob(&root, &digest), "c0ntent").unwrap();
    store.quarantine(&digest).unwrap();
    assert_eq!(store.list().unwrap().count(), 0);
    drop(store);
    let names = tree(&root.path().join(".longshore"));
    let [directory, name] = names.iter().collect::<Vec<_>>()[..] else {
        panic!("{names:?}");
    };
    assert_eq!(directory, "quarantine/");
    assert!(
        name.ends_with(&format!("-sha256-{}", digest.encoded())),
        "{name}"
    );
    let path = root.path().join(".longshore").join(name);
    assert_eq!(fs::read_to_string(path).unwrap(), "c0ntent");
}

#[test]
fn ca3_a_bad_blob_that_cannot_be_set_aside_is_removed() {
    let root = root();
    let store = sharded(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    let place = root.path().join(".longshore/quarantine");
    symlink(root.path(), &place).unwrap();
    store.quarantine(&digest).unwrap();
    assert_eq!(store.size(&digest).unwrap(), None);
    // What stands where a blob should be is taken away too.
    let file = blob(&root, &digest);
    symlink(root.path(), &file).unwrap();
    store.quarantine(&digest).unwrap();
    assert!(fs::symlink_metadata(&file).is_err());
}

#[test]
fn a_blob_in_the_directory_of_another_is_not_listed() {
    let root = root();
    let store = sharded(&root);
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content").unwrap();
    let algorithm = root.path().join("blobs/sha256");
    for name in ["00", "longer"] {
        fs::create_dir(algorithm.join(name)).unwrap();
        fs::copy(
            blob(&root, &digest),
            algorithm.join(name).join(digest.encoded()),
        )
        .unwrap();
    }
    fs::write(algorithm.join("01"), "").unwrap();
    let listed: Vec<_> = store.list().unwrap().map(Result::unwrap).collect();
    assert_eq!(listed, [digest]);
}

#[test]
fn a_sharded_store_survives_the_loss_of_its_directories() {
    let root = root();
    let store = sharded(&root);
    let digest = Digest::sha256(b"content");
    for lost in ["blobs", "blobs/sha256"] {
        store.put(&digest, b"content").unwrap();
        fs::remove_dir_all(root.path().join(lost)).unwrap();
        assert_eq!(store.size(&digest).unwrap(), None);
        let error = store.put(&digest, b"content").unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Io);
        store.put(&digest, b"content").unwrap();
        assert_eq!(store.size(&digest).unwrap(), Some(7));
    }
}
