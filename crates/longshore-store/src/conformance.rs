//! The tests every driver passes, as plain functions over an empty store.
//!
//! A driver's test is one line: `conformance::check(MyStore::new)`.
//! What makes a driver itself (files, sizes on disk, lost connections) it tests beside this.

mod partial;
mod random;

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::thread;

use longshore_model::{Algorithm, Digest, VerifyError};

use crate::error::{StoreError, StoreErrorKind};
use crate::interrupt::Interrupt;
use crate::store::{Existing, Store};

/// One rule, tried on a store that is empty.
pub type Test = fn(&dyn Store) -> Result<(), StoreError>;

/// Every rule by its name.
pub const TESTS: &[(&str, Test)] = &[
    (
        "a_blob_is_visible_once_committed",
        a_blob_is_visible_once_committed,
    ),
    (
        "any_split_of_the_stream_gives_the_same_blob",
        any_split_of_the_stream_gives_the_same_blob,
    ),
    ("the_empty_blob_is_a_blob", the_empty_blob_is_a_blob),
    (
        "dg1_what_cannot_be_verified_is_not_kept",
        dg1_what_cannot_be_verified_is_not_kept,
    ),
    (
        "dg1_each_algorithm_keeps_its_own_blobs",
        dg1_each_algorithm_keeps_its_own_blobs,
    ),
    (
        "dg3_a_wrong_digest_is_not_visible",
        dg3_a_wrong_digest_is_not_visible,
    ),
    (
        "dg3_a_short_blob_is_not_visible",
        dg3_a_short_blob_is_not_visible,
    ),
    (
        "li2_an_announced_size_reserves_nothing",
        li2_an_announced_size_reserves_nothing,
    ),
    (
        "li3_one_byte_too_many_is_refused_at_once",
        li3_one_byte_too_many_is_refused_at_once,
    ),
    (
        "rt9_a_dropped_writer_leaves_nothing",
        rt9_a_dropped_writer_leaves_nothing,
    ),
    (
        "the_position_counts_the_bytes_taken",
        the_position_counts_the_bytes_taken,
    ),
    (
        "writing_the_same_blob_again_is_fine",
        writing_the_same_blob_again_is_fine,
    ),
    (
        "writing_the_same_blob_at_once_is_fine",
        writing_the_same_blob_at_once_is_fine,
    ),
    (
        "an_absent_blob_is_an_error_of_its_own",
        an_absent_blob_is_an_error_of_its_own,
    ),
    ("a_reader_starts_anywhere", a_reader_starts_anywhere),
    (
        "a_reader_keeps_a_deleted_blob",
        a_reader_keeps_a_deleted_blob,
    ),
    (
        "a_blob_is_read_at_any_position",
        random::a_blob_is_read_at_any_position,
    ),
    (
        "a_blob_is_read_while_it_is_written",
        random::a_blob_is_read_while_it_is_written,
    ),
    (
        "a_random_reader_outlives_its_writer",
        random::a_random_reader_outlives_its_writer,
    ),
    (
        "a_random_reader_sees_what_is_resumed",
        random::a_random_reader_sees_what_is_resumed,
    ),
    (
        "reading_at_once_does_not_disturb_the_writer",
        random::reading_at_once_does_not_disturb_the_writer,
    ),
    ("deleting_twice_is_fine", deleting_twice_is_fine),
    (
        "ca3_a_bad_blob_is_taken_out_and_may_be_written_again",
        ca3_a_bad_blob_is_taken_out_and_may_be_written_again,
    ),
    ("the_list_has_each_blob_once", the_list_has_each_blob_once),
    (
        "a_blob_is_reused_only_at_its_size",
        a_blob_is_reused_only_at_its_size,
    ),
    ("a_flush_keeps_what_there_is", a_flush_keeps_what_there_is),
    (
        "what_is_kept_is_resumed_where_it_ends",
        partial::what_is_kept_is_resumed_where_it_ends,
    ),
    (
        "a_blob_may_be_kept_and_resumed_at_every_byte",
        partial::a_blob_may_be_kept_and_resumed_at_every_byte,
    ),
    (
        "a_resumed_writer_that_is_dropped_is_kept",
        partial::a_resumed_writer_that_is_dropped_is_kept,
    ),
    (
        "a_discarded_writer_leaves_nothing",
        partial::a_discarded_writer_leaves_nothing,
    ),
    (
        "what_is_kept_whole_needs_no_more_bytes",
        partial::what_is_kept_whole_needs_no_more_bytes,
    ),
    (
        "dg3_what_is_kept_is_verified_with_the_rest",
        partial::dg3_what_is_kept_is_verified_with_the_rest,
    ),
    (
        "li3_what_is_kept_and_too_long_is_discarded",
        partial::li3_what_is_kept_and_too_long_is_discarded,
    ),
    (
        "li3_a_resumed_writer_takes_no_byte_too_many",
        partial::li3_a_resumed_writer_takes_no_byte_too_many,
    ),
    (
        "what_is_kept_has_one_writer_at_a_time",
        partial::what_is_kept_has_one_writer_at_a_time,
    ),
    (
        "the_longest_of_what_is_kept_stays",
        partial::the_longest_of_what_is_kept_stays,
    ),
    (
        "a_commit_removes_what_is_kept_of_its_blob_only",
        partial::a_commit_removes_what_is_kept_of_its_blob_only,
    ),
    (
        "clearing_partials_disturbs_no_writer",
        partial::clearing_partials_disturbs_no_writer,
    ),
    (
        "resuming_at_once_is_fine",
        partial::resuming_at_once_is_fine,
    ),
];

