//! The credentials of an upstream, and the memory of refused ones.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore::{Credential, CredentialError, CredentialSource, DynCredentials};
use longshore_transport::Clock;

/// How long the answer of a credential source is used before the source is queried again. A source
/// may run a program for each answer.
pub const CREDENTIAL_KEPT: Duration = Duration::from_secs(60);

/// How long a credential that was refused for a repository is not sent again for that repository.
pub const REFUSAL_KEPT: Duration = Duration::from_secs(10 * 60);

/// Number of repositories in a row for which a credential is refused before it counts as refused
/// for the whole upstream.
pub const REFUSALS_IN_A_ROW: usize = 3;

/// Maximum number of kept answers and refusals. Beyond it, all answers are removed, and a
/// credential counts as refused for the whole upstream.
const REPOSITORIES_KEPT: usize = 1024;

/// Maximum number of different credentials whose refusals are kept; the oldest is removed first.
const CREDENTIALS_KEPT: usize = 16;

/// A source that withholds a credential after a refusal, so that a wrong password does not cause a
/// login with each request. Requests are then sent without credentials.
///
/// Some token endpoints give the same answer to a wrong password and to a repository that the
/// account may not read. So a refusal first counts for its repository, for [`REFUSAL_KEPT`]. After
/// refusals for [`REFUSALS_IN_A_ROW`] repositories without an accepted request between them, it
/// counts for the whole upstream, until the source returns another credential or
/// [`reload`](Self::reload) is called.
#[derive(Clone)]
pub(super) struct Remembered(Arc<Inner>);

struct Inner {
    source: DynCredentials,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Held during a query of the source.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The answers of the source, by repository.
    answers: HashMap<Option<Box<str>>, Answer>,
    /// The last answer of the source.
    current: Option<Credential>,
    refused: Vec<Refused>,
}

struct Answer {
    found: Found,
    until: Duration,
}

type Found = Result<Option<Credential>, CredentialError>;

/// What is known about a refused credential.
struct Refused {
    credential: Credential,
    everywhere: bool,
    /// The repositories for which the credential was refused, and when.
    repositories: HashMap<Box<str>, Duration>,
    /// Number of repositories for which the credential was refused since it was last accepted.
    in_a_row: usize,
}

