//! The measured rows and the figures derived from them.

use serde_json::{Value, json};

use super::case::Case;
use super::program::Program;
use super::sample::{Calls, Sample};

/// All runs of one program for one case.
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) program: Program,
    /// One for each round, in order.
    pub(super) samples: Vec<Sample>,
    /// `None` where they were not counted.
    pub(super) calls: Option<Calls>,
}

impl Row {
    /// The median over the rounds.
    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure).collect())
    }

    /// The median of the ratios of two rows; each ratio is from one round.
    pub(super) fn over(&self, other: &Self, figure: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        median(
            pairs
                .map(|(ours, theirs)| figure(ours) / figure(theirs))
                .collect(),
        )
    }

    /// Seconds of processor time for each GiB of the image.
    pub(super) fn cpu_per_gib(&self) -> f64 {
        self.median(Sample::cpu) / (self.case.image.bytes() as f64 / GIB)
    }

    /// Whether the image is so large that moving its bytes decides what it costs.
    pub(super) fn is_bulk(&self) -> bool {
        self.case.image.bytes() as f64 >= GIB / 64.0
    }

    /// Whether its cost is that of moving bytes, and no longer that of requests.
    pub(super) fn is_large(&self) -> bool {
        self.case.image.layer_bytes as f64 >= GIB / 64.0
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "work": self.case.name,
            "server": self.case.route.name(),
            "program": self.program.name(),
            "layers": self.case.image.layers,
            "layer_bytes": self.case.image.layer_bytes,
            "median_wall_seconds": self.median(|sample| sample.wall),
            "median_cpu_seconds": self.median(Sample::cpu),
            "cpu_seconds_per_gib": self.is_bulk().then(|| self.cpu_per_gib()),
            "median_peak_mib": self.median(|sample| sample.peak_mib),
            "system_calls": self.calls.map(Calls::to_json),
            "rounds": self.samples.iter().map(|sample| sample.to_json()).collect::<Vec<_>>(),
        })
    }
}

/// The middle value, or the mean of the two in the middle; NaN for an empty list.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    match values.len() % 2 {
        1 => at(middle),
        _ => f64::midpoint(at(middle.wrapping_sub(1)), at(middle)),
    }
}

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn ratios_are_of_pairs() {
        let row = |walls: [f64; 3]| Row {
            case: super::super::case::Verb::Pull.cases()[0],
            program: Program::Floor,
            samples: walls
                .map(|wall| Sample {
                    wall,
                    ..Sample::default()
                })
                .to_vec(),
            calls: None,
        };
        let ours = row([1.0, 20.0, 3.0]);
        let theirs = row([1.0, 10.0, 2.0]);
        assert_eq!(ours.over(&theirs, |sample| sample.wall), 1.5);
    }
}