/// Runs every test, each on a store of its own made by `empty`.
///
/// # Panics
///
/// When the driver breaks a rule; the message names it.
pub fn check<S: Store>(empty: impl Fn() -> S) {
    for (name, test) in TESTS {
        let outcome = test(&empty());
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

fn a_blob_is_visible_once_committed(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(7))?;
    assert_eq!(writer.digest(), &digest);
    writer.write(b"content")?;
    assert_eq!(store.size(&digest)?, None, "whole, but not yet verified");
    writer.commit()?;
    assert_eq!(store.size(&digest)?, Some(7));
    assert!(store.contains(&digest)?);
    assert_eq!(read(store, &digest)?, b"content");
    Ok(())
}

fn any_split_of_the_stream_gives_the_same_blob(store: &dyn Store) -> Result<(), StoreError> {
    let content: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let digest = Digest::sha256(&content);
    for piece in [1, 63, 64, 65, 4_096, 69_999, 70_000] {
        for size in [Some(70_000), None] {
            let mut writer = store.begin(&digest, size)?;
            for piece in content.chunks(piece) {
                writer.write(piece)?;
            }
            writer.write(b"")?;
            writer.commit()?;
            assert_eq!(read(store, &digest)?, content, "in pieces of {piece}");
            store.delete(&digest)?;
        }
    }
    Ok(())
}

fn the_empty_blob_is_a_blob(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"");
    store.begin(&digest, Some(0))?.commit()?;
    assert_eq!(store.size(&digest)?, Some(0));
    assert_eq!(read(store, &digest)?, b"");
    Ok(())
}

fn dg1_what_cannot_be_verified_is_not_kept(store: &dyn Store) -> Result<(), StoreError> {
    let Ok(digest) = "md4:31d6cfe0d16ae931b73c59d7e0c089c0".parse::<Digest>() else {
        panic!("the grammar allows other algorithms");
    };
    refused(
        store.begin(&digest, None).map(|_| ()),
        StoreErrorKind::Unsupported,
    );
    refused(
        store.resume(&digest, 0).map(|_| ()),
        StoreErrorKind::Unsupported,
    );
    refused(store.put(&digest, b""), StoreErrorKind::Unsupported);
    refused(store.size(&digest), StoreErrorKind::Unsupported);
    refused(store.open(&digest).map(|_| ()), StoreErrorKind::Unsupported);
    refused(store.reuse(&digest, 0), StoreErrorKind::Unsupported);
    refused(store.delete(&digest), StoreErrorKind::Unsupported);
    assert_eq!(store.list()?.count(), 0);
    Ok(())
}

fn dg1_each_algorithm_keeps_its_own_blobs(store: &dyn Store) -> Result<(), StoreError> {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
        let Ok(digest) = Digest::of(&algorithm, b"content") else {
            panic!("{algorithm} has a verifier");
        };
        assert_eq!(store.size(&digest)?, None);
        store.put(&digest, b"content")?;
        assert_eq!(read(store, &digest)?, b"content");
    }
    assert_eq!(store.list()?.count(), 3);
    Ok(())
}

