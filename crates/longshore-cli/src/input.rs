//! The input file that an argument names: content to send.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore::model::{Algorithm, Digest, Hasher};
use longshore::{Content, FileContent, StreamContent};

use crate::args::Connection;
use crate::exit::{Exit, Failure};

/// Size of the buffer for hashing, in bytes: 256 KiB.
const HASH_BUFFER_BYTES: usize = 256 * 1024;

/// The argument that stands for standard input.
const STDIN: &str = "-";

/// A file whose content is sent, or standard input.
pub(crate) struct Input(PathBuf);

impl Input {
    /// Checks an argument. Standard input cannot hold both the content and a password.
    pub(crate) fn new(path: &Path, connection: &Connection) -> Result<Self, Failure> {
        let input = Self(path.to_owned());
        if input.is_stdin() && connection.password_stdin {
            let what = "standard input cannot hold both the password and the content";
            let hint = "name the content as a file, or keep the password in Docker's config.json";
            return Err(Failure::new(Exit::Usage, what).hint(hint));
        }
        Ok(input)
    }

    fn is_stdin(&self) -> bool {
        self.0.as_os_str() == STDIN
    }

    /// Opens the content. A regular file can be read again; a pipe or a device cannot.
    pub(crate) async fn open(&self) -> Result<Opened, Failure> {
        let (path, is_stdin) = (self.0.clone(), self.is_stdin());
        self.blocking(move || {
            let mut file = open(&path, is_stdin)?;
            let count = Arc::<AtomicU64>::default();
            // A shell may have read a part of its redirected file.
            let is_whole = file.metadata()?.is_file() && file.stream_position()? == 0;
            let content: Box<dyn Content> = if is_whole {
                Box::new(FileContent::new(file)?)
            } else {
                let mut reader = BufReader::new(CountingReader(file, Arc::clone(&count)));
                // An empty blob is sent without a body, where its size is known.
                let size = reader.fill_buf()?.is_empty().then_some(0);
                Box::new(StreamContent::from_reader(reader, size)?)
            };
            Ok(Opened { content, count })
        })
        .await
    }

    /// Reads all of the content; returns its digest, and its size in bytes.
    pub(crate) async fn hash(&self, algorithm: Algorithm) -> Result<(Digest, u64), Failure> {
        let (path, is_stdin) = (self.0.clone(), self.is_stdin());
        self.blocking(move || {
            let mut hasher = Hasher::new(&algorithm).map_err(io::Error::other)?;
            let mut file = open(&path, is_stdin)?;
            let mut size = 0;
            let mut buffer = vec![0; HASH_BUFFER_BYTES];
            loop {
                match file.read(&mut buffer) {
                    Ok(0) => return Ok((hasher.finish(), size)),
                    Ok(count) => {
                        hasher.update(buffer.get(..count).unwrap_or_default());
                        size += count as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// Reads all of the content, which is at most `limit` bytes.
    pub(crate) async fn read(&self, limit: usize) -> Result<Vec<u8>, Failure> {
        let (path, is_stdin) = (self.0.clone(), self.is_stdin());
        self.blocking(move || {
            let mut content = Vec::new();
            let file = open(&path, is_stdin)?;
            file.take(limit as u64 + 1).read_to_end(&mut content)?;
            if content.len() > limit {
                let what = format!("it is larger than {limit} bytes");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
            }
            Ok(content)
        })
        .await
    }

    /// Opens or reads the file on another thread: a FIFO waits for its writer.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(Failure::task)?
            .map_err(|error| Failure::input(&self.name(), &error))
    }

    /// The name of the input in messages.
    pub(crate) fn name(&self) -> String {
        match self.is_stdin() {
            true => "standard input".to_owned(),
            false => self.0.display().to_string(),
        }
    }
}

/// Content that is open.
pub(crate) struct Opened {
    pub(crate) content: Box<dyn Content>,
    /// Number of bytes that were read, if the size of the content was not known before.
    count: Arc<AtomicU64>,
}

impl Opened {
    /// The size in bytes, once all of the content was read.
    pub(crate) fn size(&self) -> u64 {
        let counted = || self.count.load(Ordering::Relaxed);
        self.content.size().unwrap_or_else(counted)
    }
}

/// Counts the bytes that are read.
struct CountingReader<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn open(path: &Path, is_stdin: bool) -> io::Result<File> {
    let file = if is_stdin {
        stdin()?
    } else {
        File::open(path)?
    };
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// Returns standard input as a file, without the buffer of the standard library.
#[cfg(unix)]
fn stdin() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn stdin() -> io::Result<File> {
    use std::os::windows::io::AsHandle as _;
    Ok(io::stdin().as_handle().try_clone_to_owned()?.into())
}
