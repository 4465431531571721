//! The demonstration: a registry on this machine that demands tokens, a pull from it, and a cache
//! in front of it.
//!
//! The registry is the testkit's and serves a generated image of twenty platforms; the program is
//! the one that users run. The files on disk are then checked here, without code of our crates.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::checkout::{Checkout, cannot_start, line, output, run};

/// Runs the demonstration.
///
/// # Errors
///
/// A program cannot be built or started, or what it pulled is not what the registry has.
pub(crate) fn run_demo(checkout: &Checkout) -> Result<(), String> {
    let programs = build(checkout)?;
    let longshore = program(&programs, "longshore")?;
    let registry = Registry::start(program(&programs, "longshore-testkit-demo")?)?;
    let dir = Scratch::new()?;
    let layout = dir.0.join("layout");
    // The demonstration does not read the configuration of the user who runs it.
    let mut pull = Command::new(longshore);
    pull.args(["pull", &registry.reference])
        .arg(&layout)
        .env("DOCKER_CONFIG", &dir.0);

    println!("\nA registry on this machine demands tokens. The image has 20 platforms.\n");
    println!("1. Pull the image of this platform. What the registry and its token server see:\n");
    run(&mut pull)?;
    for line in registry.requests() {
        println!("    {}", shorten(&line));
    }
    println!("\n2. Hash every blob of the layout again.\n");
    let blobs = check_blobs(&layout)?;
    println!("    {blobs} blobs, each has the digest it is named by");
    println!("\n3. Pull all platforms. Only what is missing is moved:\n");
    let digest = output(pull.arg("--all-platforms"))?;
    let digest = digest.trim();
    if digest != registry.digest {
        return Err(format!(
            "pulled {digest}, but the registry has {}",
            registry.digest
        ));
    }
    let all = check_blobs(&layout)?;
    let requests = registry.requests();
    let tokens = requests
        .iter()
        .filter(|line| line.starts_with("tokens"))
        .count();
    println!(
        "\n    {} requests, {tokens} of them for a token",
        requests.len()
    );
    println!("    {all} blobs, each has the digest it is named by");
    println!("    the index is {digest}, as the registry says");
    println!("\n4. Start a cache in front of the registry, and pull through it twice:\n");
    show_cache(longshore, &registry, &dir.0)?;
    println!("\nThe demonstration went well; its files are removed again.");
    Ok(())
}

/// Pulls twice through a cache, and checks that the registry sees only the first pull.
fn show_cache(longshore: &Path, registry: &Registry, dir: &Path) -> Result<(), String> {
    let cache = Cache::start(longshore, registry, &dir.join("cache"))?;
    for pull in ["first", "second"] {
        let layout = dir.join(pull);
        run(Command::new(longshore)
            .args(["pull", &cache.reference])
            .arg(&layout)
            .env("DOCKER_CONFIG", dir))?;
        let blobs = check_blobs(&layout)?;
        let requests = registry.requests().len();
        println!(
            "    {blobs} blobs, and the registry and its token server saw {requests} requests"
        );
        if (requests == 0) != (pull == "second") {
            return Err(format!(
                "{requests} requests reached the registry during the {pull} pull"
            ));
        }
    }
    Ok(())
}

/// Builds the programs and gives their paths by name.
fn build(checkout: &Checkout) -> Result<BTreeMap<String, PathBuf>, String> {
    let messages = output(&mut checkout.cargo([
        "build",
        "--package=longshore-cli",
        "--package=longshore-testkit",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]))?;
    let built = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        let name = message.get("target")?.get("name")?.as_str()?;
        Some((name.to_owned(), PathBuf::from(path)))
    });
    Ok(built.collect())
}

fn program<'a>(programs: &'a BTreeMap<String, PathBuf>, name: &str) -> Result<&'a Path, String> {
    let program = programs
        .get(name)
        .ok_or_else(|| format!("{name} was not built"))?;
    Ok(program)
}

/// The testkit's registry. It prints each request, and ends when its standard input does.
struct Registry {
    child: Child,
    log: Receiver<String>,
    reference: String,
    digest: String,
}

