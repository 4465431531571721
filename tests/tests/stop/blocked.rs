//! Every command ends soon after a signal, whatever it waits for (RT11).

use std::fs::{self, File};
use std::io::Read as _;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fs4::FileExt;
use longshore_model::{Digest, MediaType};
use longshore_testkit::image::{self, DescribedContent, Image};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_testkit::{BlobContent, Gate};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore, Running};
use serde_json::json;
use tempfile::{TempDir, tempdir};

/// RT11 demands 2 s. The test leaves room for a busy machine; each of these commands would run for
/// much longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Size of a sparse file that takes minutes to hash.
const LARGE_BYTES: u64 = 256 << 30;

/// Sends the signals, and asserts that the command ends soon with the exit code of a stopped
/// command.
#[track_caller]
fn ends_soon(running: Running, signals: &[&str], code: i32) -> Ended {
    let sent = Instant::now();
    for signal in signals {
        running.signal(signal);
    }
    let ended = running.end();
    assert!(sent.elapsed() < LIMIT, "{:?}", sent.elapsed());
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    assert!(
        ended.stderr.starts_with("error: stopped"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    ended
}

/// Makes a sparse file of the large size.
fn make_sparse(path: &Path) {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).open(path);
    file.unwrap().set_len(LARGE_BYTES).unwrap();
}

/// Returns the digest and the bytes of an artifact whose only layer has the large size.
fn large_artifact(layer: &Digest) -> DescribedContent {
    let document = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "artifactType": "application/vnd.longshore.test",
        "config": {
            "mediaType": MediaType::OCI_EMPTY.as_str(),
            "digest": Digest::sha256(b"{}").as_str(),
            "size": 2,
        },
        "layers": [{
            "mediaType": "application/octet-stream",
            "digest": layer.as_str(),
            "size": LARGE_BYTES,
        }],
    });
    let bytes = document.to_string();
    DescribedContent::new(
        MediaType::OCI_MANIFEST,
        BlobContent::from(bytes.into_bytes()),
    )
}

// RT11: another process holds the lock of the layout.
#[test]
fn rt11_a_pull_that_waits_for_a_lock_can_be_stopped() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let registry = Registry::builder().image("a", "1", &image::single(1));
        let registry = registry.start().unwrap();
        let place = tempdir().unwrap();
        let to = place.path().join("layout");
        let reference = format!("{}/a:1", registry.authority());
        let there = Longshore::pull(&reference, &to).run();
        assert!(there.status.success(), "{}", there.stderr);
        // The private directory exists, because it holds the record of verified blobs of the first
        // pull.
        let mut options = File::options();
        let lock = options
            .write(true)
            .create(true)
            .mode(0o600)
            .open(to.join(".longshore/lock"));
        let lock = lock.unwrap();
        FileExt::lock(&lock).unwrap();
        registry.contents().add("b", "2", &image::single(2));
        registry.requests().clear();
        let other = format!("{}/b:2", registry.authority());
        let mut running = Longshore::pull(&other, &to).start();
        running.wait_until(|| (!registry.requests_to(Part::Manifest).is_empty()).then_some(()));
        ends_soon(running, &[signal], code);
        assert_eq!(layout::entries(&to).len(), 1);
        layout::assert_whole(&to);
    }
}

// RT11: a large partial blob is hashed again before its download is resumed.
#[test]
fn rt11_a_pull_that_hashes_a_partial_blob_can_be_stopped() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let layer = Digest::sha256(b"nobody has this");
        let artifact = large_artifact(&layer);
        let gate = Gate::new();
        let held = Misbehaviour::HoldAfter(300_000, gate.clone());
        let registry =
            Registry::builder().misbehave(Rule::on(Part::Blob, held).path(layer.encoded()));
        let registry = registry.start().unwrap();
        let contents = registry.contents();
        contents.add_document("a", "1", artifact);
        contents.set_blob("a", &Digest::sha256(b"{}"), "{}");
        contents.set_blob("a", &layer, BlobContent::repeated("x", LARGE_BYTES));
        let place = tempdir().unwrap();
        let to = place.path().join("layout");
        let reference = format!("{}/a:1", registry.authority());
        let mut running = Longshore::pull(&reference, &to).start();
        super::wait_for_bytes(&mut running, &to, 300_000);
        ends_soon(running, &[signal], code);
        let kept = to.join(".longshore/partial");
        let [name] = layout::names(&kept).try_into().unwrap();
        make_sparse(&kept.join(&name));
        // The next run resumes the partial blob, and hashes it first.
        let mut running = Longshore::pull(&reference, &to).start();
        running.wait_until(|| {
            let unfinished = layout::unfinished(&to);
            let taken = |length: &u64| *length == LARGE_BYTES;
            unfinished
                .iter()
                .any(|(path, length)| taken(length) && !path.starts_with(&kept))
                .then_some(())
        });
        ends_soon(running, &[signal], code);
        assert_eq!(layout::entries(&to), []);
        gate.open();
    }
}

