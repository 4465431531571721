//! What one call remembers.

use std::sync::Arc;
use std::time::Duration;

use longshore_origin::{AddressPolicy, Hop, Origin};

use super::offer::BearerOffer;
use crate::table::renew_at;
use crate::{AuthError, Credential, Issued, Realm, ScopeSet, Token, TokenKey};

/// One logical call: its memory and its budget (CR7).
///
/// Begin a new one for every operation's request; keep it over the redirects, retries and
/// repetitions of that request. A call may also be tried on one registry after the other (mirrors):
/// memory and budget are kept apart for each origin, so that what failed on one is not held against
/// the next. Where two of them share an origin only a driver can tell them apart, and does so by
/// beginning a new one for each. It may be dropped at any time. `Debug` shows no secret.
#[derive(Debug, Default)]
pub struct AuthCall {
    here: Visit,
    /// Whether a refresh token is wanted, too.
    pub(super) offline: bool,
    /// Registries the call has been tried on before, or was given credentials for.
    others: Vec<Visit>,
}

/// A call as far as one registry is concerned.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// `None` before the first request.
    registry: Option<Origin>,
    /// The credentials found for the registry; the inner `None` means that there are none.
    credential: Option<Option<Credential>>,
    /// How many token requests had ended when this began.
    pub(super) joined: Option<u64>,
    pub(super) need: ScopeSet,
    /// What went with the last request.
    pub(super) sent: Sent,
    /// Where the last challenge came from, and how it is answered.
    challenged: Option<Challenged>,
    /// Nothing is tried unasked: that has been done, and did not help.
    wait_for_challenge: bool,
    /// The registry was shown the password, and refused.
    pub(super) password_refused: bool,
    /// The realm of the challenge could not be reached; the one before it is asked.
    pub(super) keep_issuer: bool,
    earned: Option<Earned>,
    token_requests: u8,
    refused: Vec<Token>,
    failed: Option<AuthError>,
}

#[derive(Debug, Default)]
pub(super) enum Sent {
    #[default]
    Nothing,
    /// A password; `asked` tells whether this call was challenged for it.
    Basic { asked: bool },
    /// A token the user gave.
    Given,
    /// A token that was issued to this call or another.
    Token { key: TokenKey, token: Token },
}

#[derive(Debug)]
struct Challenged {
    by: Origin,
    at_home: bool,
    answer: Answer,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Basic,
    Bearer(Arc<BearerAnswer>),
}

impl Answer {
    /// What of it holds for other requests, too: all but the words of the scope (CR8).
    pub(super) fn as_habit(&self) -> Self {
        match self {
            Self::Basic => Self::Basic,
            Self::Bearer(answer) => {
                let (offer, addresses) = (&answer.offer, &answer.addresses);
                Self::Bearer(BearerAnswer::new(&offer.realm, &offer.service, addresses).into())
            }
        }
    }
}

/// A Bearer challenge that is being met.
#[derive(Debug)]
pub(super) struct BearerAnswer {
    pub(super) offer: BearerOffer,
    /// Where its realm may be (RE3).
    pub(super) addresses: AddressPolicy,
}

impl BearerAnswer {
    /// Without the words of a scope: the need itself is asked for.
    pub(super) fn new(realm: &Realm, service: &str, addresses: &AddressPolicy) -> Self {
        Self {
            offer: BearerOffer {
                realm: realm.clone(),
                service: service.to_owned(),
                scope: String::new(),
            },
            addresses: addresses.clone(),
        }
    }
}

#[derive(Debug)]
struct Earned {
    key: TokenKey,
    token: Token,
    renew_at: Duration,
    /// Whether a challenge of this call asked for it.
    asked: bool,
}

impl AuthCall {
    /// A call that has not sent anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has token endpoints asked for a refresh token, too ([`Issued::refresh_token`]).
    ///
    /// It stands for the credentials it was issued for, in place of a password
    /// ([`Credential::IdentityToken`]), until it is revoked. Not every token endpoint issues one.
    /// Where the cache has a token nothing is asked for, so this is for a call without a cache.
    #[must_use]
    pub fn offline(self) -> Self {
        Self {
            offline: true,
            ..self
        }
    }

    /// Says which credentials the user has for a registry, or that there are none.
    ///
    /// The answer to [`Prepare::Lookup`](crate::Prepare::Lookup); where it is at hand, it may be
    /// given before it is asked for. Credentials are used for requests to this registry and its
    /// accepted token endpoints only (CR1), and forgotten with the call.
    pub fn provide(&mut self, registry: &Origin, credential: Option<Credential>) {
        let mut visits = std::iter::once(&mut self.here).chain(&mut self.others);
        if let Some(visit) = visits.find(|visit| visit.is_at(registry)) {
            visit.credential = Some(credential);
            return;
        }
        self.others.push(Visit {
            registry: Some(registry.clone()),
            credential: Some(credential),
            ..Visit::default()
        });
    }

    /// The token that went with the last request, if one did that was issued by a token endpoint
    /// for the registry itself; one for a place it has sent us to is no use there (CR1).
    ///
    /// Another client may use it as [`Credential::Token`].
    pub fn token(&self) -> Option<&Token> {
        match &self.here.sent {
            Sent::Token { key, token } if !key.is_foreign() => Some(token),
            Sent::Token { .. } | Sent::Nothing | Sent::Basic { .. } | Sent::Given => None,
        }
    }

