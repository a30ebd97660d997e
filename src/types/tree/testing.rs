//! Dice for model tests: repeatable, and loud about their seed.

use crate::base::rng::{Rng, entropy};

/// Dice that always fall the same way for one seed; a failing test shows the seed in its output.
pub(crate) fn dice(seed: u64) -> Rng {
    eprintln!("seed {seed}");
    Rng::from_seed(seed)
}

/// `n` seeds, new in every run; `SEED=n` in the environment replays one.
pub(crate) fn seeds(n: u64) -> Vec<u64> {
    match std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => vec![seed],
        None => {
            let start = entropy() >> 32;
            (start..start + n).collect()
        }
    }
}
