//! Registry authentication without I/O: challenges, scopes, tokens and the machine that answers a 401.

mod authenticator;
mod cache;
mod challenge;
mod credential;
mod error;
mod exchange;
mod realm;
mod scope;
mod token;

pub use authenticator::{
    AuthCall, Authenticator, Prepare, REFUSED_TOKENS_LIMIT, RENEWALS_LIMIT, TOKEN_REQUESTS_LIMIT,
};
pub use cache::{TokenCache, TokenKey};
pub use challenge::{
    CHALLENGES_LIMIT, CHALLENGES_LIMIT_BYTES, Challenge, Challenges, Fault, FaultKind, Params,
};
pub use credential::{Authorization, Credential, CredentialError};
pub use error::AuthError;
pub use exchange::{ExchangeError, ExchangeStep, TOKEN_REDIRECTS_LIMIT, TokenExchange};
pub use realm::{
    BUILT_IN_REALMS, PublicSuffixes, Realm, RealmError, RealmReason, RealmRefused, RealmRule,
    RegistrySettings,
};
pub use scope::ScopeSet;
pub use token::{
    Issued, LIFETIME_FLOOR, LIFETIME_LIMIT, TOKEN_LIMIT_BYTES, TOKEN_RESPONSE_LIMIT_BYTES, Token,
    TokenError,
};
