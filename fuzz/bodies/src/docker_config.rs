//! Docker's configuration file: every entry for its own registry, and nothing to be seen of it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore::auth::Credential;
use longshore::{DOCKER_CONFIG_LIMIT_BYTES, DockerConfig};
use serde_json::Value;

use crate::shown::is_plain;

/// Reads the bytes as a configuration file, and looks up the registries it names, and some others.
///
/// # Panics
///
/// When a registry is given credentials that no entry names it for, when a credential is not what
/// the file holds, or when what is shown of the file depends on the secrets in it.
pub fn docker_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.len() as u64 > DOCKER_CONFIG_LIMIT_BYTES {
        return;
    }
    let Ok(plain) = serde_json::from_str::<Value>(&text) else {
        if let Err(error) = DockerConfig::parse(data) {
            is_plain(&error);
        }
        return;
    };
    if plain.is_array() || plain.get("auths").is_some_and(Value::is_array) {
        // A list of the fields, in their order, is no object.
        match DockerConfig::parse(data) {
            Ok(_) => panic!("a list was taken for an object"),
            Err(error) => return is_plain(&error),
        }
    }
    // Written anew, so that two files differ in nothing but their secrets.
    match DockerConfig::parse(plain.to_string().as_bytes()) {
        Err(error) => {
            let masked = masked(&plain).to_string();
            let masked = DockerConfig::parse(masked.as_bytes());
            let masked = masked.map_or_else(|error| error.to_string(), |_| String::new());
            assert_eq!(error.to_string(), masked, "OU3");
            is_plain(&error);
        }
        Ok(config) => {
            let registries = registries(&plain);
            for registry in &registries {
                is_found_by_its_name(&config, registry, "", &plain);
                is_found_by_its_name(&config, registry, "a/b", &plain);
            }
            for key in entries(&plain).map(|(key, _)| key).take(KEYS_LIMIT) {
                let (registry, path) = key.split_once('/').unwrap_or((key, ""));
                for path in [path.to_owned(), format!("{path}x"), format!("{path}/x")] {
                    is_found_by_its_name(&config, registry, &path, &plain);
                }
            }
            let other = with_other_secrets(&plain).to_string();
            let other = DockerConfig::parse(other.as_bytes());
            let other = other.unwrap_or_else(|error| panic!("other secrets: {error}"));
            let seen = seen(&config, &registries);
            assert_eq!(seen, self::seen(&other, &registries), "OU3");
        }
    }
}

/// What the file names, what is close to that, and what it has no business with.
fn registries(plain: &Value) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = OTHERS.into_iter().map(str::to_owned).collect();
    for section in ["auths", "credHelpers"] {
        for key in keys(plain, section).take(KEYS_LIMIT) {
            let name = named(key).unwrap_or_default();
            found.extend([key.to_owned(), name.to_owned()]);
            found.extend([format!("x{name}"), format!("{name}x"), format!("x.{name}")]);
            found.extend(name.split_once('.').map(|(_, domain)| domain.to_owned()));
            found.extend(name.split_once(':').map(|(host, _)| host.to_owned()));
        }
    }
    found
}

/// The entries of `auths`, or of the whole of an old file.
fn entries(plain: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let sections = ["auths", "credHelpers", "credsStore"];
    let is_old = sections
        .iter()
        .all(|section| plain.get(section).is_none_or(Value::is_null));
    let entries = if is_old {
        plain.as_object()
    } else {
        plain.get("auths").and_then(Value::as_object)
    };
    entries
        .into_iter()
        .flatten()
        .map(|(key, entry)| (key.as_str(), entry))
}

fn keys<'a>(plain: &'a Value, section: &str) -> impl Iterator<Item = &'a str> {
    let section = plain.get(section).and_then(Value::as_object);
    section.into_iter().flatten().map(|(key, _)| key.as_str())
}

/// CR2: the registry a key names: the key, or the host of a URL.
fn named(key: &str) -> Option<&str> {
    scoped(key)
        .filter(|(_, path)| path.is_empty())
        .map(|(host, _)| host)
}

