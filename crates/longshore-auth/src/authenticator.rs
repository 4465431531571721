//! Who may say what to which origin: the machine that answers a 401.
//!
//! An [`Authenticator`] serves one client, an [`AuthCall`] one logical call: a request with all its
//! redirects, retries and repetitions. The driver calls [`prepare`](Authenticator::prepare) before
//! every send and [`refused`](Authenticator::refused) after every 401; nothing else changes the
//! state. The answers of `prepare`, by the state of the call at its registry:
//!
//! ```text
//! unasked ─┬─ at home, the user gave a token ───────────────────────────────────► Attach
//!          ├─ at home, tokens are required: Lookup, then a valid token is kept ──► Attach
//!          │                                        or an expired one is ────────► Fetch
//!          │                                        or the call has a body ──────► Fetch
//!          ├─ at home, Basic is required: Lookup, then a password ───────────────► Attach
//!          └─ otherwise, and always on a foreign hop ────────────────────────────► Anonymous
//! bearer ──┬─ Lookup (at home only), then a token of this call, or a kept one ───► Attach
//!          └─ otherwise ─────────────────────────────────────────────────────────► Fetch
//! basic ───── Lookup, then a password ───────────────────────────────────────────► Attach
//! failed ──── the same error as before; nothing more is sent
//! ```
//!
//! The transitions between the states:
//!
//! ```text
//! unasked ─┬─ 401, Bearer ────────────────────────────────────────────► bearer
//!          ├─ 401, Basic, at home ────────────────────────────────────► basic
//!          ├─ 401, no Bearer, to a secret sent without a challenge ───► unasked, sending none
//!          ├─ 401 without a challenge, at home ───────────────────────► as required before
//!          └─ 401 otherwise ──────────────────────────────────────────► failed
//! bearer ──┬─ 401 to a token this challenge did not ask for ──────────► bearer (one handshake)
//!          ├─ 401, 403 invalid_token, insufficient_scope ─────────────► bearer (one renewal, CR7)
//!          ├─ 400, 403 that says that the token expired ──────────────► bearer (the same renewal)
//!          ├─ 401, Basic alone, and there is a password ──────────────► basic
//!          └─ 401 otherwise; third refused token; no requests left ───► failed
//! basic ───┬─ 401, Bearer ────────────────────────────────────────────► bearer
//!          └─ 401 otherwise; the password was sent before ────────────► failed
//! any ─────── a renewable credential is refused, once (CR7) ──────────► as before, with Lookup
//! Fetch ───┬─ begin: there is a token by now, or 2xx and finish ──────► as before, with a token
//!          ├─ POST refused, one token request left (CR7) ─────────────► as before; Fetch is by GET
//!          ├─ no answer, another realm issued tokens before ──────────► as before; Fetch from that
//!          ├─ 401, 403 of the token endpoint (CR7) ───────────────────► failed
//!          ├─ other failure, a challenge asked for the token ─────────► failed
//!          └─ other failure, before any challenge ────────────────────► unasked, sending none
//! ```
//!
//! Apart from the tokens, which are in the [`TokenTable`] or nowhere, three facts about a registry
//! are kept from one call to the next. They decide what is tried, never who gets a secret:
//!
//! - what it required last. With a token table it is sent without waiting for a challenge; without
//!   one it only explains a 401 that has no challenge;
//! - the realm that issued a token last. A later challenge may name one that must not be contacted
//!   (RE1–RE4) or cannot be reached, by mistake or by malice. Then the earlier realm is used;
//! - which realms refuse POST.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use http::response::Parts;
use longshore_origin::{Hop, Origin, Peer};

use self::call::{Answer, BearerAnswer, Sent, Visit};
use self::offer::Offer;
use crate::table::Cached;
use crate::{
    AuthError, Authorization, Issued, PublicSuffixes, Realm, RegistrySettings, ScopeSet, Token,
    TokenExchange, TokenKey, TokenTable,
};

