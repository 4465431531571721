//! The state of one call.

use std::sync::Arc;
use std::time::Duration;

use longshore_origin::{AddressPolicy, Hop, Origin};

use super::offer::BearerOffer;
use crate::table::renew_at;
use crate::{AuthError, Credential, Issued, Realm, ScopeSet, Token, TokenKey};

/// One logical call: its memory and its budget (CR7).
///
/// Make a new call for every request of an operation, and keep it over the redirects, retries and
/// repetitions of that request. A call may also be tried at several registries in turn (mirrors):
/// each origin has its own memory and budget, so that a failure at one does not affect the next. If
/// two mirrors share an origin, the driver must make a new call for each, because a call cannot
/// distinguish them. A call may be dropped at any time. `Debug` shows no secret.
#[derive(Debug, Default)]
pub struct AuthCall {
    here: Visit,
    /// Whether a refresh token is requested as well.
    pub(super) offline: bool,
    /// Whether a token is requested before any challenge of this call.
    pub(super) token_first: bool,
    /// The state for the other registries: those tried before, and those with credentials from the
    /// driver.
    others: Vec<Visit>,
}

/// The part of a call that is about one registry.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// `None` before the first request.
    registry: Option<Origin>,
    /// The credentials found for the registry; the inner `None` means that there are none.
    credential: Option<Option<Credential>>,
    /// Whether the credential is looked up once more after it was refused.
    renewable: bool,
    /// The credential that was refused, and then looked up once more.
    refused_credential: Option<Credential>,
    /// Number of token requests that had ended when this began.
    pub(super) joined: Option<u64>,
    pub(super) need: ScopeSet,
    /// The secret of the last request.
    pub(super) sent: Sent,
    /// The origin of the last challenge, and how it is answered.
    challenged: Option<Challenged>,
    /// A secret that was sent without a challenge was refused, so none is sent without one again.
    wait_for_challenge: bool,
    /// The registry has refused the password.
    pub(super) password_refused: bool,
    /// The realm of the challenge could not be reached, so the earlier one is used.
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
    /// A token that the user gave.
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
    /// The part that applies to other requests, too: all but the wording of the scope (CR8).
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

/// A Bearer challenge that is being answered.
#[derive(Debug)]
pub(super) struct BearerAnswer {
    pub(super) offer: BearerOffer,
    /// Addresses its realm may have (RE3).
    pub(super) addresses: AddressPolicy,
}

impl BearerAnswer {
    /// Without the wording of a scope: the scope requested is the need itself.
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
    /// Makes a call that has not sent anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests a refresh token as well ([`Issued::refresh_token`]).
    ///
    /// It replaces the password of the credentials it was issued for
    /// ([`Credential::IdentityToken`]) until it is revoked. Not every token endpoint issues one. A
    /// call that finds a kept token requests none, so this is for authenticators without a
    /// [`TokenTable`](crate::TokenTable).
    #[must_use]
    pub fn offline(self) -> Self {
        Self {
            offline: true,
            ..self
        }
    }

    /// Requests a token before the first request of the call, instead of waiting for a 401, if the
    /// registry is known to require a token
    /// ([`Authenticator::is_challenged_by`](crate::Authenticator::is_challenged_by)).
    ///
    /// This is for requests with a body: without a token, the body would be sent twice. If no token
    /// is issued, the request is sent without one, unless the credentials were refused.
    pub fn token_first(&mut self) {
        self.token_first = true;
    }

    /// Sets the credentials that the user has for a registry, or that there are none.
    ///
    /// This is the answer to [`Prepare::Lookup`](crate::Prepare::Lookup); it may also be given
    /// before. Credentials are used for requests to this registry and its accepted token endpoints
    /// only (CR1), and dropped with the call.
    pub fn provide(&mut self, registry: &Origin, credential: Option<Credential>) {
        self.provide_to(registry, credential, false);
    }

    /// Like [`provide`](Self::provide), for a credential that its source may replace at any time:
    /// if the credential is refused, the call asks for it once more ([`Prepare::Lookup`]). Answers
    /// of credential helpers, for example, do not say when they expire (CR7).
    ///
    /// [`Prepare::Lookup`]: crate::Prepare::Lookup
    pub fn provide_renewable(&mut self, registry: &Origin, credential: Option<Credential>) {
        self.provide_to(registry, credential, true);
    }

    /// Returns the credential that a registry refused, if it is looked up once more.
    ///
    /// A source that caches its answers must not return this credential. If the source has no
    /// other, the call fails without sending the credential again (CR7).
    pub fn refused_credential(&self, registry: &Origin) -> Option<&Credential> {
        let mut visits = std::iter::once(&self.here).chain(&self.others);
        let visit = visits.find(|visit| visit.is_at(registry))?;
        visit.refused_credential.as_ref()
    }

