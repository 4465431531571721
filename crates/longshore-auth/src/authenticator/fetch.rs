//! Token requests: the choice of realm and form, and the alternatives after a failure.

use std::sync::Arc;

use longshore_origin::{AddressPolicy, Hop, Origin};

use super::call::{BearerAnswer, Visit};
use super::{Authenticator, Failure};
use crate::exchange::RequestOptions;
use crate::realm::Guard;
use crate::{AuthError, ExchangeError, Realm, RealmRefused, TokenExchange, TokenKey};

impl Authenticator {
    /// How to answer a Bearer challenge: with its own realm, or with the one that issued tokens
    /// before, where only that one may be contacted.
    pub(super) fn issuer(
        &self,
        visit: &Visit,
        hop: &Hop,
        named: &Arc<BearerAnswer>,
        with_credentials: bool,
    ) -> Arc<BearerAnswer> {
        let before = self.issuers.get(hop.home()).filter(|_| hop.is_home());
        let allowed = |answer: &BearerAnswer| {
            let (realm, addresses) = (&answer.offer.realm, &answer.addresses);
            self.check_realm(hop.origin(), realm, addresses, with_credentials)
                .is_ok()
        };
        match before {
            Some(before) if allowed(before) && (visit.keep_issuer || !allowed(named)) => before,
            _ => named,
        }
        .clone()
    }

    pub(super) fn begin_now(
        &self,
        visit: &mut Visit,
        key: &TokenKey,
        offline: bool,
    ) -> Result<TokenExchange, AuthError> {
        let waited_for = self.failures.get(key).filter(|failure| {
            let joined = visit.joined.unwrap_or(self.exchanges);
            failure.exchange > joined
        });
        if let Some(failure) = waited_for {
            return Err(failure.error.clone());
        }
        let (realm, addresses) = (key.realm(), &key.source().addresses);
        self.check_realm(key.registry(), realm, addresses, !key.is_anonymous())?;
        visit.spend_token_request(key)?;
        let options = RequestOptions {
            get_only: self.get_only.contains(realm),
            offline,
        };
        TokenExchange::new(key.clone(), options)
    }

    /// Whether the same token can be requested in another way. It cannot if the credentials were
    /// refused (CR7).
    pub(super) fn has_another_way(
        &mut self,
        visit: &mut Visit,
        key: &TokenKey,
        error: &AuthError,
    ) -> bool {
        let other = match error {
            AuthError::Exchange {
                source: ExchangeError::PostRefused { .. },
                ..
            } => {
                if self.get_only.len() >= GET_ONLY_LIMIT {
                    self.get_only.clear();
                }
                self.get_only.insert(key.realm().clone());
                true
            }
            // The transport checks RE3 when it resolves the name, so this may be our own refusal.
            AuthError::Unreachable { .. } if !key.is_foreign() => {
                let issuer = self.issuers.get(key.registry());
                let other = issuer.is_some_and(|issuer| {
                    let (realm, addresses) = (&issuer.offer.realm, &issuer.addresses);
                    let with_credentials = !key.is_anonymous();
                    let check =
                        || self.check_realm(key.registry(), realm, addresses, with_credentials);
                    realm != key.realm() && check().is_ok()
                });
                visit.keep_issuer |= other;
                other
            }
            _ => false,
        };
        other && visit.may_ask_again()
    }

    /// Keeps a failure for the calls that wait for the same token.
    pub(super) fn remember(&mut self, key: TokenKey, error: AuthError) {
        if self.failures.len() >= FAILURES_LIMIT {
            let oldest = self.failures.iter().min_by_key(|(_, f)| f.exchange);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.failures.remove(&oldest);
            }
        }
        let exchange = self.exchanges;
        self.failures.insert(key, Failure { exchange, error });
    }

    /// RE1–RE4, CR4
    fn check_realm(
        &self,
        registry: &Origin,
        realm: &Realm,
        addresses: &AddressPolicy,
        with_credentials: bool,
    ) -> Result<(), RealmRefused> {
        let guard = Guard {
            settings: self.settings(registry),
            suffixes: self.suffixes.as_deref(),
        };
        guard.check(registry, realm.origin(), addresses, with_credentials)
    }
}

/// Maximum number of realms remembered to refuse POST; beyond it all are forgotten.
const GET_ONLY_LIMIT: usize = 256;

/// Maximum number of failed token requests that are kept; the oldest is removed first.
const FAILURES_LIMIT: usize = 256;
