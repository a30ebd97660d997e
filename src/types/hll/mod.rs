//! HyperLogLog over the bytes of a string, in Redis' own sparse and dense layouts.
//!
//! A HyperLogLog is an ordinary string value, so GET, SET, DUMP and replication move it as bytes; these are the bytes of
//! Redis exactly, and a string made by one server counts the same on the other.
//!
//! ```text
//! 0      4          5         8                16
//! "HYLL" encoding   3 unused  cached count     registers
//!        0 dense              u64 LE, top bit
//!        1 sparse             set = stale
//! ```
//!
//! There are 16384 registers of 6 bits. An element hashes to 64 bits: the low 14 choose the register, and the register
//! keeps the longest run `00..01` seen in the other 50. Dense registers are packed from the low bit up, eight in six
//! bytes. Sparse ones are run-length opcodes, see [`sparse`]; a value above 32 or a string above `hll-sparse-max-bytes`
//! turns sparse into dense, never back.
//!
//! The estimate is Otmar Ertl's improved raw estimator ("New cardinality estimation algorithms for HyperLogLog
//! sketches", arXiv:1702.01284, algorithm 6), as in Redis 5 and later: the same order of floating point operations, so
//! that the figure is the same to the last digit.
//!
//! Nothing here trusts the string: a client may have written anything with SETRANGE.

mod dense;
mod estimate;
mod murmur;
mod selftest;
mod sparse;

pub use selftest::selftest;

const HEADER_LEN: usize = 16;
const DENSE_LEN: usize = HEADER_LEN + REGISTERS * 6 / 8;
const REGISTERS: usize = 1 << 14;
/// The bits of the hash that are left for the run of zeros.
const RUN_BITS: usize = 64 - 14;
const STALE: u8 = 0x80;

/// Why a string cannot be used as a HyperLogLog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HllError {
    /// It never was one: wrong magic, encoding or length.
    NotHll,
    /// Its header is right and its registers are not.
    Corrupt,
}

/// How the registers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 6 bits per register.
    Dense,
    /// Run-length opcodes.
    Sparse,
}

/// An empty HyperLogLog: sparse, with a valid cached count of 0.
pub fn create() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    bytes[..4].copy_from_slice(b"HYLL");
    bytes[4] = 1;
    bytes.extend_from_slice(&sparse::EMPTY);
    bytes
}

/// Whether a string has the header and, when dense, the length of a HyperLogLog; and which kind it is.
pub fn encoding(bytes: &[u8]) -> Result<Encoding, HllError> {
    match (bytes.get(..4), bytes.get(4)) {
        (Some(b"HYLL"), Some(0)) if bytes.len() == DENSE_LEN => Ok(Encoding::Dense),
        (Some(b"HYLL"), Some(1)) if bytes.len() >= HEADER_LEN => Ok(Encoding::Sparse),
        _ => Err(HllError::NotHll),
    }
}

/// Adds an element; returns whether a register grew. The cached count turns stale when one did.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_bytes_max: usize) -> Result<bool, HllError> {
    let (register, run) = place(element);
    let mut hint = sparse::Hint::default();
    raise(bytes, register, run, sparse_bytes_max, &mut hint)
}

/// As [`add`], to a dense string in place.
pub fn add_dense(bytes: &mut [u8], element: &[u8]) -> Result<bool, HllError> {
    if encoding(bytes)? != Encoding::Dense {
        return Err(HllError::NotHll);
    }
    let (register, run) = place(element);
    let grew = dense::raise(&mut bytes[HEADER_LEN..], register, run);
    if grew {
        mark_stale(bytes);
    }
    Ok(grew)
}

/// The register an element falls into and the value it asks for, 1 to 51.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur::hash64(element, 0xadc8_3b19);
    let rest = (hash >> 14) | 1 << RUN_BITS;
    (hash as usize & (REGISTERS - 1), rest.trailing_zeros() as u8 + 1)
}

/// Raises one register to at least `value`; returns whether it grew.
fn raise(
    bytes: &mut Vec<u8>,
    register: usize,
    value: u8,
    sparse_bytes_max: usize,
    hint: &mut sparse::Hint,
) -> Result<bool, HllError> {
    if encoding(bytes)? == Encoding::Sparse {
        match sparse::raise(bytes, register, value, sparse_bytes_max, hint)? {
            sparse::Raised::Kept => return Ok(false),
            sparse::Raised::Grew => {
                mark_stale(bytes);
                return Ok(true);
            }
            sparse::Raised::NeedsDense => to_dense(bytes)?,
        }
    }
    let grew = dense::raise(&mut bytes[HEADER_LEN..], register, value);
    if grew {
        mark_stale(bytes);
    }
    Ok(grew)
}

/// Makes the cached count stale.
pub fn mark_stale(bytes: &mut [u8]) {
    bytes[15] |= STALE;
}

