//! Creating a layout, atomically.
//!
//! The file `oci-layout` is written last and removed first: without it the directory is not a
//! layout, and with it the layout is complete. If an earlier program or a disk failure left a
//! layout without one of its files, the layout is completed, unless it holds blobs.

use std::fs;
use std::io;
use std::path::Path;

use longshore_store::{
    Action, BLOBS_DIR, Dir, Durability, Exclusive, FileMode, Interrupt, PRIVATE_DIR, Store as _,
    StoreError,
};

use super::{INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, Layout};
use crate::error::LayoutError;
use crate::index;

pub(super) fn create_or_open(
    path: &Path,
    durability: Durability,
    interrupt: &Interrupt,
) -> Result<Layout, LayoutError> {
    create_or_open_with(path, durability, interrupt, write)
}

/// As [`create_or_open`], with the function that writes the files of a new layout.
fn create_or_open_with(
    path: &Path,
    durability: Durability,
    interrupt: &Interrupt,
    write: impl FnOnce(&Layout, &Exclusive<'_>) -> Result<(), StoreError>,
) -> Result<Layout, LayoutError> {
    let made = make_root(path, durability)?;
    let outcome = Layout::at(path, durability).and_then(|layout| {
        let layout = layout.with_interrupt(interrupt);
        // Checked without the lock first: the lock would leave a directory behind.
        if is_complete(&layout)? {
            return layout.check();
        }
        check_empty(&layout)?;
        initialise(&layout, write)?;
        layout.check()
    });
    if outcome.is_err() {
        for path in made {
            // Best effort: it is empty again, unless another process uses it.
            let _ = fs::remove_dir(path);
        }
    }
    outcome
}

/// Checks whether [`create_or_open`] would find or could create a layout; changes nothing.
pub(super) fn check_destination(path: &Path) -> Result<(), LayoutError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotADirectory => {
            return Err(LayoutError::Store(StoreError::Io {
                action: Action::Open,
                path: path.to_owned(),
                source: error,
            }));
        }
        Ok(metadata) if metadata.is_dir() => {}
        _ => {
            let path = above(path).unwrap_or(path).to_owned();
            return Err(LayoutError::NotADirectory { path });
        }
    }
    let layout = Layout::at(path, Durability::None)?;
    if is_complete(&layout)? {
        return layout.check().map(|_| ());
    }
    check_empty(&layout)
}

/// Creates the directory and its parents; returns those that did not exist, the deepest first.
fn make_root(path: &Path, durability: Durability) -> Result<Vec<&Path>, LayoutError> {
    let is_absent = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let absent = path.ancestors().take_while(is_absent).collect();
    let failed = |source: io::Error| match above(path) {
        Some(file) if source.kind() == io::ErrorKind::NotADirectory => LayoutError::NotADirectory {
            path: file.to_owned(),
        },
        _ => LayoutError::Store(StoreError::Io {
            action: Action::Create,
            path: path.to_owned(),
            source,
        }),
    };
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Its parents are missing too.
            fs::create_dir_all(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    }
    if durability != Durability::None
        && let Some(parent) = path.parent()
        && let Ok(parent) = Dir::open(parent)
    {
        // Best effort: a parent that is writable but not readable cannot be opened.
        let _ = parent.sync();
    }
    Ok(absent)
}

/// Returns the first of `path` and its parents that exists and is not a directory.
fn above(path: &Path) -> Option<&Path> {
    path.ancestors()
        .find(|above| fs::metadata(above).is_ok_and(|metadata| !metadata.is_dir()))
}

fn is_marked(layout: &Layout) -> Result<bool, LayoutError> {
    Ok(layout.store.root().entry(LAYOUT_FILE)?.is_some())
}

/// Returns whether both files of a layout exist.
fn is_complete(layout: &Layout) -> Result<bool, LayoutError> {
    Ok(is_marked(layout)? && layout.store.root().entry(INDEX_FILE)?.is_some())
}

/// Refuses a directory that holds anything except files of an initialisation that has not ended.
fn check_empty(layout: &Layout) -> Result<(), LayoutError> {
    if is_marked(layout)? {
        // A marker of another version, or of another program, is not replaced.
        layout.check_marker()?;
    }
    let root = layout.store.root();
    for name in root.names()? {
        let ours = match name?.to_str() {
            Some(PRIVATE_DIR | LAYOUT_FILE) => true,
            Some(BLOBS_DIR) if is_marked(layout)? => layout.store.list()?.next().is_none(),
            Some(BLOBS_DIR) => match root.dir(BLOBS_DIR)? {
                Some(blobs) => blobs.names()?.next().is_none(),
                None => true,
            },
            Some(INDEX_FILE) => is_empty_index(root)?,
            _ => false,
        };
        // Another process may have ended its initialisation meanwhile.
        if ours || is_complete(layout)? {
            continue;
        }
        // The layout has lost its index. An empty index would hide the loss.
        if is_marked(layout)? {
            return layout.index().map(|_| ());
        }
        return Err(LayoutError::NotEmpty {
            path: layout.path().to_owned(),
        });
    }
    Ok(())
}

fn is_empty_index(root: &Dir) -> Result<bool, LayoutError> {
    match root.read(INDEX_FILE, index::EMPTY.len() as u64) {
        Ok(content) => Ok(content.is_none_or(|content| content == index::EMPTY)),
        Err(StoreError::TooLarge { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn initialise(
    layout: &Layout,
    write: impl FnOnce(&Layout, &Exclusive<'_>) -> Result<(), StoreError>,
) -> Result<(), LayoutError> {
    let exclusive = layout.store.lock()?;
    // Another process may have been faster, or have put something there.
    if is_complete(layout)? {
        return Ok(());
    }
    check_empty(layout)?;
    let written = write(layout, &exclusive);
    if written.is_err() {
        // Best effort, under the lock: the disk may be full. The marker comes first.
        let root = layout.store.root();
        let _ = root.remove(LAYOUT_FILE);
        let _ = root.remove(INDEX_FILE);
        let _ = root.remove_dir(BLOBS_DIR);
    }
    Ok(written?)
}

fn write(layout: &Layout, exclusive: &Exclusive<'_>) -> Result<(), StoreError> {
    layout.store.root().make_dir(BLOBS_DIR, FileMode::Shared)?;
    exclusive.replace(INDEX_FILE, index::EMPTY)?;
    let marker = format!(r#"{{"imageLayoutVersion":"{LAYOUT_VERSION}"}}"#);
    exclusive.replace(LAYOUT_FILE, marker.as_bytes())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::io;

    use super::*;

    /// Writes all files, and then finds that the directory cannot be made durable.
    fn write_and_fail(layout: &Layout, exclusive: &Exclusive<'_>) -> Result<(), StoreError> {
        write(layout, exclusive)?;
        Err(StoreError::Io {
            action: Action::Sync,
            path: layout.path().to_owned(),
            source: io::Error::from_raw_os_error(5),
        })
    }

    #[test]
    fn a_creation_whose_last_fsync_fails_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        for name in ["new", "a/b/new"] {
            let path = parent.path().join(name);
            let error = create_or_open_with(&path, Durability::Batch, &interrupt, write_and_fail)
                .unwrap_err();
            assert!(error.to_string().starts_with("cannot sync"), "{error}");
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "{name}");
        }
        let path = parent.path().join("there");
        fs::create_dir(&path).unwrap();
        create_or_open_with(&path, Durability::Batch, &interrupt, write_and_fail).unwrap_err();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        drop(create_or_open(&path, Durability::Batch, &interrupt).unwrap());
        Layout::open(&path).unwrap();
    }
}
