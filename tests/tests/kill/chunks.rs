//! A copy in chunks that is killed between two continues in its session.

use http::Method;
use longshore_tests::peer::Peer;
use longshore_tests::registry::Logged;

use super::*;

const CHUNK_BYTES: u64 = 100_000;

/// How many chunks the registry has when the copy is killed.
const CHUNKS: u64 = 3;

// RT4, RT9: the journal has the session, and the registry has it still.
#[test]
fn rt9_a_copy_that_was_killed_between_two_chunks_continues_its_session() {
    for destination in [Some(Peer::kit()), Peer::docker()] {
        let Some(mut destination) = destination else {
            return;
        };
        let tree = Image::new(1).layers(1, 10 * CHUNK_BYTES).build();
        let [_, layer] = tree.blobs() else {
            unreachable!("it has a configuration and a layer")
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
        assert_eq!(running.kill().signal(), Some(9));
        gate.open();
        source.behave();
        let before = destination.requests().len();
        let ended = next.run();
        let digest = tree.digest().as_str();
        assert!(ended.succeeded().contains(digest), "{}", ended.stdout);
        destination.assert_holds("a", "1", &tree);
        let sent = destination.requests().split_off(before);
        // The rest, and nothing twice.
        assert_eq!(accepted(&sent), size.div_ceil(CHUNK_BYTES) - CHUNKS);
        let opened = sent.iter().filter(|it| it.method == "POST").count();
        // That of the configuration.
        assert!(opened <= 1, "{sent:#?}");
    }
}
