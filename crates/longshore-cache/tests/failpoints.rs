//! A cache that dies, or whose disk fails, at any step of its store.
//!
//! The cache is a child process of the test. What it leaves is read by a second one.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use longshore_cache::server::CacheServer;
use longshore_cache::server::config::{ConfigSources, ServeConfig};
use longshore_model::Digest;
use longshore_store::{FAILPOINT_VARIABLE, failpoints};
use longshore_testkit::image::{Image, Tree};
use longshore_testkit::registry::Registry;

/// Where the child keeps its cache, and its upstream.
const DIRECTORY: &str = "LONGSHORE_TEST_CACHE_DIRECTORY";
const UPSTREAM: &str = "LONGSHORE_TEST_CACHE_UPSTREAM";

/// The limit of the store: the layers do not fit together, so content is evicted too.
const LIMIT_BYTES: u64 = 250_000;

// Not a test: the child process of the tests below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_at_a_failpoint() {
    let (Ok(directory), Ok(upstream)) = (std::env::var(DIRECTORY), std::env::var(UPSTREAM)) else {
        return;
    };
    let sources = ConfigSources::new()
        .flag("--listen", "serve.listen", ["127.0.0.1:0"])
        .flag("--dir", "serve.store.path", [directory])
        .flag("--size", "serve.store.size", [LIMIT_BYTES.to_string()])
        .flag(
            "--upstream",
            "serve.upstream",
            [format!("docker.io={upstream}")],
        );
    let config = ServeConfig::parse(&sources).unwrap();
    let server = match CacheServer::start(&config).await {
        Ok(server) => server,
        // Only one step fails.
        Err(_) => CacheServer::start(&config).await.unwrap(),
    };
    println!("@{}", server.addresses()[0]);
    server.run().await;
}

/// A running child.
struct Cache {
    child: Child,
    /// `None` if it ended before it listened.
    address: Option<SocketAddr>,
}

impl Cache {
    fn start(directory: &Path, upstream: &str, failpoint: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_at_a_failpoint", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(UPSTREAM, upstream)
            .env(FAILPOINT_VARIABLE, failpoint)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Nobody reads more of it than this line.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            // The test harness may have begun the line.
            Some(line.split_once('@')?.1.parse().unwrap())
        });
        Self { child, address }
    }

    /// Reads a path; `None` if not all of the answer comes.
    fn get(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let address = self.address?;
        let mut stream = TcpStream::connect(address).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        // What came before a reset stays.
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let body = answer.split_off(end + 4);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        (length? == body.len().to_string()).then_some((head, body))
    }

    /// Reads an image; returns whether all of it came. What comes complete must be right.
    fn pull(&self, tree: &Tree, context: &str) -> bool {
        let mut wanted = vec![("manifests/1".to_owned(), tree.document())];
        for stored in tree.all_blobs() {
            let path = format!("blobs/{}", stored.descriptor.digest);
            wanted.push((path, stored.content.bytes()));
        }
        let mut all = true;
        for (path, right) in wanted {
            match self.get(&format!("/v2/library/app/{path}")) {
                Some((head, body)) if head.starts_with("HTTP/1.1 200") => {
                    assert!(body == right, "{context}: {path}");
                }
                _ => all = false,
            }
        }
        all
    }

    /// Whether the failpoint ended it.
    fn has_died(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some() || self.get("/v2/").is_none()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Demands that each blob is what its name says, and that they fit.
fn assert_whole(directory: &Path, context: &str) {
    let mut bytes = 0;
    for path in files(&directory.join("cache/blobs")) {
        let content = fs::read(&path).unwrap();
        let digest = Digest::sha256(&content);
        assert_eq!(path.file_name().unwrap(), digest.encoded(), "{context}");
        bytes += content.len() as u64;
    }
    assert!(bytes <= LIMIT_BYTES, "{context}: {bytes}");
}

/// A directory where making something durable costs nothing, if there is one.
fn quick_directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

struct Upstream {
    registry: Registry,
    tree: Tree,
}

impl Upstream {
    fn start() -> Self {
        let tree = Image::new(1).layers(2, 150_000).build();
        let registry = Registry::builder().image("library/app", "1", &tree);
        let registry = registry.start().unwrap();
        Self { registry, tree }
    }

    /// A cache may die at the failpoint. The next one finds only complete files, and continues.
    /// Returns whether it died. The directory is new, or that of a cache that was killed.
    fn dies_at(&self, failpoint: &str, is_new: bool) -> bool {
        let place = quick_directory();
        let (path, url) = (place.path(), self.registry.url());
        if !is_new {
            let killed = Cache::start(path, &url, "");
            assert!(killed.pull(&self.tree, failpoint), "{failpoint}");
        }
        let mut first = Cache::start(path, &url, failpoint);
        // The second time reads what the first one wrote.
        let all = first.pull(&self.tree, failpoint) && first.pull(&self.tree, failpoint);
        let died = first.has_died();
        assert!(all || died, "{failpoint}");
        drop(first);
        assert_whole(path, failpoint);
        let second = Cache::start(path, &url, "");
        assert!(second.pull(&self.tree, failpoint), "{failpoint}");
        drop(second);
        assert_whole(path, failpoint);
        died
    }
}

/// Kills a cache at the first, third, ninth, … pass of each step.
fn kill_at_each_step(is_new: bool) -> BTreeSet<&'static str> {
    let upstream = Upstream::start();
    let mut never = BTreeSet::new();
    for step in failpoints() {
        let mut pass = 1;
        while upstream.dies_at(&format!("{step}:{pass}"), is_new) {
            pass *= 3;
        }
        if pass == 1 {
            never.insert(step);
        }
    }
    never
}

#[test]
fn ca2_a_cache_killed_at_any_step_of_its_store_leaves_whole_blobs_and_goes_on() {
    // A new directory has nothing to read, and no session of a dead process.
    let never = kill_at_each_step(true);
    assert_eq!(never, BTreeSet::from(["read", "remove-dir", "share"]));
}

#[test]
fn ca2_a_cache_killed_at_any_step_in_a_directory_of_a_killed_one_goes_on() {
    let never = kill_at_each_step(false);
    assert_eq!(never, BTreeSet::from(["share"]));
}

#[test]
fn ca9_a_cache_whose_disk_fails_at_any_step_passes_through() {
    let upstream = Upstream::start();
    for step in failpoints() {
        for (action, pass) in [("full", 1), ("io", 3), ("read-only", 5)] {
            let failpoint = format!("{step}:{pass}={action}");
            assert!(!upstream.dies_at(&failpoint, true), "{failpoint}");
        }
    }
}