/// CR2: the registry a key names, and below which path; the path of a URL is none.
fn scoped(key: &str) -> Option<(&str, &str)> {
    let url = ["https://", "http://"].into_iter().find_map(|scheme| {
        let (start, rest) = key.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let text = url.unwrap_or(key);
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let path = path.trim_end_matches('/');
    let is_hub = host.eq_ignore_ascii_case("index.docker.io") && matches!(path, "v1" | "v2");
    let path = if url.is_some() || is_hub { "" } else { path };
    (!host.is_empty()).then_some((host, path))
}

/// Whether the repository is this one or lies below it, by whole segments.
fn lies_in(repository: &str, path: &str) -> bool {
    path.is_empty()
        || repository
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Docker Hub has several names, and names are compared without regard to case.
fn same_registry(one: &str, other: &str) -> bool {
    let hub = ["docker.io", "index.docker.io", "registry-1.docker.io"];
    let is_hub = |name: &str| hub.iter().any(|known| known.eq_ignore_ascii_case(name));
    one.eq_ignore_ascii_case(other) || (is_hub(one) && is_hub(other))
}

/// CR2, and the fields of one entry that names the repository or what it lies in.
fn is_found_by_its_name(config: &DockerConfig, registry: &str, repository: &str, plain: &Value) {
    let names = |key: &str| {
        scoped(key)
            .is_some_and(|(name, path)| same_registry(name, registry) && lies_in(repository, path))
    };
    match config.credential_in(registry, repository) {
        Ok(Some(credential)) => {
            let longest = entries(plain)
                .filter(|(key, entry)| names(key) && !is_empty(entry))
                .filter_map(|(key, _)| Some(scoped(key)?.1.len()))
                .max();
            let fits = entries(plain).any(|(key, entry)| {
                names(key)
                    && scoped(key).map(|(_, path)| path.len()) == longest
                    && holds(entry, &credential)
            });
            assert!(fits, "CR2: {registry}/{repository}");
            assert!(!has_helper(plain, registry), "CR11");
        }
        Ok(None) => {}
        Err(error) => {
            is_plain(&error);
            let stored = text(plain, "credsStore").is_some();
            let helped = keys(plain, "credHelpers").any(names);
            let known = stored || helped || entries(plain).any(|(key, _)| names(key));
            assert!(known, "{registry}/{repository}: {error}");
        }
    }
}

/// Whether an entry holds no credential at all.
fn is_empty(entry: &Value) -> bool {
    [
        "auth",
        "username",
        "password",
        "identitytoken",
        "registrytoken",
    ]
    .iter()
    .all(|key| text(entry, key).is_none())
}

fn has_helper(plain: &Value, registry: &str) -> bool {
    let helpers = plain.get("credHelpers").and_then(Value::as_object);
    helpers.into_iter().flatten().any(|(key, helper)| {
        named(key).is_some_and(|name| same_registry(name, registry))
            && helper.as_str().is_some_and(|helper| !helper.is_empty())
    })
}

fn holds(entry: &Value, credential: &Credential) -> bool {
    let text = |key| text(entry, key);
    match credential {
        Credential::Token(secret) => text("registrytoken") == Some(secret.expose()),
        Credential::IdentityToken(secret) => text("identitytoken") == Some(secret.expose()),
        Credential::Basic { username, password } => match text("auth") {
            None => {
                text("username").unwrap_or_default() == username
                    && text("password").unwrap_or_default() == password.expose()
            }
            Some(auth) => decoded(auth)
                .is_some_and(|decoded| decoded == (username.clone(), password.expose().to_owned())),
        },
        _ => false,
    }
}

/// User and password of an `auth` field: base64, padded or not, with NULs around the password.
fn decoded(auth: &str) -> Option<(String, String)> {
    let bare = auth.trim_end_matches('=');
    let padding = "=".repeat((4 - bare.len() % 4) % 4);
    if auth.len() - bare.len() > padding.len() {
        return None;
    }
    let bytes = STANDARD.decode(format!("{bare}{padding}")).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_matches('\0').to_owned()))
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    let text = entry.get(key).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

/// Everything a log or an error could show of the file.
fn seen(config: &DockerConfig, registries: &BTreeSet<String>) -> String {
    let mut seen = format!("{config:?}");
    for registry in registries {
        let found = config.credential(registry);
        // Writing to a String cannot fail.
        let _ = write!(seen, "\n{registry:?} {found:?}");
        if let Err(error) = found {
            let _ = write!(seen, " {error}");
        }
    }
    seen
}

/// The same file with a longer secret wherever there is one.
fn with_other_secrets(plain: &Value) -> Value {
    let mut plain = plain.clone();
    let is_old = entries(&plain).count() > 0 && plain.get("auths").is_none_or(Value::is_null);
    let auths = if is_old {
        plain.as_object_mut()
    } else {
        plain.get_mut("auths").and_then(Value::as_object_mut)
    };
    for (_, entry) in auths.into_iter().flatten() {
        for key in ["password", "identitytoken", "registrytoken", "auth"] {
            let Some(Value::String(text)) = entry.get_mut(key) else {
                continue;
            };
            if key != "auth" && !text.is_empty() {
                text.push('x');
            } else if let Some((username, password)) = decoded(text) {
                *text = STANDARD.encode(format!("{username}:{password}x"));
            }
        }
    }
    plain
}

/// The same file with an `x` for each letter and digit of every value.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let mask = |c: char| if c.is_ascii_alphanumeric() { 'x' } else { c };
            Value::String(text.chars().map(mask).collect())
        }
        // A fraction could become longer.
        Value::Number(number) if !number.is_f64() => {
            let digits = number.to_string();
            let mask = |c: char| if c.is_ascii_digit() { '1' } else { c };
            let masked: String = digits.chars().map(mask).collect();
            serde_json::from_str(&masked).unwrap_or_else(|_| value.clone())
        }
        Value::Array(list) => Value::Array(list.iter().map(masked).collect()),
        Value::Object(map) => {
            let entries = map.iter();
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), masked(value)))
                    .collect(),
            )
        }
        Value::Bool(_) | Value::Null | Value::Number(_) => value.clone(),
    }
}

const OTHERS: [&str; 4] = ["", "docker.io", "index.docker.io", "nobody.invalid"];

/// So many keys of a file are looked up.
const KEYS_LIMIT: usize = 20;
