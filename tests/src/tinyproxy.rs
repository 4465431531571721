//! tinyproxy: a forward proxy for `http` and, by `CONNECT`, `https`.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::process::{self, Process};
use crate::program;

/// A running proxy.
#[derive(Debug)]
pub struct Tinyproxy {
    process: Process,
    address: SocketAddr,
}

impl Tinyproxy {
    /// Starts a proxy that demands these credentials, if any; `None` when it is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn start(credentials: Option<(&str, &str)>) -> Option<Self> {
        let program = program::find("tinyproxy", "tinyproxy")?;
        // The port may be taken between finding and using it.
        for _ in 0..ATTEMPTS {
            let directory = process::directory();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()));
            let mut config = format!(
                "Port {}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nLogLevel Connect\n",
                address.port()
            );
            if let Some((user, password)) = credentials {
                // Writing to a string cannot fail.
                let _ = writeln!(config, "BasicAuth {user} {password}");
            }
            let file = directory.path().join("tinyproxy.conf");
            process::write(&file, config);
            let mut command = Command::new(&program);
            command.arg("-d").arg("-c").arg(file);
            let mut process = Process::start(command, directory);
            if process
                .wait_until(|_| process::answers(address).then_some(()))
                .is_some()
            {
                return Some(Self { process, address });
            }
        }
        panic!("tinyproxy does not start")
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The proxy as a URL, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request lines it has seen, but those of the harness: `CONNECT host:port HTTP/1.1`, or
    /// a method with an absolute URL.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.process
            .said()
            .lines()
            .filter_map(|line| line.split_once("Request (file descriptor "))
            .filter_map(|(_, rest)| Some(rest.split_once("): ")?.1.trim_end().to_owned()))
            .filter(|request| !request.starts_with("GET /v2/ "))
            .collect()
    }
}

const ATTEMPTS: usize = 5;
