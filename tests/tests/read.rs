//! The commands that read without pulling, run as a user runs them.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeSet;
use std::fs;

use http::{Method, StatusCode};
use longshore_model::{Digest, MediaType};
use longshore_testkit::image::{self, DescribedContent, Image, Tree};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_testkit::token::TokenServer;
use longshore_testkit::{BlobContent, Gate, ScriptedResponse};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore};
use longshore_tests::registry::{DockerRegistry, PASSWORD, USER};
use longshore_tests::skopeo::Skopeo;
use serde_json::{Value, json};
use tempfile::tempdir;

#[path = "read/attached.rs"]
mod attached;
#[path = "read/blob.rs"]
mod blob;
#[path = "read/config.rs"]
mod config;
#[path = "read/fields.rs"]
mod fields;
#[path = "read/inspect.rs"]
mod inspect;
#[path = "read/list.rs"]
mod list;
#[path = "read/output.rs"]
mod output;
#[path = "read/referrers.rs"]
mod referrers;
#[path = "read/verify.rs"]
mod verify;

const OTHER: i32 = 1;
const NOT_FOUND: i32 = 3;
const AUTH: i32 = 4;
const DIGEST: i32 = 5;
const UNAVAILABLE: i32 = 6;
const PROTOCOL: i32 = 8;
const REFERENCE: i32 = 10;
const PLATFORM: i32 = 12;

/// A registry with one image in the repository `a`, under the tag `1`.
fn serving(tree: &Tree) -> Registry {
    Registry::builder().image("a", "1", tree).start().unwrap()
}

/// The reference of that image.
fn reference(registry: &Registry) -> String {
    format!("{}/a:1", registry.authority())
}

/// Checks a command that printed a part of its result, and returns that part.
#[track_caller]
fn partly<'a>(ended: &'a Ended, code: i32, parts: &[&str]) -> &'a str {
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    &ended.stdout
}

fn run(arguments: &[&str]) -> Ended {
    Longshore::new(arguments).run()
}

fn told(arguments: &[&str]) -> Value {
    Longshore::new(arguments)
        .args(["--output", "json"])
        .run()
        .json()
}

/// A document as it may stand in a registry, whatever it says.
fn document(media_type: &str, text: &str) -> DescribedContent {
    DescribedContent::new(
        media_type.parse().unwrap(),
        BlobContent::from(text.to_owned()),
    )
}

/// What a document says of a piece of content.
fn descriptor(stored: &DescribedContent) -> Value {
    serde_json::to_value(&stored.descriptor).unwrap()
}

/// An image of which only the config matters, in the repository `a` under `tag`.
fn with_config(registry: &Registry, tag: &str, kind: &str, config: &str) -> DescribedContent {
    let config = document(kind, config);
    let contents = registry.contents();
    contents.set_blob("a", &config.descriptor.digest, config.content.clone());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": descriptor(&config),
        "layers": [],
    });
    let manifest = document(MediaType::OCI_MANIFEST.as_str(), &manifest.to_string());
    contents.add_document("a", tag, manifest);
    config
}
