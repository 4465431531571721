//! What peers say to break a client: texts, places, tokens, documents.
//!
//! Tables for tests to iterate over. A client must not trust, follow or print an entry unchanged,
//! and handling it must cost no more than a refusal. The tables do not say what the correct
//! reaction to an entry is. When a table is used with
//! [`Misbehaviour`](crate::registry::Misbehaviour) and
//! [`ScriptedResponse`](crate::ScriptedResponse), the rest of the response is valid.
//!
//! ```
//! use longshore_testkit::registry::{Misbehaviour, Part, Registry, Rule};
//! use longshore_testkit::{hostile, image};
//!
//! let registry = Registry::builder().image("app", "1", &image::single(1)).start()?;
//! for document in hostile::documents() {
//!     registry.behave();
//!     registry.misbehave(Rule::on(Part::Manifest, Misbehaviour::Body(document.body)));
//!     // … the client refuses, and says more of it than document.name …
//! }
//! # std::io::Result::Ok(())
//! ```

use serde_json::{Value, json};

use crate::BlobContent;

/// A body, and what is wrong with it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sample {
    /// What is wrong, for messages of tests.
    pub name: &'static str,
    /// The body; it may be endless.
    pub body: BlobContent,
}

/// Text that does something where it is printed, or in a log: control sequences, line ends,
/// overwriting, bidirectional overrides, C1 controls, separators, and length.
pub const TEXTS: [&str; 9] = [
    "\u{1b}[31mred\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "one\r\nerror: two",
    "rewritten\rnothing",
    "back\u{8}\u{8}\u{8}\u{8}space",
    "\u{202e}txt.exe\u{2066}",
    "c1 \u{9b}31m",
    "line\u{2028}paragraph\u{2029}",
    "nul \u{0} delete \u{7f}",
];

/// `Location` values that lead nowhere a client may go: other schemes, user information, cloud
/// metadata services, addresses that are none, no address at all.
pub const LOCATIONS: [&str; 16] = [
    "",
    "http://",
    "http:///blob",
    "//",
    "ftp://127.0.0.1/blob",
    "file:///etc/passwd",
    "data:text/plain,blob",
    "javascript:alert(1)",
    "http://user:password@127.0.0.1/blob",
    "http://127.0.0.1:99999/blob",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/latest/meta-data/",
    "http://0.0.0.0/blob",
    "http://bl\u{f6}b.example/",
];

/// `Retry-After` values that are neither a time nor a number of seconds.
pub const RETRY_AFTERS: [&str; 8] = [
    "",
    "soon",
    "-1",
    "1.5",
    "0x10",
    "1, 2",
    "99999999999999999999999",
    "Fri, 31 Nov 2025 25:61:61 GMT",
];

/// `Content-Range` values that are wrong where bytes from 100,000 of 200,000 were asked for:
/// another start, another total, an end before the start or beyond the whole, another unit, none.
pub const CONTENT_RANGES: [&str; 11] = [
    "",
    "bytes",
    "bytes */200000",
    "bytes 0-199999/200000",
    "bytes 99999-199999/200000",
    "bytes 100001-199999/200000",
    "bytes 100000-199999/200001",
    "bytes 100000-99999/200000",
    "bytes 100000-200000/200000",
    "bytes 100000-18446744073709551616/18446744073709551617",
    "items 100000-199999/200000",
];

/// Values of `expires_in` that are no lifetime.
#[must_use]
pub fn lifetimes() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(0.5),
        json!(1e300),
        json!(u64::MAX),
        json!("300"),
        json!("soon"),
        json!(null),
        json!([300]),
    ]
}

