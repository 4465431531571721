//! Limits on clients: connections, time and bytes (CA10: the limit of connections is derived from
//! the limit of open files, and waits for a client are bounded).

use std::time::Duration;

pub(super) mod watch;

/// Limits on clients. The defaults are those of rule CA10.
///
/// ```
/// use std::time::Duration;
///
/// use longshore_cache::server::Limits;
///
/// let limits = Limits::default()
///     .with_connections(1000)
///     .with_idle_time(Duration::from_secs(20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) connections: u32,
    pub(super) answers: u32,
    pub(super) head_time: Duration,
    pub(super) idle_time: Duration,
    pub(super) stall_time: Duration,
    pub(super) drain_time: Duration,
}

impl Limits {
    /// Limits the number of open connections; the default is [`default_connections`].
    ///
    /// A client above the limit gets 503 with `Retry-After`, and its connection is closed. The
    /// limit is at least 1 and at most 1,048,576.
    #[must_use]
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections.clamp(1, 1024 * 1024);
        self
    }

    /// Limits the number of answers that are open in addition to one on each connection; the
    /// default is [`default_connections`].
    ///
    /// Each answer may have an open file and two frames in memory, and a client may have 128
    /// requests on one HTTP/2 connection. A request above the limit gets 503 with `Retry-After`,
    /// but never the only request of a connection. The limit is at least 1 and at most 1,048,576.
    #[must_use]
    pub fn with_answers(mut self, answers: u32) -> Self {
        self.answers = answers.clamp(1, 1024 * 1024);
        self
    }

    /// Limits the time from the first byte of a request until its head is complete, and the time of
    /// a TLS handshake; 10 s by default.
    #[must_use]
    pub const fn with_head_time(mut self, time: Duration) -> Self {
        self.head_time = time;
        self
    }

    /// Limits the time that a connection stays open without a request; 60 s by default.
    #[must_use]
    pub const fn with_idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Limits the time in which a client reads nothing of an answer that is ready; 5 minutes by
    /// default. After that time the connection is cut.
    ///
    /// The time is checked at least once a minute, so a connection may stay open up to one minute
    /// longer. Time spent waiting for an upstream does not count.
    #[must_use]
    pub const fn with_stall_time(mut self, time: Duration) -> Self {
        self.stall_time = time;
        self
    }

    /// Limits the time for open answers after [`ServerHandle::drain`](super::ServerHandle::drain);
    /// 30 s by default (CA12: a first signal lets answers finish).
    #[must_use]
    pub const fn with_drain_time(mut self, time: Duration) -> Self {
        self.drain_time = time;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: default_connections(),
            answers: default_connections(),
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(5 * 60),
            drain_time: Duration::from_secs(30),
        }
    }
}

/// Maximum size in bytes of the head of a request; a larger head gets a 431.
pub(super) const HEAD_LIMIT_BYTES: u32 = 32 * 1024;

/// Maximum number of concurrent requests on one HTTP/2 connection.
pub(super) const STREAMS_LIMIT: u32 = 128;

/// Number of bytes of an HTTP/2 stream that are queued before the next frame waits: 16 KiB. A
/// client that does not read thus holds at most this, and two frames, for each answer.
pub(super) const STREAM_QUEUE_BYTES: usize = 16 * 1024;

/// Maximum number of connections, if the limit of open files allows as many.
const CONNECTIONS_LIMIT: u32 = 16_384;

/// Number of descriptors reserved for listeners, the store, logs and upstreams.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Returns how many connections the limit of open files (`RLIMIT_NOFILE`) allows, at least 16 and
/// at most 16,384.
///
/// 64 descriptors are reserved for other purposes. The number is a third of the rest: each
/// connection has a socket and may have an answer with an open file, and as many further answers
/// may be open ([`Limits::with_answers`]).
///
/// The result depends on the current soft limit; [`raise_descriptor_limit`] raises that limit.
#[must_use]
pub fn default_connections() -> u32 {
    connections_for(descriptor_limit())
}

/// The number of connections for this number of descriptors; `None` is no limit.
fn connections_for(descriptors: Option<u64>) -> u32 {
    let Some(descriptors) = descriptors else {
        return CONNECTIONS_LIMIT;
    };
    let third = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 3;
    u32::try_from(third)
        .unwrap_or(u32::MAX)
        .clamp(16, CONNECTIONS_LIMIT)
}

/// Returns the soft limit of open files; `None` if there is no limit.
#[cfg(unix)]
fn descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};

    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn descriptor_limit() -> Option<u64> {
    None
}

/// Raises the soft limit of open files of this process to the number that it needs, at most to the
/// hard limit, and returns the new limit; `None` if there is no limit.
///
/// Call this once, before making [`Limits`]: many systems start programs with a soft limit of
/// 1,024. If the limit cannot be raised, it stays as it is.
pub fn raise_descriptor_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(u64::MAX).min(WANTED_DESCRIPTORS);
        if current.is_some_and(|current| current < wanted) {
            let raised = Rlimit {
                current: Some(wanted),
                maximum,
            };
            // With the old limit the server has fewer connections.
            let _ = setrlimit(Resource::Nofile, raised);
        }
    }
    descriptor_limit()
}

/// Number of descriptors that [`CONNECTIONS_LIMIT`] connections need.
#[cfg(unix)]
const WANTED_DESCRIPTORS: u64 = 3 * 16_384 + RESERVED_DESCRIPTORS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ca10_connections_follow_the_limit_of_open_files() {
        for (descriptors, connections) in [
            (None, 16_384),
            (Some(u64::MAX), 16_384),
            (Some(49_216), 16_384),
            (Some(49_215), 16_383),
            (Some(1024), 320),
            (Some(96), 16),
            (Some(0), 16),
        ] {
            assert_eq!(connections_for(descriptors), connections, "{descriptors:?}");
        }
        let limits = Limits::default();
        assert_eq!(limits.connections, default_connections());
        assert_eq!(limits.answers, default_connections());
        let limits = limits.with_answers(7).with_connections(5);
        assert_eq!((limits.connections, limits.answers), (5, 7));
    }

    #[test]
    fn ca10_the_limit_of_open_files_can_be_raised() {
        let before = default_connections();
        assert_eq!(raise_descriptor_limit(), descriptor_limit());
        assert!(default_connections() >= before);
    }
}