pub use self::call::{AuthCall, REFUSED_TOKENS_LIMIT, TOKEN_REQUESTS_LIMIT};

mod call;
mod fetch;
mod offer;
mod prepare;
mod refused;

/// Decides which request carries which secret.
///
/// No method waits or takes long, so an authenticator can be kept in a `std::sync::Mutex` that is
/// locked for one method at a time. Time is a duration since a start of the caller's choice.
///
/// Without a [`TokenTable`] every call fetches its own token. With one, fewer requests are sent,
/// and the results are the same.
///
/// See the [crate documentation](crate) for the loop that drives it.
#[derive(Default)]
pub struct Authenticator {
    tokens: Option<TokenTable>,
    suffixes: Option<Arc<dyn PublicSuffixes>>,
    settings: HashMap<Origin, RegistrySettings>,
    default_settings: RegistrySettings,
    /// The authentication that each registry required last, so that the next call can send it
    /// without a 401 first.
    habits: HashMap<Origin, Answer>,
    /// The realms that issued tokens for registries last time.
    issuers: HashMap<Origin, Arc<BearerAnswer>>,
    /// Realms that refuse POST.
    get_only: HashSet<Realm>,
    failures: HashMap<TokenKey, Failure>,
    /// Number of token requests that have ended.
    exchanges: u64,
}

/// What to do before a request is sent.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "closed: a driver must do every one of these"
)]
pub enum Prepare {
    /// Send it without an `Authorization` field.
    Anonymous,
    /// Send it with this `Authorization` field.
    Attach(Authorization),
    /// Find the user's credentials for this registry, give them to [`AuthCall::provide`], and
    /// prepare again.
    Lookup(Origin),
    /// Get a token for this key ([`Authenticator::begin`]), and prepare again.
    Fetch(TokenKey),
}

/// A failed token request, and how many had ended before.
struct Failure {
    exchange: u64,
    error: AuthError,
}

impl Authenticator {
    /// Makes an authenticator that keeps no tokens and knows no registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps tokens in this table, which other authenticators may share.
    #[must_use]
    pub fn with_tokens(self, tokens: TokenTable) -> Self {
        Self {
            tokens: Some(tokens),
            ..self
        }
    }

    /// Lets credentials go to token endpoints of the registry's own registrable domain (RE4).
    ///
    /// Without a list that rule does not apply; same origin, same host and pairs do.
    #[must_use]
    pub fn with_public_suffixes(self, suffixes: Arc<dyn PublicSuffixes>) -> Self {
        Self {
            suffixes: Some(suffixes),
            ..self
        }
    }

    /// Sets the user's settings for one registry, in place of earlier ones.
    pub fn configure(&mut self, registry: Origin, settings: RegistrySettings) {
        self.settings.insert(registry, settings);
    }

    /// Whether this registry has sent a challenge before that could be answered.
    pub fn is_challenged_by(&self, registry: &Origin) -> bool {
        self.habits.contains_key(registry)
    }

    /// Decides which secret goes with the next request of a call, if any.
    ///
    /// This is the only function that attaches a secret to a request for a registry. It decides by
    /// the hop: a hop that is not home gets no secret except a token that was issued without
    /// credentials (CR1, CR5, RD1). `need` is the access that the request needs; it is kept for the
    /// 401 that may follow.
    ///
    /// # Errors
    ///
    /// The error with which the call failed before; [`AuthError::CredentialsRequired`],
    /// [`AuthError::CredentialsUnfit`], [`AuthError::Credential`] and [`AuthError::Insecure`] when
    /// the challenge cannot be answered.
    pub fn prepare(
        &self,
        call: &mut AuthCall,
        hop: &Hop,
        need: &ScopeSet,
        now: Duration,
    ) -> Result<Prepare, AuthError> {
        let token_first = call.token_first;
        let visit = call.visit(hop.home());
        visit.check()?;
        visit.joined.get_or_insert(self.exchanges);
        visit.need = need.clone();
        visit.sent = Sent::Nothing;
        let prepared = match visit.answer_to(hop) {
            None => self.unasked(visit, hop, now, token_first),
            Some(Answer::Basic) => self.basic(visit, hop),
            Some(Answer::Bearer(answer)) => self.bearer(visit, hop, &answer, now),
        };
        prepared.map_err(|error| visit.fail(error))
    }