impl Remembered {
    pub(super) fn new(source: DynCredentials, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            source,
            clock,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }))
    }

    /// Forgets all answers and refusals.
    pub(super) fn reload(&self) {
        *self.state() = State::default();
    }

    /// Records that the upstream accepted a request for this repository.
    pub(super) fn accepted(&self, repository: Option<&str>) {
        let mut state = self.state();
        let state = &mut *state;
        let answer = state.answers.get(&repository.map(Box::from));
        if let Some(credential) = answer.and_then(Answer::credential)
            && let Some(refused) = state.refused.iter_mut().find(|it| it.is_of(credential))
            && !refused.applies(repository, self.0.clock.now())
        {
            refused.in_a_row = 0;
        }
    }

    /// Whether the current credential was refused since it was last accepted.
    pub(super) fn is_refused(&self) -> bool {
        let state = self.state();
        let Some(current) = &state.current else {
            return false;
        };
        let refused = state.refused.iter().find(|it| it.is_of(current));
        refused.is_some_and(|it| it.everywhere || it.in_a_row > 0)
    }

    /// The answer of the source, which may be up to [`CREDENTIAL_KEPT`] old.
    async fn find(&self, registry: &str, repository: Option<&str>) -> Found {
        if let Some(found) = self.known(repository) {
            return found;
        }
        let _one_at_a_time = self.0.asking.lock().await;
        if let Some(found) = self.known(repository) {
            return found;
        }
        let source = &self.0.source;
        let found = match repository {
            Some(repository) => source.lookup_in(registry, repository).await,
            None => source.lookup(registry).await,
        };
        let mut state = self.state();
        if let Ok(found) = &found {
            state.current.clone_from(found);
        }
        if state.answers.len() >= REPOSITORIES_KEPT {
            state.answers.clear();
        }
        let answer = Answer {
            found: found.clone(),
            until: self.0.clock.now().saturating_add(CREDENTIAL_KEPT),
        };
        state.answers.insert(repository.map(Box::from), answer);
        found
    }

    fn known(&self, repository: Option<&str>) -> Option<Found> {
        let now = self.0.clock.now();
        let state = self.state();
        let answer = state.answers.get(&repository.map(Box::from))?;
        (now < answer.until).then(|| answer.found.clone())
    }

    /// The credential, unless it was refused.
    fn unless_refused(
        &self,
        credential: Option<Credential>,
        repository: Option<&str>,
    ) -> Option<Credential> {
        let (state, now) = (self.state(), self.0.clock.now());
        credential.filter(|credential| {
            let refused = state.refused.iter().find(|it| it.is_of(credential));
            !refused.is_some_and(|it| it.applies(repository, now))
        })
    }

    /// For short uses only: the guard is never held across an `await`.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Records a refusal. The source is queried again after a new refusal (CR7).
    fn refuse(&mut self, repository: Option<&str>, credential: &Credential, now: Duration) {
        let at = self.refused.iter().position(|it| it.is_of(credential));
        let at = at.unwrap_or_else(|| {
            if self.refused.len() >= CREDENTIALS_KEPT {
                self.refused.remove(0);
            }
            self.refused.push(Refused::new(credential.clone()));
            self.refused.len() - 1
        });
        if let Some(refused) = self.refused.get_mut(at)
            && refused.add(repository, now)
        {
            let same = |answer: &Answer| answer.credential() == Some(credential);
            self.answers.retain(|_, answer| !same(answer));
        }
    }
}

impl Answer {
    fn credential(&self) -> Option<&Credential> {
        self.found.as_ref().ok()?.as_ref()
    }
}

impl Refused {
    fn new(credential: Credential) -> Self {
        Self {
            credential,
            everywhere: false,
            repositories: HashMap::new(),
            in_a_row: 0,
        }
    }

    fn is_of(&self, credential: &Credential) -> bool {
        self.credential == *credential
    }

    /// Whether the refusal applies to this repository: the credential is not sent.
    fn applies(&self, repository: Option<&str>, now: Duration) -> bool {
        let recent = |at: &Duration| now < at.saturating_add(REFUSAL_KEPT);
        let here = repository.and_then(|name| self.repositories.get(name));
        self.everywhere || here.is_some_and(recent)
    }

    /// Adds a refusal; returns whether it is a new one.
    fn add(&mut self, repository: Option<&str>, now: Duration) -> bool {
        if self.applies(repository, now) {
            return false;
        }
        self.in_a_row += 1;
        match repository {
            Some(name) if self.repositories.len() < REPOSITORIES_KEPT => {
                self.repositories.insert(name.into(), now);
                self.everywhere |= self.in_a_row >= REFUSALS_IN_A_ROW;
            }
            _ => self.everywhere = true,
        }
        true
    }
}

impl CredentialSource for Remembered {
    async fn lookup(&self, registry: &str) -> Found {
        let found = self.find(registry, None).await?;
        Ok(self.unless_refused(found, None))
    }

    async fn lookup_in(&self, registry: &str, repository: &str) -> Found {
        let found = self.find(registry, Some(repository)).await?;
        Ok(self.unless_refused(found, Some(repository)))
    }

    /// After the first refusal the source returns another credential, or none.
    fn is_renewable(&self, _registry: &str) -> bool {
        true
    }

    fn refused(&self, registry: &str, repository: Option<&str>, credential: &Credential) {
        self.0.source.refused(registry, repository, credential);
        let now = self.0.clock.now();
        self.state().refuse(repository, credential, now);
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembered")
    }
}