/// The cached count, unless it is stale.
pub fn cached_count(bytes: &[u8]) -> Result<Option<u64>, HllError> {
    encoding(bytes)?;
    let cache: [u8; 8] = bytes[8..16].try_into().expect("the header holds 16 bytes");
    Ok((cache[7] & STALE == 0).then(|| u64::from_le_bytes(cache)))
}

/// Keeps a count in the header.
pub fn cache_count(bytes: &mut [u8], count: u64) -> Result<(), HllError> {
    encoding(bytes)?;
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    Ok(())
}

/// Estimates the cardinality from the registers, without a look at the cache.
pub fn count(bytes: &[u8]) -> Result<u64, HllError> {
    let histogram = match encoding(bytes)? {
        Encoding::Dense => dense::histogram(&bytes[HEADER_LEN..]),
        Encoding::Sparse => sparse::histogram(&bytes[HEADER_LEN..])?,
    };
    Ok(estimate::cardinality(&histogram))
}

/// Rewrites a sparse string as a dense one; a dense one stays as it is. The cached count is kept.
pub fn to_dense(bytes: &mut Vec<u8>) -> Result<(), HllError> {
    if encoding(bytes)? == Encoding::Dense {
        return Ok(());
    }
    let mut dense = vec![0; DENSE_LEN];
    dense[..HEADER_LEN].copy_from_slice(&bytes[..HEADER_LEN]);
    dense[4] = 0;
    for run in sparse::runs(&bytes[HEADER_LEN..]) {
        let run = run?;
        if run.value > 0 {
            run.registers().for_each(|register| dense::set(&mut dense[HEADER_LEN..], register, run.value));
        }
    }
    *bytes = dense;
    Ok(())
}

/// The opcodes of a sparse string as PFDEBUG DECODE prints them; `None` for a dense one.
pub fn decode(bytes: &[u8]) -> Result<Option<String>, HllError> {
    match encoding(bytes)? {
        Encoding::Dense => Ok(None),
        Encoding::Sparse => sparse::describe(&bytes[HEADER_LEN..]).map(Some),
    }
}

