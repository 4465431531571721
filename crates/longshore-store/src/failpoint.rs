//! Failpoints: a test makes one step of input or output fail, or aborts the process there (EN3: the
//! store has a failpoint at every input and output step).
//!
//! A test sets the environment variable `LONGSHORE_FAILPOINT` of a child process:
//!
//! ```text
//! failpoint = step [ ":" pass ] [ "=" action ]
//! step      = one of `failpoints`, or "any"
//! pass      = 1*DIGIT                 ; counted from 1, which is also the default
//! action    = "abort" / "full" / "io" / "read-only" / "trace"
//! ```
//!
//! The process passes a failpoint before each step; a write has its failpoint halfway. Only at the
//! given pass, the process aborts (the default), or the step fails with the error of a full disk, a
//! broken disk or a read-only file system. `trace` writes the name of each step to standard error,
//! one per line.
//!
//! Without the feature `failpoints` the functions here do nothing.

#[cfg(not(any(test, feature = "failpoints")))]
use std::io;

/// A step of input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    List,
    Lock,
    MakeDir,
    Open,
    OpenDir,
    OpenLock,
    Read,
    Remove,
    RemoveDir,
    Rename,
    SetMode,
    SetTime,
    Share,
    Stat,
    Sync,
    SyncDir,
    Unlock,
    Write,
    WriteHolder,
}

/// Passes a failpoint; returns the error that a test configured.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline]
pub(crate) fn pass(_step: Step) -> io::Result<()> {
    Ok(())
}

/// Splits the bytes to write, so that a test can fail between the parts.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline]
pub(crate) fn parts(content: &[u8]) -> (&[u8], &[u8]) {
    (content, &[])
}

#[cfg(test)]
pub(crate) use self::active::was_hit;
#[cfg(any(test, feature = "failpoints"))]
pub use self::active::{FAILPOINT_VARIABLE, failpoints};
#[cfg(any(test, feature = "failpoints"))]
pub(crate) use self::active::{parts, pass};

#[cfg(any(test, feature = "failpoints"))]
mod active {
    use std::io::{self, Write as _};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::Step;

    /// The environment variable that a test sets for a child process.
    pub const FAILPOINT_VARIABLE: &str = "LONGSHORE_FAILPOINT";

    /// All failpoints and their names.
    const TABLE: &[(Step, &str)] = &[
        (Step::Create, "create"),
        (Step::List, "list"),
        (Step::Lock, "lock"),
        (Step::MakeDir, "make-dir"),
        (Step::Open, "open"),
        (Step::OpenDir, "open-dir"),
        (Step::OpenLock, "open-lock"),
        (Step::Read, "read"),
        (Step::Remove, "remove"),
        (Step::RemoveDir, "remove-dir"),
        (Step::Rename, "rename"),
        (Step::SetMode, "set-mode"),
        (Step::SetTime, "set-time"),
        (Step::Share, "share"),
        (Step::Stat, "stat"),
        (Step::Sync, "sync"),
        (Step::SyncDir, "sync-dir"),
        (Step::Unlock, "unlock"),
        (Step::Write, "write"),
        (Step::WriteHolder, "write-holder"),
    ];

    /// Lists the names of all failpoints.
    pub fn failpoints() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|(_, name)| *name)
    }

    /// The failure that the test configured.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Plan {
        /// Every step if `None`.
        step: Option<Step>,
        pass: u64,
        action: Action,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Abort,
        Full,
        Io,
        ReadOnly,
        Trace,
    }

    static PASSES: AtomicU64 = AtomicU64::new(0);
    static HIT: AtomicBool = AtomicBool::new(false);

    pub(crate) fn pass(step: Step) -> io::Result<()> {
        static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
        let plan = PLAN.get_or_init(|| parse(&std::env::var(FAILPOINT_VARIABLE).ok()?));
        let Some(plan) = plan else {
            return Ok(());
        };
        if plan.step.is_some_and(|planned| planned != step) {
            return Ok(());
        }
        if plan.action == Action::Trace {
            if let Some((_, name)) = TABLE.iter().find(|(known, _)| *known == step) {
                // An error means that standard error is closed.
                let _ = writeln!(io::stderr(), "{name}");
            }
            return Ok(());
        }
        if PASSES.fetch_add(1, Ordering::Relaxed) + 1 != plan.pass {
            return Ok(());
        }
        HIT.store(true, Ordering::Relaxed);
        Err(match plan.action {
            Action::Abort | Action::Trace => std::process::abort(),
            Action::Full => io::ErrorKind::StorageFull.into(),
            Action::Io => io::Error::other("failpoint"),
            Action::ReadOnly => io::ErrorKind::ReadOnlyFilesystem.into(),
        })
    }

    pub(crate) fn parts(content: &[u8]) -> (&[u8], &[u8]) {
        content.split_at(content.len() / 2)
    }

    /// Returns whether a step of this process has failed as planned.
    #[cfg(test)]
    pub(crate) fn was_hit() -> bool {
        HIT.load(Ordering::Relaxed)
    }

    impl Action {
        const ALL: [(&'static str, Self); 5] = [
            ("abort", Self::Abort),
            ("full", Self::Full),
            ("io", Self::Io),
            ("read-only", Self::ReadOnly),
            ("trace", Self::Trace),
        ];
    }

    fn parse(text: &str) -> Option<Plan> {
        let (text, action) = text.split_once('=').unwrap_or((text, "abort"));
        let (step, pass) = text.split_once(':').unwrap_or((text, "1"));
        let known = TABLE.iter().find(|(_, known)| *known == step);
        if known.is_none() && step != "any" {
            return None;
        }
        let (_, action) = Action::ALL.iter().find(|(name, _)| *name == action)?;
        Some(Plan {
            step: known.map(|(step, _)| *step),
            pass: pass.parse().ok()?,
            action: *action,
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_plan_names_a_step_a_pass_and_an_action() {
            let plan = |step, pass, action| Some(Plan { step, pass, action });
            for (text, expected) in [
                ("rename", plan(Some(Step::Rename), 1, Action::Abort)),
                ("any:17", plan(None, 17, Action::Abort)),
                (
                    "sync-dir:2=full",
                    plan(Some(Step::SyncDir), 2, Action::Full),
                ),
                ("any=trace", plan(None, 1, Action::Trace)),
                ("", None),
                ("renam", None),
                ("rename:", None),
                ("rename:x", None),
                ("rename=", None),
                ("rename=ENOSPC", None),
            ] {
                assert_eq!(parse(text), expected, "{text}");
            }
        }
    }
}
