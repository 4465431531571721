//! The challenges of a 401 that can be used.

use longshore_origin::Hop;

use crate::{Challenge, Fault, Realm, RealmError};

/// The challenges of one response, reduced to what decides the next request.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// The first usable Bearer challenge.
    pub(super) bearer: Option<BearerOffer>,
    /// Whether there is a Basic challenge.
    pub(super) basic: bool,
    /// Why the first unusable Bearer challenge cannot be used.
    pub(super) flaw: Option<Flaw>,
    /// The `error` of the first Bearer challenge that has one.
    pub(super) error: Option<Box<str>>,
    /// Schemes that are not supported; no secret is ever sent for them.
    pub(super) others: Vec<Box<str>>,
    /// The first part of the fields that cannot be read.
    pub(super) fault: Option<Fault>,
}

/// A Bearer challenge with a realm. Token Authentication "How to authenticate", RFC 6750 §3.
#[derive(Debug)]
pub(super) struct BearerOffer {
    pub(super) realm: Realm,
    pub(super) service: String,
    pub(super) scope: String,
}

/// What is wrong with a Bearer challenge.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It has no realm.
    NoRealm,
    /// Its realm is not the URL of a token endpoint (RE1).
    Realm(RealmError),
}

impl Offer {
    /// Reads the fields of an answer to this hop.
    pub(super) fn read<'a>(hop: &Hop, fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut offer = Self::default();
        for challenge in Challenge::parse_all(fields) {
            // Unreadable text between the challenges does not prevent the use of readable ones.
            let challenge = match challenge {
                Ok(challenge) => challenge,
                Err(fault) => {
                    offer.fault.get_or_insert(fault);
                    continue;
                }
            };
            if challenge.is("Bearer") {
                offer.take_bearer(hop, &challenge);
            } else if challenge.is("Basic") {
                offer.basic = true;
            } else {
                offer.others.push(challenge.scheme().into());
            }
        }
        offer
    }

    /// Whether there is no challenge of any kind.
    pub(super) fn is_empty(&self) -> bool {
        self.bearer.is_none() && !self.basic && self.flaw.is_none() && self.others.is_empty()
    }

    fn take_bearer(&mut self, hop: &Hop, challenge: &Challenge<'_>) {
        let text = |name| {
            let value = challenge.param(name)?;
            Some(String::from_utf8_lossy(&value).into_owned())
        };
        if self.error.is_none() {
            self.error = text("error").map(Box::from);
        }
        let realm = challenge.param("realm").filter(|realm| !realm.is_empty());
        let realm = realm.ok_or(Flaw::NoRealm);
        match realm.and_then(|text| Realm::resolve(hop, &text).map_err(Flaw::Realm)) {
            Ok(realm) if self.bearer.is_none() => {
                self.bearer = Some(BearerOffer {
                    realm,
                    service: text("service").unwrap_or_default(),
                    scope: text("scope").unwrap_or_default(),
                });
            }
            Err(flaw) if self.flaw.is_none() => self.flaw = Some(flaw),
            Ok(_) | Err(_) => {}
        }
    }
}
