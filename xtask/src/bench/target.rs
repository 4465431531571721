//! The target figures, and whether a run reached them.

use serde_json::{Value, json};

use super::program::Program;
use super::result::{Row, median};
use super::sample::Sample;
use super::server::Kind;

/// One figure to reach.
pub(super) struct Target {
    what: String,
    wanted: String,
    found: f64,
    most: f64,
}

impl Target {
    fn new(what: impl Into<String>, wanted: impl Into<String>, found: f64, most: f64) -> Self {
        Self {
            what: what.into(),
            wanted: wanted.into(),
            found,
            most,
        }
    }

    /// Whether the figure was reached; NaN was not.
    pub(super) fn reached(&self) -> bool {
        self.found <= self.most
    }

    /// As the cells of a table: what, wanted, found, reached.
    pub(super) fn cells(&self) -> Vec<String> {
        let reached = if self.reached() { "yes" } else { "no" };
        vec![
            self.what.clone(),
            self.wanted.clone(),
            format!("{:.3}", self.found),
            reached.to_owned(),
        ]
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "wanted": self.wanted,
            "at_most": self.most,
            "found": self.found,
            "reached": self.reached(),
        })
    }
}

/// Judges a run; a target that needs a missing program is left out.
pub(super) fn judge(rows: &[Row]) -> Vec<Target> {
    let row = |work: &str, kind: Kind, program: Program| {
        rows.iter()
            .find(|row| row.case.name == work && row.case.kind == kind && row.program == program)
    };
    let nginx = |work: &str, program: Program| row(work, Kind::Nginx, program);
    let mut targets = Vec::new();

    if let Some(ours) = nginx("one", Program::Longshore) {
        if let Some(floor) = nginx("one", Program::Floor) {
            let ratio = ours.over(floor, Sample::cpu);
            targets.push(Target::new("one: CPU", "≤ 1.25 × floor", ratio, 1.25));
        }
        let rivals = Program::RIVALS
            .iter()
            .filter_map(|rival| nginx("one", *rival));
        if let Some(best) = rivals.min_by(|a, b| a.median(wall).total_cmp(&b.median(wall))) {
            let wanted = format!("≤ 1 × {}", best.program.name());
            let ratio = ours.over(best, wall);
            targets.push(Target::new("one: wall", wanted, ratio, 1.0));
        }
        let peak = ours.median(|sample| sample.peak_mib);
        targets.push(Target::new("one: peak memory", "≤ 16 MiB", peak, 16.0));
    }
    for (what, work, program, wanted, most) in [
        ("ten: wall", "ten", Program::Longshore, "≤ 1.1 × floor", 1.1),
        (
            "many: wall, nothing durable",
            "many",
            Program::Longshore,
            "≤ 1.6 × floor",
            1.6,
        ),
        (
            "many: wall, batched",
            "many",
            Program::LongshoreBatch,
            "≤ 2.5 × floor",
            2.5,
        ),
    ] {
        if let (Some(ours), Some(floor)) = (nginx(work, program), nginx(work, Program::Floor)) {
            targets.push(Target::new(what, wanted, ours.over(floor, wall), most));
        }
    }
    for (what, work) in [("ten: peak memory", "ten"), ("many: peak memory", "many")] {
        if let Some(ours) = nginx(work, Program::Longshore) {
            let peak = ours.median(|sample| sample.peak_mib);
            targets.push(Target::new(what, "≤ 32 MiB", peak, 32.0));
        }
    }
    if let Some(ours) = row("tls", Kind::NginxTls, Program::Longshore) {
        let seconds = ours.median(wall);
        targets.push(Target::new("tls: wall", "≤ 1.3 s", seconds, 1.3));
        if let Some(rival) = row("tls", Kind::NginxTls, Program::OciClient) {
            let ratio = ours.over(rival, wall);
            let wanted = "≤ 1.3/1.55 × oci-client";
            targets.push(Target::new("tls: wall", wanted, ratio, 1.3 / 1.55));
        }
    }
    if let Some(ours) = nginx("tiny", Program::Longshore) {
        let milliseconds = ours.median(wall) * 1e3;
        targets.push(Target::new("tiny: wall", "≤ 15 ms", milliseconds, 15.0));
    }
    let tokens = |delay| row("tokens", Kind::Delayed(delay), Program::Longshore);
    if let (Some(delayed), Some(prompt)) = (tokens(super::DELAY_MS), tokens(0)) {
        let answers = answers(delayed, prompt);
        targets.push(Target::new(
            "tokens: waited for",
            "≤ 12 answers",
            answers,
            12.0,
        ));
        let seen = |figure: fn(&Sample) -> u64| delayed.median(|sample| figure(sample) as f64);
        let refused = seen(|sample| sample.traffic.refused);
        targets.push(Target::new("tokens: refusals", "≤ 1", refused, 1.0));
        let tokens = seen(|sample| sample.traffic.tokens);
        targets.push(Target::new("tokens: tokens", "≤ 1", tokens, 1.0));
        let pings = seen(|sample| sample.traffic.pings);
        targets.push(Target::new("tokens: pings", "0", pings, 0.0));
    }
    targets.extend(no_slower(rows));
    targets
}

/// How much longer a pull may take than with the earlier program of the same run.
const BEFORE_RATIO: f64 = 1.03;

/// Compares with the earlier program, wherever both were measured.
fn no_slower(rows: &[Row]) -> impl Iterator<Item = Target> {
    let ours = rows.iter().filter(|row| row.program == Program::Longshore);
    ours.filter_map(|ours| {
        let before = rows
            .iter()
            .find(|row| row.case == ours.case && row.program == Program::Before)?;
        let (work, server) = (ours.case.name, ours.case.kind.name());
        let what = format!("{work} from {server}: wall");
        let wanted = format!("≤ {BEFORE_RATIO} × before");
        let ratio = ours.over(before, wall);
        Some(Target::new(what, wanted, ratio, BEFORE_RATIO))
    })
}

/// The number of sequential responses that explains the extra time of a run with delay.
pub(super) fn answers(delayed: &Row, prompt: &Row) -> f64 {
    let delay = f64::from(super::DELAY_MS) / 1e3;
    let pairs = delayed.samples.iter().zip(&prompt.samples);
    median(
        pairs
            .map(|(slow, fast)| (slow.wall - fast.wall) / delay)
            .collect(),
    )
}

fn wall(sample: &Sample) -> f64 {
    sample.wall
}
