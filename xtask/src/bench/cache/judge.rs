//! The figures to reach.

use super::UPSTREAM_BYTES_PER_SECOND;
use super::server::Program;
use super::work::{Row, Sample, Work};
use crate::bench::target::Target;

/// Judges a run; a target that needs a missing program is left out.
pub(super) fn judge(rows: &[Row], cold_bytes: u64) -> Vec<Target> {
    let row = |work, program| {
        let mut rows = rows.iter();
        rows.find(|row| (row.work, row.program) == (work, program))
    };
    let mut targets = Vec::new();
    for (work, most) in [
        (Work::Tag, 2.0),
        (Work::Digest, 2.0),
        (Work::Head, 2.0),
        (Work::Small, 1.5),
        (Work::Large, 1.25),
    ] {
        let Some(ours) = row(work, Program::Longshore) else {
            continue;
        };
        if let Some(floor) = row(work, Program::Floor) {
            let ratio = ours.over(floor, |sample| sample.cpu);
            let what = format!("{}: CPU", work.name());
            targets.push(Target::new(what, format!("≤ {most} × floor"), ratio, most));
        }
        match (work, row(work, Program::Nginx)) {
            (Work::Large, Some(nginx)) => {
                let ratio = ours.over(nginx, |sample| sample.wall);
                targets.push(Target::new("large: wall", "≤ 1 × nginx", ratio, 1.0));
            }
            (Work::Tag, _) => {
                let asked = ours.median(|sample| sample.upstream as f64);
                targets.push(Target::new("tag: requests upstream", "0", asked, 0.0));
            }
            _ => {}
        }
    }
    if let Some(ours) = row(Work::Memory, Program::Longshore) {
        let peak = ours.median(|sample| sample.peak_mib);
        targets.push(Target::new("memory: peak MiB", "≤ 48", peak, 48.0));
    }
    if let Some(ours) = row(Work::Cold, Program::Longshore) {
        targets.extend(cold(ours, row(Work::Cold, Program::Nginx), cold_bytes));
    }
    targets
}

fn cold(ours: &Row, nginx: Option<&Row>, bytes: u64) -> Vec<Target> {
    let most = |figure: fn(&Sample) -> f64| {
        let figures = ours.samples.iter().map(figure);
        figures.max_by(f64::total_cmp).unwrap_or(f64::NAN)
    };
    let asked = most(|sample| sample.upstream as f64);
    let late = most(|sample| sample.first * 1e3);
    let mut targets = vec![
        Target::new("cold: GETs upstream, in any round", "1", asked, 1.0),
        Target::new("cold: last first byte, in any round", "≤ 50 ms", late, 50.0),
    ];
    if let Some(nginx) = nginx {
        let upstream = bytes as f64 / f64::from(UPSTREAM_BYTES_PER_SECOND);
        let ratio =
            ours.median(|sample| sample.wall) / (nginx.median(|sample| sample.wall) + upstream);
        let wanted = "≤ 1.5 × (nginx, warm + upstream)";
        targets.push(Target::new("cold: wall", wanted, ratio, 1.5));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_judged_by_the_floor_and_by_what_the_upstream_saw() {
        let row = |work, program, sample| Row {
            work,
            program,
            samples: vec![sample],
        };
        let sample = |cpu, wall, upstream, first| Sample {
            cpu,
            wall,
            upstream,
            first,
            ..Sample::default()
        };
        let rows = [
            row(Work::Tag, Program::Floor, sample(10.0, 1.0, 0, 0.0)),
            row(Work::Tag, Program::Longshore, sample(15.0, 1.0, 2, 0.0)),
            row(Work::Cold, Program::Nginx, sample(0.0, 1.0, 0, f64::NAN)),
            row(Work::Cold, Program::Longshore, sample(0.0, 4.0, 1, 0.06)),
        ];
        let judged: Vec<_> = judge(&rows, 100_000_000)
            .iter()
            .map(Target::cells)
            .map(|cells| format!("{}: {} {}", cells[0], cells[2], cells[3]))
            .collect();
        assert_eq!(
            judged,
            [
                "tag: CPU: 1.500 yes",
                "tag: requests upstream: 2.000 no",
                "cold: GETs upstream, in any round: 1.000 yes",
                "cold: last first byte, in any round: 60.000 no",
                "cold: wall: 2.000 no",
            ]
        );
    }
}
