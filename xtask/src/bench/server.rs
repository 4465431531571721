//! The servers that images are moved from and to, and what their logs show about a run.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::image::Trees;
use super::tls::Certificates;

/// The kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requires tokens, and delays each answer by this number of milliseconds.
    Delayed(u32),
    DockerRegistry,
    Nginx,
    NginxTls,
    /// Reads uploads, and discards them.
    Sink,
}

impl Kind {
    pub(super) fn name(self) -> String {
        match self {
            Self::Delayed(milliseconds) => format!("tokens, {milliseconds} ms"),
            Self::DockerRegistry => "docker-registry".to_owned(),
            Self::Nginx => "nginx".to_owned(),
            Self::NginxTls => "nginx, TLS".to_owned(),
            Self::Sink => "sink".to_owned(),
        }
    }
}

/// A running server; it ends when this is dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    read_line: fn(&str) -> Option<Request>,
}

/// One line of a log.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    connection: String,
    method: String,
    path: String,
    status: u16,
    /// The length of the answer's body in bytes.
    served: u64,
    /// The length of the request's body in bytes, if the log has it.
    received: Option<u64>,
}

impl Request {
    /// Whether the request sent a blob or a part of one.
    fn is_upload(&self) -> bool {
        match self.method.as_str() {
            "PATCH" | "PUT" => self.path.contains("/blobs/uploads/"),
            "POST" => self.path.contains("?digest="),
            _ => false,
        }
    }

    fn is_stored_manifest(&self) -> bool {
        self.method == "PUT" && self.path.contains("/manifests/") && self.status == 201
    }
}

/// The traffic of one server in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) requests: u64,
    pub(super) connections: u64,
    /// Requests that were refused because they had no token.
    pub(super) refused: u64,
    /// Requests for a token.
    pub(super) tokens: u64,
    /// Requests for `/v2/` alone.
    pub(super) pings: u64,
    /// Requests about blobs, uploads among them.
    pub(super) blobs: u64,
    /// Requests that sent a blob or a part of one.
    pub(super) uploads: u64,
    /// Manifests that were stored.
    pub(super) stored: u64,
    /// Bytes of the answers' bodies.
    pub(super) served: u64,
    /// Bytes of the requests' bodies; `None` if a log does not state them.
    pub(super) received: Option<u64>,
}

impl Server {
    /// Starts nginx over the files, in the clear or with TLS.
    pub(super) fn nginx(
        program: &Path,
        directory: &Path,
        trees: &Trees,
        tls: Option<&Certificates>,
    ) -> Result<Self, String> {
        let address = free_address()?;
        let log = directory.join("access");
        let file = directory.join("nginx.conf");
        write(&log, "")?;
        write(&file, &nginx_config(directory, address, trees, tls))?;
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-c"]).arg(file);
        command.arg("-p").arg(directory);
        let child = start(&mut command, directory)?;
        Self::new(child, address, log, plain_line).answering(directory)
    }

    /// Starts a `docker-registry` over a storage.
    pub(super) fn docker_registry(
        program: &Path,
        directory: &Path,
        storage: &Path,
    ) -> Result<Self, String> {
        Self::docker_registry_with(program, directory, storage, "info", "")
    }

    /// Starts a `docker-registry` in proxy mode, over an empty storage below the directory. Its log
    /// has errors only.
    pub(super) fn docker_registry_proxy(
        program: &Path,
        directory: &Path,
        upstream: SocketAddr,
    ) -> Result<Self, String> {
        let storage = directory.join("storage");
        let proxy = format!("proxy: {{remoteurl: \"http://{upstream}\"}}\n");
        Self::docker_registry_with(program, directory, &storage, "error", &proxy)
    }

    fn docker_registry_with(
        program: &Path,
        directory: &Path,
        storage: &Path,
        level: &str,
        more: &str,
    ) -> Result<Self, String> {
        let address = free_address()?;
        let file = directory.join("config.yml");
        let storage = storage.display();
        write(
            &file,
            &format!(
                "version: 0.1\n\
                 log: {{level: {level}, formatter: json, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {storage}}}}}\n\
                 http: {{addr: \"{address}\", secret: bench}}\n{more}"
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("serve").arg(file);
        let child = start(&mut command, directory)?;
        let log = directory.join(STDERR);
        Self::new(child, address, log, json_line).answering(directory)
    }

    /// Starts the server of this benchmark; with a delay in milliseconds it also requires tokens.
    pub(super) fn own(
        program: &Path,
        directory: &Path,
        trees: &Trees,
        delay: Option<u32>,
    ) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.arg(&trees.files);
        command.arg(delay.unwrap_or_default().to_string());
        command.arg(if delay.is_some() { "tokens" } else { "open" });
        Self::naming_itself(&mut command, directory)
    }

    /// Starts the floor of servers over the files.
    pub(super) fn floor(program: &Path, directory: &Path, trees: &Trees) -> Result<Self, String> {
        Self::naming_itself(Command::new(program).arg(&trees.files), directory)
    }

    /// Starts `longshore serve` in front of an upstream, with an empty cache of this many bytes.
    /// At the level `info` it logs a line for each request.
    pub(super) fn longshore(
        program: &Path,
        directory: &Path,
        upstream: SocketAddr,
        bytes: u64,
        log_level: &str,
    ) -> Result<Self, String> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command.env("LONGSHORE_SERVE_LOG_LEVEL", log_level);
        command.args(["serve", "--listen"]).arg(address.to_string());
        command.arg("--dir").arg(directory.join("cache"));
        command.arg("--upstream").arg(format!("http://{upstream}"));
        command.arg("--size").arg(bytes.to_string());
        let child = start(&mut command, directory)?;
        Self::new(child, address, directory.join(STDOUT), plain_line).answering(directory)
    }

