//! After a 401: which secret it refuses, and what it asks for.

use std::sync::Arc;

use longshore_origin::{Hop, Peer};

use super::call::{Answer, BearerAnswer, Sent, Visit};
use super::offer::{Flaw, Offer};
use super::{Authenticator, foreign, token_refused};
use crate::{AuthError, Credential, Token, TokenKey};

impl Authenticator {
    /// Notes that the secret of the last request was refused. Returns whether it had been sent
    /// without a challenge.
    pub(super) fn discard_refused_secret(
        &self,
        visit: &mut Visit,
        hop: &Hop,
        offer: &Offer,
    ) -> Result<bool, AuthError> {
        let refused = || AuthError::CredentialsRefused {
            registry: hop.home().clone(),
            by: hop.origin().clone(),
            said: None,
        };
        match std::mem::take(&mut visit.sent) {
            Sent::Nothing => Ok(false),
            Sent::Given if visit.renew_credential() => Ok(false),
            Sent::Given => Err(refused()),
            // It required a password, and now requires a token: that is another challenge.
            Sent::Basic { asked: true } if offer.bearer.is_some() => {
                visit.password_refused = true;
                Ok(false)
            }
            Sent::Basic { asked: true } if visit.renew_credential() => Ok(false),
            Sent::Basic { asked: true } => Err(refused()),
            Sent::Basic { asked: false } => {
                visit.password_refused = !visit.renew_credential();
                Ok(true)
            }
            Sent::Token { key, token } => {
                let guessed = !visit.is_challenged();
                let error = offer.error.as_deref();
                let renewable = self.discard_token(visit, &key, token, error);
                if renewable || (hop.is_home() && wants_password(visit, offer)) {
                    return Ok(guessed);
                }
                Err(token_refused(hop, &key, error))
            }
        }
    }

    /// Discards a refused token; in the table, only if it has not been replaced. Returns whether
    /// another token may be tried (CR7).
    pub(super) fn discard_token(
        &self,
        visit: &mut Visit,
        key: &TokenKey,
        token: Token,
        error: Option<&str>,
    ) -> bool {
        if let Some(tokens) = &self.tokens {
            tokens.discard(key, &token);
        }
        visit.refuse_token(token, error)
    }

    /// Chooses among the challenges: Bearer before Basic, in whatever order they come. `None` if
    /// the refused secret was sent without a challenge: the request is then sent without any.
    pub(super) fn choose(
        &mut self,
        hop: &Hop,
        offer: Offer,
        guessed: bool,
        peer: Peer,
    ) -> Result<Option<Answer>, AuthError> {
        let answer = match offer.bearer {
            Some(bearer) => {
                let settings = self.settings(hop.home());
                Answer::Bearer(Arc::new(BearerAnswer {
                    addresses: settings.addresses_for(hop, peer, bearer.realm.origin()),
                    offer: bearer,
                }))
            }
            // CR5: a foreign origin gets nothing but anonymous tokens.
            None if !hop.is_home() => return Err(foreign(hop)),
            None if guessed => return Ok(None),
            None => match self.before(hop, &offer) {
                Some(answer) => answer,
                None if offer.basic => Answer::Basic,
                None => return Err(useless(hop, offer)),
            },
        };
        if !self.may_send_secrets_to(hop.origin()) {
            return Err(self.insecure(hop));
        }
        if hop.is_home() {
            self.habits.insert(hop.home().clone(), answer.as_habit());
        }
        Ok(Some(answer))
    }

    /// What this registry required before, where it now sends no challenge at all, or one with an
    /// unusable realm (RE1).
    fn before(&self, hop: &Hop, offer: &Offer) -> Option<Answer> {
        let issuer = || self.issuers.get(hop.home()).cloned().map(Answer::Bearer);
        if offer.flaw.is_some() {
            return issuer();
        }
        if !offer.is_empty() {
            return None;
        }
        match self.habits.get(hop.home()) {
            // CR3: the registry itself has sent a Basic challenge, in an earlier answer.
            Some(Answer::Basic) => Some(Answer::Basic),
            Some(Answer::Bearer(_)) | None => issuer(),
        }
    }
}

/// Whether a registry that refused a token requires a password instead, which it was not sent yet.
fn wants_password(visit: &Visit, offer: &Offer) -> bool {
    let password = matches!(visit.credential(), Some(Some(Credential::Basic { .. })));
    let basic_alone = offer.basic && offer.bearer.is_none() && offer.flaw.is_none();
    password && basic_alone && !visit.password_refused
}

fn useless(hop: &Hop, offer: Offer) -> AuthError {
    let registry = hop.home().clone();
    match offer.flaw {
        Some(Flaw::NoRealm) => AuthError::NoRealm { registry },
        Some(Flaw::Realm(source)) => AuthError::Realm { registry, source },
        None => AuthError::NoUsableChallenge {
            registry,
            schemes: offer.others.into(),
            fault: offer.fault,
        },
    }
}
