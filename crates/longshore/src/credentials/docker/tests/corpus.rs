use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::super::file::{Auth, Lenient, Settings};
use super::*;

#[test]
fn every_row_of_the_corpus_behaves_as_expected() {
    let Some(rows) = rows("docker_config.jsonl") else {
        return;
    };
    for row in &rows {
        let (text, expect) = (row["input"].as_str().unwrap(), &row["expect"]);
        let config = DockerConfig::parse(text.as_bytes());
        assert_eq!(expect["valid"], config.is_ok(), "{text}");
        let Ok(config) = config else { continue };
        let settings = Settings::read(text.as_bytes()).unwrap();
        let helpers = settings
            .helpers
            .into_iter()
            .map(|(key, helper)| match helper {
                Helper::Named(name) => (key, json!(name)),
                Helper::Malformed => (key, Value::Null),
            });
        let helpers = Value::Object(helpers.collect());
        assert_eq!(object(&expect["credHelpers"]), helpers);
        let store = expect["credsStore"].as_str().unwrap_or_default();
        assert_eq!(settings.store, store, "{text}");
        let auths = settings.auths.into_iter();
        let auths: Map<_, _> = auths.map(|(key, auth)| (key, shown(auth))).collect();
        let expected = object(&expect["auths"]);
        let expected = expected.as_object().unwrap().iter();
        let expected: Map<_, _> = expected.map(|(k, v)| (k.clone(), preferred(v))).collect();
        assert_eq!(auths, expected, "{text}");
        for (key, expected) in expected {
            finds(&config, &key, &expected);
        }
    }
    assert_eq!(rows.len(), 44);
}

/// A key that is the name of a registry, and not kept by a helper, is found by that name.
fn finds(config: &DockerConfig, key: &str, expected: &Value) {
    if key.contains('/') || config.store.is_some() {
        return;
    }
    let kept = config.helpers.get(key);
    let kept = kept.is_some_and(|helper| *helper != Helper::Named(String::new()));
    let found = match config.credential(key) {
        Err(DockerConfigError::Helper { .. }) if kept => return,
        Err(DockerConfigError::Entry { reason }) => json!({"error": error(reason)}),
        found => found.unwrap().map_or_else(|| json!({}), |c| told(&c)),
    };
    assert_eq!(found, *expected, "{key}");
}

fn object(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        value => value.clone(),
    }
}

/// Of several credentials in one entry, a token that is ready comes first, then one that is to be
/// exchanged: they are what the login that wrote them wants to be used.
fn preferred(expect: &Value) -> Value {
    for key in ["registrytoken", "identitytoken"] {
        if let Some(token) = expect.get(key) {
            return json!({ key: token });
        }
    }
    expect.clone()
}

fn shown(auth: Lenient<Auth>) -> Value {
    match auth.entry() {
        None => json!({}),
        Some(Entry::Credential(credential)) => told(&credential),
        Some(Entry::Malformed(reason)) => json!({"error": error(reason)}),
    }
}

fn told(credential: &Credential) -> Value {
    match credential {
        Credential::Basic { username, password } => {
            json!({"username": username, "password": password.expose()})
        }
        Credential::IdentityToken(token) => json!({"identitytoken": token.expose()}),
        Credential::Token(token) => json!({"registrytoken": token.expose()}),
        other => panic!("{other:?}"),
    }
}

/// The words of the corpus.
fn error(reason: &str) -> &str {
    match reason {
        "\"auth\" is not base64" => "auth is not base64",
        "\"auth\" holds no colon" => "decoded auth has no colon",
        other => other,
    }
}

/// The rows of a corpus file; `None`, and a line that says so, where there are none.
fn rows(file: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("LONGSHORE_CORPORA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
        PathBuf::from,
    );
    let path = folder.join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("SKIPPED: no corpus at {}", path.display());
        return None;
    };
    let rows = text.lines().map(serde_json::from_str);
    Some(rows.collect::<Result<_, _>>().unwrap())
}
