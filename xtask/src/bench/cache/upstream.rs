//! The upstream registry: serves files at a limited rate, and counts.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

/// A running upstream; its threads end with the process.
pub(super) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the upstream has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Requests, except for the API version.
    pub(super) requests: u64,
    /// `GET` requests for blobs.
    pub(super) blobs: u64,
    /// When the first byte of a blob was sent.
    pub(super) first: Option<Instant>,
}

struct Shared {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: Seen,
    /// Bytes in a second, of all connections together; `None` is as fast as possible.
    rate: Option<u32>,
    /// When the next bytes may be sent.
    due: Option<Instant>,
}

impl Upstream {
    /// Serves the files below a directory on a port of its own.
    pub(super) fn start(root: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            root: root.to_path_buf(),
            state: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A cache may close its connection at any time.
                thread::spawn(move || shared.converse(&stream));
            }
        });
        Ok(Self { address, shared })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Limits the rate, in bytes for each second, and begins to count again.
    pub(super) fn reset(&self, rate: Option<u32>) {
        *self.shared.state() = State {
            rate,
            ..State::default()
        };
    }

    /// What was seen since the last reset.
    pub(super) fn seen(&self) -> Seen {
        self.shared.state().seen
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the requests of one connection, none of which may have a body.
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut header = String::new();
            while reader.read_line(&mut header)? > 2 {
                header.clear();
            }
            let mut words = line.split(' ');
            let (method, target) = (words.next(), words.next().unwrap_or_default());
            let path = target.split('?').next().unwrap_or_default();
            self.answer(stream, method == Some("HEAD"), path)?;
        }
    }

    fn answer(&self, mut stream: &TcpStream, is_head: bool, path: &str) -> io::Result<()> {
        if path == "/v2/" {
            return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        }
        let is_blob = path.contains("/blobs/");
        let mut state = self.state();
        state.seen.requests += 1;
        state.seen.blobs += u64::from(is_blob && !is_head);
        drop(state);
        let file = match path.strip_prefix('/').filter(|path| !path.contains("..")) {
            Some(path) => File::open(self.root.join(path)),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let Ok(mut file) = file else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        };
        let length = file.metadata()?.len();
        let (media_type, digest) = if is_blob {
            let digest = path.rsplit('/').next().unwrap_or_default();
            ("application/octet-stream", digest.to_owned())
        } else {
            let mut manifest = Vec::new();
            File::open(self.root.join(path.trim_start_matches('/')))?.read_to_end(&mut manifest)?;
            let hash = Sha256::digest(&manifest);
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            (
                "application/vnd.oci.image.manifest.v1+json",
                format!("sha256:{hex}"),
            )
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\
             docker-content-digest: {digest}\r\n\r\n"
        )?;
        if is_head {
            return Ok(());
        }
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.wait(count);
            if is_blob {
                self.state().seen.first.get_or_insert_with(Instant::now);
            }
            stream.write_all(buffer.get(..count).unwrap_or_default())?;
        }
    }

    /// Waits until this many bytes may be sent.
    fn wait(&self, bytes: usize) {
        let now = Instant::now();
        let mut state = self.state();
        let Some(rate) = state.rate else { return };
        let due = state.due.unwrap_or(now).max(now);
        let takes = Duration::from_secs_f64(bytes as f64 / f64::from(rate));
        state.due = Some(due + takes);
        drop(state);
        thread::sleep(due - now);
    }
}

const PIECE_BYTES: usize = 64 * 1024;
