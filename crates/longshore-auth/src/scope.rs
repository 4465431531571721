//! Scopes: what a token permits.
//!
//! ```text
//! scope         = resourcescope *( SP resourcescope )     ; Token Authentication "Token Scope"
//! resourcescope = kind ":" name ":" action *( "," action )
//! kind          = value [ "(" value ")" ]
//! value         = 1*( lower-case letter / digit )
//! ```
//!
//! A name may have colons (`host:5000/app`), so kind ends at the first and the actions begin after
//! the last. The text limits actions to lower-case letters; registries use `*` and names such as
//! `metadata_read`, so any text without comma or colon is taken. Everything of another form
//! (`aws`, `*`) is *opaque*: kept, compared whole, never taken apart.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};

/// Permissions on named resources, as an operation needs them or a server asks for them.
///
/// The text form is canonical: resources in order without repeats, each with its actions in order
/// without repeats; opaque items last. Two sets that permit the same are equal.
///
/// A token request names the resource that was permitted first before the others, because some
/// token endpoints issue a token for the first resource only.
///
/// ```
/// use longshore_auth::ScopeSet;
///
/// let mount = ScopeSet::push("to/app").union(&ScopeSet::pull("from/app"));
/// assert_eq!(mount.to_string(), "repository:from/app:pull repository:to/app:pull,push");
/// assert!(mount.covers(&ScopeSet::parse("repository:to/app:push")));
/// assert!(!mount.covers(&ScopeSet::delete("to/app")));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeSet {
    resources: BTreeMap<Resource, BTreeSet<Box<str>>>,
    opaque: BTreeSet<Box<str>>,
    main: Main,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Resource {
    kind: Box<str>,
    name: Box<str>,
}

/// The resource that was permitted first. It decides the order in a token request and nothing else,
/// so sets that differ only in this are equal.
#[derive(Clone, Debug, Default)]
struct Main(Option<Resource>);

impl PartialEq for Main {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Main {}

impl PartialOrd for Main {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Main {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Main {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl ScopeSet {
    /// Makes the empty set, for a token that only identifies its user.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Makes the scope for reading from a repository.
    pub fn pull(repository: &str) -> Self {
        Self::repository(repository, &["pull"])
    }

    /// Makes the scope for writing to a repository, which includes reading from it.
    pub fn push(repository: &str) -> Self {
        Self::repository(repository, &["pull", "push"])
    }

    /// Makes the scope for deleting from a repository.
    pub fn delete(repository: &str) -> Self {
        Self::repository(repository, &["delete"])
    }

    /// Makes the scope for these actions on a repository.
    pub fn repository(name: &str, actions: &[&str]) -> Self {
        let mut set = Self::default();
        set.permit("repository", name, actions.iter().copied());
        set
    }

    /// Reads the value of a `scope` parameter; items of another form are kept as opaque.
    pub fn parse(text: &str) -> Self {
        let mut set = Self::default();
        for item in items(text) {
            match read_resource(item) {
                Some((kind, name, actions)) => set.permit(kind, name, actions.split(',')),
                None => {
                    set.opaque.insert(item.into());
                }
            }
        }
        set
    }

    /// Returns the permissions of both sets together. The main resource is that of `self`.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut set = self.clone();
        for (resource, actions) in &other.resources {
            let known = set.resources.entry(resource.clone()).or_default();
            known.extend(actions.iter().cloned());
        }
        set.opaque.extend(other.opaque.iter().cloned());
        set
    }

    /// Whether this set permits everything that the other permits.
    ///
    /// The action `*` on a resource covers every action on it. An opaque item is covered only by
    /// itself.
    pub fn covers(&self, other: &Self) -> bool {
        self.covers_resources_of(other) && other.opaque.is_subset(&self.opaque)
    }

    /// Whether the set permits nothing.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.opaque.is_empty()
    }

