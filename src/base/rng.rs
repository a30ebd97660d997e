//! Seeded randomness: xoshiro256++, one per worker or shard, so that a seed replays a run.
//!
//! The generator is Blackman and Vigna's xoshiro256++ (2019), its state filled by SplitMix64. It is fast and even, and
//! guessable: secrets (passwords, run IDs) come from [`fill_secret`].

/// A random generator; a copy goes on with the same numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Starts from the system's entropy.
    pub fn from_entropy() -> Self {
        Rng::from_seed(entropy())
    }

    /// Starts from a seed: equal seeds, equal numbers.
    pub fn from_seed(seed: u64) -> Self {
        let mut mixer = seed;
        Rng { state: std::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number in `0..bound`, every one equally likely (Lemire's method); 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut wide = u128::from(self.next_u64()) * u128::from(bound);
        if (wide as u64) < bound {
            let reject_below = bound.wrapping_neg() % bound;
            while (wide as u64) < reject_below {
                wide = u128::from(self.next_u64()) * u128::from(bound);
            }
        }
        (wide >> 64) as u64
    }

    /// An index into something of `len` elements; 0 if it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number in `0.0..1.0`.
    pub fn unit_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

/// 64 bits of the system's entropy: a seed for [`Rng::from_seed`].
pub fn entropy() -> u64 {
    let mut bytes = [0; 8];
    fill_secret(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Fills `bytes` with what nobody can guess.
pub fn fill_secret(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has a source of randomness");
}

/// A random name of `len` lower-case hexadecimal digits, as run IDs and generated passwords are.
pub fn secret_hex(len: usize) -> String {
    let mut bytes = vec![0; len.div_ceil(2)];
    fill_secret(&mut bytes);
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.truncate(len);
    text
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        let (mut a, mut b) = (Rng::from_seed(1), Rng::from_seed(1));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(Rng::from_seed(1).next_u64(), Rng::from_seed(2).next_u64());
    }

    /// The first outputs of the reference implementation for the state 1, 2, 3, 4.
    #[test]
    fn numbers_are_those_of_the_paper() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        assert_eq!([rng.next_u64(), rng.next_u64(), rng.next_u64()], [41943041, 58720359, 3588806011781223]);
    }

    #[test]
    fn numbers_below_a_bound_are_even() {
        let mut rng = Rng::from_seed(3);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[rng.index(10)] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::from_seed(4).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn secrets_have_the_asked_length() {
        assert_eq!(secret_hex(40).len(), 40);
        assert_eq!(secret_hex(5).len(), 5);
        assert_ne!(secret_hex(40), secret_hex(40));
    }
}