    /// Learns from a 401, or from a 403 that asks for a token that covers more (RFC 6750 §3.1).
    ///
    /// # Errors
    ///
    /// Any [`AuthError`] when the answer is final; the call has then failed.
    pub fn refused(
        &mut self,
        call: &mut AuthCall,
        hop: &Hop,
        head: &Parts,
        peer: Peer,
    ) -> Result<(), AuthError> {
        let visit = call.visit(hop.home());
        visit.check()?;
        let fields = head.headers.get_all(WWW_AUTHENTICATE).iter();
        let offer = Offer::read(hop, fields.map(HeaderValue::as_bytes));
        let answer = self
            .discard_refused_secret(visit, hop, &offer)
            .and_then(|guessed| self.choose(hop, offer, guessed, peer));
        match answer {
            Ok(Some(answer)) => visit.challenge(hop, answer),
            Ok(None) => visit.stop_guessing(),
            Err(error) => return Err(visit.fail(error)),
        }
        Ok(())
    }

    /// Records that the registry refused the token of the last request as expired, in an answer
    /// other than a 401: some registries say so in the body of a 400 or 403 (CR7).
    ///
    /// The token is discarded as after a 401 with the error `invalid_token`, and the call may send
    /// the request again: with another token if the registry asked for one before, or else without
    /// a token, to get a challenge. Both cases share one budget of renewals. A renewable credential
    /// that was sent directly is looked up once more ([`AuthCall::provide_renewable`]).
    ///
    /// # Errors
    ///
    /// [`AuthError::NotRenewable`] when nothing was sent that can be renewed; this does not change
    /// the call. When no renewal is left, the error of a refused token; the call
    /// has then failed.
    pub fn expired(&self, call: &mut AuthCall, hop: &Hop) -> Result<(), AuthError> {
        let visit = call.visit(hop.home());
        visit.check()?;
        match std::mem::take(&mut visit.sent) {
            Sent::Token { key, token } => {
                let error = Some("invalid_token");
                if self.discard_token(visit, &key, token, error) {
                    return Ok(());
                }
                Err(visit.fail(token_refused(hop, &key, error)))
            }
            Sent::Basic { .. } | Sent::Given if visit.renew_credential() => Ok(()),
            Sent::Nothing | Sent::Basic { .. } | Sent::Given => Err(AuthError::NotRenewable {
                registry: hop.home().clone(),
            }),
        }
    }

    /// Begins the token request for a key, unless there is a token by now.
    ///
    /// A driver that sends requests concurrently holds a lock on the key when it calls this, so
    /// that a call which waited for the lock finds the token, or the failure, of the call before it
    /// (RT7: concurrent users of one key share one token request).
    ///
    /// # Errors
    ///
    /// [`AuthError::RealmRefused`] when the realm must not be contacted; the failure of another
    /// call's request for the same token, if this call has waited for it; and
    /// [`AuthError::TooManyTokens`] when no token request is left to the call (CR7). The call has
    /// then failed.
    pub fn begin(
        &self,
        call: &mut AuthCall,
        key: &TokenKey,
        now: Duration,
    ) -> Result<Option<TokenExchange>, AuthError> {
        let offline = call.offline;
        let visit = call.here();
        visit.check()?;
        if self.token(visit, key, now).is_some() {
            return Ok(None);
        }
        match self.begin_now(visit, key, offline) {
            Ok(exchange) => Ok(Some(exchange)),
            Err(error) => visit.fetch_failed(key, error).map(|()| None),
        }
    }

