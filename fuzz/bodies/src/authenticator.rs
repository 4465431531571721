//! The authenticator, against peers that answer whatever a script says.
//!
//! Two calls at a time and one after them drive it as the client does. Checked at every step: who
//! is sent which secret, what each call may cost, and that an error is final and keeps secrets to
//! itself.

mod guard;
mod run;
mod script;

use std::sync::Arc;
use std::time::Duration;

use longshore_auth::{Authenticator, PublicSuffixes, RegistrySettings, TokenTable};
use longshore_origin::Origin;

use run::{Run, Turn};
use script::{ALLOWED_REALM, Script};

/// Plays a script; see `authenticator/script.rs` for what the bytes mean.
///
/// # Panics
///
/// When a secret goes where it must not, when a call does not end within its budget, when it goes
/// on after an error, or when it gives up for want of a realm where one has issued tokens before.
pub fn authenticator(data: &[u8]) {
    let Some(script) = Script::read(data) else {
        return;
    };
    let mut world = World::new(script);
    let together = [Run::new(&world), Run::new(&world)];
    world.play(together);
    let after = Run::new(&world);
    world.play([after]);
}

/// What the calls share.
struct World<'a> {
    script: Script<'a>,
    home: Origin,
    authenticator: Authenticator,
    now: Duration,
    issues: Vec<Issue>,
    /// Whether the registry itself has asked for Basic.
    asked_for_basic: bool,
    /// Whether a token was issued for the registry itself.
    has_issuer: bool,
    /// Realms that have refused POST, path and all.
    get_only: Vec<String>,
}

/// A token some realm has given out.
struct Issue {
    token: String,
    /// Whom it is to be shown to.
    registry: Origin,
    /// Whether no secret of the user was sent to get it.
    anonymous: bool,
}

impl<'a> World<'a> {
    fn new(script: Script<'a>) -> Self {
        let setup = &script.setup;
        let home = origin(setup.home);
        let mut settings = RegistrySettings::new();
        if setup.plain_http {
            settings = settings.plain_http();
        }
        if setup.allow_realm {
            settings = settings.allow_realm(origin(ALLOWED_REALM));
        }
        let mut authenticator = Authenticator::new();
        authenticator.configure(home.clone(), settings);
        if setup.cache {
            authenticator = authenticator.with_tokens(TokenTable::new(CACHE_CAPACITY));
        }
        if setup.suffixes {
            authenticator = authenticator.with_public_suffixes(Arc::new(TwoLabels));
        }
        Self {
            script,
            home,
            authenticator,
            now: Duration::ZERO,
            issues: Vec::new(),
            asked_for_basic: false,
            has_issuer: false,
            get_only: Vec::new(),
        }
    }

    /// Lets the calls take turns until all have ended.
    fn play<const CALLS: usize>(&mut self, mut runs: [Run; CALLS]) {
        let mut turn = 0;
        for _ in 0..CALLS * run::STEPS_LIMIT {
            let (before, from) = runs.split_at_mut(turn);
            let Some((run, after)) = from.split_first_mut() else {
                return;
            };
            let mut others = before.iter().chain(after.iter());
            let others_go_on = others.clone().any(|run| !run.is_over());
            let locked = others.find_map(Run::locked);
            match run.step(self, locked) {
                Turn::Over if !others_go_on => return,
                Turn::Other | Turn::Over if others_go_on => turn = (turn + 1) % CALLS,
                Turn::Same | Turn::Other | Turn::Over => {}
            }
        }
        panic!("the calls do not end");
    }
}

/// A public suffix list on which every top-level domain is the only kind of suffix.
struct TwoLabels;

impl PublicSuffixes for TwoLabels {
    fn registrable_domain<'h>(&self, host: &'h str) -> Option<&'h str> {
        let (before, _) = host.rsplit_once('.')?;
        host.get(before.rfind('.').map_or(0, |dot| dot + 1)..)
    }
}

fn origin(text: &str) -> Origin {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Fewer than the calls of a script can fill.
const CACHE_CAPACITY: usize = 2;
