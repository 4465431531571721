//! Before a request: the secret that goes with it, if any.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use longshore_origin::Hop;

use super::call::{Answer, BearerAnswer, Sent, Visit};
use super::{Authenticator, Prepare, foreign};
use crate::credential::{basic, bearer};
use crate::key::TokenSource;
use crate::realm::Guard;
use crate::table::Cached;
use crate::{AuthError, Authorization, Credential, CredentialError, Token, TokenKey};

impl Authenticator {
    /// Before any challenge: the secret that the registry is expected to require.
    pub(super) fn unasked(
        &self,
        visit: &mut Visit,
        hop: &Hop,
        now: Duration,
        token_first: bool,
    ) -> Result<Prepare, AuthError> {
        if !hop.is_home() || !visit.may_guess() || !self.may_send_secrets_to(hop.origin()) {
            return Ok(Prepare::Anonymous);
        }
        let credential = visit.credential();
        if let Some(Some(account)) = &credential
            && visit.is_refused(account)
        {
            return Err(refused_again(hop));
        }
        if let Some(Some(Credential::Token(token))) = &credential {
            return self.attach(visit, hop, Sent::Given, bearer(token.expose()));
        }
        // Without a token table every call begins without a secret, unless it has a body.
        let habit = self.habits.get(hop.origin());
        let Some(habit) = habit.filter(|_| self.tokens.is_some() || token_first) else {
            return Ok(Prepare::Anonymous);
        };
        let Some(account) = credential else {
            return Ok(Prepare::Lookup(hop.home().clone()));
        };
        match habit {
            Answer::Basic => match account {
                Some(Credential::Basic { username, password }) => {
                    let header = basic(&username, &password);
                    self.attach(visit, hop, Sent::Basic { asked: false }, header)
                }
                _ => Ok(Prepare::Anonymous),
            },
            Answer::Bearer(named) => {
                let answer = self.issuer(visit, hop, named, account.is_some());
                let key = Self::key(visit, hop, &answer, account);
                if let Some(token) = self.token(visit, &key, now) {
                    return self.attach_token(visit, hop, key, token);
                }
                match self.look_up(&key, now) {
                    // Another client that shares the table may have been permitted other addresses,
                    // which must not be used here (RE3). Its wording of the scope may be, for the
                    // same realm (CR8).
                    Cached::Expired(known) => Ok(Prepare::Fetch(key.in_the_words_of(&known))),
                    Cached::Fresh(_) | Cached::Unknown if token_first => Ok(Prepare::Fetch(key)),
                    Cached::Fresh(_) | Cached::Unknown => Ok(Prepare::Anonymous),
                }
            }
        }
    }

    /// After a Basic challenge (CR3).
    pub(super) fn basic(&self, visit: &mut Visit, hop: &Hop) -> Result<Prepare, AuthError> {
        let registry = hop.home().clone();
        match visit.credential() {
            None => Ok(Prepare::Lookup(registry)),
            Some(None) => Err(AuthError::CredentialsRequired {
                registry,
                said: None,
            }),
            // The same password would be refused again, and perhaps lock the account.
            Some(Some(account)) if visit.password_refused || visit.is_refused(&account) => {
                Err(refused_again(hop))
            }
            Some(Some(Credential::Basic { username, password })) => {
                let header = basic(&username, &password);
                self.attach(visit, hop, Sent::Basic { asked: true }, header)
            }
            Some(Some(_)) => Err(AuthError::CredentialsUnfit {
                registry,
                scheme: "Basic",
            }),
        }
    }

    /// After a Bearer challenge.
    pub(super) fn bearer(
        &self,
        visit: &mut Visit,
        hop: &Hop,
        named: &Arc<BearerAnswer>,
        now: Duration,
    ) -> Result<Prepare, AuthError> {
        // CR5: a foreign hop gets no credentials, so they are not looked up.
        let account = match visit.credential().filter(|_| hop.is_home()) {
            None if hop.is_home() => return Ok(Prepare::Lookup(hop.home().clone())),
            Some(Some(account)) if visit.is_refused(&account) => return Err(refused_again(hop)),
            Some(Some(Credential::Token(token))) => {
                return self.attach(visit, hop, Sent::Given, bearer(token.expose()));
            }
            account => account.flatten(),
        };
        let answer = self.issuer(visit, hop, named, account.is_some());
        let key = Self::key(visit, hop, &answer, account);
        match self.token(visit, &key, now) {
            Some(token) => self.attach_token(visit, hop, key, token),
            None => Ok(Prepare::Fetch(key)),
        }
    }

    /// The key of the token that answers a challenge.
    fn key(
        visit: &Visit,
        hop: &Hop,
        answer: &BearerAnswer,
        account: Option<Credential>,
    ) -> TokenKey {
        let (origin, offer) = (hop.origin().clone(), &answer.offer);
        let own = hop.is_home() && Guard::is_own(&origin, offer.realm.origin());
        let source = TokenSource {
            realm: offer.realm.clone(),
            scope: visit.need.to_request(&offer.scope, own),
            addresses: answer.addresses.clone(),
        };
        let scope = visit.need.to_string();
        if hop.is_home() {
            TokenKey::with_source(origin, &offer.service, scope, account, source)
        } else {
            TokenKey::foreign(origin, &offer.service, scope, source)
        }
    }

    fn attach_token(
        &self,
        visit: &mut Visit,
        hop: &Hop,
        key: TokenKey,
        token: Token,
    ) -> Result<Prepare, AuthError> {
        let header = bearer(token.expose());
        self.attach(visit, hop, Sent::Token { key, token }, header)
    }

    /// The only place where a secret is put into a request for a registry.
    fn attach(
        &self,
        visit: &mut Visit,
        hop: &Hop,
        secret: Sent,
        header: Result<HeaderValue, CredentialError>,
    ) -> Result<Prepare, AuthError> {
        // CR1, CR5, RD1: a foreign hop gets no secret of the user, only a token issued to anonymous
        // clients.
        let is_anonymous = matches!(&secret, Sent::Token { key, .. } if key.is_foreign());
        if !is_anonymous && !hop.is_home() {
            return Err(foreign(hop));
        }
        if !self.may_send_secrets_to(hop.origin()) {
            return Err(self.insecure(hop));
        }
        let header = header.map_err(|source| AuthError::Credential {
            registry: hop.origin().clone(),
            source,
        })?;
        visit.sent = secret;
        Ok(Prepare::Attach(Authorization::new(hop, header)))
    }
}

/// The error when a new lookup returns the credentials that were already refused.
fn refused_again(hop: &Hop) -> AuthError {
    AuthError::CredentialsRefused {
        registry: hop.home().clone(),
        by: hop.origin().clone(),
        said: None,
    }
}
