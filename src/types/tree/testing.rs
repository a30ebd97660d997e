//! Dice for model tests: small, repeatable, and loud about their seed.

/// A repeatable stream of random numbers (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for one seed; a failing test shows the seed in its output.
    pub fn new(seed: u64) -> Self {
        eprintln!("seed {seed}");
        Self(seed)
    }

    /// `n` seeds, new in every run; `SEED=n` in the environment replays one.
    pub fn seeds(n: u64) -> Vec<u64> {
        match std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
            Some(seed) => vec![seed],
            None => {
                let mut start = [0; 4];
                getrandom::fill(&mut start).expect("the system has random bytes");
                (0..n).map(|i| u64::from(u32::from_le_bytes(start)) + i).collect()
            }
        }
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which must not be 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
