//! Why a call cannot be authenticated.

use std::error::Error;
use std::sync::Arc;

use longshore_origin::{Escaped, Origin};

use crate::{CredentialError, ExchangeError, Fault, RealmError, RealmRefused};

/// Why a call cannot be authenticated.
///
/// Final for the call it is given to: the same call fails with it again, without another request
/// (CR7). Variants are sorted by who must act: the user, the registry's owner, the network.
/// Cheap enough to clone, since several calls may have waited for one token request. Holds no
/// secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The credentials of the user cannot be put into a request.
    #[error("the credentials for {registry} cannot be sent")]
    Credential {
        /// The registry they are for.
        registry: Origin,
        /// What is wrong with them.
        source: CredentialError,
    },
    /// Credentials are wanted, and there are none: what could be had anonymously was not enough.
    #[error("{registry} gives no access without credentials, and there are none for it")]
    CredentialsRequired {
        /// The registry.
        registry: Origin,
    },
    /// Credentials were shown and not accepted. Registries say the same of something that does not
    /// exist.
    #[error("{by} does not accept the credentials for {registry}")]
    CredentialsRefused {
        /// The registry they are for.
        registry: Origin,
        /// Who refused them: the registry, or its token endpoint.
        by: Origin,
    },
    /// There are credentials, but not of the kind the challenge asks for.
    #[error("the credentials for {registry} are of no use for its {scheme} challenge")]
    CredentialsUnfit {
        /// The registry.
        registry: Origin,
        /// The scheme asked for.
        scheme: &'static str,
    },
    /// Secrets would have gone over a connection anybody can read (CR4).
    #[error("no secrets are sent to {origin}, which is not encrypted (allow it with --plain-http)")]
    Insecure {
        /// Where they would have gone.
        origin: Origin,
    },
    /// The realm in the challenge is not trusted with credentials, or not asked at all.
    #[error(transparent)]
    RealmRefused(Box<RealmRefused>),
    /// A token was issued for credentials and then not accepted (F27).
    #[error("{registry} does not accept a token issued for the credentials{}", describe(.error))]
    TokenRefused {
        /// The registry.
        registry: Origin,
        /// The `error` parameter of its challenge, RFC 6750 §3.1, such as `insufficient_scope`.
        error: Option<Box<str>>,
    },
    /// Somebody the registry sent us to wants credentials (CR5).
    #[error("{origin}, where {registry} sent us, wants credentials, and gets none")]
    Foreign {
        /// Who wants them.
        origin: Origin,
        /// The registry.
        registry: Origin,
    },
    /// A Bearer challenge does not say where tokens are got (F14).
    #[error(
        "{registry} wants a token but does not say where to get it (no realm in its challenge)"
    )]
    NoRealm {
        /// The registry.
        registry: Origin,
    },
    /// A token is wanted of a registry that asks for a password, and so issues none.
    #[error("{registry} asks for a password, and not for a token")]
    NoToken {
        /// The registry.
        registry: Origin,
    },
    /// A 401 has neither a Bearer nor a Basic challenge.
    #[error(
        "{registry} answers 401 without a challenge that can be met ({})",
        offered(.schemes, .fault)
    )]
    NoUsableChallenge {
        /// The registry.
        registry: Origin,
        /// The schemes it offers instead.
        schemes: Box<[Box<str>]>,
        /// What of its challenges cannot be read.
        fault: Option<Fault>,
    },
    /// One call has been sent after more tokens than it may have (CR7).
    #[error("{registry} asks for one token after the other")]
    TooManyTokens {
        /// Who asks for them.
        registry: Origin,
    },
    /// The realm in the challenge is no URL to ask at (RE1).
    #[error("{registry} wants a token from nowhere")]
    Realm {
        /// The registry.
        registry: Origin,
        /// What is wrong with the realm.
        source: RealmError,
    },
    /// The token endpoint gave an answer, but no token.
    #[error("{realm} issues no token")]
    Exchange {
        /// The token endpoint.
        realm: Origin,
        /// What it answered.
        source: ExchangeError,
    },
    /// The token endpoint gave no answer.
    #[error("{realm} could not be asked for a token")]
    Unreachable {
        /// The token endpoint.
        realm: Origin,
        /// What the transport says.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl AuthError {
    /// What a driver says when it could not get an answer from the token endpoint.
    pub fn unreachable(realm: Origin, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable {
            realm,
            source: source.into().into(),
        }
    }
}

impl From<RealmRefused> for AuthError {
    fn from(refused: RealmRefused) -> Self {
        Self::RealmRefused(refused.into())
    }
}

fn describe(error: &Option<Box<str>>) -> String {
    let error = error.as_deref();
    error.map_or_else(String::new, |e| format!(" ({})", Escaped::text(e)))
}

fn offered(schemes: &[Box<str>], fault: &Option<Fault>) -> String {
    match fault {
        _ if !schemes.is_empty() => format!("it offers {}", Escaped::text(&schemes.join(", "))),
        Some(fault) => format!("what it sends cannot be read: {fault}"),
        None => "it sends none".to_owned(),
    }
}
