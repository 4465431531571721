//! A copy in chunks that is killed between two chunks continues in the same session.

use http::Method;
use longshore_tests::peer::Peer;
use longshore_tests::registry::Logged;

use super::*;

const CHUNK_BYTES: u64 = 100_000;

/// Number of chunks that the registry has when the copy is killed.
const CHUNKS: u64 = 3;

// RT4, RT9: the journal has the session, and the registry still has it too.
#[test]
fn rt9_a_copy_that_was_killed_between_two_chunks_continues_its_session() {
    for destination in [Some(Peer::kit()), Peer::docker()] {
        let Some(mut destination) = destination else {
            return;
        };
        let tree = Image::new(1).layers(1, 20 * CHUNK_BYTES).build();
        let [_, layer] = tree.blobs() else {
            unreachable!("the image has a config and a layer")
        };
        let (digest, size) = (&layer.descriptor.digest, layer.descriptor.size);
        let source = Registry::builder().image("a", "1", &tree).start().unwrap();
        let state = tempdir().unwrap();
        let copy = || {
            let from = format!("{}/a:1", source.authority());
            Longshore::copy(&from, &format!("{}:1", destination.name("a")))
                .args(["--chunk-size", &CHUNK_BYTES.to_string()])
                .env("XDG_STATE_HOME", state.path())
        };
        let gate = Gate::new();
        let held = Misbehaviour::HoldAfter(CHUNKS * CHUNK_BYTES, gate.clone());
        let rule = Rule::on(Part::Blob, held).method(Method::GET);
        source.misbehave(rule.path(digest.encoded()));
        let (mut running, next) = (copy().start(), copy());
        let accepted = |requests: &[Logged]| {
            let is = |it: &&Logged| it.method == "PATCH" && it.status == 202;
            requests.iter().filter(is).count() as u64
        };
        while accepted(&destination.requests()) < CHUNKS {
            assert!(!running.has_ended(), "{}", running.kill().stderr);
            thread::sleep(Duration::from_millis(1));
        }
        running.wait_until(|| gate.is_reached().then_some(()));
        // The log may contain a chunk before the client has its answer.
        let is_docker = matches!(destination, Peer::Docker(_));
        let known = || !is_docker || offset(state.path()) == Some(CHUNKS * CHUNK_BYTES);
        running.wait_until(|| known().then_some(()));
        assert_eq!(running.kill().signal(), Some(9));
        gate.open();
        source.behave();
        let before = destination.requests().len();
        let ended = next.run();
        let digest = tree.digest().as_str();
        assert!(ended.succeeded().contains(digest), "{}", ended.stdout);
        destination.assert_holds("a", "1", &tree);
        let sent = destination.requests().split_off(before);
        // The rest is sent, and nothing twice.
        assert_eq!(accepted(&sent), size.div_ceil(CHUNK_BYTES) - CHUNKS);
        let opened = sent.iter().filter(|it| it.method == "POST").count();
        assert_eq!(opened, 0, "{sent:#?}");
    }
}

/// The number of bytes that docker-registry had when it sent the location in the journal. The
/// parameter `_state` holds a signature of 32 bytes and a JSON object, in base64url.
fn offset(state: &Path) -> Option<u64> {
    let uploads = state.join("longshore/uploads");
    // Next to the entry is its lock.
    let is_entry = |name: &String| name.ends_with(".json");
    let name = layout::names(&uploads).into_iter().find(is_entry)?;
    let entry = std::fs::read_to_string(uploads.join(name)).ok()?;
    let (_, state) = entry.split_once("_state=")?;
    let mut decoded = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for byte in state.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => break,
        };
        word = (word << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((word >> bits) as u8);
        }
    }
    let json: serde_json::Value = serde_json::from_slice(decoded.get(32..)?).ok()?;
    json.get("Offset")?.as_u64()
}
