//! The call, against hosts that answer whatever a script says.
//!
//! A second opinion follows it step by step: which host is asked and how often, what may be
//! repeated and after what wait, where a redirect may lead and what goes with it.

mod script;
mod watch;

use longshore_proto::call::{Call, CallPolicy, Step};
use longshore_proto::retry::RetryPolicy;

use crate::answer::Lines;
use crate::shown::is_plain;
use script::Setup;
use watch::Watch;

/// Plays a script; see `call/script.rs` for what the bytes mean.
///
/// # Panics
///
/// When a call takes a step that the rules do not allow, or does not end within its budget.
pub fn call(data: &[u8]) {
    let (setup, mut events) = Lines::read(data);
    let setup = Setup::read(setup);
    let mut policy = CallPolicy::default();
    if let Some(attempts) = setup.attempts {
        policy.retry = RetryPolicy::with_attempts(attempts);
    }
    let hosts = setup.hosts.clone().into();
    let (mut call, mut step) = Call::start(setup.ask.clone(), hosts, policy);
    let mut watch = Watch::new(&setup);
    loop {
        step = match step {
            Step::Fail(error) => return is_plain(&error),
            Step::Wait(wait) => {
                watch.waits(wait);
                call.waited()
            }
            Step::Send(sending) => {
                watch.sends(&sending, call.attempts());
                match watch.hears(&mut call, *sending, events.line()) {
                    Some(next) => next,
                    None => return,
                }
            }
        };
    }
}
