//! `longshore verify DIR`

use std::path::Path;

use longshore::origin::Escaped;
use longshore_layout::{Finding, Layout, LayoutErrorKind, Report};
use serde_json::json;

use crate::args::{Output, Verify};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::progress;

/// Hashes everything that a layout refers to. Findings are the result, so they are printed to
/// standard output. Hashing blocks, so it happens on a thread of its own, which ends with the
/// process if the command is stopped.
pub(crate) async fn run(args: Verify) -> Result<(), Failure> {
    tokio::task::spawn_blocking(move || verify(&args))
        .await
        .map_err(Failure::task)?
}

fn verify(args: &Verify) -> Result<(), Failure> {
    let layout = Layout::open(&args.layout).map_err(|error| {
        let is_layout = error.kind() != LayoutErrorKind::NotALayout;
        let failure = Failure::from(error);
        if is_layout {
            failure
        } else {
            failure.hint("name the directory of an image layout, as `pull` makes it")
        }
    })?;
    let bar = progress::bar(args.layout.display().to_string());
    let report = layout.verify(|progress| {
        bar.set_length(progress.known_bytes);
        bar.set_position(progress.bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    print(&args.layout, args.output, &report)?;
    if report.is_sound() {
        return Ok(());
    }
    let what = format!("{} is damaged", args.layout.display());
    Err(Failure::new(Exit::Digest, &what)
        .hint("remove the blobs that are damaged, and pull the images in it again"))
}

fn print(path: &Path, output: Output, report: &Report) -> Result<(), Failure> {
    let Report {
        manifests,
        blobs,
        bytes,
        findings,
        more,
        ..
    } = report;
    match output {
        Output::Json => output::json(&json!({
            "layout": path.to_string_lossy(),
            "sound": report.is_sound(),
            "manifests": manifests,
            "blobs": blobs,
            "bytes": bytes,
            "findings": findings.iter().map(|finding| json!({
                "digest": finding.digest.as_ref().map(ToString::to_string),
                "referrer": finding.referrer.as_ref().map(ToString::to_string),
                "problem": problem(finding),
                "damage": finding.problem.is_damage(),
            })).collect::<Vec<_>>(),
            "more": more,
        })),
        Output::Text => {
            for finding in findings {
                output::text(&line(finding))?;
            }
            if *more > 0 {
                output::text(&format!("and {more} more"))?;
            }
            let size = output::size(*bytes);
            output::note(&format!(
                "{blobs} blobs, {manifests} of them manifests, {size}, verified"
            ));
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