    /// Starts a server whose first line of output is its address.
    fn naming_itself(command: &mut Command, directory: &Path) -> Result<Self, String> {
        let log = directory.join(STDOUT);
        let child = start(command, directory)?;
        let mut server = Self::new(child, nowhere(), log, plain_line);
        let first = |log: &Path| fs::read_to_string(log).ok()?.lines().next()?.parse().ok();
        match wait(|| first(&server.log)) {
            Some(address) => {
                server.address = address;
                Ok(server)
            }
            None => Err(format!("no address from it{}", said(directory))),
        }
    }

    fn new(
        child: Child,
        address: SocketAddr,
        log: PathBuf,
        read_line: fn(&str) -> Option<Request>,
    ) -> Self {
        Self {
            child,
            address,
            log,
            read_line,
        }
    }

    fn answering(self, directory: &Path) -> Result<Self, String> {
        match wait(|| answers(self.address).then_some(())) {
            Some(()) => Ok(self),
            None => Err(format!("no answer from it{}", said(directory))),
        }
    }

    /// The host and port, as a reference names them.
    pub(super) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time in seconds, user and system, that the process has taken.
    pub(super) fn cpu(&self) -> Result<f64, String> {
        let stat = self.status("stat")?;
        // The name of the program, in parentheses, may contain blanks.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: Vec<u64> = fields
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        match ticks.as_slice() {
            [user, system] => Ok((user + system) as f64 / TICKS_PER_SECOND),
            _ => Err("the system does not tell the processor time".to_owned()),
        }
    }

