//! `longshore verify DIR`

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use longshore::origin::Escaped;
use longshore_layout::{Finding, Layout, Problem, Report, VerifyEvent};
use longshore_store::Interrupt;
use serde_json::json;

use crate::args::{Output, Verify};
use crate::exit::{Exit, Failure, READABLE};
use crate::output;
use crate::progress;

/// Hashes everything that a layout refers to. Findings are the result, so they are printed to
/// standard output, as they are made.
pub(crate) async fn run(args: Verify) -> Result<(), Failure> {
    // When the command is stopped, the thread that hashes ends too.
    let guard = InterruptOnDrop(Interrupt::new());
    let interrupt = guard.0.clone();
    tokio::task::spawn_blocking(move || verify(&args, &interrupt))
        .await
        .map_err(Failure::task)?
}

struct InterruptOnDrop(Interrupt);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

fn verify(args: &Verify, interrupt: &Interrupt) -> Result<(), Failure> {
    let layout = Layout::open(&args.layout).map_err(Failure::source_layout)?;
    let printer = Printer {
        args,
        bar: progress::bar(args.layout.display().to_string()),
        interrupt,
        state: Mutex::default(),
    };
    let report = layout
        .with_interrupt(interrupt)
        .verify(|event| printer.take(event));
    printer.bar.finish_and_clear();
    let state = printer.state.into_inner();
    let State { printed, failure } = state.unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = failure {
        return Err(failure);
    }
    let report = report.map_err(Failure::source_layout)?;
    print_end(args, printed, &report)?;
    outcome(args, &report)
}

fn outcome(args: &Verify, report: &Report) -> Result<(), Failure> {
    let layout = args.layout.display();
    if !report.is_sound() {
        let failure = Failure::new(Exit::Digest, &format!("{layout} is damaged"));
        return Err(failure.hint(if report.damaged == report.unreadable {
            READABLE
        } else {
            "pull the images of the layout again, which replaces damaged blobs; before that, \
             remove what is not a regular file"
        }));
    }
    if args.complete && !report.is_complete() {
        let what = format!(
            "{layout} is not complete: it lacks {} of the blobs that it refers to",
            report.absent
        );
        return Err(Failure::new(Exit::Digest, &what)
            .hint("pull the images again; --all-platforms pulls every image of an index"));
    }
    Ok(())
}

/// Prints each finding at once, from any thread.
struct Printer<'a> {
    args: &'a Verify,
    bar: ProgressBar,
    /// Ends the verification when printing has failed.
    interrupt: &'a Interrupt,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many findings were printed.
    printed: u64,
    failure: Option<Failure>,
}

impl Printer<'_> {
    fn take(&self, event: VerifyEvent) {
        match event {
            VerifyEvent::Finding(finding) => self.print(&finding),
            VerifyEvent::Progress(progress) => {
                self.bar.set_length(progress.known_bytes);
                self.bar.set_position(progress.bytes);
            }
            _ => {}
        }
    }

    fn print(&self, finding: &Finding) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failure.is_some() {
            return;
        }
        let text = match self.args.output {
            Output::Text => format!("{}\n", line(finding)),
            Output::Json => format!("{}{}", separator(self.args, state.printed), entry(finding)),
        };
        match self.bar.suspend(|| output::bytes(text.as_bytes())) {
            Ok(()) => state.printed += 1,
            Err(failure) => {
                state.failure = Some(failure);
                self.interrupt.set();
            }
        }
    }
}

/// Returns the separator before an entry in the JSON list of findings.
fn separator(args: &Verify, printed: u64) -> String {
    if printed > 0 {
        return ",".to_owned();
    }
    let layout = output::json_text(&json!(args.layout.to_string_lossy()));
    format!(r#"{{"layout":{layout},"findings":["#)
}

fn entry(finding: &Finding) -> String {
    output::json_text(&json!({
        "digest": finding.digest.as_ref().map(ToString::to_string),
        "referrer": finding.referrer.as_ref().map(ToString::to_string),
        "problem": problem(finding),
        "absent": matches!(finding.problem, Problem::Absent),
        "damage": finding.problem.is_damage(),
    }))
}

fn print_end(args: &Verify, printed: u64, report: &Report) -> Result<(), Failure> {
    let Report {
        manifests,
        blobs,
        bytes,
        absent,
        damaged,
        ..
    } = report;
    match args.output {
        Output::Json => {
            let begin = match printed {
                0 => separator(args, 0),
                _ => String::new(),
            };
            let (sound, complete) = (report.is_sound(), report.is_complete());
            output::text(&format!(
                "{begin}],\"sound\":{sound},\"complete\":{complete},\"manifests\":{manifests},\
                 \"blobs\":{blobs},\"bytes\":{bytes},\"absent\":{absent},\"damaged\":{damaged}}}"
            ))
        }
        Output::Text => {
            let size = output::size(*bytes);
            let mut text =
                format!("{blobs} blobs, {manifests} of them manifests, {size}, verified");
            if *absent > 0 {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "; {absent} absent");
            }
            output::note(&text);
            Ok(())
        }
    }
}

fn line(finding: &Finding) -> String {
    let digest = finding
        .digest
        .as_ref()
        .map_or_else(String::new, |digest| format!("{digest}: "));
    let referrer = finding
        .referrer
        .as_ref()
        .map_or_else(String::new, |referrer| {
            format!(", referred to by {referrer}")
        });
    let problem = problem(finding);
    // OU1 (text of a peer is escaped): errors of other libraries may quote the layout.
    format!("{digest}{}{referrer}", Escaped::text(&problem))
}

/// Returns the problem and its causes.
fn problem(finding: &Finding) -> String {
    let mut text = finding.problem.to_string();
    let mut source = std::error::Error::source(&finding.problem);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use longshore_store::{Action, StoreError};

    use super::*;

    #[test]
    fn advice_about_a_directory_that_cannot_be_read_is_about_reading() {
        let denied = StoreError::Io {
            action: Action::Open,
            path: PathBuf::from("images"),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        let failure = Failure::source_layout(denied.into());
        assert_eq!(failure.exit(), Exit::Disk);
        let text = failure.to_string();
        assert!(
            text.contains("may read") && !text.contains("write"),
            "{text}"
        );
    }
}