    /// Ends a token request with its result.
    ///
    /// A token is kept for this call, and in the [`TokenTable`] if there is one. A failure is final
    /// for this call and for all that were waiting for the same token; later calls try again. There
    /// are four exceptions. The first three apply only if a token request is left (CR7): if
    /// renewable credentials were refused, they are looked up once more; if a POST was refused, the
    /// call continues with a GET; if a realm gave no answer, the call continues with the realm that
    /// issued tokens before. The fourth: if an expired token was being renewed before any
    /// challenge, the request is sent as without a token table, unless the credentials were
    /// refused.
    ///
    /// # Errors
    ///
    /// The failure that was passed in, when it is final.
    pub fn finish(
        &mut self,
        call: &mut AuthCall,
        key: TokenKey,
        result: Result<Issued, AuthError>,
        now: Duration,
    ) -> Result<(), AuthError> {
        self.exchanges += 1;
        match result {
            Ok(issued) => {
                self.failures.remove(&key);
                if !key.is_foreign() {
                    let addresses = &key.source().addresses;
                    let issuer = BearerAnswer::new(key.realm(), key.service(), addresses);
                    self.issuers.insert(key.registry().clone(), issuer.into());
                }
                if let Some(tokens) = &self.tokens {
                    let (token, ttl) = (issued.token.clone(), Some(issued.lifetime));
                    tokens.put(key.clone(), token, ttl, now);
                }
                call.here().earn(key, issued, now);
                Ok(())
            }
            Err(error) if self.has_another_way(call.here(), &key, &error) => Ok(()),
            Err(error) => {
                self.remember(key.clone(), error.clone());
                call.here().fetch_failed(&key, error)
            }
        }
    }

    /// A token that this call may send: its own, or a kept one.
    fn token(&self, visit: &Visit, key: &TokenKey, now: Duration) -> Option<Token> {
        if let Some(token) = visit.earned(key, now) {
            return Some(token);
        }
        match self.look_up(key, now) {
            Cached::Fresh(token) if !visit.was_refused(&token) => Some(token),
            _ => None,
        }
    }

    fn look_up(&self, key: &TokenKey, now: Duration) -> Cached {
        let tokens = self.tokens.as_ref();
        tokens.map_or(Cached::Unknown, |tokens| tokens.look_up(key, now))
    }

    /// The error for a hop that would have to be answered without encryption (CR4).
    fn insecure(&self, hop: &Hop) -> AuthError {
        let origin = hop.origin().clone();
        if hop.is_home() {
            AuthError::Insecure { origin }
        } else {
            foreign(hop)
        }
    }

    fn may_send_secrets_to(&self, origin: &Origin) -> bool {
        self.settings(origin).may_send_secrets_to(origin)
    }

    fn settings(&self, registry: &Origin) -> &RegistrySettings {
        let settings = self.settings.get(registry);
        settings.unwrap_or(&self.default_settings)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("tokens", &self.tokens)
            .field("settings", &self.settings)
            .field("habits", &self.habits)
            .field("issuers", &self.issuers)
            .finish_non_exhaustive()
    }
}

/// The error for a token that was refused for the last time.
fn token_refused(hop: &Hop, key: &TokenKey, error: Option<&str>) -> AuthError {
    let registry = hop.home().clone();
    match (hop.is_home(), key.is_anonymous()) {
        (false, _) => foreign(hop),
        (true, true) => AuthError::CredentialsRequired {
            registry,
            said: None,
        },
        (true, false) => AuthError::TokenRefused {
            registry,
            error: error.map(Box::from),
        },
    }
}

fn foreign(hop: &Hop) -> AuthError {
    AuthError::Foreign {
        origin: hop.origin().clone(),
        registry: hop.home().clone(),
    }
}
