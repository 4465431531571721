//! The tables of a run, as Markdown, and the same as JSON.

use serde_json::{Value, json};

use super::Outcome;
use super::case::{DELAY_MS, Verb};
use super::program::Program;
use super::result::Row;
use super::sample::{Calls, Sample};
use super::target;

/// Everything, for people.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut text = format!("{}\n\n", title(outcome));
    text.push_str(&table(
        &headings(outcome.verb),
        &outcome.rows.iter().map(cells(outcome)).collect::<Vec<_>>(),
    ));
    text.push_str(
        "\nMedians of the rounds. Ratios are medians of pairs, each from one round: how many times \
         the wall\ntime of the floor, and of longshore.\n\n",
    );
    let targets: Vec<_> = outcome.targets.iter().map(target::Target::cells).collect();
    text.push_str(&table(
        &["figure", "to reach", "found", "reached"],
        &targets,
    ));
    text.push('\n');
    for (name, version) in &outcome.versions {
        text.push_str(&format!("{name}: {version}\n"));
    }
    for (name, what) in &outcome.machine {
        text.push_str(&format!("{name}: {what}\n"));
    }
    for notice in &outcome.notices {
        text.push_str(&format!("*** {notice}\n"));
    }
    text
}

/// Everything, for programs.
pub(super) fn json(outcome: &Outcome) -> Value {
    let targets: Vec<_> = outcome
        .targets
        .iter()
        .map(target::Target::to_json)
        .collect();
    json!({
        "verb": outcome.verb.name(),
        "quick": outcome.quick,
        "rounds": outcome.rounds,
        "versions": outcome.versions,
        "machine": outcome.machine,
        "results": outcome.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        "targets": targets,
        "notices": outcome.notices,
    })
}

fn title(outcome: &Outcome) -> String {
    let size = if outcome.quick {
        "smaller layers, which prove little"
    } else {
        "full size"
    };
    let what = match outcome.verb {
        Verb::Pull => "Pulls",
        Verb::Push => "Pushes",
        Verb::Copy => "Copies",
    };
    format!(
        "{what} over loopback, {} rounds in turn, {size}",
        outcome.rounds
    )
}

fn headings(verb: Verb) -> Vec<&'static str> {
    let mut headings = vec![
        "work",
        "server",
        "program",
        "wall s",
        "× floor",
        "× longshore",
        "CPU s",
        "CPU s/GiB",
        "peak MiB",
        "minor faults",
        "requests",
        "connections",
        "calls",
        "syncs",
    ];
    if verb != Verb::Pull {
        headings.extend(MORE_HEADINGS);
    }
    headings
}

/// What matters only where something is written to a server.
const MORE_HEADINGS: [&str; 7] = [
    "CPU × floor",
    "for blobs",
    "uploads",
    "read MiB",
    "sent MiB",
    "written MiB",
    "files",
];

fn cells(outcome: &Outcome) -> impl Fn(&Row) -> Vec<String> {
    |row| {
        let beside = |program: Program, figure: fn(&Sample) -> f64| {
            let other = outcome.rows.iter().find(|other| {
                (other.case.name, other.case.route, other.program)
                    == (row.case.name, row.case.route, program)
            });
            let other = other.filter(|other| other.program != row.program);
            other.map_or_else(dash, |other| format!("{:.2}", row.over(other, figure)))
        };
        let calls = |figure: fn(&Calls) -> u64| {
            let calls = row.calls.as_ref().map(figure);
            calls.map_or_else(dash, |calls| calls.to_string())
        };
        let count = |figure: fn(&Sample) -> u64| {
            let median = row.median(|sample| figure(sample) as f64);
            format!("{median:.0}")
        };
        let per_gib = || format!("{:.2}", row.cpu_per_gib());
        let mut cells = vec![
            row.case.name.to_owned(),
            row.case.route.name(),
            row.program.name().to_owned(),
            format!("{:.4}", row.median(|sample| sample.wall)),
            beside(Program::Floor, |sample| sample.wall),
            beside(Program::Longshore, |sample| sample.wall),
            format!("{:.4}", row.median(Sample::cpu)),
            if row.is_bulk() { per_gib() } else { dash() },
            format!("{:.1}", row.median(|sample| sample.peak_mib)),
            format!("{:.0}", row.median(|sample| sample.minor_faults)),
            count(|sample| sample.traffic.requests),
            count(|sample| sample.traffic.connections),
            calls(|calls| calls.all),
            calls(|calls| calls.syncs),
        ];
        if outcome.verb != Verb::Pull {
            let sent = row
                .samples
                .last()
                .and_then(|sample| sample.traffic.received);
            let mib = |bytes: u64| format!("{:.2}", bytes as f64 / MIB);
            cells.extend([
                beside(Program::Floor, Sample::cpu),
                count(|sample| sample.traffic.blobs),
                count(|sample| sample.traffic.uploads),
                format!(
                    "{:.2}",
                    row.median(|sample| sample.traffic.served as f64 / MIB)
                ),
                sent.map_or_else(dash, mib),
                format!("{:.2}", row.median(|sample| sample.written_mib)),
                calls(|calls| calls.files),
            ]);
        }
        cells
    }
}

const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn dash() -> String {
    "–".to_owned()
}

/// For each program, the number of sequential responses that explain its delay.
pub(super) fn waits(rows: &[Row]) -> Vec<String> {
    let of = |row: &Row, delay| row.case.route.delay() == Some(delay);
    let slow = rows.iter().filter(|row| of(row, DELAY_MS));
    slow.filter_map(|slow| {
        let fast = rows
            .iter()
            .find(|row| of(row, 0) && row.program == slow.program)?;
        let traffic = slow.samples.last()?.traffic;
        Some(format!(
            "{} waits for {:.1} answers of {} ms; {} refusals, {} tokens, {} pings",
            slow.program.name(),
            target::answers(slow, fast),
            DELAY_MS,
            traffic.refused,
            traffic.tokens,
            traffic.pings,
        ))
    })
    .collect()
}

/// A table in Markdown whose columns line up.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let headings: Vec<String> = headings
        .iter()
        .map(|heading| (*heading).to_owned())
        .collect();
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&headings])
            .filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths);
        let cells: String = cells
            .map(|(cell, width)| format!(" {cell:width$} |"))
            .collect();
        format!("|{cells}\n")
    };
    let rule: String = widths
        .iter()
        .map(|width| format!("{}|", "-".repeat(width + 2)))
        .collect();
    let mut text = format!("{}|{rule}\n", line(&headings));
    text.extend(rows.iter().map(|row| line(row)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let rows = [
            vec!["one".to_owned(), "×".to_owned()],
            vec!["2".to_owned(), "22".to_owned()],
        ];
        assert_eq!(
            table(&["a", "b"], &rows),
            "| a   | b  |\n|-----|----|\n| one | ×  |\n| 2   | 22 |\n"
        );
    }
}