/// All registers, one byte each: what a union of several HyperLogLogs is built in.
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Registers(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    /// Takes the larger value of each register.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), HllError> {
        match encoding(bytes)? {
            Encoding::Dense => dense::merge(&mut self.0, &bytes[HEADER_LEN..]),
            Encoding::Sparse => {
                for run in sparse::runs(&bytes[HEADER_LEN..]) {
                    let run = run?;
                    self.0[run.registers()].iter_mut().for_each(|register| *register = run.value.max(*register));
                }
            }
        }
        Ok(())
    }

    /// The estimated cardinality of the union.
    pub fn count(&self) -> u64 {
        let mut histogram = [0; 64];
        self.0.iter().for_each(|value| histogram[usize::from(*value & 63)] += 1);
        estimate::cardinality(&histogram)
    }

    /// Raises the registers of a string to at least these. Its cached count turns stale.
    pub fn store(&self, bytes: &mut Vec<u8>, sparse_bytes_max: usize) -> Result<(), HllError> {
        if encoding(bytes)? == Encoding::Dense {
            dense::raise_all(&mut bytes[HEADER_LEN..], &self.0);
            mark_stale(bytes);
            return Ok(());
        }
        let mut hint = sparse::Hint::default();
        for (register, value) in self.0.iter().enumerate().filter(|(_, value)| **value > 0) {
            raise(bytes, register, *value, sparse_bytes_max, &mut hint)?;
        }
        mark_stale(bytes);
        Ok(())
    }

    /// The values, register 0 first.
    pub fn values(&self) -> &[u8] {
        &self.0[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARSE_MAX: usize = 3000;

    fn with_elements(count: u64, sparse_bytes_max: usize) -> Vec<u8> {
        let mut bytes = create();
        for element in 0..count {
            add(&mut bytes, format!("element-{element}").as_bytes(), sparse_bytes_max).expect("sound");
        }
        bytes
    }

    fn registers_of(bytes: &[u8]) -> Vec<u8> {
        let mut registers = Registers::default();
        registers.merge(bytes).expect("sound");
        registers.values().to_vec()
    }

    #[test]
    fn a_new_one_is_eighteen_bytes_and_counts_zero() {
        let bytes = create();
        assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(cached_count(&bytes), Ok(Some(0)));
        assert_eq!(count(&bytes), Ok(0));
        assert_eq!(decode(&bytes), Ok(Some("Z:16384".to_string())));
    }

    #[test]
    fn sparse_and_dense_hold_the_same_registers() {
        for size in [1, 2, 10, 100, 500, 1000, 3000, 20_000] {
            let (sparse, dense) = (with_elements(size, 1 << 20), with_elements(size, 0));
            assert_eq!(encoding(&dense), Ok(Encoding::Dense));
            assert_eq!(registers_of(&sparse), registers_of(&dense), "{size} elements");
            assert_eq!(count(&sparse), count(&dense), "{size} elements");
            let mut promoted = sparse.clone();
            to_dense(&mut promoted).expect("sound");
            assert_eq!(promoted, dense, "{size} elements");
        }
    }

    #[test]
    fn adding_again_changes_nothing_and_keeps_the_cache() {
        let mut bytes = with_elements(300, SPARSE_MAX);
        assert_eq!(cached_count(&bytes), Ok(None));
        let estimate = count(&bytes).expect("sound");
        cache_count(&mut bytes, estimate).expect("sound");
        let before = bytes.clone();
        assert_eq!(add(&mut bytes, b"element-7", SPARSE_MAX), Ok(false));
        assert_eq!(bytes, before);
        assert_eq!(cached_count(&bytes), Ok(Some(estimate)));
    }

    #[test]
    fn it_turns_dense_past_the_limit_and_not_before() {
        let mut bytes = create();
        for element in 0u64.. {
            add(&mut bytes, &element.to_le_bytes(), 200).expect("sound");
            match encoding(&bytes).expect("sound") {
                Encoding::Sparse => assert!(bytes.len() <= 200),
                Encoding::Dense => break,
            }
        }
        assert_eq!(bytes.len(), DENSE_LEN);
    }

    #[test]
    fn a_union_counts_what_one_string_with_all_elements_would() {
        let mut union = Registers::default();
        for element in ["a", "b", "c", "d"] {
            let mut part = create();
            add(&mut part, element.as_bytes(), SPARSE_MAX).expect("sound");
            add(&mut part, b"common", 0).expect("sound");
            union.merge(&part).expect("sound");
        }
        assert_eq!(union.count(), 5);
        let mut target = create();
        union.store(&mut target, SPARSE_MAX).expect("sound");
        assert_eq!(count(&target), Ok(5));
        assert_eq!(encoding(&target), Ok(Encoding::Sparse));
        assert_eq!(cached_count(&target), Ok(None));
    }

    #[test]
    fn storing_a_union_is_setting_its_registers_one_by_one() {
        for size in [10, 400, 1200] {
            let source = with_elements(size, 1 << 20);
            let mut union = Registers::default();
            union.merge(&source).expect("sound");
            let (mut target, mut slow) = (with_elements(size / 2, 1 << 20), with_elements(size / 2, 1 << 20));
            union.store(&mut target, 1 << 20).expect("sound");
            for (register, value) in union.values().iter().enumerate().filter(|(_, value)| **value > 0) {
                raise(&mut slow, register, *value, 1 << 20, &mut sparse::Hint::default()).expect("sound");
            }
            mark_stale(&mut slow);
            assert_eq!(target, slow, "{size} elements");
        }
    }

    #[test]
    fn strings_that_are_no_hyperloglog_are_refused() {
        let mut short_dense = create();
        short_dense[4] = 0;
        let mut unknown = create();
        unknown[4] = 2;
        for bytes in [&b""[..], b"HYLL", b"foobar", &create()[..15], &short_dense, &unknown] {
            assert_eq!(count(bytes), Err(HllError::NotHll), "{bytes:?}");
            assert_eq!(add(&mut bytes.to_vec(), b"x", SPARSE_MAX), Err(HllError::NotHll), "{bytes:?}");
        }
    }

    #[test]
    fn broken_opcodes_are_found_by_every_reader() {
        let tails: [&[u8]; 7] =
            [b"", b"\x7f", b"\x7f\xff\x00", b"\x7f\xff\x80", b"\x7f\xfe", b"\x7f\xff\x7f\xff\x7f\xff", b"\x80\x7f"];
        for tail in tails {
            let mut bytes = create();
            bytes.truncate(HEADER_LEN);
            bytes.extend_from_slice(tail);
            assert_eq!(count(&bytes), Err(HllError::Corrupt), "{tail:?}");
            assert_eq!(Registers::default().merge(&bytes), Err(HllError::Corrupt), "{tail:?}");
            assert_eq!(to_dense(&mut bytes.clone()), Err(HllError::Corrupt), "{tail:?}");
        }
    }

    #[test]
    fn decoding_shows_opcodes_that_do_not_add_up_but_none_that_is_cut_short() {
        let mut bytes = create();
        bytes.extend_from_slice(b"\x00\x80");
        assert_eq!(decode(&bytes), Ok(Some("Z:16384 z:1 v:1,1".to_string())));
        bytes.push(0x7f);
        assert_eq!(decode(&bytes), Err(HllError::Corrupt));
    }

    #[test]
    fn random_damage_never_panics() {
        let sound = with_elements(800, 1 << 20);
        for seed in 1u64..3000 {
            let mut bytes = sound.clone();
            let mut random = seed;
            for _ in 0..4 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = HEADER_LEN + (random >> 33) as usize % (bytes.len() - HEADER_LEN);
                bytes[at] = random as u8;
            }
            bytes.truncate(bytes.len() - seed as usize % 3);
            let _ = (count(&bytes), decode(&bytes), Registers::default().merge(&bytes));
            for element in 0..20u64 {
                if add(&mut bytes, &(element ^ seed).to_le_bytes(), SPARSE_MAX).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn the_self_test_passes() {
        assert_eq!(selftest(1, 100_000), Ok(()));
    }
}
