//! Existing blobs are verified before a pull refers to them; pulls to a locked layout.

use longshore_copy::layout::Layout;
use longshore_model::Digest;
use longshore_testkit::registry::Misbehaviour;

use super::*;

/// A registry with an image, and a layout that has it.
struct Pulled {
    registry: Registry,
    tree: Tree,
    place: TempDir,
}

impl Pulled {
    fn set(seed: u64) -> Self {
        let tree = Image::new(seed).layers(3, 1_500_000).build();
        let pulled = Self {
            registry: Registry::builder().image("a", "1", &tree).start().unwrap(),
            tree,
            place: tempdir().unwrap(),
        };
        assert_eq!(
            pulled.pull().run().succeeded(),
            pulled.tree.digest().as_str()
        );
        pulled.registry.requests().clear();
        pulled
    }

    fn layout(&self) -> std::path::PathBuf {
        self.place.path().join("layout")
    }

    fn pull(&self) -> Longshore {
        let reference = format!("{}/a:1", self.registry.authority());
        Longshore::pull(&reference, self.layout())
    }

    /// Overwrites the last layer with other bytes of the same length.
    fn overwrite(&self) -> &Digest {
        let digest = &self.tree.blobs().last().unwrap().descriptor.digest;
        let path = layout::blob(&self.layout(), digest);
        let mut content = std::fs::read(&path).unwrap();
        content[1000] ^= 1;
        std::fs::write(path, content).unwrap();
        digest
    }
}

// DG10: what a pull names was verified.
#[test]
fn dg10_a_layer_overwritten_with_the_same_length_is_fetched_again() {
    let pulled = Pulled::set(31);
    let digest = pulled.overwrite();
    let ended = pulled.pull().args(["--output", "json"]).run();
    let told = ended.json();
    assert_eq!(
        (&told["blobs_moved"], &told["blobs_replaced"]),
        (&json!(1), &json!(1))
    );
    let notice = format!("{digest} in {} ", pulled.layout().display());
    assert!(ended.stderr.contains(&notice), "{}", ended.stderr);
    assert_eq!(pulled.registry.requests_to(Part::Blob).len(), 1);
    assert_pulled(&pulled.layout(), "1", &pulled.tree);

    // If the layer cannot be fetched again, no entry is written.
    let pulled = Pulled::set(32);
    let digest = pulled.overwrite().clone();
    let gone = Misbehaviour::Status(http::StatusCode::NOT_FOUND);
    let rule = longshore_testkit::registry::Rule::on(Part::Blob, gone);
    pulled.registry.misbehave(rule);
    let ended = pulled.pull().run();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains(digest.as_str()), "{}", ended.stderr);
}

#[test]
fn trust_existing_reuses_a_layer_without_hashing_it() {
    let pulled = Pulled::set(33);
    pulled.overwrite();
    let ended = pulled.pull().args(["--trust-existing"]).run();
    assert_eq!(ended.succeeded(), pulled.tree.digest().as_str());
    assert_eq!(pulled.registry.requests_to(Part::Blob).len(), 0);
}

// RT11: a signal ends a pull within 2 s, even if it waits for the lock of another process.
#[test]
fn rt11_a_signal_ends_a_pull_that_waits_for_a_lock() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let pulled = Pulled::set(34);
        let holder = Layout::open(&pulled.layout()).unwrap();
        let held = holder.store().lock().unwrap();
        let mut running = pulled.pull().start();
        let requests = pulled.registry.requests().clone();
        running.wait_until(|| (!requests.is_empty()).then_some(()));
        running.signal(signal);
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
        drop(held);
        drop(holder);
        assert_eq!(
            pulled.pull().run().succeeded(),
            pulled.tree.digest().as_str()
        );
    }
}
