//! nginx: what stands in front of many registries.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::process::{self, Process};
use crate::program;

/// A running nginx with one server.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
}

impl Nginx {
    /// Starts a server whose `server { … }` block holds `directives` besides its `listen`;
    /// `None` when nginx is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn start(directives: &str) -> Option<Self> {
        let program = program::find("nginx", "nginx-light")?;
        let mut said = String::new();
        // The port may be taken between finding and using it.
        for _ in 0..ATTEMPTS {
            let directory = process::directory();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, process::free_port()));
            let file = directory.path().join("nginx.conf");
            process::write(&file, config(directory.path(), address, directives));
            let mut command = Command::new(&program);
            command
                .arg("-e")
                .arg("stderr")
                .arg("-c")
                .arg(file)
                .arg("-p")
                .arg(directory.path());
            let mut process = Process::start(command, directory);
            if process
                .wait_until(|_| process::answers(address).then_some(()))
                .is_some()
            {
                return Some(Self { process, address });
            }
            said = process.said();
        }
        panic!("nginx does not start:\n{said}")
    }

    /// Starts a reverse proxy in front of another server of loopback.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn in_front_of(server: SocketAddr) -> Option<Self> {
        Self::start(&format!(
            "client_max_body_size 0; location / {{ proxy_pass http://{server}; \
             proxy_set_header Host $http_host; proxy_buffering off; }}"
        ))
    }

    /// Starts a server of the files in a directory.
    ///
    /// # Panics
    ///
    /// When it does not start; the message includes its output.
    #[must_use]
    pub fn of_files(directory: &Path) -> Option<Self> {
        Self::start(&format!("root {};", directory.display()))
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin as a URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it said, for failures.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.said()
    }
}

fn config(directory: &Path, address: SocketAddr, directives: &str) -> String {
    let root = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {root}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n  access_log /dev/stdout;\n{temporary}  \
         server {{ listen {address}; {directives} }}\n}}\n"
    )
}

const ATTEMPTS: usize = 5;