    /// Returns the scope text of a token request; `self` is what the operation needs (CR8).
    ///
    /// The text of the challenge of this request is used word for word if it asks for what is
    /// needed; needed resources that it does not name (the source of a mount) are appended. An
    /// opaque text is used only if the realm is `trusted`. Any other text asks for more than the
    /// operation needs, and is ignored.
    pub(crate) fn to_request(&self, challenged: &str, trusted: bool) -> String {
        let asked = Self::parse(challenged);
        if !self.covers_resources_of(&asked) || (!asked.opaque.is_empty() && !trusted) {
            return self.main_first();
        }
        // A registry may name only the access that this request needs. The requests that follow may
        // need more, and would be refused with such a token.
        if asked.has_fewer_actions_than(self) {
            return self.main_first();
        }
        if !asked.opaque.is_empty() {
            return challenged.to_owned();
        }
        let mut rest = self.clone();
        rest.resources
            .retain(|r, _| !asked.resources.contains_key(r));
        let items: Vec<_> = items(challenged).map(str::to_owned).collect();
        let rest = (!rest.is_empty()).then(|| rest.main_first());
        items.into_iter().chain(rest).collect::<Vec<_>>().join(" ")
    }

    /// The text with the main resource at the beginning.
    fn main_first(&self) -> String {
        let Some(main) = &self.main.0 else {
            return self.to_string();
        };
        let (mut first, mut others) = (Self::default(), self.clone());
        let main = others.resources.remove_entry(main);
        first.resources.extend(main);
        let sets = [first, others].map(|set| set.to_string());
        let texts: Vec<_> = sets.into_iter().filter(|text| !text.is_empty()).collect();
        texts.join(" ")
    }

    /// Whether a resource of both sets has fewer actions in this one.
    fn has_fewer_actions_than(&self, other: &Self) -> bool {
        self.resources.iter().any(|(resource, actions)| {
            let needed = other.resources.get(resource);
            needed.is_some_and(|needed| !actions.contains("*") && !needed.is_subset(actions))
        })
    }

    fn covers_resources_of(&self, other: &Self) -> bool {
        other.resources.iter().all(|(resource, actions)| {
            self.resources
                .get(resource)
                .is_some_and(|known| known.contains("*") || actions.is_subset(known))
        })
    }

    fn permit<'a>(&mut self, kind: &str, name: &str, actions: impl Iterator<Item = &'a str>) {
        let resource = Resource {
            kind: kind.into(),
            name: name.into(),
        };
        self.main.0.get_or_insert_with(|| resource.clone());
        let known = self.resources.entry(resource).or_default();
        known.extend(actions.map(Box::from));
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (Resource { kind, name }, actions) in &self.resources {
            write!(f, "{separator}{kind}:{name}")?;
            for (i, action) in actions.iter().enumerate() {
                f.write_str(if i == 0 { ":" } else { "," })?;
                f.write_str(action)?;
            }
            separator = " ";
        }
        for item in &self.opaque {
            write!(f, "{separator}{item}")?;
            separator = " ";
        }
        Ok(())
    }
}

/// The items of a scope text, each of which is one `scope` parameter of a token request.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|item| !item.is_empty())
}

