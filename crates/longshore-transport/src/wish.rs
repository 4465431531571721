//! Instructions of a request to the transport: values in the request's extensions, which are never
//! sent.

use std::sync::Arc;

use http::Request;
use http::header::AUTHORIZATION;

/// Whether a request carries a secret: in a header, in its body, or in the query of its URI.
///
/// The value stands in the request's extensions. A request without it counts as secret: if a caller
/// forgets to set it, the request may be refused but no secret is exposed (CR4: no secret travels
/// in the clear, except to a registry that is configured so or is on this machine).
///
/// ```
/// use longshore_transport::Sensitivity;
///
/// let mut request = http::Request::new(());
/// assert_eq!(Sensitivity::of(&request), Sensitivity::Secret);
/// request.extensions_mut().insert(Sensitivity::Plain);
/// assert_eq!(Sensitivity::of(&request), Sensitivity::Plain);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a request carries a secret or it does not"
)]
pub enum Sensitivity {
    /// Anybody may read the request.
    Plain,
    /// Only the origin of the request may read it.
    #[default]
    Secret,
}

impl Sensitivity {
    /// Returns the sensitivity that the request declares; `Secret` if it declares none.
    ///
    /// A request with an `Authorization` header is always secret.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        if request.headers().contains_key(AUTHORIZATION) {
            return Self::Secret;
        }
        let stated = request.extensions().get().copied();
        stated.unwrap_or_default()
    }
}

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

/// Whether a request may use a connection that has already served another request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionWish {
    /// The request may use any connection.
    #[default]
    Any,
    /// The request requires a new connection, because an idle one turned out to be closed (RT5).
    New,
}
