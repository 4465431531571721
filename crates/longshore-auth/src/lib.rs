//! Registry authentication without I/O: challenges, scopes, tokens and the machine that answers a
//! 401.
//!
//! It reads every form of `WWW-Authenticate` ([`Challenge`]), the scopes of tokens ([`ScopeSet`])
//! and the answers of token endpoints ([`Issued`]), keeps tokens ([`TokenTable`]), and decides
//! which request carries which secret ([`Authenticator`]): to which token endpoint credentials may
//! go, by POST or by GET, when a token is renewed, when a token request is retried
//! ([`TokenExchange`]), when a refusal is final, and what is left to try when a challenge cannot be
//! used.
//!
//! It leaves to the caller: sending requests, the clock, finding the user's credentials
//! ([`Prepare::Lookup`]), the public suffix list ([`PublicSuffixes`]), the waits between retries
//! ([`RetryRule`]), and letting only one task at a time request the same token.
//!
//! **Invariant.** Nothing here awaits or touches a socket, a file, the clock, the environment or a
//! random number. [`Authenticator::prepare`] is the only function that attaches a secret to a
//! request for a registry, and [`Authenticator::begin`] the only one that does so for a token
//! endpoint. No secret passes from one origin to another. Tokens are never decoded.
//!
//! # The loop
//!
//! A driver only performs the actions that it gets; it decides nothing. The driver below calls a
//! simulated registry of a few lines. A real driver awaits a request instead, and unlocks the
//! authenticator before it waits.
//!
//! ```
//! use std::time::Duration;
//!
//! use http::{Request, Response, header};
//! use longshore_auth::{
//!     AuthCall, AuthError, Authenticator, Credential, ExchangeAction, ExchangeEvent, Issued,
//!     Prepare, ScopeSet, TokenExchange,
//! };
//! use longshore_origin::{Hop, Peer, Secret};
//!
//! fn get(
//!     auth: &mut Authenticator,
//!     hop: &Hop,
//!     need: &ScopeSet,
//!     now: Duration,
//! ) -> Result<Response<&'static str>, AuthError> {
//!     let mut call = AuthCall::new();
//!     loop {
//!         let prepared = auth.prepare(&mut call, hop, need, now)?;
//!         let authorization = match prepared {
//!             Prepare::Anonymous => None,
//!             Prepare::Attach(authorization) => Some(authorization),
//!             Prepare::Lookup(registry) => {
//!                 // From a file or a helper; an error there ends the call.
//!                 call.provide(&registry, find_credentials(registry.host()));
//!                 continue;
//!             }
//!             Prepare::Fetch(key) => {
//!                 // One at a time for each key: a lock on `key` is held from here to `finish`.
//!                 if let Some(exchange) = auth.begin(&mut call, &key, now)? {
//!                     let issued = get_token(exchange, now);
//!                     auth.finish(&mut call, key, issued, now)?;
//!                 }
//!                 continue;
//!             }
//!         };
//!         let mut request = Request::get(hop.uri()).body(Vec::new()).expect("a valid head");
//!         if let Some(value) = authorization.as_ref().and_then(|a| a.header(hop)) {
//!             request.headers_mut().insert(header::AUTHORIZATION, value.clone());
//!         }
//!         let (head, body) = send(request).into_parts();
//!         if head.status != 401 {
//!             return Ok(Response::from_parts(head, body));
//!         }
//!         let peer = head.extensions.get::<Peer>().copied().unwrap_or_default();
//!         auth.refused(&mut call, hop, &head, peer)?;
//!     }
//! }
//!
//! fn get_token(mut exchange: TokenExchange, now: Duration) -> Result<Issued, AuthError> {
//!     let mut action = exchange.start(now);
//!     let mut answer = None;
//!     loop {
//!         let event = match action {
//!             ExchangeAction::Send => {
//!                 let request = exchange.request().map(|body| body.to_vec());
//!                 let (head, body) = send(request).into_parts();
//!                 let (head, _) = answer.insert((head, body));
//!                 let peer = head.extensions.get::<Peer>().copied().unwrap_or_default();
//!                 ExchangeEvent::Head(head, peer)
//!             }
//!             ExchangeAction::Collect { limit } => match &answer {
//!                 Some((_, body)) if body.len() <= limit => ExchangeEvent::Body(body.as_bytes()),
//!                 _ => ExchangeEvent::BodyTooLarge,
//!             },
//!             // Only with `TokenExchange::with_retries`.
//!             ExchangeAction::Wait(_) => ExchangeEvent::Waited,
//!             ExchangeAction::Finish(issued) => return issued,
//!         };
//!         // The current time, and random bits.
//!         action = exchange.on(event, now, 0);
//!     }
//! }
//!
//! fn find_credentials(host: &str) -> Option<Credential> {
//!     let password = Secret::new("open sesame".into());
//!     (host == "r.example").then(|| Credential::basic("aladdin", password).expect("no colon"))
//! }
//!
//! fn send(request: Request<Vec<u8>>) -> Response<&'static str> {
//!     let authorization = request.headers().get(header::AUTHORIZATION);
//!     let authorization = authorization.map(|value| value.to_str().expect("ASCII"));
//!     let response = Response::builder();
//!     match (request.uri().path(), authorization) {
//!         ("/token", Some("Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==")) => {
//!             response.body(r#"{"token":"t1","expires_in":300}"#)
//!         }
//!         ("/v2/app/manifests/1", Some("Bearer t1")) => response.body("{}"),
//!         _ => {
//!             let challenge = r#"Bearer realm="https://r.example/token",service="r.example""#;
//!             response.status(401).header(header::WWW_AUTHENTICATE, challenge).body("")
//!         }
//!     }
//!     .expect("a valid head")
//! }
//!
//! let hop = Hop::first("https://r.example".parse()?, "/v2/app/manifests/1")?;
//! let mut auth = Authenticator::new();
//! let response = get(&mut auth, &hop, &ScopeSet::pull("app"), Duration::ZERO)?;
//! assert_eq!(*response.body(), "{}");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Ids such as RT1 name the rules in the project's `RULES.md`.

mod authenticator;
mod challenge;
mod credential;
mod error;
mod exchange;
mod key;
mod realm;
mod scope;
mod table;
mod token;
mod wiped;

pub use authenticator::{
    AuthCall, Authenticator, Prepare, REFUSED_TOKENS_LIMIT, TOKEN_REQUESTS_LIMIT,
};
pub use challenge::{
    CHALLENGES_LIMIT, CHALLENGES_LIMIT_BYTES, Challenge, Challenges, Fault, FaultKind, Params,
};
pub use credential::{Authorization, Credential, CredentialError};
pub use error::AuthError;
pub use exchange::{
    ExchangeAction, ExchangeError, ExchangeEvent, RetryRule, TOKEN_EXCHANGE_LIMIT,
    TOKEN_REDIRECTS_LIMIT, TokenExchange, TokenServerText,
};
pub use key::TokenKey;
pub use realm::{
    BUILT_IN_REALMS, PublicSuffixes, Realm, RealmError, RealmReason, RealmRefused, RealmRemedy,
    RealmRule, RegistrySettings,
};
pub use scope::ScopeSet;
pub use table::TokenTable;
pub use token::{
    Issued, LIFETIME_FLOOR, LIFETIME_LIMIT, TOKEN_LIMIT_BYTES, TOKEN_RESPONSE_LIMIT_BYTES, Token,
    TokenError,
};
