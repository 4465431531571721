//! What every driver does with blobs that were not finished.

use longshore_model::{Algorithm, Digest, VerifyError};

use super::{at_once, nothing_visible, read, refused};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Partial, Store};

pub(super) fn what_is_kept_is_resumed_where_it_ends(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    assert_eq!(store.resume(&digest, 7)?.position(), 0);
    nothing_kept(store)?;
    // It does not matter how the writer was made, nor how often it changes hands.
    let mut writer = store.begin(&digest, None)?;
    writer.write(b"con")?;
    writer.keep()?;
    check_kept(store, &[(&digest, 3)])?;
    let mut writer = store.resume(&digest, 7)?;
    assert_eq!((writer.position(), writer.digest()), (3, &digest));
    check_kept(store, &[])?;
    writer.write(b"te")?;
    assert_eq!(writer.position(), 5);
    writer.keep()?;
    // DG3: whatever is kept is no blob.
    nothing_visible(store, &digest)?;
    let mut writer = store.resume(&digest, 7)?;
    writer.write(b"nt")?;
    writer.commit()?;
    assert_eq!(read(store, &digest)?, b"content");
    nothing_kept(store)
}

pub(super) fn a_blob_may_be_kept_and_resumed_at_every_byte(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let content: Vec<u8> = (0..=255).collect();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        let Ok(digest) = Digest::of(&algorithm, &content) else {
            panic!("{algorithm} has a verifier");
        };
        for (at, byte) in content.iter().enumerate() {
            let mut writer = store.resume(&digest, 256)?;
            assert_eq!(writer.position(), at as u64);
            writer.write(&[*byte])?;
            writer.keep()?;
        }
        store.resume(&digest, 256)?.commit()?;
        assert_eq!(read(store, &digest)?, content);
    }
    nothing_kept(store)
}

pub(super) fn a_resumed_writer_that_is_dropped_is_kept(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    for piece in [b"con", b"ten"] {
        let mut writer = store.resume(&digest, 7)?;
        writer.write(piece)?;
        drop(writer);
    }
    check_kept(store, &[(&digest, 6)])?;
    nothing_visible(store, &digest)?;
    assert_eq!(store.resume(&digest, 7)?.position(), 6);
    check_kept(store, &[(&digest, 6)])
}

pub(super) fn a_discarded_writer_leaves_nothing(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    for piece in [&b"cont"[..], b""] {
        let mut writer = store.resume(&digest, 7)?;
        writer.write(b"con")?;
        writer.keep()?;
        let mut writer = store.resume(&digest, 7)?;
        writer.write(piece)?;
        writer.discard();
        nothing_kept(store)?;
    }
    nothing_visible(store, &digest)
}

pub(super) fn what_is_kept_whole_needs_no_more_bytes(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(7))?;
    writer.write(b"content")?;
    writer.keep()?;
    nothing_visible(store, &digest)?;
    let writer = store.resume(&digest, 7)?;
    assert_eq!(writer.position(), 7);
    writer.commit()?;
    assert_eq!(read(store, &digest)?, b"content");
    nothing_kept(store)
}

pub(super) fn dg3_what_is_kept_is_verified_with_the_rest(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.resume(&digest, 7)?;
    writer.write(b"c0n")?;
    writer.keep()?;
    let mut writer = store.resume(&digest, 7)?;
    writer.write(b"tent")?;
    match writer.commit() {
        Err(StoreError::Content {
            source: VerifyError::Digest { actual, .. },
            ..
        }) => assert_eq!(actual, Digest::sha256(b"c0ntent")),
        other => panic!("expected a digest error: {other:?}"),
    }
    nothing_visible(store, &digest)?;
    // What proved wrong is not gone on with.
    nothing_kept(store)?;
    assert_eq!(store.resume(&digest, 7)?.position(), 0);
    Ok(())
}

pub(super) fn li3_what_is_kept_and_too_long_is_discarded(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, None)?;
    writer.write(b"content and more")?;
    writer.keep()?;
    let mut writer = store.resume(&digest, 7)?;
    assert_eq!(writer.position(), 0);
    nothing_kept(store)?;
    writer.write(b"content")?;
    writer.commit()?;
    assert_eq!(read(store, &digest)?, b"content");
    Ok(())
}