/// Makes a layout whose only blob takes minutes to hash.
fn large_layout() -> TempDir {
    let place = tempdir().unwrap();
    let layer = Digest::sha256(b"nobody has this");
    let artifact = large_artifact(&layer);
    let folder = place.path().join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    let manifest = &artifact.descriptor;
    fs::write(
        folder.join(manifest.digest.encoded()),
        artifact.content.bytes(),
    )
    .unwrap();
    fs::write(folder.join(Digest::sha256(b"{}").encoded()), "{}").unwrap();
    make_sparse(&folder.join(layer.encoded()));
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": manifest.media_type.as_str(),
            "digest": manifest.digest.as_str(),
            "size": manifest.size,
        }],
    });
    fs::write(place.path().join("index.json"), index.to_string()).unwrap();
    fs::write(
        place.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    place
}

/// Waits until the program has opened a file below `directory`.
fn wait_for_open(running: &mut Running, directory: &Path) {
    let descriptors = format!("/proc/{}/fd", running.id());
    running.wait_until(|| {
        let open = fs::read_dir(&descriptors).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|file| file.is_file() && file.starts_with(directory))
            .then_some(())
    });
}

// RT11: `verify` hashes a large layout.
#[test]
fn rt11_verify_of_a_large_layout_can_be_stopped() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let layout = large_layout();
        let mut running = Longshore::new(["verify"]).args([layout.path()]).start();
        wait_for_open(&mut running, layout.path());
        let ended = ends_soon(running, &[signal], code);
        assert_eq!(ended.stdout, "");
    }
}

// RT11: the name server does not answer.
#[test]
fn rt11_a_command_that_waits_for_a_name_can_be_stopped() {
    let place = tempdir().unwrap();
    let settings = place.path().join("resolv.conf");
    fs::write(&settings, "nameserver 127.0.0.153\n").unwrap();
    let script = format!(
        "exec unshare --map-root-user --mount /bin/sh -c \
         'mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"' {} \"$@\"",
        settings.display()
    );
    let to = place.path().join("layout");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let pull = Longshore::pull("registry.example/a:1", &to);
        let others = ["ping", "registry.example"];
        for command in [pull, Longshore::new(others)] {
            let Ok(server) = UdpSocket::bind(("127.0.0.153", 53)) else {
                eprintln!("SKIPPED: port 53 of 127.0.0.153 cannot be listened on");
                return;
            };
            server.set_read_timeout(Some(LIMIT)).unwrap();
            let running = command.under(&script).start();
            if server.recv_from(&mut [0; 512]).is_err() {
                let ended = running.kill();
                eprintln!("SKIPPED: the name server was not asked: {}", ended.stderr);
                return;
            }
            ends_soon(running, &[signal], code);
            assert!(!to.exists());
        }
    }
}

// RT11, RT9: nobody reads the output. A second signal does not print a second message.
#[test]
fn rt11_a_command_that_nobody_reads_can_be_stopped() {
    let tree = Image::new(8).layers(1, 4_000_000).build();
    let layer = tree.blobs().last().unwrap().descriptor.digest.clone();
    let registry = Registry::builder().image("a", "1", &tree).start().unwrap();
    let reference = format!("{}/a@{layer}", registry.authority());
    for (signals, code) in [
        (&["INT"][..], 130),
        (&["TERM"], 143),
        (&["INT", "INT"], 130),
        (&["INT", "TERM"], 130),
    ] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let get = Longshore::new(["blob", "get", &reference]).stdout(OwnedFd::from(writer).into());
        let running = get.start();
        // The command has begun to print, and the pipe is full.
        reader.read_exact(&mut [0]).unwrap();
        let ended = ends_soon(running, signals, code);
        assert_eq!(ended.stderr, "error: stopped\n");
    }
}