fn dg3_a_wrong_digest_is_not_visible(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    match store.put(&digest, b"c0ntent") {
        Err(StoreError::Content {
            digest: named,
            source: VerifyError::Digest { expected, actual },
        }) => {
            assert_eq!(named, digest);
            assert_eq!(expected, digest);
            assert_eq!(actual, Digest::sha256(b"c0ntent"));
        }
        other => panic!("expected a digest error: {other:?}"),
    }
    nothing_visible(store, &digest)
}

fn dg3_a_short_blob_is_not_visible(store: &dyn Store) -> Result<(), StoreError> {
    // The digest is right, the size is not: both must be (DG3).
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(8))?;
    writer.write(b"content")?;
    match writer.commit() {
        Err(StoreError::Content {
            source: VerifyError::TooShort { expected, actual },
            ..
        }) => assert_eq!((expected, actual), (8, 7)),
        other => panic!("expected a length error: {other:?}"),
    }
    nothing_visible(store, &digest)
}

fn li2_an_announced_size_reserves_nothing(store: &dyn Store) -> Result<(), StoreError> {
    // An attempt to make room for this would fail, or take the machine with it.
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(u64::MAX >> 1))?;
    writer.write(b"content")?;
    refused(writer.commit(), StoreErrorKind::Content);
    nothing_visible(store, &digest)
}

fn li3_one_byte_too_many_is_refused_at_once(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(7))?;
    writer.write(b"content")?;
    match writer.write(b"!") {
        Err(StoreError::Content {
            source: VerifyError::TooLong { expected },
            ..
        }) => assert_eq!(expected, 7),
        other => panic!("expected a length error: {other:?}"),
    }
    // The first seven bytes were right, but this writer is done for.
    refused(writer.write(b""), StoreErrorKind::Abandoned);
    refused(writer.commit(), StoreErrorKind::Abandoned);
    nothing_visible(store, &digest)
}

fn rt9_a_dropped_writer_leaves_nothing(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    drop(store.begin(&digest, Some(7))?);
    let mut writer = store.begin(&digest, Some(7))?;
    writer.write(b"cont")?;
    drop(writer);
    let mut writer = store.begin(&digest, Some(7))?;
    writer.write(b"content")?;
    drop(writer);
    nothing_visible(store, &digest)?;
    partial::nothing_kept(store)?;
    // Nor does it stand in the way of the next one.
    store.put(&digest, b"content")?;
    assert_eq!(read(store, &digest)?, b"content");
    Ok(())
}

fn the_position_counts_the_bytes_taken(store: &dyn Store) -> Result<(), StoreError> {
    let mut writer = store.begin(&Digest::sha256(b"content"), None)?;
    assert_eq!(writer.position(), 0);
    writer.write(b"cont")?;
    assert_eq!(writer.position(), 4);
    writer.write(b"")?;
    writer.write(b"ent")?;
    assert_eq!(writer.position(), 7);
    writer.commit()
}

fn writing_the_same_blob_again_is_fine(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content")?;
    // A failed second attempt does not harm the first.
    refused(store.put(&digest, b"c0ntent"), StoreErrorKind::Content);
    assert_eq!(read(store, &digest)?, b"content");
    store.put(&digest, b"content")?;
    assert_eq!(read(store, &digest)?, b"content");
    assert_eq!(store.list()?.count(), 1);
    Ok(())
}

fn writing_the_same_blob_at_once_is_fine(store: &dyn Store) -> Result<(), StoreError> {
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let digest = Digest::sha256(&content);
    let write = || -> Result<(), StoreError> {
        let mut writer = store.begin(&digest, Some(100_000))?;
        for piece in content.chunks(1_000) {
            writer.write(piece)?;
            // Visible at any time means complete.
            assert!(matches!(store.size(&digest)?, None | Some(100_000)));
        }
        writer.commit()?;
        assert_eq!(store.size(&digest)?, Some(100_000));
        store.flush()
    };
    at_once(write)?;
    assert_eq!(read(store, &digest)?, content);
    assert_eq!(store.list()?.count(), 1);
    Ok(())
}

fn an_absent_blob_is_an_error_of_its_own(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    refused(store.open(&digest).map(|_| ()), StoreErrorKind::Absent);
    nothing_visible(store, &digest)
}

fn a_reader_starts_anywhere(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content")?;
    let mut reader = store.open(&digest)?;
    assert_eq!(reader.size(), 7);
    let mut rest = String::new();
    let read = reader
        .seek(SeekFrom::Start(4))
        .and_then(|_| reader.read_to_string(&mut rest));
    assert_eq!((read.ok(), rest.as_str()), (Some(3), "ent"));
    Ok(())
}

