//! CRC16 key slots, and the keyed hash of the tables.
//!
//! CRC16 is the XMODEM variant (polynomial 0x1021, start 0), as the cluster specification names it.
//!
//! # The keyed hash
//! [`key_hash`] is aHash under four secret random words, new in each process. The argument against hash flooding is the
//! one published with aHash: the input is mixed with the secret by wide multiplications (by AES rounds where the target
//! has them) whose results depend on all input and all key bits, so a set of keys that collides under one secret does
//! not under another, and hashes are never shown. What a client can see is order: SCAN walks in hash order, so whoever
//! may SCAN a big keyspace can pick keys that are neighbours under any hash function. Therefore the table of keys does
//! not rest on the hash alone: neighbours beyond what a segment holds do not make it grow without bound (see
//! `keyspace::table`), they only become slow.

use super::rng::entropy;
use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

/// How many slots a cluster divides its keys into.
pub const SLOTS: u16 = 16384;

/// The slot of a key: only what stands between the first `{` and the next `}` counts, if that is not empty.
pub fn key_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) & (SLOTS - 1)
}

fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = memchr::memchr(b'{', key)? + 1;
    let len = memchr::memchr(b'}', &key[open..])?;
    (len > 0).then(|| &key[open..open + len])
}

/// The hash of keys, fields and members in every table. Its seeds are secret and new in each process, so that nobody
/// can choose names that collide; its low and high bits are equally good.
#[inline]
pub fn key_hash(bytes: &[u8]) -> u64 {
    static SEEDED: LazyLock<RandomState> =
        LazyLock::new(|| RandomState::with_seeds(entropy(), entropy(), entropy(), entropy()));
    let mut hasher = SEEDED.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// CRC16, XMODEM.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| crc << 8 ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

static CRC16: [u16; 256] = crc16_table();

const CRC16_POLYNOMIAL: u16 = 0x1021;

const fn crc16_table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ CRC16_POLYNOMIAL } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Scatters the bits of a number: the finaliser of SplitMix64.
#[inline]
pub fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_standard() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn hash_tags_decide_the_slot() {
        assert_eq!(key_slot(b"foo"), 12182);
        assert_eq!(key_slot(b"{user1000}.following"), key_slot(b"user1000"));
        assert_eq!(key_slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") & 16383);
        assert_eq!(key_slot(b"foo{{bar}}zap"), key_slot(b"{bar"));
        assert_eq!(key_slot(b"foo{bar}{zap}"), key_slot(b"bar"));
        assert_eq!(key_slot(b"foo{bar"), crc16(b"foo{bar") & 16383);
    }
}
