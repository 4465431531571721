//! One host of a registry: the registry itself or a mirror.

use std::fmt::{self, Write as _};

use longshore_model::RepositoryName;
use longshore_origin::{AllowAddresses, Origin};

use crate::Quirks;

/// A registry or a mirror of it: where its API begins, and its peculiarities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    origin: Origin,
    base: String,
    prefix: Option<RepositoryName>,
    allow: AllowAddresses,
    quirks: Quirks,
}

impl Host {
    /// A host whose API begins at `/v2/` and which knows repositories by their own names.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            base: String::new(),
            prefix: None,
            allow: AllowAddresses::default(),
            quirks: Quirks::default(),
        }
    }

    /// The API begins below this path: `/registry` for `/registry/v2/…`. A trailing slash is
    /// dropped.
    #[must_use]
    pub fn with_base(mut self, base: &str) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    /// The host keeps every repository below this name, like a cache of many registries.
    #[must_use]
    pub fn with_prefix(mut self, prefix: RepositoryName) -> Self {
        self.prefix = Some(prefix);
        self
    }

    /// Addresses that redirects of this host may lead to although they are of a narrower class
    /// (RD2).
    #[must_use]
    pub fn with_allowed(mut self, allow: AllowAddresses) -> Self {
        self.allow = allow;
        self
    }

    /// What this host does differently.
    #[must_use]
    pub fn with_quirks(mut self, quirks: Quirks) -> Self {
        self.quirks = quirks;
        self
    }

    /// Where requests go first.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What this host does differently.
    #[must_use]
    pub const fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    pub(crate) const fn allowed(&self) -> &AllowAddresses {
        &self.allow
    }

    /// The path of a request: base, `/v2/`, and where it is about a repository the prefix, the
    /// repository's name and the rest.
    pub(crate) fn path(&self, name: Option<&RepositoryName>, rest: fmt::Arguments<'_>) -> String {
        let prefix = self.prefix.iter().filter(|_| name.is_some());
        path(&self.base, prefix.chain(name), rest)
    }

    /// The repository's name as this host knows it: with its prefix.
    pub(crate) fn name_here(&self, name: &RepositoryName) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.as_str().to_owned(),
        }
    }
}

/// The path of a request to an API that begins below `base`: `/v2/`, the names and the rest.
pub(crate) fn path<'a>(
    base: &str,
    names: impl IntoIterator<Item = &'a RepositoryName>,
    rest: fmt::Arguments<'_>,
) -> String {
    let mut path = format!("{base}/v2/");
    for name in names {
        path.push_str(name.as_str());
        path.push('/');
    }
    // Writing to a String cannot fail.
    let _ = path.write_fmt(rest);
    path
}