/// Answers of a token server, with status 200, that hold no token a client could use.
#[must_use]
pub fn token_bodies() -> Vec<Sample> {
    let token = |name, value: Value| Sample {
        name,
        body: BlobContent::from(json!({"token": value, "expires_in": 300}).to_string()),
    };
    vec![
        token("empty", json!("")),
        token("not ASCII", json!("t\u{f6}ken")),
        token("a line end", json!("token\r\nx-injected: 1")),
        token("a space", json!("to ken")),
        token("NUL", json!("token\u{0}")),
        token("a number", json!(7)),
        token("null", json!(null)),
        token("an array", json!(["token"])),
        token("over 64 KiB", json!("t".repeat(64 * 1024 + 1))),
        sample("no token", r#"{"expires_in":300}"#),
        sample("no object", r#"["token"]"#),
        sample("empty", ""),
        sample("a page", "<html>Sign in</html>"),
        sample("broken off", r#"{"token":"tok"#),
        sample("not UTF-8", &b"{\"token\":\"\xff\"}"[..]),
        sample(
            "deep",
            BlobContent::from(r#"{"token":"token","x":"#).then(BlobContent::repeated("[", 200_000)),
        ),
        sample(
            "large",
            BlobContent::from(r#"{"token":"token"}"#).then(BlobContent::repeated(" ", 256 * 1024)),
        ),
        sample("endless", BlobContent::endless(" ")),
    ]
}

/// Documents that are no manifest and no index, though most of them look like one.
#[must_use]
pub fn documents() -> Vec<Sample> {
    let descriptor = |kind: &str, size: &str| {
        let digest = format!("sha256:{}", "a".repeat(64));
        let media_type = format!("application/vnd.oci.image.{kind}.v1+json");
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let sized = |size: &str| {
        let config = descriptor("config", size);
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#)
    };
    let many = {
        let entry = descriptor("manifest", "2") + ",";
        let length = entry.len() as u64 * 10_001 - 1;
        BlobContent::from(r#"{"schemaVersion":2,"manifests":["#)
            .then(BlobContent::repeated(entry, length))
            .then("]}")
    };
    let deep = |open: &'static str, levels: u64| {
        BlobContent::from(r#"{"schemaVersion":2,"manifests":[],"x":"#)
            .then(BlobContent::repeated(open, levels * open.len() as u64))
    };
    vec![
        sample("empty", ""),
        sample("broken off", r#"{"schemaVersion":2,"manif"#),
        sample("a page", "<html>Sign in</html>"),
        sample("an array", "[]"),
        sample("neither kind", r#"{"schemaVersion":2}"#),
        sample(
            "both kinds",
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
        ),
        sample(
            "a key twice",
            r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        ),
        sample("more behind it", r#"{"schemaVersion":2,"manifests":[]}{}"#),
        sample(
            "not UTF-8",
            &b"{\"schemaVersion\":2,\"manifests\":[],\"x\":\"\xff\"}"[..],
        ),
        sample("a negative size", sized("-1")),
        sample("a size of 2^63", sized("9223372036854775808")),
        sample("a broken size", sized("1.5")),
        sample("a size in words", sized(r#""2""#)),
        sample("deep arrays", deep("[", 200_000)),
        sample("deep objects", deep(r#"{"x":"#, 200_000)),
        sample("10,001 descriptors", many),
        sample(
            "over 8 MiB",
            BlobContent::from(r#"{"schemaVersion":2,"manifests":[]}"#)
                .then(BlobContent::repeated(" ", 8 * 1024 * 1024)),
        ),
        sample("endless", BlobContent::endless(" ")),
    ]
}

fn sample(name: &'static str, body: impl Into<BlobContent>) -> Sample {
    Sample {
        name,
        body: body.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_json_is() {
        let all = documents().into_iter().chain(token_bodies());
        let is_json = |sample: &Sample| {
            sample.body.length() < 1 << 30
                && serde_json::from_slice::<Value>(&sample.body.bytes()).is_ok()
        };
        let names: Vec<_> = all.filter(is_json).map(|sample| sample.name).collect();
        for expected in [
            "10,001 descriptors",
            "a negative size",
            "over 64 KiB",
            "over 8 MiB",
        ] {
            assert!(names.contains(&expected), "{expected}: {names:?}");
        }
        for broken in ["deep arrays", "not UTF-8", "broken off", "endless"] {
            assert!(!names.contains(&broken), "{broken}");
        }
    }
}
