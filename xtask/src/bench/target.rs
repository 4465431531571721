//! The target figures, and whether a run reached them.

use serde_json::{Value, json};

use super::case::{DELAY_MS, Route, Verb};
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
    pub(super) fn new(
        what: impl Into<String>,
        wanted: impl Into<String>,
        found: f64,
        most: f64,
    ) -> Self {
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
pub(super) fn judge(verb: Verb, rows: &[Row]) -> Vec<Target> {
    let rows = Rows(rows);
    let mut targets = match verb {
        Verb::Pull => pull(rows),
        Verb::Push => push(rows),
        Verb::Copy => copy(rows),
    };
    targets.extend(no_slower(rows.0));
    targets
}

/// The rows of a run, to look one up.
#[derive(Clone, Copy)]
struct Rows<'a>(&'a [Row]);

impl<'a> Rows<'a> {
    fn get(self, work: &str, route: Route, program: Program) -> Option<&'a Row> {
        self.0
            .iter()
            .find(|row| (row.case.name, row.case.route, row.program) == (work, route, program))
    }

    /// The rival that takes the least time.
    fn best_rival(self, work: &str, route: Route) -> Option<&'a Row> {
        let rivals = Program::RIVALS
            .iter()
            .filter_map(|rival| self.get(work, route, *rival));
        rivals.min_by(|a, b| a.median(wall).total_cmp(&b.median(wall)))
    }
}

/// No slower than the best rival.
fn best(rows: Rows<'_>, ours: &Row) -> Option<Target> {
    let best = rows.best_rival(ours.case.name, ours.case.route)?;
    let wanted = format!("≤ 1 × {}", best.program.name());
    let what = format!("{}, {}: wall", ours.case.name, ours.case.route.name());
    Some(Target::new(what, wanted, ours.over(best, wall), 1.0))
}