    fn provide_to(&mut self, registry: &Origin, credential: Option<Credential>, renewable: bool) {
        let mut visits = std::iter::once(&mut self.here).chain(&mut self.others);
        let visit = match visits.find(|visit| visit.is_at(registry)) {
            Some(visit) => visit,
            None => {
                self.others.push(Visit {
                    registry: Some(registry.clone()),
                    ..Visit::default()
                });
                let Some(visit) = self.others.last_mut() else {
                    return;
                };
                visit
            }
        };
        visit.credential = Some(credential);
        visit.renewable = renewable && visit.refused_credential.is_none();
    }

    /// Returns the token of the last request, if it had one that a token endpoint issued for the
    /// registry itself. A token for an origin that the registry redirected to is not returned
    /// (CR1).
    ///
    /// Another client may use it as [`Credential::Token`].
    pub fn token(&self) -> Option<&Token> {
        match &self.here.sent {
            Sent::Token { key, token } if !key.is_foreign() => Some(token),
            Sent::Token { .. } | Sent::Nothing | Sent::Basic { .. } | Sent::Given => None,
        }
    }

    /// Switches to a registry, and keeps the memory of the previous one.
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

    /// Records that the credential was refused. Returns whether it is looked up once more (CR7).
    pub(super) fn renew_credential(&mut self) -> bool {
        if !std::mem::take(&mut self.renewable) {
            return false;
        }
        self.refused_credential = self.credential.take().flatten();
        self.password_refused = false;
        true
    }

    /// Whether the refused credential is the only one that the source has.
    pub(super) fn is_refused(&self, credential: &Credential) -> bool {
        self.refused_credential.as_ref() == Some(credential)
    }

    pub(super) fn challenge(&mut self, hop: &Hop, answer: Answer) {
        self.challenged = Some(Challenged {
            by: hop.origin().clone(),
            at_home: hop.is_home(),
            answer,
        });
    }

    /// How the challenge of this origin is answered, if it has sent one.
    pub(super) fn answer_to(&self, hop: &Hop) -> Option<Answer> {
        let challenged = self.challenged.as_ref()?;
        let same = challenged.by == *hop.origin() && challenged.at_home == hop.is_home();
        same.then(|| challenged.answer.clone())
    }

    pub(super) fn is_challenged(&self) -> bool {
        self.challenged.is_some()
    }

    /// Whether a secret may be sent without a challenge in this call.
    pub(super) fn may_guess(&self) -> bool {
        !self.wait_for_challenge
    }

    pub(super) fn stop_guessing(&mut self) {
        self.wait_for_challenge = true;
    }

    /// Takes the failure of a token request.
    ///
    /// If the token was requested before any challenge, to save a refusal, the failure is final
    /// only if the credentials were refused: the request can still be sent without a token.
    /// Refused credentials are looked up once more, if a token request is left (CR7).
    pub(super) fn fetch_failed(
        &mut self,
        key: &TokenKey,
        error: AuthError,
    ) -> Result<(), AuthError> {
        let refused = match error {
            AuthError::CredentialsRefused { .. } if !key.is_foreign() => {
                if self.may_ask_again() && self.renew_credential() {
                    return Ok(());
                }
                true
            }
            AuthError::CredentialsRefused { .. } | AuthError::CredentialsRequired { .. } => true,
            _ => false,
        };
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
    /// Once it has expired, only if no other can be requested: the registry may still accept it.
    pub(super) fn earned(&self, key: &TokenKey, now: Duration) -> Option<Token> {
        let earned = self.earned.as_ref().filter(|earned| earned.key == *key)?;
        (!self.may_ask_again() || now < earned.renew_at).then(|| earned.token.clone())
    }

    /// Whether this token was refused before; some token endpoints issue the same one again.
    pub(super) fn was_refused(&self, token: &Token) -> bool {
        self.refused.contains(token)
    }

    /// Whether another token request is left (CR7).
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

    /// Counts a refused token; returns whether another may be tried (CR7).
    pub(super) fn refuse_token(&mut self, token: Token, error: Option<&str>) -> bool {
        let earned = self.earned.take_if(|earned| earned.token == token);
        self.refused.push(token);
        if earned.is_some_and(|earned| earned.asked) {
            // It was issued for this challenge, so it is renewed only if the registry says that it
            // is the wrong one. That happens once: two token requests are a token and its renewal.
            if !matches!(error, Some("invalid_token" | "insufficient_scope")) {
                return false;
            }
        }
        self.may_ask_again() && self.refused.len() < REFUSED_TOKENS_LIMIT
    }
}

/// Maximum number of token requests of one call at one registry: a token and its renewal, or a POST
/// that was refused and the GET for the same token (CR7).
pub const TOKEN_REQUESTS_LIMIT: u8 = 2;

/// Number of refused tokens that ends a call: a kept one, one that another call has renewed in the
/// meantime, and one of its own.
pub const REFUSED_TOKENS_LIMIT: usize = 3;
