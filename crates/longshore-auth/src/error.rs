//! Why a call cannot be authenticated.

use std::error::Error;
use std::sync::Arc;

use longshore_origin::{Escaped, Origin};

use crate::exchange::saying;
use crate::{
    CredentialError, ExchangeError, Fault, RealmError, RealmRefused, TOKEN_REQUESTS_LIMIT,
    TokenServerText,
};

/// Why a call cannot be authenticated.
///
/// It is final for its call: the same call fails with it again, without another request (CR7).
/// Variants are sorted by who must act: the user, the registry's owner, the network. Several calls
/// may have waited for one token request, so it can be cloned. It holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The user's credentials cannot be written into a request.
    #[error("the credentials for {registry} cannot be sent")]
    Credential {
        /// The registry they are for.
        registry: Origin,
        /// What is wrong with them.
        source: CredentialError,
    },
    /// Credentials are required, and there are none: anonymous access was refused.
    #[error(
        "{registry} requires credentials, and there are none for it{}",
        saying(.said)
    )]
    CredentialsRequired {
        /// The registry.
        registry: Origin,
        /// The message of the token endpoint, if the token endpoint refused access.
        said: Option<TokenServerText>,
    },
    /// Credentials were sent and not accepted. Registries give the same answer for something that
    /// does not exist.
    #[error("{by} does not accept the credentials for {registry}{}", saying(.said))]
    CredentialsRefused {
        /// The registry they are for.
        registry: Origin,
        /// Who refused them: the registry, or its token endpoint.
        by: Origin,
        /// The message of the token endpoint.
        said: Option<TokenServerText>,
    },
    /// There are credentials, but not of the kind the challenge asks for.
    #[error(
        "the credentials for {registry} are not of the kind that its {scheme} challenge requires"
    )]
    CredentialsUnfit {
        /// The registry.
        registry: Origin,
        /// The scheme of the challenge.
        scheme: &'static str,
    },
    /// Secrets would have been sent without encryption (CR4).
    /// [`RegistrySettings::plain_http`](crate::RegistrySettings::plain_http) permits this.
    #[error("no secrets are sent to {origin}, which is not encrypted")]
    Insecure {
        /// The origin to which the secrets would have been sent.
        origin: Origin,
    },
    /// The realm in the challenge is not trusted with credentials, or not contacted at all.
    #[error(transparent)]
    RealmRefused(Box<RealmRefused>),
    /// A token was issued for the credentials and then not accepted.
    #[error("{registry} does not accept a token issued for the credentials{}", describe(.error))]
    TokenRefused {
        /// The registry.
        registry: Origin,
        /// The `error` parameter of its challenge, RFC 6750 §3.1, such as `insufficient_scope`.
        error: Option<Box<str>>,
    },
    /// An origin that the registry redirected to requires credentials (CR5: it gets none).
    #[error(
        "{origin}, to which {registry} redirected, requires credentials, and none are sent there"
    )]
    Foreign {
        /// The origin that requires them.
        origin: Origin,
        /// The registry.
        registry: Origin,
    },
    /// A Bearer challenge names no token endpoint.
    #[error("the Bearer challenge of {registry} has no realm, so there is no token endpoint")]
    NoRealm {
        /// The registry.
        registry: Origin,
    },
    /// A token was requested for a registry that requires a password instead.
    #[error("{registry} requires a password, not a token")]
    NoToken {
        /// The registry.
        registry: Origin,
    },
    /// The registry says that a token expired, but nothing was sent that can be renewed.
    #[error("{registry} says that a token expired, but nothing was sent that can be renewed")]
    NotRenewable {
        /// The registry.
        registry: Origin,
    },
    /// A 401 has neither a Bearer nor a Basic challenge.
    #[error(
        "{registry} answers 401 without a usable challenge ({})",
        offered(.schemes, .fault)
    )]
    NoUsableChallenge {
        /// The registry.
        registry: Origin,
        /// The schemes of its challenges.
        schemes: Box<[Box<str>]>,
        /// Why a challenge cannot be read, if there is an unreadable one.
        fault: Option<Fault>,
    },
    /// One call would need more token requests than [`TOKEN_REQUESTS_LIMIT`] (CR7).
    #[error("{registry} requires more than {TOKEN_REQUESTS_LIMIT} token requests for one call")]
    TooManyTokens {
        /// The registry.
        registry: Origin,
    },
    /// The realm in the challenge is not the URL of a token endpoint (RE1).
    #[error("the token endpoint that {registry} names cannot be used")]
    Realm {
        /// The registry.
        registry: Origin,
        /// What is wrong with the realm.
        source: RealmError,
    },
    /// The token endpoint answered, but issued no token.
    #[error("the token endpoint {realm} issued no token")]
    Exchange {
        /// The token endpoint.
        realm: Origin,
        /// Why there is no token.
        source: ExchangeError,
    },
    /// The token endpoint gave no answer.
    #[error("no answer from the token endpoint {realm}")]
    Unreachable {
        /// The token endpoint.
        realm: Origin,
        /// What the transport reported.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl AuthError {
    /// Makes the error of a token endpoint that gave no answer.
    pub fn unreachable(realm: Origin, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable {
            realm,
            source: source.into().into(),
        }
    }
}

impl AuthError {
    /// Adds the message of the token endpoint to the variants that have a field for it.
    pub(crate) fn with_text(mut self, text: Option<TokenServerText>) -> Self {
        if let Self::CredentialsRequired { said, .. }
        | Self::CredentialsRefused { said, .. }
        | Self::Exchange {
            source: ExchangeError::Status { said, .. },
            ..
        } = &mut self
        {
            *said = text;
        }
        self
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
        Some(fault) => format!("malformed: {fault}"),
        None => "there is none".to_owned(),
    }
}