    /// The most memory that the process has had resident, in MiB.
    pub(super) fn peak_mib(&self) -> Result<f64, String> {
        let status = self.status("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u32>().ok());
        match kib {
            Some(kib) => Ok(f64::from(kib) / 1024.0),
            None => Err("the system does not tell the peak memory".to_owned()),
        }
    }

    fn status(&self, name: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    }

    /// The current end of the log, after writing to it has stopped.
    pub(super) fn mark(&self) -> u64 {
        let length = || fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        let mut before = length();
        loop {
            thread::sleep(SETTLED);
            let now = length();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    /// The requests after that end of the log.
    pub(super) fn since(&self, mark: u64) -> io::Result<Traffic> {
        self.mark();
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(mark))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(Traffic::of(text.lines().filter_map(self.read_line)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Traffic {
    fn of(requests: impl Iterator<Item = Request>) -> Self {
        let requests: Vec<Request> = requests.collect();
        let count = |wanted: &dyn Fn(&Request) -> bool| {
            requests.iter().filter(|request| wanted(request)).count() as u64
        };
        let mut connections: Vec<&str> = requests
            .iter()
            .map(|request| request.connection.as_str())
            .collect();
        connections.sort_unstable();
        connections.dedup();
        let received = requests.iter().map(|request| request.received);
        Self {
            requests: requests.len() as u64,
            connections: connections.len() as u64,
            refused: count(&|request| request.status == 401),
            tokens: count(&|request| request.path.starts_with("/token")),
            pings: count(&|request| request.path == "/v2/"),
            blobs: count(&|request| request.path.contains("/blobs/")),
            uploads: count(&Request::is_upload),
            stored: count(&Request::is_stored_manifest),
            served: requests.iter().map(|request| request.served).sum(),
            received: received.sum(),
        }
    }

    /// The traffic of two servers together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            connections: self.connections + other.connections,
            refused: self.refused + other.refused,
            tokens: self.tokens + other.tokens,
            pings: self.pings + other.pings,
            blobs: self.blobs + other.blobs,
            uploads: self.uploads + other.uploads,
            stored: self.stored + other.stored,
            served: self.served + other.served,
            received: self
                .received
                .zip(other.received)
                .map(|(one, more)| one + more),
        }
    }
}

/// A line of nginx as configured here, and of the server of this bench.
fn plain_line(line: &str) -> Option<Request> {
    let words: Vec<&str> = line.split(' ').collect();
    let [connection, method, path, status, served, received] = words.as_slice() else {
        return None;
    };
    Some(Request {
        connection: (*connection).to_owned(),
        method: (*method).to_owned(),
        path: (*path).to_owned(),
        status: status.parse().ok()?,
        served: served.parse().ok()?,
        received: Some(received.parse().ok()?),
    })
}

/// A line of `docker-registry`: one of several for each request says how it was answered.
fn json_line(line: &str) -> Option<Request> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if !text("msg")?.starts_with("response completed") {
        return None;
    }
    Some(Request {
        connection: text("http.request.remoteaddr")?.to_owned(),
        method: text("http.request.method")?.to_owned(),
        path: text("http.request.uri")?.to_owned(),
        status: u16::try_from(value.get("http.response.status")?.as_u64()?).ok()?,
        served: value.get("http.response.written")?.as_u64()?,
        received: None,
    })
}

fn nginx_config(
    directory: &Path,
    address: SocketAddr,
    trees: &Trees,
    tls: Option<&Certificates>,
) -> String {
    let (root, files) = (directory.display(), trees.files.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {root}/{kind};\n"))
        .collect();
    let (listen, keys) = match tls {
        None => (address.to_string(), String::new()),
        Some(tls) => (
            format!("{address} ssl"),
            format!(
                "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;",
                tls.certificate.display(),
                tls.key.display()
            ),
        ),
    };
    format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n  log_format bench \
         '$connection $request_method $uri $status $body_bytes_sent 0';\n  \
         access_log {root}/access bench;\n{temporary}  \
         sendfile on;\n  keepalive_requests 100000;\n  \
         default_type application/octet-stream;\n  server {{\n    \
         listen {listen};\n    {keys}\n    root {files};\n    \
         location = /v2/ {{ return 200 '{{}}'; }}\n    \
         location ~ /manifests/ {{ default_type application/vnd.oci.image.manifest.v1+json; }}\n  \
         }}\n}}\n"
    )
}

/// Starts a server with its output in files of its directory.
fn start(command: &mut Command, directory: &Path) -> Result<Child, String> {
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let output = |name: &str| {
        File::create(directory.join(name)).map_err(|error| format!("{name} of a server: {error}"))
    };
    command
        .stdin(Stdio::null())
        .stdout(output(STDOUT)?)
        .stderr(output(STDERR)?)
        .spawn()
        .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    let directory = file.parent().unwrap_or(file);
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(file, text))
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// Everything that a server printed, for the error message.
fn said(directory: &Path) -> String {
    [STDOUT, STDERR]
        .iter()
        .filter_map(|name| fs::read_to_string(directory.join(name)).ok())
        .flat_map(|text| {
            text.lines()
                .map(|line| format!("\n    {line}"))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// A loopback port that nobody listens on now.
fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on loopback: {error}"))
}

fn nowhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Whether an HTTP server answers there; an answer that demands TLS counts.
fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /v2/ HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        io::Result::Ok(start == *b"HTTP/")
    };
    ask().unwrap_or(false)
}

/// Repeats until there is a value, up to a maximum time.
fn wait<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(value) = ready() {
            return Some(value);
        }
        thread::sleep(SETTLED);
    }
    None
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

/// `USER_HZ`: the unit of processor times in `/proc`, on every architecture that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

const PATIENCE: Duration = Duration::from_secs(10);

/// A log that has not grown for this time is complete.
const SETTLED: Duration = Duration::from_millis(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_counted_from_the_log() {
        let log = "1 GET /v2/ 401 0 0\n2 GET /token 200 9 0\n1 GET /v2/a/blobs/sha256:0 200 7 0\n\
                   1 POST /v2/b/blobs/uploads/ 202 0 0\n1 PUT /v2/b/blobs/uploads/1 201 0 7\n\
                   1 PUT /v2/b/manifests/latest 201 0 5\n2 PUT /v2/b/manifests/a 404 0 5\nbroken";
        let expected = Traffic {
            requests: 7,
            connections: 2,
            refused: 1,
            tokens: 1,
            pings: 1,
            blobs: 3,
            uploads: 1,
            stored: 1,
            served: 16,
            received: Some(17),
        };
        let traffic = Traffic::of(log.lines().filter_map(plain_line));
        assert_eq!(traffic, expected);
        let unknown = Traffic {
            received: None,
            ..traffic
        };
        assert_eq!(traffic.and(unknown).received, None);
        assert_eq!(traffic.and(traffic).received, Some(34));
    }

    #[test]
    fn a_registry_logs_several_lines_for_a_request_and_one_counts() {
        let line = |message: &str| {
            format!(
                r#"{{"http.request.remoteaddr":"127.0.0.1:5","http.request.uri":"/v2/a",
                    "http.request.method":"GET","http.response.status":200,
                    "http.response.written":3,"msg":"{message}"}}"#
            )
        };
        let request = json_line(&line("response completed")).unwrap();
        assert_eq!(request.connection, "127.0.0.1:5");
        assert_eq!((request.path.as_str(), request.status), ("/v2/a", 200));
        assert_eq!(json_line(&line("authorized request")), None);
    }
}
