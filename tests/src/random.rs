//! Random numbers from a seed, for tests that draw what they do.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::Duration;

/// The seed of this run: what `LONGSHORE_SEED` says, else another one each time.
///
/// # Panics
///
/// When the variable holds no number.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var("LONGSHORE_SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => seed,
        Ok(Err(error)) => panic!("LONGSHORE_SEED: {error}"),
        Err(_) => RandomState::new().hash_one(()),
    }
}

/// How often something is killed: what `LONGSHORE_KILLS` says, else 10 times.
///
/// # Panics
///
/// When the variable holds no number.
#[must_use]
pub fn kills() -> u32 {
    match std::env::var("LONGSHORE_KILLS").map(|kills| kills.parse()) {
        Ok(Ok(kills)) => kills,
        Ok(Err(error)) => panic!("LONGSHORE_KILLS: {error}"),
        Err(_) => 10,
    }
}

/// Says the seed when the test fails.
#[derive(Debug)]
pub struct Told(u64);

impl Told {
    /// Says this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("again with LONGSHORE_SEED={}", self.0);
        }
    }
}

/// SplitMix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "there is always a next number"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or_default()
    }

    /// A time of at most `most`.
    pub fn duration(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(most.saturating_add(1)))
    }
}
