//! The tables of a run, as Markdown, and the same as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::server::Program;
use super::work::{Row, Sample};
use crate::bench::report::{dash, table};
use crate::bench::target::Target;

/// The result of a whole run.
pub(super) struct Outcome<'a> {
    pub(super) quick: bool,
    pub(super) rounds: usize,
    pub(super) rows: &'a [Row],
    pub(super) targets: Vec<Target>,
    pub(super) versions: &'a BTreeMap<&'static str, String>,
    pub(super) machine: &'a BTreeMap<&'static str, String>,
    /// What was not measured and why.
    pub(super) notices: &'a [String],
}

/// Everything, for people.
pub(super) fn text(outcome: &Outcome<'_>) -> String {
    let size = if outcome.quick {
        "smaller blobs and one second of load, which prove little"
    } else {
        "full size"
    };
    let mut text = format!(
        "Caches over loopback, {} rounds in turn, {size}\n\n",
        outcome.rounds
    );
    let rows: Vec<_> = outcome.rows.iter().map(|row| cells(outcome, row)).collect();
    text.push_str(&table(&HEADINGS, &rows));
    text.push_str(
        "\nMedians of the rounds; × floor is the median of ratios of CPU time, each from one \
         round. For short\nrequests CPU and wall are for each request. nginx has the blob of the \
         cold clients from the start.\n\n",
    );
    let targets: Vec<_> = outcome.targets.iter().map(Target::cells).collect();
    text.push_str(&table(
        &["figure", "to reach", "found", "reached"],
        &targets,
    ));
    text.push('\n');
    for (name, what) in outcome.versions.iter().chain(outcome.machine) {
        text.push_str(&format!("{name}: {what}\n"));
    }
    for notice in outcome.notices {
        text.push_str(&format!("*** {notice}\n"));
    }
    text
}

const HEADINGS: [&str; 9] = [
    "work",
    "program",
    "CPU",
    "× floor",
    "wall",
    "requests",
    "upstream",
    "peak MiB",
    "first byte ms",
];

fn cells(outcome: &Outcome<'_>, row: &Row) -> Vec<String> {
    let mut rows = outcome.rows.iter();
    let floor = rows.find(|other| (other.work, other.program) == (row.work, Program::Floor));
    let floor = floor.filter(|_| row.program != Program::Floor);
    let time = |figure: fn(&Sample) -> f64| {
        let seconds = row.median(figure);
        if row.work.is_short() {
            format!("{:.1} µs", seconds * 1e6)
        } else {
            format!("{seconds:.3} s")
        }
    };
    let first = row.median(|sample| sample.first * 1e3);
    vec![
        row.work.name().to_owned(),
        row.program.name().to_owned(),
        time(|sample| sample.cpu),
        floor.map_or_else(dash, |floor| {
            format!("{:.2}", row.over(floor, |sample| sample.cpu))
        }),
        time(|sample| sample.wall),
        format!("{:.0}", row.median(|sample| sample.requests as f64)),
        format!("{:.0}", row.median(|sample| sample.upstream as f64)),
        format!("{:.1}", row.median(|sample| sample.peak_mib)),
        if first.is_nan() {
            dash()
        } else {
            format!("{first:.1}")
        },
    ]
}

/// Everything, for programs.
pub(super) fn json(outcome: &Outcome<'_>) -> Value {
    let sample = |sample: &Sample| {
        json!({
            "cpu_seconds": sample.cpu,
            "wall_seconds": sample.wall,
            "requests": sample.requests,
            "upstream_requests": sample.upstream,
            "peak_mib": sample.peak_mib,
            "last_first_byte_seconds": Some(sample.first).filter(|first| !first.is_nan()),
        })
    };
    let row = |row: &Row| {
        json!({
            "work": row.work.name(),
            "program": row.program.name(),
            "for_each_request": row.work.is_short(),
            "rounds": row.samples.iter().map(sample).collect::<Vec<_>>(),
        })
    };
    let targets: Vec<_> = outcome.targets.iter().map(Target::to_json).collect();
    json!({
        "verb": super::VERB,
        "quick": outcome.quick,
        "rounds": outcome.rounds,
        "versions": outcome.versions,
        "machine": outcome.machine,
        "results": outcome.rows.iter().map(row).collect::<Vec<_>>(),
        "targets": targets,
        "notices": outcome.notices,
    })
}
