//! The tables of a run, as Markdown, and the same as JSON.

use serde_json::{Value, json};

use super::Outcome;
use super::program::Program;
use super::result::Row;
use super::sample::Sample;
use super::server::Kind;
use super::target;

/// Everything, for people.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut text = format!("{}\n\n", title(outcome));
    text.push_str(&table(
        &HEADINGS,
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
    format!(
        "Pulls over loopback, {} rounds in turn, {size}",
        outcome.rounds
    )
}

const HEADINGS: [&str; 14] = [
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

fn cells(outcome: &Outcome) -> impl Fn(&Row) -> Vec<String> {
    |row| {
        let beside = |program: Program| {
            let other = outcome.rows.iter().find(|other| {
                (other.case.name, other.case.kind, other.program)
                    == (row.case.name, row.case.kind, program)
            });
            let other = other.filter(|other| other.program != row.program);
            other.map_or_else(dash, |other| format!("{:.2}", row.over(other, |s| s.wall)))
        };
        let calls = |figure: fn(&super::sample::Calls) -> u64| {
            let calls = row.calls.as_ref().map(figure);
            calls.map_or_else(dash, |calls| calls.to_string())
        };
        let per_gib = || format!("{:.2}", row.cpu_per_gib());
        vec![
            row.case.name.to_owned(),
            row.case.kind.name(),
            row.program.name().to_owned(),
            format!("{:.4}", row.median(|sample| sample.wall)),
            beside(Program::Floor),
            beside(Program::Longshore),
            format!("{:.4}", row.median(Sample::cpu)),
            if row.is_bulk() { per_gib() } else { dash() },
            format!("{:.1}", row.median(|sample| sample.peak_mib)),
            format!("{:.0}", row.median(|sample| sample.minor_faults)),
            format!("{:.0}", row.median(|sample| sample.traffic.requests as f64)),
            format!(
                "{:.0}",
                row.median(|sample| sample.traffic.connections as f64)
            ),
            calls(|calls| calls.all),
            calls(|calls| calls.syncs),
        ]
    }
}

fn dash() -> String {
    "–".to_owned()
}

/// For each program, the number of sequential responses that explain its delay.
pub(super) fn waits(rows: &[Row]) -> Vec<String> {
    let of = |row: &Row, delay| row.case.kind == Kind::Delayed(delay);
    let slow = rows.iter().filter(|row| of(row, super::DELAY_MS));
    slow.filter_map(|slow| {
        let fast = rows
            .iter()
            .find(|row| of(row, 0) && row.program == slow.program)?;
        let traffic = slow.samples.last()?.traffic;
        Some(format!(
            "{} waits for {:.1} answers of {} ms; {} refusals, {} tokens, {} pings",
            slow.program.name(),
            target::answers(slow, fast),
            super::DELAY_MS,
            traffic.refused,
            traffic.tokens,
            traffic.pings,
        ))
    })
    .collect()
}

/// A table in Markdown whose columns line up.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
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
