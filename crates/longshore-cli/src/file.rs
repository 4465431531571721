//! The output file that an option such as `--file` names.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Prefix and suffix of the names of temporary files. `tempfile` makes the random part between
/// them.
const TEMPORARY_PREFIX: &str = ".longshore-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Number of random characters in the name of a temporary file.
const TEMPORARY_RANDOM: usize = 12;

/// Maximum number of symbolic links that are followed to a file, as in Linux.
const LINKS_LIMIT: usize = 40;

/// Maximum number of attempts to create a temporary file: another process may remove a file that is
/// not locked yet.
const TEMPORARY_ATTEMPTS: usize = 16;

/// A file that is being written.
#[derive(Debug)]
pub(crate) enum OutputFile {
    /// A regular file, or one that does not exist yet. The bytes go to a temporary file in the same
    /// directory, which [`commit`](Self::commit) renames to `path`.
    Replaced { file: NamedTempFile, path: PathBuf },
    /// A device or a FIFO, which gets the bytes as they arrive.
    Stream(File),
}

impl OutputFile {
    /// Opens the file at `path`; symbolic links are followed. Blocks for a FIFO without a reader.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => Self::replacing(&resolved(path)?, Some(&found)),
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if is_socket(&found) => Err(io::Error::other("cannot write to a socket")),
            Ok(_) => Ok(Self::Stream(File::options().write(true).open(path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::replacing(&resolved(path)?, None)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a temporary file in the directory of `path`, with the permissions of the existing
    /// file, or else those that the umask allows. Removes the temporary files of killed processes
    /// in that directory.
    fn replacing(path: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        let dir = directory(path);
        remove_stale(dir);
        let file = temporary(dir)?;
        if let Some(old) = old {
            file.as_file().set_permissions(copied(old))?;
        }
        let path = path.to_owned();
        Ok(Self::Replaced { file, path })
    }

    /// Renames a temporary file to its final path.
    pub(crate) fn commit(self) -> io::Result<()> {
        match self {
            Self::Replaced { file, path } => {
                file.as_file().sync_all()?;
                file.persist(path)?;
                Ok(())
            }
            Self::Stream(mut file) => file.flush(),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match self {
            Self::Replaced { file, .. } => file.as_file_mut().write(content),
            Self::Stream(file) => file.write(content),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Replaced { file, .. } => file.as_file_mut().flush(),
            Self::Stream(file) => file.flush(),
        }
    }
}

/// Who may read, write and execute a file. The other bits would give the rights of the file's new
/// owner to whoever executes it.
#[cfg(unix)]
fn copied(old: &Metadata) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(old.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn copied(old: &Metadata) -> fs::Permissions {
    old.permissions()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Follows symbolic links from `path` to a path that is not a link, and which need not exist.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_LIMIT {
        match fs::read_link(&path) {
            Ok(to) => path = directory(&path).join(to),
            // Not a link, or nothing.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(unix)]
fn is_socket(found: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    found.file_type().is_socket()
}

#[cfg(not(unix))]
fn is_socket(_: &Metadata) -> bool {
    false
}

/// Creates a locked temporary file. The lock shows that its writer is alive.
fn temporary(dir: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix(TEMPORARY_PREFIX)
        .suffix(TEMPORARY_SUFFIX)
        .rand_bytes(TEMPORARY_RANDOM);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    for _ in 0..TEMPORARY_ATTEMPTS {
        let file = builder.tempfile_in(dir)?;
        if claim(&file) {
            return Ok(file);
        }
    }
    Err(io::Error::other(
        "another process keeps removing the temporary file",
    ))
}

/// Locks a new temporary file; returns whether it still exists. A failure to lock is ignored: on a
/// file system without locks, no other process removes the file either.
#[cfg(unix)]
fn claim(file: &NamedTempFile) -> bool {
    match try_lock(file.as_file()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        _ => file.path().exists(),
    }
}

#[cfg(not(unix))]
fn claim(_: &NamedTempFile) -> bool {
    true
}

#[cfg(unix)]
fn try_lock(file: &File) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Removes temporary files whose writers have died. Errors are ignored.
#[cfg(unix)]
fn remove_stale(dir: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_temporary = name
            .as_bytes()
            .strip_prefix(TEMPORARY_PREFIX.as_bytes())
            .and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX.as_bytes()))
            .is_some_and(|random| {
                random.len() == TEMPORARY_RANDOM && random.iter().all(u8::is_ascii_alphanumeric)
            });
        if is_temporary {
            let path = entry.path();
            if let Ok(_locked) = lock_abandoned(&path) {
                // Best effort: a stale file does no harm.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Opens a regular file and locks it, unless another process holds the lock.
#[cfg(unix)]
fn lock_abandoned(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    try_lock(&file)?;
    Ok(file)
}

/// Other systems do not show whether the writer is alive.
#[cfg(not(unix))]
fn remove_stale(_: &Path) {}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::tempdir;

    use super::*;

    #[track_caller]
    fn write(path: &Path) {
        let mut file = OutputFile::open(path).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_keeps_its_permissions() {
        let place = tempdir().unwrap();
        let path = place.path().join("file");
        // A replaced file never runs with the rights of its owner.
        for mode in [0o600, 0o755, 0o4755] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let unfinished = OutputFile::open(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"old");
            drop(unfinished);
            assert_eq!(fs::read(&path).unwrap(), b"old");
            write(&path);
            assert_eq!(fs::read(&path).unwrap(), b"new");
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, mode & 0o777);
        }
        assert_eq!(names(place.path()), ["file"]);
    }

    #[test]
    fn links_are_followed_even_if_the_target_does_not_exist() {
        let place = tempdir().unwrap();
        let other = tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(other.path().join("there"), "old").unwrap();
        symlink(other.path().join("there"), at("absolute")).unwrap();
        symlink("absent", at("relative")).unwrap();
        symlink("relative", at("twice")).unwrap();
        for name in ["absolute", "twice"] {
            write(&at(name));
            assert!(at(name).is_symlink(), "{name}");
            assert_eq!(fs::read(at(name)).unwrap(), b"new");
        }
        assert_eq!(
            names(place.path()),
            ["absent", "absolute", "relative", "twice"]
        );
        assert_eq!(names(other.path()), ["there"]);
        symlink("loop", at("loop")).unwrap();
        OutputFile::open(&at("loop")).unwrap_err();
    }

    #[test]
    fn a_special_file_is_written_or_refused_but_not_replaced() {
        use std::os::unix::fs::FileTypeExt as _;
        let null = Path::new("/dev/null");
        write(null);
        assert!(fs::metadata(null).unwrap().file_type().is_char_device());
        let place = tempdir().unwrap();
        let error = OutputFile::open(place.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let socket = place.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = OutputFile::open(&socket).unwrap_err();
        assert_eq!(error.to_string(), "cannot write to a socket");
        assert_eq!(names(place.path()), ["socket"]);
    }

    #[test]
    fn only_the_temporary_files_of_killed_processes_are_removed() {
        let place = tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let living = OutputFile::open(&at("a")).unwrap();
        let lives = names(place.path()).pop().unwrap();
        fs::write(at(".longshore-0123456789ab.tmp"), "abandoned").unwrap();
        fs::create_dir(at(".longshore-0123456789cd.tmp")).unwrap();
        symlink("b", at(".longshore-0123456789ef.tmp")).unwrap();
        fs::write(at(".longshore-short.tmp"), "of somebody else").unwrap();
        write(&at("b"));
        let expected = [
            ".longshore-0123456789cd.tmp",
            ".longshore-0123456789ef.tmp",
            ".longshore-short.tmp",
            "b",
        ];
        let others = names(place.path()).into_iter().filter(|it| *it != lives);
        assert_eq!(others.collect::<Vec<_>>(), expected);
        living.commit().unwrap();
        assert!(at("a").exists());
    }
}
