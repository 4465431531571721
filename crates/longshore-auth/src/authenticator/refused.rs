//! After a 401: what it takes back, and what it asks for.

use std::sync::Arc;

use longshore_origin::{Hop, Peer};

use super::call::{Answer, BearerAnswer, Sent, Visit};
use super::offer::{Flaw, Offer};
use super::{Authenticator, Habit, foreign};
use crate::AuthError;

impl Authenticator {
    /// Takes back what the 401 is about. Returns whether it was something nobody had asked for.
    pub(super) fn give_up_what_was_sent(
        &self,
        visit: &mut Visit,
        hop: &Hop,
        offer: &Offer,
    ) -> Result<bool, AuthError> {
        let refused = || AuthError::CredentialsRefused {
            registry: hop.home().clone(),
            by: hop.origin().clone(),
        };
        match std::mem::take(&mut visit.sent) {
            Sent::Nothing => Ok(false),
            Sent::Given => Err(refused()),
            Sent::Basic { asked: true } => Err(refused()),
            Sent::Basic { asked: false } => {
                visit.password_refused = true;
                Ok(true)
            }
            Sent::Token { key, token } => {
                if let Some(cache) = &self.cache {
                    cache.discard(&key, &token);
                }
                let guessed = !visit.is_challenged();
                if visit.refuse_token(token, offer.error.as_deref()) {
                    return Ok(guessed);
                }
                Err(match (hop.is_home(), key.is_anonymous()) {
                    (false, _) => foreign(hop),
                    (true, true) => AuthError::CredentialsRequired {
                        registry: hop.home().clone(),
                    },
                    (true, false) => AuthError::TokenRefused {
                        registry: hop.home().clone(),
                        error: offer.error.clone(),
                    },
                })
            }
        }
    }

    /// Chooses among the challenges: Bearer before Basic, whatever their order. `None`: what was
    /// refused was shown unasked, and before anything else is, the request is sent without (F23).
    pub(super) fn choose(
        &mut self,
        hop: &Hop,
        offer: Offer,
        guessed: bool,
        peer: Peer,
    ) -> Result<Option<Answer>, AuthError> {
        let (answer, habit) = match offer.bearer {
            Some(bearer) => {
                let habit = Habit::Bearer {
                    realm: bearer.realm.clone(),
                    service: bearer.service.clone(),
                };
                let settings = self.settings(hop.home());
                let answer = BearerAnswer {
                    reach: settings.reach(hop, peer, bearer.realm.origin()),
                    offer: bearer,
                };
                (Answer::Bearer(Arc::new(answer)), habit)
            }
            // CR5: whatever else a foreign origin asks for, it does not get.
            None if !hop.is_home() => return Err(foreign(hop)),
            None if guessed => return Ok(None),
            None if offer.basic => (Answer::Basic, Habit::Basic),
            None => return Err(useless(hop, offer.flaw, offer.others)),
        };
        if !self.may_send_secrets_to(hop.origin()) {
            return Err(self.insecure(hop));
        }
        // Without a cache every call begins alike (F23).
        if self.cache.is_some() && hop.is_home() {
            self.habits.insert(hop.home().clone(), habit);
        }
        Ok(Some(answer))
    }
}

fn useless(hop: &Hop, flaw: Option<Flaw>, schemes: Vec<Box<str>>) -> AuthError {
    let registry = hop.home().clone();
    match flaw {
        Some(Flaw::NoRealm) => AuthError::NoRealm { registry },
        Some(Flaw::Realm(source)) => AuthError::Realm { registry, source },
        None => AuthError::NoUsableChallenge {
            registry,
            schemes: schemes.into(),
        },
    }
}
