//! microsocks, a SOCKS 5 proxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::process::{self, Process};
use crate::program;

/// A running proxy.
#[derive(Debug)]
pub struct Microsocks {
    process: Process,
    address: SocketAddr,
}

impl Microsocks {
    /// Starts a proxy that requires these credentials, if there are any. `None` when it is not
    /// installed.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(credentials: Option<(&str, &str)>) -> Option<Self> {
        let program = program::find("microsocks", "microsocks")?;
        // Another process may take the port before the proxy uses it.
        for _ in 0..ATTEMPTS {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()));
            let mut command = Command::new(&program);
            command.args(["-i", "127.0.0.1", "-p", &address.port().to_string()]);
            if let Some((user, password)) = credentials {
                command.args(["-u", user, "-P", password]);
            }
            let mut process = Process::start(command, process::directory());
            if process
                .wait_until(|_| process::listens(address).then_some(()))
                .is_some()
            {
                return Some(Self { process, address });
            }
        }
        panic!("microsocks does not start")
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The targets that it connected to, as `host:port`; `host` is a name if the proxy resolved it.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let said = self.process.said();
        let targets = said
            .lines()
            .filter_map(|line| line.split_once(": connected to "));
        targets
            .map(|(_, target)| target.trim_end().to_owned())
            .collect()
    }
}

const ATTEMPTS: usize = 5;