fn pull(rows: Rows<'_>) -> Vec<Target> {
    let nginx = |work: &str, program| rows.get(work, Route::Pull(Kind::Nginx), program);
    let mut targets = Vec::new();
    if let Some(ours) = nginx("one", Program::Longshore) {
        if let Some(floor) = nginx("one", Program::Floor) {
            let ratio = ours.over(floor, Sample::cpu);
            targets.push(Target::new("one: CPU", "≤ 1.25 × floor", ratio, 1.25));
        }
        targets.extend(best(rows, ours));
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
    let tls = |program| rows.get("tls", Route::Pull(Kind::NginxTls), program);
    if let Some(ours) = tls(Program::Longshore) {
        let seconds = ours.median(wall);
        targets.push(Target::new("tls: wall", "≤ 1.3 s", seconds, 1.3));
        if let Some(rival) = tls(Program::OciClient) {
            let ratio = ours.over(rival, wall);
            let wanted = "≤ 1.3/1.55 × oci-client";
            targets.push(Target::new("tls: wall", wanted, ratio, 1.3 / 1.55));
        }
    }
    if let Some(ours) = nginx("tiny", Program::Longshore) {
        let milliseconds = ours.median(wall) * 1e3;
        targets.push(Target::new("tiny: wall", "≤ 15 ms", milliseconds, 15.0));
    }
    targets.extend(tokens(rows, Route::Pull, 12.0));
    targets
}

/// The waits and the tokens of a registry that requires tokens and is far away.
fn tokens(rows: Rows<'_>, route: fn(Kind) -> Route, most_answers: f64) -> Vec<Target> {
    let row = |delay| rows.get("tokens", route(Kind::Delayed(delay)), Program::Longshore);
    let (Some(delayed), Some(prompt)) = (row(DELAY_MS), row(0)) else {
        return Vec::new();
    };
    let seen = |figure: fn(&Sample) -> u64| delayed.median(|sample| figure(sample) as f64);
    let refused = seen(|sample| sample.traffic.refused);
    let tokens = seen(|sample| sample.traffic.tokens);
    let pings = seen(|sample| sample.traffic.pings);
    let answers = answers(delayed, prompt);
    let wanted = format!("≤ {most_answers} answers");
    vec![
        Target::new("tokens: waited for", wanted, answers, most_answers),
        Target::new("tokens: refusals", "≤ 1", refused, 1.0),
        Target::new("tokens: tokens", "≤ 1", tokens, 1.0),
        Target::new("tokens: pings", "0", pings, 0.0),
    ]
}

fn push(rows: Rows<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    for kind in [Kind::Sink, Kind::DockerRegistry] {
        let row = |program| rows.get("one", Route::Push(kind), program);
        let name = kind.name();
        for (program, what, most) in [
            (Program::Longshore, "CPU s/GiB", 0.85),
            (Program::LongshoreTrusting, "trusting, CPU s/GiB", 0.25),
        ] {
            if let Some(ours) = row(program) {
                let what = format!("one, {name}: {what}");
                let cpu = ours.cpu_per_gib();
                targets.push(Target::new(what, format!("≤ {most}"), cpu, most));
            }
        }
        targets.extend(row(Program::Longshore).and_then(|ours| best(rows, ours)));
    }
    targets.extend(tokens(rows, Route::Push, 20.0));
    targets
}

fn copy(rows: Rows<'_>) -> Vec<Target> {
    let mut targets = Vec::new();
    let ours = rows
        .0
        .iter()
        .filter(|row| row.program == Program::Longshore);
    for ours in ours {
        let (name, route) = (ours.case.name, ours.case.route);
        let seen = |figure: fn(&Sample) -> f64| ours.median(figure);
        let mut add = |what: &str, wanted: &str, found: f64, most: f64| {
            let what = format!("{name}, {}: {what}", route.name());
            targets.push(Target::new(what, wanted, found, most));
        };
        let bytes = ours.case.image.bytes() as f64;
        let blobs = f64::from(ours.case.image.layers + 1);
        match route {
            Route::Copy(_, [_]) if ours.is_large() => {
                if let Some(floor) = rows.get(name, route, Program::Floor) {
                    let cpu = ours.over(floor, Sample::cpu);
                    add("CPU", "≤ 1.15 × floor", cpu, 1.15);
                    add("wall", "≤ 1.15 × floor", ours.over(floor, wall), 1.15);
                }
                add("peak MiB", "≤ 32", seen(|s| s.peak_mib), 32.0);
                add("written MiB", "≤ 0.1", seen(|s| s.written_mib), 0.1);
            }
            Route::Copy(_, [_, _, ..]) => {
                let read = seen(|sample| sample.traffic.served as f64);
                add("bytes read", "≤ 1.001 × the image", read / bytes, 1.001);
            }
            Route::Within(_) => {
                let most = format!("≤ {blobs}");
                add(
                    "requests for blobs",
                    &most,
                    seen(|s| s.traffic.blobs as f64),
                    blobs,
                );
                add("uploads", "0", seen(|s| s.traffic.uploads as f64), 0.0);
            }
            Route::Again(_) => {
                let requests = seen(|s| (s.traffic.requests - s.traffic.tokens) as f64);
                add("requests", "≤ 3", requests, 3.0);
            }
            _ => {}
        }
    }
    targets
}

/// How much longer a run may take than with the earlier program of the same run.
const BEFORE_RATIO: f64 = 1.03;

/// Compares with the earlier program, wherever both were measured.
fn no_slower(rows: &[Row]) -> impl Iterator<Item = Target> {
    let ours = rows.iter().filter(|row| row.program == Program::Longshore);
    ours.filter_map(|ours| {
        let before = rows
            .iter()
            .find(|row| row.case == ours.case && row.program == Program::Before)?;
        let (work, route) = (ours.case.name, ours.case.route.name());
        let what = format!("{work}, {route}: wall");
        let wanted = format!("≤ {BEFORE_RATIO} × before");
        let ratio = ours.over(before, wall);
        Some(Target::new(what, wanted, ratio, BEFORE_RATIO))
    })
}

/// The number of sequential responses that explains the extra time of a run with delay.
pub(super) fn answers(delayed: &Row, prompt: &Row) -> f64 {
    let delay = f64::from(DELAY_MS) / 1e3;
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

#[cfg(test)]
mod tests {
    use super::super::server::Traffic;
    use super::*;

    /// A row of one round, of the first case with that work.
    fn row(verb: Verb, work: &str, program: Program, sample: Sample) -> Row {
        let mut cases = verb.cases().iter();
        Row {
            case: *cases.find(|case| case.name == work).unwrap(),
            program,
            samples: vec![sample],
            calls: None,
        }
    }

    /// What was judged, without the target values.
    fn judged(verb: Verb, rows: &[Row]) -> Vec<(String, f64, bool)> {
        let targets = judge(verb, rows).into_iter();
        targets
            .map(|target| (target.what.clone(), target.found, target.reached()))
            .collect()
    }

    #[test]
    fn a_push_is_judged_by_its_processor_time_and_the_best_rival() {
        let sample = |wall, user| Sample {
            wall,
            user,
            ..Sample::default()
        };
        let row = |program, sample| row(Verb::Push, "one", program, sample);
        let rows = [
            row(Program::Longshore, sample(1.0, 0.8)),
            row(Program::LongshoreTrusting, sample(0.5, 0.3)),
            row(Program::Skopeo, sample(4.0, 1.5)),
            row(Program::OciClient, sample(2.0, 0.8)),
        ];
        let expected = [
            ("one, sink: CPU s/GiB".to_owned(), 0.8, true),
            ("one, sink: trusting, CPU s/GiB".to_owned(), 0.3, false),
            ("one, sink: wall".to_owned(), 0.5, true),
        ];
        assert_eq!(judged(Verb::Push, &rows), expected);
    }

    #[test]
    fn copies_are_judged_by_what_the_servers_saw() {
        let row = |work, traffic| {
            let sample = Sample {
                traffic,
                ..Sample::default()
            };
            row(Verb::Copy, work, Program::Longshore, sample)
        };
        let gib = 1024 * 1024 * 1024;
        let twice = Traffic {
            served: 2 * gib,
            ..Traffic::default()
        };
        let mounts = Traffic {
            blobs: 201,
            uploads: 1,
            ..Traffic::default()
        };
        let again = Traffic {
            requests: 4,
            tokens: 1,
            ..Traffic::default()
        };
        let rows = [
            row("two", twice),
            row("within", mounts),
            row("again", again),
        ];
        let expected = [
            ("two, nginx to sink and sink: bytes read", 2.0, false),
            ("within, within sink: requests for blobs", 201.0, true),
            ("within, within sink: uploads", 1.0, false),
            ("again, within docker-registry: requests", 3.0, true),
        ]
        .map(|(what, found, reached)| (what.to_owned(), found, reached));
        assert_eq!(judged(Verb::Copy, &rows), expected);
    }
}