    /// Goes to a registry, or back to it, and remembers what is known of the one left.
    pub(super) fn visit(&mut self, registry: &Origin) -> &mut Visit {
        if !self.here.is_at(registry) {
            let known = self.others.iter().position(|visit| visit.is_at(registry));
            let next = known.map(|at| self.others.swap_remove(at));
            let next = next.unwrap_or_else(|| Visit {
                registry: Some(registry.clone()),
                ..Visit::default()
            });
            let left = std::mem::replace(&mut self.here, next);
            if left.registry.is_some() {
                self.others.push(left);
            }
        }
        &mut self.here
    }

    /// The registry the call is at.
    pub(super) fn here(&mut self) -> &mut Visit {
        &mut self.here
    }
}

impl Visit {
    fn is_at(&self, registry: &Origin) -> bool {
        self.registry.as_ref() == Some(registry)
    }

    pub(super) fn check(&self) -> Result<(), AuthError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    pub(super) fn fail(&mut self, error: AuthError) -> AuthError {
        self.failed = Some(error.clone());
        error
    }

    /// The credentials for the registry; `None` where they have not been looked up.
    pub(super) fn credential(&self) -> Option<Option<Credential>> {
        self.credential.clone()
    }

    pub(super) fn challenge(&mut self, hop: &Hop, answer: Answer) {
        self.challenged = Some(Challenged {
            by: hop.origin().clone(),
            at_home: hop.is_home(),
            answer,
        });
    }

    /// How the challenge of this very place is answered, if it has sent one.
    pub(super) fn answer_to(&self, hop: &Hop) -> Option<Answer> {
        let challenged = self.challenged.as_ref()?;
        let same = challenged.by == *hop.origin() && challenged.at_home == hop.is_home();
        same.then(|| challenged.answer.clone())
    }

    pub(super) fn is_challenged(&self) -> bool {
        self.challenged.is_some()
    }

    /// Whether something may be shown that nobody has asked for in this call.
    pub(super) fn may_guess(&self) -> bool {
        !self.wait_for_challenge
    }

    pub(super) fn stop_guessing(&mut self) {
        self.wait_for_challenge = true;
    }

    /// Takes the failure of a token request.
    ///
    /// One made unasked, to spare a refusal, ends nothing unless it was the credentials that were
    /// refused: the request can still be sent as it would have been without a cache (F23).
    pub(super) fn fetch_failed(&mut self, error: AuthError) -> Result<(), AuthError> {
        let refused = matches!(
            error,
            AuthError::CredentialsRefused { .. } | AuthError::CredentialsRequired { .. }
        );
        if self.challenged.is_none() && !refused {
            self.stop_guessing();
            return Ok(());
        }
        Err(self.fail(error))
    }

    pub(super) fn earn(&mut self, key: TokenKey, issued: Issued, now: Duration) {
        self.earned = Some(Earned {
            key,
            token: issued.token,
            renew_at: renew_at(issued.lifetime, now),
            asked: self.challenged.is_some(),
        });
    }

    /// The call's own token for this key.
    ///
    /// Past its time only when no other can be had any more: the registry may still take it.
    pub(super) fn earned(&self, key: &TokenKey, now: Duration) -> Option<Token> {
        let earned = self.earned.as_ref().filter(|earned| earned.key == *key)?;
        (!self.may_ask_again() || now < earned.renew_at).then(|| earned.token.clone())
    }

    /// Whether this token was refused already; some token endpoints issue the same again.
    pub(super) fn was_refused(&self, token: &Token) -> bool {
        self.refused.contains(token)
    }

    /// Whether there is room for another token request (CR7).
    pub(super) fn may_ask_again(&self) -> bool {
        self.token_requests < TOKEN_REQUESTS_LIMIT
    }

    /// Counts a token request (CR7).
    pub(super) fn spend_token_request(&mut self, key: &TokenKey) -> Result<(), AuthError> {
        if !self.may_ask_again() {
            let registry = key.registry().clone();
            return Err(AuthError::TooManyTokens { registry });
        }
        self.token_requests += 1;
        Ok(())
    }

    /// Counts a refused token; says whether another may be tried (CR7, F21).
    pub(super) fn refuse_token(&mut self, token: Token, error: Option<&str>) -> bool {
        let earned = self.earned.take_if(|earned| earned.token == token);
        self.refused.push(token);
        if earned.is_some_and(|earned| earned.asked) {
            // Issued for this very challenge: only a token said to be the wrong one is renewed,
            // and only once, for two token requests are one and its renewal.
            if !matches!(error, Some("invalid_token" | "insufficient_scope")) {
                return false;
            }
        }
        self.may_ask_again() && self.refused.len() < REFUSED_TOKENS_LIMIT
    }
}

/// The most token requests of one call at one registry: a token, and one renewal, or one that was
/// refused as a POST, and the same as a GET (CR7).
pub const TOKEN_REQUESTS_LIMIT: u8 = 2;

/// The refused token that ends a call, wherever the tokens came from: one from the cache, one that
/// another call has renewed meanwhile, and one of its own.
pub const REFUSED_TOKENS_LIMIT: usize = 3;
