//! Upload sessions that outlive a push.

use std::fmt;
use std::sync::Arc;

use longshore_origin::{AddressClass, Origin, Secret};
use longshore_proto::Host;
use longshore_proto::call::Place;
use longshore_proto::upload::Upload;

/// An upload session that a registry keeps open, so that a later push of the same content can
/// continue it.
///
/// The value contains the URL of the session. A program that has the URL may be able to write to
/// the session, so it is a secret: `Debug` hides it, and it is wiped from memory when the value is
/// dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSession {
    /// The origin of the registry that opened the session.
    registry: Origin,
    location: Secret,
    /// The narrowest address class that the client may connect to; `None` at the registry's origin.
    floor: Option<AddressClass>,
    /// The minimum length of each part except the last, in bytes.
    min_chunk: u64,
}

/// Keeps the session of one push for a later run.
///
/// The methods are called between two requests of the push, so they should return soon.
pub trait SessionKeeper: Send + Sync {
    /// The session is open, and its next request goes to this place. Replaces the kept session,
    /// because a registry may refuse to continue at an earlier place.
    fn keep(&self, session: &UploadSession);

    /// The session is over.
    fn forget(&self);
}

impl fmt::Debug for dyn SessionKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeeper")
    }
}

impl UploadSession {
    fn new(place: &Place, min_chunk: u64) -> Self {
        let hop = place.hop();
        Self {
            registry: hop.home().clone(),
            location: Secret::new(hop.uri().to_string()),
            floor: hop.floor(),
            min_chunk,
        }
    }

    /// The session as one line of text. Store it where only its user can read it:
    ///
    /// ```text
    /// text  = "1" SP registry SP trust SP 1*DIGIT SP location
    /// trust = "home" / "public" / "private" / "loopback" / "never"
    /// ```
    ///
    /// The number is the minimum length of each part except the last, in bytes.
    #[must_use]
    pub fn to_secret_text(&self) -> Secret {
        let trust = TRUST.iter().find(|(floor, _)| *floor == self.floor);
        let trust = trust.map_or(HOME, |(_, word)| word);
        let (registry, min_chunk) = (&self.registry, self.min_chunk);
        let location = self.location.expose();
        Secret::new(format!("1 {registry} {trust} {min_chunk} {location}"))
    }

    /// Reads the text of [`to_secret_text`](Self::to_secret_text); `None` when it is not one.
    ///
    /// The text cannot make a place more trusted than the registry itself could. A push sends its
    /// credentials to the session only at the registry's own origin, and connects only to addresses
    /// that a redirect of the registry may lead to (RD2, RD4).
    #[must_use]
    pub fn from_secret_text(text: &str) -> Option<Self> {
        let mut words = text.splitn(5, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        if word()? != "1" {
            return None;
        }
        let registry = word()?.parse().ok()?;
        let trust = word()?;
        let (floor, _) = TRUST.iter().find(|(_, word)| *word == trust)?;
        let min_chunk = word()?.parse().ok()?;
        let location = word()?;
        let is_plain = location.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self {
            registry,
            location: Secret::new(location.to_owned()),
            floor: *floor,
            min_chunk,
        })
    }

    /// Where the session is, and its shortest part in bytes, for a push to this registry, which has
    /// this position in the list of hosts. `None` for a session of another registry, or at a place
    /// that must not be followed.
    pub(super) fn place(&self, registry: &Host, position: usize) -> Option<(Place, u64)> {
        if *registry.origin() != self.registry {
            return None;
        }
        let place = Place::revisit(registry, position, self.location.expose(), self.floor);
        Some((place.ok()?, self.min_chunk))
    }
}

const HOME: &str = "home";

/// How far a place is trusted, and the word for it.
const TRUST: [(Option<AddressClass>, &str); 5] = [
    (None, HOME),
    (Some(AddressClass::Public), "public"),
    (Some(AddressClass::Private), "private"),
    (Some(AddressClass::Loopback), "loopback"),
    (Some(AddressClass::Never), "never"),
];

/// The keeper of a push, and the session that it has.
pub(super) struct Record {
    keeper: Option<Arc<dyn SessionKeeper>>,
    /// Whether the keeper has a session.
    is_kept: bool,
    /// The place of the session that it was given last.
    place: Option<Place>,
}

impl Record {
    /// `is_kept` says that the keeper has a session of an earlier run.
    pub(super) const fn new(keeper: Option<Arc<dyn SessionKeeper>>, is_kept: bool) -> Self {
        Self {
            keeper,
            is_kept,
            place: None,
        }
    }

    /// Whether the keeper has the session of this upload.
    pub(super) fn has(&self, upload: &Upload) -> bool {
        self.is_kept && self.place.as_ref() == upload.session()
    }

    /// Tells the keeper what changed.
    pub(super) fn update(&mut self, upload: &Upload) {
        let Some(keeper) = &self.keeper else {
            return;
        };
        match upload.session() {
            None => self.forget(),
            Some(place) if upload.content().is_resumable() && !self.has(upload) => {
                keeper.keep(&UploadSession::new(place, upload.min_chunk()));
                self.place = Some(place.clone());
                self.is_kept = true;
            }
            Some(_) => {}
        }
    }

    /// The session is over.
    pub(super) fn forget(&mut self) {
        if std::mem::take(&mut self.is_kept)
            && let Some(keeper) = &self.keeper
        {
            keeper.forget();
        }
    }
}

#[cfg(test)]
mod tests;