fn read_resource(item: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = item.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let (value, class) = match kind.split_once('(') {
        Some((value, class)) => (value, class.strip_suffix(')')?),
        None => (kind, kind),
    };
    let is_value = |text: &str| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let is_resource = is_value(value)
        && is_value(class)
        && !name.is_empty()
        && actions.split(',').all(|action| !action.is_empty());
    is_resource.then_some((kind, name, actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_canonical() {
        canonical("", "");
        canonical("  ", "");
        canonical("repository:app:pull", "repository:app:pull");
        canonical("repository:app:push,pull,push", "repository:app:pull,push");
        canonical(
            "repository:b:pull repository:a:push repository:b:push repository:a:push",
            "repository:a:push repository:b:pull,push",
        );
        canonical(
            "repository:host:5000/team/app:pull",
            "repository:host:5000/team/app:pull",
        );
        canonical(
            "repository(plugin):app:pull repository:app:pull",
            "repository:app:pull repository(plugin):app:pull",
        );
        canonical("registry:catalog:*", "registry:catalog:*");
        canonical("repository:a:metadata_read", "repository:a:metadata_read");
    }

    #[test]
    fn what_has_another_form_is_opaque() {
        for item in [
            "aws",
            "*",
            "repository::pull",
            "repository:app",
            "repository:app:",
            "repository:app:pull,",
            "Repository:app:pull",
            ":app:pull",
            "repository(:app:pull",
            "repository():app:pull",
        ] {
            canonical(item, item);
            assert_eq!(ScopeSet::parse(item).opaque.len(), 1, "{item}");
        }
        canonical("aws repository:z:pull *", "repository:z:pull * aws");
    }

    fn canonical(text: &str, expected: &str) {
        let set = ScopeSet::parse(text);
        assert_eq!(set.to_string(), expected, "{text:?}");
        assert_eq!(ScopeSet::parse(expected), set, "{text:?}");
        assert_eq!(set.is_empty(), expected.is_empty());
    }

    #[test]
    fn each_operation_has_its_scope() {
        assert_eq!(ScopeSet::empty().to_string(), "");
        assert_eq!(ScopeSet::pull("a/b").to_string(), "repository:a/b:pull");
        assert_eq!(
            ScopeSet::push("a/b").to_string(),
            "repository:a/b:pull,push"
        );
        assert_eq!(ScopeSet::delete("a/b").to_string(), "repository:a/b:delete");
        assert_eq!(
            ScopeSet::push("a").union(&ScopeSet::pull("b")).to_string(),
            "repository:a:pull,push repository:b:pull"
        );
    }

    #[test]
    fn covering_is_by_resource_and_action() {
        covers("repository:a:pull,push", "repository:a:pull", true);
        covers("repository:a:pull", "repository:a:pull,push", false);
        covers("repository:a:pull", "repository:ab:pull", false);
        covers("repository:a:pull", "repository(plugin):a:pull", false);
        covers("repository:a:*", "repository:a:pull,push,delete", true);
        covers("repository:a:pull", "repository:a:*", false);
        covers("repository:a:pull aws", "aws", true);
        covers("repository:a:pull", "aws", false);
        covers("*", "repository:a:pull", false);
        covers("", "", true);
    }

    fn covers(one: &str, other: &str, expected: bool) {
        let covered = ScopeSet::parse(one).covers(&ScopeSet::parse(other));
        assert_eq!(covered, expected, "{one:?} covers {other:?}");
    }

    // CR8
    #[test]
    fn cr8_a_challenge_that_asks_no_more_is_taken_word_for_word() {
        let need = "repository:app:pull,push";
        requests(need, "repository:app:push,pull", "repository:app:push,pull");
        // A challenge that names less concerns only this request.
        requests(need, "repository:app:pull", need);
        requests(need, "", need);
        requests("", "", "");
        // The source of a mount is not in the challenge, which is about the target.
        requests(
            "repository:app:pull,push repository:source:pull",
            "repository:app:push,pull",
            "repository:app:push,pull repository:source:pull",
        );
    }

    #[test]
    fn the_resource_that_was_permitted_first_is_first_in_a_request() {
        let mount = ScopeSet::push("to").union(&ScopeSet::pull("from"));
        let text = "repository:to:pull,push repository:from:pull";
        assert_eq!(mount.to_request("", false), text);
        // This challenge asks for more, so it is ignored.
        assert_eq!(mount.to_request("repository:other:pull", false), text);
        let wanted = mount.to_request("repository:to:push,pull", false);
        assert_eq!(wanted, "repository:to:push,pull repository:from:pull");
        // The order does not affect equality.
        let sorted = ScopeSet::parse("repository:from:pull repository:to:pull,push");
        assert_eq!(mount, sorted);
        assert_eq!(mount.to_string(), sorted.to_string());
    }

    // CR8
    #[test]
    fn cr8_a_challenge_that_asks_for_more_is_ignored() {
        let need = "repository:app:pull";
        requests(need, "repository:app:pull,push", need);
        requests(need, "repository:app:*", need);
        requests(need, "repository:other:pull", need);
        requests(need, "repository:app:pull repository:other:pull", need);
        requests(need, "registry:catalog:*", need);
        requests("", "repository:app:pull", "");
    }

    // CR8
    #[test]
    fn cr8_an_opaque_scope_is_taken_from_a_trusted_realm_only() {
        let need = ScopeSet::pull("app");
        let plain = "repository:app:pull";
        for (challenged, trusted, expected) in [
            ("aws", true, "aws"),
            ("*", true, "*"),
            ("aws", false, plain),
            ("*", false, plain),
            ("repository:app:pull aws", true, "repository:app:pull aws"),
            ("repository:app:pull aws", false, plain),
            ("aws repository:other:pull", true, plain),
        ] {
            assert_eq!(need.to_request(challenged, trusted), expected);
        }
    }

    fn requests(need: &str, challenged: &str, expected: &str) {
        for trusted in [true, false] {
            let text = ScopeSet::parse(need).to_request(challenged, trusted);
            assert_eq!(text, expected, "{need:?} challenged with {challenged:?}");
        }
    }
}
