//! Log lines for standard error, from a thread of their own.
//!
//! Standard error may be a pipe that nobody reads. A server must go on then, so lines that do not
//! fit into a queue are dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Number of lines that wait for standard error.
const LINES: usize = 4096;

/// How long the end of the program waits until the queue was written.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);

/// Makes the writers of log lines. Clones share one queue.
#[derive(Clone)]
pub(crate) struct LogWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the thread, which writes to `output`.
    pub(crate) fn start(output: impl io::Write + Send + 'static) -> io::Result<Self> {
        let (lines, queue) = mpsc::sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let write = move || {
            let mut output = output;
            for message in queue {
                match message {
                    Message::Line(line) => {
                        // Nobody can be told that the log cannot be written.
                        let _ = output.write_all(&line);
                    }
                    Message::Flush(done) => drop(done),
                }
                let missing = counted.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    let line = format!("{missing} log lines were dropped\n");
                    let _ = output.write_all(line.as_bytes());
                }
            }
        };
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(Self { lines, dropped })
    }

    /// Waits until the lines so far were written, but not for long.
    pub(crate) fn flush(&self) {
        let (done, ended) = mpsc::sync_channel(0);
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            // The thread drops the other half.
            let _ = ended.recv_timeout(FLUSH_LIMIT);
        }
    }
}

/// One line, or a part of it.
pub(crate) struct Line<'a>(&'a LogWriter);

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = Message::Line(bytes.to_vec());
        if let Err(TrySendError::Full(_)) = self.0.lines.try_send(line) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Waits for a permission before each write.
    struct Slow {
        permissions: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.permissions.recv();
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_stops_nobody() {
        let (allow, permissions) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let output = Slow {
            permissions,
            written: Arc::clone(&written),
        };
        let writer = LogWriter::start(output).unwrap();
        for number in 0..2 * LINES {
            let line = format!("{number}\n");
            writer.make_writer().write_all(line.as_bytes()).unwrap();
        }
        // From now on every write succeeds.
        drop(allow);
        // The first word of each line: the number of a line, or of the lines that are missing.
        let count = || {
            let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
            let missing = text.lines().filter(|line| line.contains("dropped"));
            let numbers = missing.map(|line| line.split(' ').next().unwrap());
            let missing: usize = numbers.map(|it| it.parse::<usize>().unwrap()).sum();
            let lines = text.lines().filter(|line| !line.contains("dropped"));
            (lines.count(), missing)
        };
        while count().0 + count().1 < 2 * LINES {
            writer.flush();
        }
        let (lines, missing) = count();
        assert_eq!(lines + missing, 2 * LINES);
        assert!(missing >= LINES - 1, "{missing}");
    }
}