fn a_reader_keeps_a_deleted_blob(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content")?;
    let mut reader = store.open(&digest)?;
    store.delete(&digest)?;
    let mut content = Vec::new();
    assert_eq!(reader.read_to_end(&mut content).ok(), Some(7));
    assert_eq!(content, b"content");
    nothing_visible(store, &digest)
}

fn deleting_twice_is_fine(store: &dyn Store) -> Result<(), StoreError> {
    let kept = Digest::sha256(b"kept");
    let digest = Digest::sha256(b"content");
    store.delete(&digest)?;
    store.put(&kept, b"kept")?;
    store.put(&digest, b"content")?;
    store.delete(&digest)?;
    store.delete(&digest)?;
    assert_eq!(store.size(&digest)?, None);
    assert_eq!(store.size(&kept)?, Some(4));
    // A flush has nothing to say about what is gone.
    store.flush()
}

fn ca3_a_bad_blob_is_taken_out_and_may_be_written_again(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    store.quarantine(&digest)?;
    for _ in 0..2 {
        store.put(&digest, b"content")?;
        let reader = store.open(&digest)?.into_random();
        store.quarantine(&digest)?;
        store.quarantine(&digest)?;
        nothing_visible(store, &digest)?;
        partial::nothing_kept(store)?;
        let mut buffer = [0; 7];
        assert_eq!(reader.read_at(&mut buffer, 0).ok(), Some(7));
    }
    store.put(&digest, b"content")?;
    assert_eq!(read(store, &digest)?, b"content");
    Ok(())
}

fn the_list_has_each_blob_once(store: &dyn Store) -> Result<(), StoreError> {
    let mut expected = BTreeSet::new();
    for n in 0..100_u8 {
        let digest = Digest::sha256(&[n]);
        store.put(&digest, &[n])?;
        expected.insert(digest);
    }
    let listed: Vec<Digest> = store.list()?.collect::<Result<_, _>>()?;
    assert_eq!(listed.len(), 100);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}

fn a_blob_is_reused_only_at_its_size(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    assert!(!store.reuse(&digest, 7)?);
    store.put(&digest, b"content")?;
    assert!(store.reuse(&digest, 7)?);
    assert!(!store.reuse(&digest, 8)?);
    assert_eq!(store.reuse_verified(&digest, 7)?, Existing::Verified);
    assert_eq!(store.reuse_verified(&digest, 8)?, Existing::Absent);
    let absent = Digest::sha256(b"absent");
    assert_eq!(store.reuse_verified(&absent, 7)?, Existing::Absent);
    let interruptible = store.interruptible(&Interrupt::new());
    assert_eq!(
        interruptible.reuse_verified(&digest, 7)?,
        Existing::Verified
    );
    store.flush()?;
    assert_eq!(read(store, &digest)?, b"content");
    Ok(())
}

fn a_flush_keeps_what_there_is(store: &dyn Store) -> Result<(), StoreError> {
    store.flush()?;
    let contents: Vec<[u8; 1]> = (0..50).map(|n| [n]).collect();
    for content in &contents {
        store.put(&Digest::sha256(content), content)?;
    }
    store.flush()?;
    store.flush()?;
    for content in &contents {
        assert_eq!(read(store, &Digest::sha256(content))?, content);
    }
    Ok(())
}

/// Runs `work` on eight threads.
fn at_once(work: impl Fn() -> Result<(), StoreError> + Sync) -> Result<(), StoreError> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(&work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(outcome) => outcome?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })
}

fn read(store: &dyn Store, digest: &Digest) -> Result<Vec<u8>, StoreError> {
    let mut reader = store.open(digest)?;
    let mut content = Vec::new();
    let outcome = reader.read_to_end(&mut content);
    assert!(outcome.is_ok(), "reading {digest}: {outcome:?}");
    Ok(content)
}

fn nothing_visible(store: &dyn Store, digest: &Digest) -> Result<(), StoreError> {
    assert_eq!(store.size(digest)?, None);
    assert!(!store.contains(digest)?);
    assert_eq!(store.list()?.count(), 0);
    refused(store.open(digest).map(|_| ()), StoreErrorKind::Absent);
    Ok(())
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>, expected: StoreErrorKind) {
    match outcome {
        Err(error) => assert_eq!(error.kind(), expected, "{error}"),
        Ok(value) => panic!("expected {expected:?}, not {value:?}"),
    }
}
