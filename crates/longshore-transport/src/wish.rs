//! What a request asks of the transport: values in its extensions, never sent.

use std::sync::Arc;

/// Names the TLS setting a request is to be sent with: roots, client certificate, verification.
///
/// The settings themselves belong to the transport; this is only their name, so that pools can
/// keep connections of different settings apart. The default names the transport's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsIdentity(Option<Arc<str>>);

impl TlsIdentity {
    /// The setting of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Some(Arc::from(name)))
    }

    /// The setting's name; `None` is the transport's default.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Which kind of exchange is coming, for transports that can choose a protocol by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WireWish {
    /// A large body is expected: a connection of its own serves best.
    Bulk,
    /// A small exchange: sharing a connection with others is fine.
    #[default]
    Small,
}
