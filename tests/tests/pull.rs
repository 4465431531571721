//! The main job: an image from a real registry, verified, onto disk, where skopeo reads it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeSet;
use std::path::Path;

use http::{Method, Version};
use longshore_testkit::Listen;
use longshore_testkit::certificate::Authority;
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::{Part, Registry};
use longshore_testkit::token::TokenServer;
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore, host_platform};
use longshore_tests::registry::{Builder, DockerRegistry, Logged, PASSWORD, USER};
use longshore_tests::skopeo::Skopeo;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

#[path = "pull/ask.rs"]
mod ask;
#[path = "pull/content.rs"]
mod content;
#[path = "pull/forms.rs"]
mod forms;
#[path = "pull/modes.rs"]
mod modes;
#[path = "pull/reused.rs"]
mod reused;
#[path = "pull/settings.rs"]
mod settings;

/// A registry with one image pushed by skopeo, and a layout to pull it into.
struct Scene {
    registry: DockerRegistry,
    reference: String,
    place: TempDir,
}

impl Scene {
    fn set(builder: Builder, tree: &Tree) -> Option<Self> {
        let registry = builder.start()?;
        let reference = registry.push(tree, "some/app:1.0")?;
        Some(Self {
            registry,
            reference,
            place: tempdir().unwrap(),
        })
    }

    fn layout(&self) -> std::path::PathBuf {
        self.place.path().join("layout")
    }

    #[track_caller]
    fn pull(&self, options: &[&str]) -> Ended {
        let pull = Longshore::pull(&self.reference, self.layout()).args(options);
        self.registry.admit(pull).run()
    }

    #[track_caller]
    fn pull_json(&self, options: &[&str]) -> Value {
        self.pull(&[options, &["--output", "json"]].concat()).json()
    }

    /// What longshore has asked the registry since it had answered `before` requests, but for
    /// what it asks to find out whether that speaks TLS.
    ///
    /// The log is written behind the answers, so a last request marks where to stop reading.
    fn asked(&mut self, before: &[Logged]) -> Vec<Logged> {
        let mark = format!("{}/no/such:mark", self.registry.authority());
        let marked = self.registry.admit(Longshore::new(["digest", &mark])).run();
        marked.failed(3, &["not found"]);
        for count in before.len() + 1.. {
            let requests = self.registry.wait_for_requests(count);
            let since = &requests[before.len()..];
            let is_mark = |request: &Logged| request.target.contains("no/such");
            if let Some(end) = since.iter().position(is_mark) {
                let asked = since[..end].iter();
                return asked.filter(|it| it.target != "/v2/").cloned().collect();
            }
        }
        unreachable!("the log has no end")
    }
}

/// Demands that the layout holds `tree` under `name`, and that skopeo agrees.
#[track_caller]
fn assert_pulled(layout: &Path, name: &str, tree: &Tree) {
    layout::assert_holds(layout, tree);
    layout::assert_clean(layout);
    let Some(skopeo) = Skopeo::find() else { return };
    let source = format!("oci:{}:{name}", layout.display());
    assert_eq!(skopeo.raw_manifest(&source), tree.document());
    skopeo.read_layout(layout, name);
}

/// How many documents and blobs a copy of `tree` holds.
fn parts(tree: &Tree) -> usize {
    tree.documents().len() + tree.all_blobs().len()
}

#[track_caller]
fn one_token_was_enough(scene: &Scene) {
    let tokens = scene.registry.tokens().unwrap();
    // CR8: to read one repository, which is less than skopeo asked for when it pushed.
    let scope = "&scope=repository%3Asome%2Fapp%3Apull";
    let asked = tokens
        .requests()
        .matching(|request| request.query().ends_with(scope));
    assert_eq!(asked.len(), 1, "{:?}", tokens.requests());
    assert!(asked[0].holds(PASSWORD));
}
