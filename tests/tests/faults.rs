//! Registries and networks that fail, and registries that mean ill: what is repeated, what is
//! resumed, what is refused, and who never learns a secret.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode, Version};
use longshore_model::Digest;
use longshore_testkit::certificate::Authority;
use longshore_testkit::fault::{Fault, FaultProxy, Script};
use longshore_testkit::image::{self, DescribedContent, Image, Tree};
use longshore_testkit::recorder::Recorder;
use longshore_testkit::registry::{self, Misbehaviour, Part, Registry, Rule};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{
    BlobContent, Gate, Listen, RecordedRequest, Requests, ScriptedResponse, hostile,
};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore};
use longshore_tests::registry::{PASSWORD, USER};
use tempfile::{TempDir, tempdir};

#[path = "faults/broken.rs"]
mod broken;
#[path = "faults/head.rs"]
mod head;
#[path = "faults/peers.rs"]
mod peers;
#[path = "faults/redirected.rs"]
mod redirected;
#[path = "faults/secrets.rs"]
mod secrets;
#[path = "faults/tokens.rs"]
mod tokens;
#[path = "faults/wrong.rs"]
mod wrong;

const AUTH: i32 = 4;
const DIGEST: i32 = 5;
const UNAVAILABLE: i32 = 6;
const RATE_LIMITED: i32 = 7;
const PROTOCOL: i32 = 8;
const REALM: i32 = 14;

/// `longshore:correct horse` in base64, as it must not be seen.
const PAIR: &str = "bG9uZ3Nob3JlOmNvcnJlY3QgaG9yc2U";

/// A registry with one image, and a place to pull it to.
struct Scene {
    registry: Registry,
    tree: Tree,
    place: TempDir,
}

impl Scene {
    fn set(tree: Tree) -> Self {
        Self::behind(Registry::builder(), tree)
    }

    fn behind(builder: registry::Builder, tree: Tree) -> Self {
        Self {
            registry: builder.image("a", "1", &tree).start().unwrap(),
            tree,
            place: tempdir().unwrap(),
        }
    }

    fn layout(&self) -> PathBuf {
        self.place.path().join("layout")
    }

    fn name(&self) -> String {
        self.registry.authority()
    }

    fn pull(&self) -> Longshore {
        self.pull_from(&self.name())
    }

    fn pull_from(&self, registry: &str) -> Longshore {
        Longshore::pull(&format!("{registry}/a:1"), self.layout())
    }

    fn trusting(&self, authority: &Authority) -> Longshore {
        let ca = self.place.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        self.pull().args([Path::new("--ca-file"), &ca])
    }

    /// The one layer that matters, the last.
    fn layer(&self) -> &Digest {
        &self.tree.blobs().last().unwrap().descriptor.digest
    }

    fn asked_for_layer(&self) -> Vec<RecordedRequest> {
        let encoded = self.layer().encoded();
        let requests = self.registry.requests();
        requests.matching(|request| request.path().contains(encoded))
    }

    /// Misbehaves when the layer is asked for.
    fn on_layer(&self, what: Misbehaviour) -> Rule {
        Rule::on(Part::Blob, what).path(self.layer().encoded())
    }

    /// Demands that the pull succeeds and the layout holds the image and nothing else.
    #[track_caller]
    fn arrives(&self, pull: Longshore) -> Ended {
        let ended = pull.run();
        assert_eq!(ended.succeeded(), self.tree.digest().as_str());
        layout::assert_holds(&self.layout(), &self.tree);
        layout::assert_clean(&self.layout());
        ended
    }

    /// Demands that the pull fails and nothing in the layout says otherwise.
    #[track_caller]
    fn fails(&self, pull: Longshore, code: i32, words: &[&str]) -> Ended {
        let ended = pull.run();
        ended.failed(code, words);
        if self.layout().exists() {
            layout::assert_clean(&self.layout());
            assert_eq!(layout::entries(&self.layout()), []);
        }
        ended
    }
}

fn one_layer(bytes: u64) -> Tree {
    Image::new(bytes).layers(1, bytes).build()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

fn later(code: u16, after: &str) -> Misbehaviour {
    Misbehaviour::RetryAfter(status(code), after.to_owned())
}

fn ranges(requests: &[RecordedRequest]) -> Vec<Option<&str>> {
    let range = |request| RecordedRequest::header(request, "range");
    requests.iter().map(range).collect()
}

/// A place the registry sends its users to: it has the blobs too, and keeps what it is sent.
fn elsewhere(listen: Listen, tree: &Tree) -> Recorder {
    let blobs: Vec<_> = tree.all_blobs().into_iter().cloned().collect();
    Recorder::start(listen, move |request| {
        let wanted = |digest: &Digest| request.path().contains(digest.encoded());
        let found = blobs.iter().find(|blob| wanted(&blob.descriptor.digest));
        match found {
            Some(blob) => ScriptedResponse::status(StatusCode::OK).body(blob.content.clone()),
            None => ScriptedResponse::status(StatusCode::NOT_FOUND),
        }
    })
    .unwrap()
}

/// Demands that no request holds a secret, or anything that a secret would be in.
#[track_caller]
fn assert_innocent(requests: &Requests) {
    assert!(!requests.is_empty());
    for secret in [PASSWORD, PAIR, USER] {
        assert!(!requests.hold(secret), "{requests:?}");
    }
    assert_eq!(
        requests.count(RecordedRequest::is_authorized),
        0,
        "{requests:?}"
    );
    assert_eq!(requests.count(|it| it.headers.contains_key("cookie")), 0);
}
