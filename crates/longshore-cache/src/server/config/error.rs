//! The errors of a configuration.

use std::fmt;

use longshore_origin::Escaped;

use super::node::Place;

/// All faults of a configuration.
///
/// `Display` writes one line for each fault: the place, the key, what is wrong, and what to do.
/// Only names of keys, and values that cannot be secrets, are repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<ConfigFault>,
}

impl ConfigError {
    pub(super) fn new(mut faults: Vec<ConfigFault>) -> Self {
        faults.sort_by_key(|fault| fault.place.line());
        Self { faults }
    }

    /// Returns the faults, at least one: those of options and variables, then those of the file by
    /// line.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    place: Place,
    key: String,
    what: String,
}

impl ConfigFault {
    pub(super) fn new(place: Place, key: &str, what: impl Into<String>) -> Self {
        let key = key.to_owned();
        let what = what.into();
        Self { place, key, what }
    }

    /// Returns the place of the fault.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the key, such as `serve.store.size` or `serve.upstream[1].url`, counted from 1.
    /// Empty if the file as a whole is wrong.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place != Place::Default {
            write!(f, "{}: ", self.place)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", Escaped::text(&self.key))?;
        }
        // The text may contain parts of the configuration (OU1).
        Escaped::text(&self.what).fmt(f)
    }
}
