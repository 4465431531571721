//! Passwords, tokens and keys.

use std::fmt;
use std::hash::{Hash, Hasher};

use zeroize::Zeroizing;

/// A password, token or key: kept out of every log and wiped when dropped (OU3).
///
/// It has no `Display`, and its `Debug` prints `[redacted]`; [`expose`](Self::expose) is the only
/// access to the text. Comparing takes time that depends on the content: compare a secret only with
/// other secrets of the same user, as a cache key does, never with text from a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over the text; nothing of it remains elsewhere unless the caller kept a copy.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // OU3
    #[test]
    fn ou3_debug_shows_nothing_of_a_secret() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "[redacted] Some(\n    [redacted],\n)"
        );
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(secret, secret.clone());
        assert_ne!(secret, Secret::new("hunter3".into()));
    }
}
