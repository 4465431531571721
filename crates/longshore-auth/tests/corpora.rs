//! Cases from other people's test suites, where the corpora lie beside the checkout.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a row of another shape is a failed test"
)]

use std::path::{Path, PathBuf};

use longshore_auth::{Challenge, Issued, TokenError};
use longshore_origin::Secret;
use serde_json::Value;

#[test]
fn every_challenge_of_the_corpus_is_read() {
    let Some(rows) = rows("challenges.jsonl") else {
        return;
    };
    for row in &rows {
        let expect = &row["expect"];
        let text = texts(&row["input"]);
        check_challenges(&text, expect, |text| text.as_bytes().to_vec());
        // On the wire a letter such as ä was one byte: obs-text in the original cases.
        if text.iter().any(|t| !t.is_ascii()) {
            check_challenges(&text, expect, latin1);
        }
    }
    assert_eq!(rows.len(), 169);
}

fn check_challenges(text: &[String], expect: &Value, bytes: fn(&str) -> Vec<u8>) {
    let fields: Vec<_> = text.iter().map(|t| bytes(t)).collect();
    let items: Vec<_> = Challenge::parse_all(fields.iter().map(Vec::as_slice)).collect();
    let strict = items
        .iter()
        .all(|item| item.is_ok_and(|c| c.leniency().is_none()));
    assert_eq!(Value::from(strict), expect["valid"], "{text:?}: {items:?}");

    // Where the grammar is broken, what most clients make of it is what we make of it, too.
    let expected = if strict {
        &expect["challenges"]
    } else {
        &expect["lenient"]
    };
    let expected = expected.as_array().expect("an array");
    let found: Vec<_> = items.iter().flatten().collect();
    assert_eq!(found.len(), expected.len(), "{text:?}: {items:?}");
    for (challenge, expected) in found.iter().zip(expected) {
        assert!(challenge.is(expected["scheme"].as_str().expect("a scheme")));
        let mut params: Vec<_> = challenge
            .params()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned()))
            .collect();
        let mut expected_params: Vec<_> = expected["params"]
            .as_array()
            .expect("an array")
            .iter()
            .map(texts)
            .map(|param| (param[0].clone(), bytes(&param[1])))
            .collect();
        if !strict {
            // Those clients keep parameters in no order.
            params.sort();
            expected_params.sort();
            // And they do not know token68.
            assert_eq!(challenge.token68().unwrap_or("garbage"), "garbage");
        } else {
            assert_eq!(challenge.token68(), expected["token68"].as_str());
        }
        assert_eq!(params, expected_params, "{text:?}");
    }
}

#[test]
fn every_token_response_of_the_corpus_is_read() {
    let Some(rows) = rows("token_responses.jsonl") else {
        return;
    };
    for row in &rows {
        let (body, expect) = (row["input"].as_str().expect("a string"), &row["expect"]);
        let issued = match Issued::parse(body.as_bytes()) {
            Ok(issued) => issued,
            Err(error) => {
                assert_eq!(expect["usable"], false, "{body}: {error}");
                let reason = match error {
                    TokenError::Missing => "no usable token",
                    _ => "not JSON",
                };
                assert_eq!(expect["reason"], reason, "{body}: {error}");
                continue;
            }
        };
        assert_eq!(expect["usable"], true, "{body}");
        assert_eq!(expect["token"], issued.token.expose());
        // Whole seconds, as the corpus has them; `issued_at` is ignored by design (RT7).
        assert_eq!(expect["lifetime_s"], issued.lifetime.as_secs(), "{body}");
        let refresh_token = issued.refresh_token.as_ref().map(Secret::expose);
        assert_eq!(expect["refresh_token"].as_str(), refresh_token, "{body}");
    }
    assert_eq!(rows.len(), 46);
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("ISO 8859-1"))
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    let values = value.as_array().expect("an array").iter();
    values
        .map(|v| v.as_str().expect("a string").to_owned())
        .collect()
}

/// The rows of a corpus file; `None`, and a line that says so, where there are none.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test has to find its data, and say loudly that it did not"
)]
fn rows(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("LONGSHORE_CORPORA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
        PathBuf::from,
    );
    let path = folder.join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: no corpus at {}", path.display());
        return None;
    };
    let rows = text.lines().map(serde_json::from_str);
    Some(rows.collect::<Result<_, _>>().expect("JSON lines"))
}
