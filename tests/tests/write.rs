//! The commands that write to registries, run like a user runs them.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::Path;

use http::{Method, StatusCode};
use longshore_model::{Digest, MediaType};
use longshore_testkit::ScriptedResponse;
use longshore_testkit::image::{self, Image, Tree};
use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
use longshore_tests::layout;
use longshore_tests::longshore::{Ended, Longshore};
use longshore_tests::registry::DockerRegistry;
use serde_json::{Value, json};
use tempfile::tempdir;

#[path = "write/copy.rs"]
mod copy;
#[path = "write/delete.rs"]
mod delete;
#[path = "write/put.rs"]
mod put;
#[path = "write/refused.rs"]
mod refused;
#[path = "write/tag.rs"]
mod tag;

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const AUTH: i32 = 4;
const DIGEST: i32 = 5;
const UNAVAILABLE: i32 = 6;
const RATE_LIMITED: i32 = 7;
const PROTOCOL: i32 = 8;
const UNSUPPORTED: i32 = 9;
const REFERENCE: i32 = 10;
const DISK: i32 = 13;

/// A writable registry with one image in the repository `a`, under the tag `1`.
fn serving(tree: &Tree) -> Registry {
    let registry = Registry::builder().image("a", "1", tree).writable();
    registry.start().unwrap()
}

fn run(arguments: &[&str]) -> Ended {
    Longshore::new(arguments).run()
}

fn json_of(arguments: &[&str]) -> Value {
    let command = Longshore::new(arguments).args(["--output", "json"]);
    command.run().json()
}

/// The digest that a tag stands for; `None` if the tag does not exist.
fn current(reference: &str) -> Option<String> {
    let ended = run(&["digest", reference]);
    match ended.status.code() {
        Some(NOT_FOUND) => None,
        _ => Some(ended.succeeded().to_owned()),
    }
}

/// The requests that change something, as `METHOD path`.
fn changes(registry: &Registry) -> Vec<String> {
    let changing = registry
        .requests()
        .matching(|request| request.method != Method::GET && request.method != Method::HEAD);
    let lines = changing.iter();
    lines
        .map(|request| format!("{} {}", request.method, request.path()))
        .collect()
}

/// Answers a request as if the registry refused it with this error.
fn refusing(status: StatusCode, code: &str, message: &str) -> Misbehaviour {
    let body = json!({ "errors": [{ "code": code, "message": message }] });
    let answer = ScriptedResponse::status(status).body(body.to_string());
    Misbehaviour::Response(Box::new(answer))
}