pub(super) fn li3_a_resumed_writer_takes_no_byte_too_many(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.resume(&digest, 7)?;
    writer.write(b"conte")?;
    writer.keep()?;
    let mut writer = store.resume(&digest, 7)?;
    refused(writer.write(b"nt!"), StoreErrorKind::Content);
    refused(writer.keep(), StoreErrorKind::Abandoned);
    nothing_kept(store)?;
    nothing_visible(store, &digest)
}

pub(super) fn what_is_kept_has_one_writer_at_a_time(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.resume(&digest, 7)?;
    writer.write(b"cont")?;
    writer.keep()?;
    let mut first = store.resume(&digest, 7)?;
    let mut second = store.resume(&digest, 7)?;
    assert_eq!((first.position(), second.position()), (4, 0));
    second.write(b"content")?;
    first.write(b"ent")?;
    second.commit()?;
    first.commit()?;
    assert_eq!(read(store, &digest)?, b"content");
    nothing_kept(store)
}

pub(super) fn the_longest_of_what_is_kept_stays(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let pieces: [(&[u8], u64); 4] = [(b"con", 3), (b"c", 3), (b"", 3), (b"conte", 5)];
    for (piece, expected) in pieces {
        let mut writer = store.begin(&digest, Some(7))?;
        writer.write(piece)?;
        writer.keep()?;
        check_kept(store, &[(&digest, expected)])?;
    }
    Ok(())
}

pub(super) fn a_commit_removes_what_is_kept_of_its_blob_only(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let other = Digest::sha256(b"contention");
    for digest in [&digest, &other] {
        let mut writer = store.begin(digest, None)?;
        writer.write(b"con")?;
        writer.keep()?;
    }
    check_kept(store, &[(&digest, 3), (&other, 3)])?;
    store.put(&digest, b"content")?;
    check_kept(store, &[(&other, 3)])
}

pub(super) fn clearing_partials_disturbs_no_writer(store: &dyn Store) -> Result<(), StoreError> {
    store.clear_partials()?;
    let digest = Digest::sha256(b"content");
    let other = Digest::sha256(b"other");
    store.put(&other, b"other")?;
    for n in [b"1", b"2"] {
        let mut writer = store.begin(&Digest::sha256(n), None)?;
        writer.write(n)?;
        writer.keep()?;
    }
    let mut writer = store.resume(&digest, 7)?;
    writer.write(b"cont")?;
    store.clear_partials()?;
    nothing_kept(store)?;
    writer.write(b"ent")?;
    writer.commit()?;
    assert_eq!(read(store, &digest)?, b"content");
    assert_eq!(read(store, &other)?, b"other");
    Ok(())
}

pub(super) fn resuming_at_once_is_fine(store: &dyn Store) -> Result<(), StoreError> {
    let content: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    let digest = Digest::sha256(&content);
    let write = || -> Result<(), StoreError> {
        for _ in 0..4 {
            let mut writer = store.resume(&digest, 40_000)?;
            let from = usize::try_from(writer.position()).unwrap_or(usize::MAX);
            let rest = content.get(from..).unwrap_or_default();
            for piece in rest.chunks(1_000).take(20) {
                writer.write(piece)?;
                assert!(matches!(store.size(&digest)?, None | Some(40_000)));
            }
            if writer.position() == 40_000 {
                writer.commit()?;
            }
        }
        Ok(())
    };
    at_once(write)?;
    let mut writer = store.resume(&digest, 40_000)?;
    let from = usize::try_from(writer.position()).unwrap_or(usize::MAX);
    writer.write(content.get(from..).unwrap_or_default())?;
    writer.commit()?;
    assert_eq!(read(store, &digest)?, content);
    nothing_kept(store)
}

fn check_kept(store: &dyn Store, expected: &[(&Digest, u64)]) -> Result<(), StoreError> {
    let mut kept: Vec<_> = store.partials()?.collect::<Result<_, _>>()?;
    kept.sort_by(|one, other| one.digest.cmp(&other.digest));
    let mut expected: Vec<_> = expected
        .iter()
        .map(|&(digest, size)| Partial::new(digest.clone(), size))
        .collect();
    expected.sort_by(|one, other| one.digest.cmp(&other.digest));
    assert_eq!(kept, expected);
    Ok(())
}

pub(super) fn nothing_kept(store: &dyn Store) -> Result<(), StoreError> {
    check_kept(store, &[])
}
