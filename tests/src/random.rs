//! Random moments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Another sequence at each run (splitmix64). A test reports the seed with its findings.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// Begins a sequence.
    #[expect(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let seed = now.as_secs();
        Self { seed, state: seed }
    }

    /// What the sequence began with.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// A time from zero up to `most`.
    pub fn below(&mut self, most: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        most * u32::try_from(mixed >> 48).expect("16 bits") / (1 << 16)
    }
}
