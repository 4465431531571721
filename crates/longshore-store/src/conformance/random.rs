//! What every driver does for readers at any position.

use std::thread;

use longshore_model::Digest;

use super::{read, refused};
use crate::error::{StoreError, StoreErrorKind};
use crate::random::RandomReader;
use crate::store::Store;

pub(super) fn a_blob_is_read_at_any_position(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    store.put(&digest, b"content")?;
    let reader = store.open(&digest)?.into_random();
    let clone = reader.clone();
    let parts: [(u64, usize, &[u8]); 5] = [
        (4, 10, b"ent"),
        (0, 3, b"con"),
        (2, 4, b"nten"),
        (7, 1, b""),
        (1 << 40, 1, b""),
    ];
    for (position, length, expected) in parts {
        check(&reader, position, length, expected);
        check(&clone, position, length, expected);
    }
    Ok(())
}

pub(super) fn a_blob_is_read_while_it_is_written(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(7))?;
    let early = writer.reader()?;
    check(&early, 0, 10, b"");
    writer.write(b"cont")?;
    let late = writer.reader()?;
    for reader in [&early, &late] {
        check(reader, 0, 10, b"cont");
        check(reader, 2, 10, b"nt");
        check(reader, 4, 10, b"");
    }
    writer.write(b"ent")?;
    check(&early, 3, 10, b"tent");
    writer.commit()?;
    for reader in [&early, &late] {
        check(reader, 0, 10, b"content");
    }
    assert_eq!(read(store, &digest)?, b"content");
    Ok(())
}

pub(super) fn a_random_reader_outlives_its_writer(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let written = || {
        let mut writer = store.begin(&digest, Some(7))?;
        writer.write(b"content")?;
        Ok::<_, StoreError>((writer.reader()?, writer))
    };
    let (committed, writer) = written()?;
    writer.commit()?;
    let opened = store.open(&digest)?.into_random();
    // Replaced, and then deleted.
    let (replaced, writer) = written()?;
    writer.commit()?;
    store.delete(&digest)?;
    let (discarded, writer) = written()?;
    writer.discard();
    let (dropped, writer) = written()?;
    drop(writer);
    let (kept, writer) = written()?;
    writer.keep()?;
    store.clear_partials()?;
    let (failed, mut writer) = written()?;
    refused(writer.write(b"!"), StoreErrorKind::Content);
    refused(writer.reader(), StoreErrorKind::Abandoned);
    for reader in [
        committed, opened, replaced, discarded, dropped, kept, failed,
    ] {
        check(&reader, 0, 7, b"content");
    }
    Ok(())
}

pub(super) fn a_random_reader_sees_what_is_resumed(store: &dyn Store) -> Result<(), StoreError> {
    let digest = Digest::sha256(b"content");
    let mut writer = store.begin(&digest, Some(7))?;
    writer.write(b"con")?;
    let first = writer.reader()?;
    writer.keep()?;
    let mut writer = store.resume(&digest, 7)?;
    let second = writer.reader()?;
    check(&second, 1, 10, b"on");
    writer.write(b"tent")?;
    check(&second, 1, 10, b"ontent");
    // The old reader keeps at least what its writer had.
    check(&first, 0, 3, b"con");
    writer.commit()?;
    check(&second, 0, 10, b"content");
    Ok(())
}

pub(super) fn reading_at_once_does_not_disturb_the_writer(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let digest = Digest::sha256(&content);
    let mut writer = store.begin(&digest, Some(100_000))?;
    let reader = writer.reader()?;
    let written = thread::scope(|scope| {
        for threads in 0..4_u64 {
            let (reader, content) = (reader.clone(), &content);
            scope.spawn(move || {
                let mut position = threads * 100;
                while position < 100_000 {
                    let from = usize::try_from(position).unwrap_or(usize::MAX);
                    let expected = content.get(from..).unwrap_or_default();
                    let mut buffer = [0; 999];
                    let Ok(count) = reader.read_at(&mut buffer, position) else {
                        panic!("cannot read at {position}");
                    };
                    assert_eq!(buffer.get(..count), expected.get(..count), "{position}");
                    position += count as u64;
                    thread::yield_now();
                }
            });
        }
        content
            .chunks(1_000)
            .try_for_each(|piece| writer.write(piece))
    });
    written?;
    writer.commit()?;
    assert_eq!(read(store, &digest)?, content);
    Ok(())
}

/// Checks what is read at `position` into a buffer of `length` bytes, in both ways.
fn check(reader: &RandomReader, position: u64, length: usize, expected: &[u8]) {
    let mut buffer = vec![0; length];
    let count = reader.read_at(&mut buffer, position);
    let Ok(count) = count else {
        panic!("cannot read at {position}: {count:?}");
    };
    assert_eq!(buffer.get(..count), Some(expected), "{position}");
    let mut buffer = vec![0; length];
    match reader.try_read_at(&mut buffer, position) {
        Ok(Some(count)) => {
            let read = buffer.get(..count).unwrap_or_default();
            assert!(expected.starts_with(read), "{position}: {read:?}");
            assert_eq!(read.is_empty(), expected.is_empty(), "{position}");
        }
        Ok(None) => {}
        Err(error) => panic!("cannot try to read at {position}: {error}"),
    }
}