impl Registry {
    fn start(program: &Path) -> Result<Self, String> {
        let started = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| format!("the registry does not start: {error}"))?;
        let first = child.stdout.take().and_then(|stdout| {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).ok()?;
            serde_json::from_str::<Value>(&line).ok()
        });
        let (sender, log) = channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let field = |path: &str| {
            let value = first.as_ref().and_then(|first| first.pointer(path));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        match (field("/references/0"), field("/digest")) {
            (Some(reference), Some(digest)) => Ok(Self {
                child,
                log,
                reference,
                digest,
            }),
            _ => Err("the registry does not say where it is".to_owned()),
        }
    }

    /// The requests since the last call, one line each. They arrive through a pipe with a delay.
    fn requests(&self) -> Vec<String> {
        let next = || self.log.recv_timeout(Duration::from_millis(300)).ok();
        std::iter::from_fn(next).collect()
    }
}

/// A cache whose default upstream is the registry. It is killed on drop.
struct Cache {
    child: Child,
    /// The image of the registry, by its name in the cache.
    reference: String,
}

impl Cache {
    fn start(longshore: &Path, registry: &Registry, dir: &Path) -> Result<Self, String> {
        let image = registry.reference.split_once('/');
        let (host, image) = image.ok_or("the registry does not say where it is")?;
        let upstream = format!("http://{host}");
        let mut command = Command::new(longshore);
        command
            .args(["serve", "--listen=127.0.0.1:0", "--upstream", &upstream])
            .arg("--dir")
            .arg(dir)
            .stderr(Stdio::piped());
        eprintln!("    $ {}", line(&command));
        let child = command
            .spawn()
            .map_err(|error| cannot_start(&command, &error))?;
        let mut cache = Self {
            child,
            reference: String::new(),
        };
        let stderr = cache.child.stderr.take();
        let mut lines = stderr.into_iter().flat_map(|it| BufReader::new(it).lines());
        let mut said = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("listening: ") {
                cache.reference = format!("{address}/{image}");
                // A full pipe would stop the cache.
                thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok(cache);
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(format!("the cache does not start:\n{said}"))
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line with every digest shortened to its first digits.
fn shorten(line: &str) -> String {
    let cut = |word: &str| match word.split_once("sha256:") {
        Some((before, hex)) if hex.len() == 64 => {
            format!("{before}sha256:{}…", hex.get(..12).unwrap_or(hex))
        }
        _ => word.to_owned(),
    };
    line.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A temporary directory, removed on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("longshore-demo-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Hashes every blob of a layout and compares the digest with its name; returns their number.
fn check_blobs(layout: &Path) -> Result<usize, String> {
    let dir = layout.join("blobs").join("sha256");
    let failed = |error| format!("{}: {error}", dir.display());
    let mut count = 0;
    for entry in fs::read_dir(&dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let hex = hash(&path).map_err(failed)?;
        if hex != name {
            return Err(format!("blob {name} hashes to {hex}"));
        }
        count += 1;
    }
    Ok(count)
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_cut_and_all_else_kept() {
        let hex = "ab".repeat(32);
        let line = format!("registry GET  /v2/a/blobs/sha256:{hex} bearer");
        assert_eq!(
            shorten(&line),
            "registry GET  /v2/a/blobs/sha256:abababababab… bearer"
        );
        assert_eq!(shorten("sha256:short"), "sha256:short");
    }

    #[test]
    fn a_blob_that_is_not_what_its_name_says_is_found() {
        let dir = Scratch::new().unwrap();
        let blobs = dir.0.join("blobs").join("sha256");
        fs::create_dir_all(&blobs).unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        fs::write(blobs.join(empty), "").unwrap();
        assert_eq!(check_blobs(&dir.0), Ok(1));
        fs::write(blobs.join(empty), "no longer").unwrap();
        let found = check_blobs(&dir.0).unwrap_err();
        assert!(
            found.starts_with(&format!("blob {empty} hashes to ")),
            "{found}"
        );
    }
}
