//! Settings in environment variables.
//!
//! The variable of a key is its path in upper case: `LONGSHORE_SERVE_STORE_SIZE` sets
//! `serve.store.size`. The entries of the list of upstreams are numbered from 1:
//! `LONGSHORE_SERVE_UPSTREAM_1_URL`.

use super::node::{Node, Place, Step};
use super::setting::{Key, Reader};
use super::suggest::{nearest, secret_advice};

/// The prefix of all names.
pub(super) const PREFIX: &str = "LONGSHORE_SERVE_";

/// Placeholder for the number of an entry of a list in names of variables.
pub(super) const NUMBER: &str = "<N>";

/// Maximum number of upstreams that variables may set.
const UPSTREAMS_LIMIT: usize = 1000;

/// The variable of a key.
pub(super) struct Variable {
    /// The name, with [`NUMBER`] for the number of an entry.
    pub(super) name: String,
    path: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Key(&'static str),
    Number,
}

/// Returns the variables of all keys.
pub(super) fn variables(keys: &[Key]) -> Vec<Variable> {
    let mut found = Vec::new();
    add(keys, PREFIX, &[Part::Key("serve")], &mut found);
    found
}

fn add(keys: &[Key], prefix: &str, above: &[Part], found: &mut Vec<Variable>) {
    for key in keys {
        let mut name = format!("{prefix}{}", key.name.to_ascii_uppercase());
        let mut path = above.to_vec();
        path.push(Part::Key(key.name));
        if key.below.is_empty() || (key.is_list && above.len() > 1) {
            found.push(Variable { name, path });
            continue;
        }
        if key.is_list {
            name = format!("{name}_{NUMBER}");
            path.push(Part::Number);
        }
        add(&key.below, &format!("{name}_"), &path, found);
    }
}

impl Variable {
    /// Returns the path of the key for this name, if the name belongs to this variable.
    fn path(&self, name: &str) -> Option<Vec<Step>> {
        let number = match self.name.split_once(NUMBER) {
            None => (self.name == name).then_some(0)?,
            Some((before, after)) => {
                let digits = name.strip_prefix(before)?.strip_suffix(after)?;
                let is_plain = digits.bytes().all(|it| it.is_ascii_digit());
                let number = digits.parse().ok().filter(|_| is_plain)?;
                usize::checked_sub(number, 1).filter(|it| *it < UPSTREAMS_LIMIT)?
            }
        };
        let steps = self.path.iter().map(|part| match part {
            Part::Key(key) => Step::Key(key),
            Part::Number => Step::Entry(number),
        });
        Some(steps.collect())
    }
}

/// Adds the settings of variables to those of the file; variables have precedence.
pub(super) fn overlay(
    root: &mut Node,
    keys: &[Key],
    environment: &[(String, String)],
    reader: &mut Reader,
) {
    let variables = variables(keys);
    let mut found = Vec::new();
    for (name, value) in environment {
        if value.is_empty() || is_service(name) {
            continue;
        }
        let place = Place::Environment(name.as_str().into());
        match variables.iter().find_map(|it| it.path(name)) {
            Some(path) => found.push((path, place, value)),
            None => reader.fault(&place, "", unknown(name, &variables)),
        }
    }
    // Add the upstreams in the order of their numbers, not of the variables.
    found.sort_by_key(|(path, ..)| path.iter().find_map(number));
    for (path, place, value) in found {
        let node = Node::text(place.clone(), value);
        if !root.put(&path, node) {
            let what = "number upstreams from 1 without a gap; the upstreams of the file have the \
                        first numbers";
            reader.fault(&place, "serve.upstream", what);
        }
    }
}

fn number(step: &Step) -> Option<usize> {
    match step {
        Step::Entry(number) => Some(*number),
        Step::Key(_) => None,
    }
}

fn unknown(name: &str, variables: &[Variable]) -> String {
    if let Some(advice) = name.strip_prefix(PREFIX).and_then(secret_advice) {
        return advice.to_owned();
    }
    let names: Vec<_> = variables.iter().map(|it| it.name.as_str()).collect();
    match nearest(name, &names) {
        Some(near) => format!("unknown variable; did you mean {near}?"),
        None => "unknown variable; CONFIGURATION.md lists all variables".to_owned(),
    }
}

/// Returns whether this may be a variable that Kubernetes sets for a service, whose name then
/// begins with `longshore-serve`: `LONGSHORE_SERVE_PORT_5000_TCP_ADDR`.
fn is_service(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let words: Vec<_> = rest.split('_').collect();
    let at = words
        .iter()
        .position(|it| *it == "PORT" || *it == "SERVICE");
    let words = at.and_then(|at| words.get(at..)).unwrap_or_default();
    match words {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] | ["PORT"] => true,
        ["PORT", number, protocol, ..] => {
            number.bytes().all(|it| it.is_ascii_digit())
                && matches!(*protocol, "TCP" | "UDP" | "SCTP")
        }
        _ => false,
    }
}
