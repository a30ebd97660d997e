//! Bit operations over the bytes of a string.
//!
//! Redis counts bits from the most significant bit of the first byte: bit 0 is `0x80` of byte 0, bit 7 is `0x01`, bit 8
//! is `0x80` of byte 1. Read eight bytes as one big-endian word and bit `n` is simply the `n`-th bit from the top, which
//! is what every loop here does: counting and searching go a word at a time, the edges of a range are masked.
//!
//! ```text
//! byte     0                 1
//! bit      0 1 2 3 4 5 6 7   8 9 ..
//! value  0x80 ..........01  80 40 ..
//! ```
//!
//! Bits past the end of a string read as 0. Functions take slices: growing a string is its owner's business, and
//! [`bytes_for`] says how far.

use std::ops::Range;

/// What the two numbers of a BITCOUNT or BITPOS range count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `BYTE`, the default.
    Byte,
    /// `BIT`.
    Bit,
}

/// The bit at `offset`; 0 past the end.
pub fn getbit(bytes: &[u8], offset: u64) -> bool {
    match bytes.get((offset >> 3) as usize) {
        Some(byte) => byte & mask_of(offset) != 0,
        None => false,
    }
}

/// Sets the bit at `offset` and returns what it was. `bytes` must reach at least to [`bytes_for`]`(offset, 1)`.
pub fn setbit(bytes: &mut [u8], offset: u64, bit: bool) -> bool {
    let byte = &mut bytes[(offset >> 3) as usize];
    let mask = mask_of(offset);
    let old = *byte & mask != 0;
    *byte = if bit { *byte | mask } else { *byte & !mask };
    old
}

fn mask_of(offset: u64) -> u8 {
    0x80 >> (offset & 7)
}

/// How many bytes a string needs to hold `width` bits from `offset` on.
pub fn bytes_for(offset: u64, width: u32) -> usize {
    (offset + u64::from(width)).div_ceil(8) as usize
}

/// The bits a BITPOS range covers in a string of `len` bytes: negative numbers count from the end, both ends belong to
/// the range and are clamped to the string. Empty when the start lies behind the end.
pub fn span(len: usize, start: i64, end: i64, unit: Unit) -> Range<u64> {
    let total = match unit {
        Unit::Byte => len as i64,
        Unit::Bit => (len as i64) * 8,
    };
    let from_end = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(total - 1));
    if start > end {
        return 0..0;
    }
    let (start, end) = (start as u64, end as u64 + 1);
    match unit {
        Unit::Byte => start * 8..end * 8,
        Unit::Bit => start..end,
    }
}

/// The bits a BITCOUNT range covers: as [`span`], but a backward range of two negative numbers is empty even where
/// clamping would make both the first byte.
pub fn count_span(len: usize, start: i64, end: i64, unit: Unit) -> Range<u64> {
    if start < 0 && end < 0 && start > end { 0..0 } else { span(len, start, end, unit) }
}

/// The number of set bits within `range`, whose end lies within the string.
pub fn bitcount(bytes: &[u8], range: Range<u64>) -> u64 {
    let Some(Edges { head, body, tail }) = edges(bytes, range) else { return 0 };
    u64::from(head.0.count_ones()) + popcount(body) + u64::from(tail.0.count_ones())
}

/// The number of set bits of a byte string, eight words at a time so that the compiler keeps the partial sums in
/// vector registers.
fn popcount(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The first bit within `range` that equals `bit`, counted from the start of the string; `range` ends within it.
pub fn bitpos(bytes: &[u8], bit: bool, range: Range<u64>) -> Option<u64> {
    let Edges { head, body, tail } = edges(bytes, range.clone())?;
    let first_byte = range.start >> 3;
    let in_edge = |(byte, inside): (u8, u8), at: u64| {
        let wanted = if bit { byte } else { !byte & inside };
        (wanted != 0).then(|| at * 8 + u64::from(wanted.leading_zeros()))
    };
    let body_byte = first_byte + u64::from(head.1 != 0);
    in_edge(head, first_byte)
        .or_else(|| first_in(body, bit).map(|at| body_byte * 8 + at))
        .or_else(|| in_edge(tail, body_byte + body.len() as u64))
}

/// The first bit of whole bytes that equals `bit`.
fn first_in(bytes: &[u8], bit: bool) -> Option<u64> {
    let flip = |word: u64| if bit { word } else { !word };
    let (words, rest) = bytes.as_chunks::<8>();
    if let Some(at) = words.iter().position(|word| flip(u64::from_ne_bytes(*word)) != 0) {
        return Some(at as u64 * 64 + u64::from(flip(u64::from_be_bytes(words[at])).leading_zeros()));
    }
    let base = words.len() as u64 * 64;
    rest.iter().enumerate().find_map(|(at, byte)| {
        let byte = if bit { *byte } else { !*byte };
        (byte != 0).then(|| base + at as u64 * 8 + u64::from(byte.leading_zeros()))
    })
}

/// A bit range cut at byte borders. An edge is a byte with the bits outside of the range cleared, and the mask of those
/// inside; the mask is 0 where the range begins or ends at a border.
struct Edges<'a> {
    head: (u8, u8),
    body: &'a [u8],
    tail: (u8, u8),
}

fn edges(bytes: &[u8], range: Range<u64>) -> Option<Edges<'_>> {
    if range.start >= range.end {
        return None;
    }
    let (first, last) = ((range.start >> 3) as usize, ((range.end - 1) >> 3) as usize);
    let head_mask = 0xffu8 >> (range.start & 7);
    let tail_mask = 0xffu8 << (7 - ((range.end - 1) & 7));
    if first == last {
        let mask = head_mask & tail_mask;
        return Some(Edges { head: (bytes[first] & mask, mask), body: &[], tail: (0, 0) });
    }
    let (head, from) =
        if head_mask == 0xff { ((0, 0), first) } else { ((bytes[first] & head_mask, head_mask), first + 1) };
    let (tail, to) = if tail_mask == 0xff { ((0, 0), last + 1) } else { ((bytes[last] & tail_mask, tail_mask), last) };
    Some(Edges { head, body: &bytes[from..to], tail })
}

/// The operations of BITOP. With X the first source and Y the others:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOp {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number.
    Xor,
    /// Not set in the one source.
    Not,
    /// Set in X and in no Y.
    Diff,
    /// Set in some Y and not in X.
    Diff1,
    /// Set in X and in some Y.
    AndOr,
    /// Set in exactly one.
    One,
}

/// Combines the sources into a string as long as the longest of them; shorter ones count as padded with zero bytes.
/// `sources` must not be empty, and is exactly one string for [`BitOp::Not`].
pub fn bitop(op: BitOp, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let (first, others) = sources.split_first().expect("BITOP has at least one source");
    match op {
        BitOp::And => others.iter().fold(padded(first, len), |sum, source| zip_padded(sum, source, |a, b| a & b)),
        BitOp::Or => any(sources, len),
        BitOp::Xor => others.iter().fold(padded(first, len), |sum, source| zip_padded(sum, source, |a, b| a ^ b)),
        BitOp::Not => first.iter().map(|byte| !byte).collect(),
        BitOp::Diff => zip_padded(any(others, len), first, |y, x| x & !y),
        BitOp::Diff1 => zip_padded(any(others, len), first, |y, x| !x & y),
        BitOp::AndOr => zip_padded(any(others, len), first, |y, x| x & y),
        BitOp::One => exactly_one(sources, len),
    }
}

fn padded(source: &[u8], len: usize) -> Vec<u8> {
    let mut sum = Vec::with_capacity(len);
    sum.extend_from_slice(source);
    sum.resize(len, 0);
    sum
}

fn any(sources: &[&[u8]], len: usize) -> Vec<u8> {
    sources.iter().fold(vec![0; len], |sum, source| zip_padded(sum, source, |a, b| a | b))
}

fn zip_padded(mut sum: Vec<u8>, source: &[u8], combine: impl Fn(u8, u8) -> u8) -> Vec<u8> {
    let (with, without) = sum.split_at_mut(source.len());
    with.iter_mut().zip(source).for_each(|(byte, other)| *byte = combine(*byte, *other));
    without.iter_mut().for_each(|byte| *byte = combine(*byte, 0));
    sum
}

fn exactly_one(sources: &[&[u8]], len: usize) -> Vec<u8> {
    let (mut once, mut more) = (vec![0u8; len], vec![0u8; len]);
    for source in sources {
        for ((byte, once), more) in source.iter().zip(&mut once).zip(&mut more) {
            *more |= *once & byte;
            *once |= byte;
        }
    }
    zip_padded(once, &more, |once, more| once & !more)
}

/// The type of a bit field: `i1`..`i64` or `u1`..`u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldType {
    signed: bool,
    bits: u32,
}

/// What becomes of a value that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Keep the low bits.
    Wrap,
    /// Keep the nearest value that fits.
    Sat,
    /// Leave the field alone and answer nil.
    Fail,
}

impl FieldType {
    /// Reads `i8`, `u12` and so on; `None` for anything else, and for widths out of range.
    pub fn parse(text: &[u8]) -> Option<FieldType> {
        let (signed, digits) = match text.split_first()? {
            (b'i', digits) => (true, digits),
            (b'u', digits) => (false, digits),
            _ => return None,
        };
        if digits.is_empty() || digits.len() > 2 || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let bits = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        (bits <= if signed { 64 } else { 63 }).then_some(FieldType { signed, bits })
    }

    /// The width of the field in bits.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The field's value at a bit offset; bits past the end of the string are 0.
    pub fn get(self, bytes: &[u8], offset: u64) -> i64 {
        let mut word = [0u8; 16];
        let first = (offset >> 3) as usize;
        if let Some(source) = bytes.get(first..) {
            let len = source.len().min(9);
            word[..len].copy_from_slice(&source[..len]);
        }
        let aligned = u128::from_be_bytes(word) << (offset & 7);
        if self.signed {
            ((aligned as i128) >> (128 - self.bits)) as i64
        } else {
            (aligned >> (128 - self.bits)) as i64
        }
    }

    /// Stores the low bits of `value` at a bit offset. `bytes` must reach to [`bytes_for`]`(offset, self.bits())`.
    pub fn put(self, bytes: &mut [u8], offset: u64, value: i64) {
        let (first, end) = ((offset >> 3) as usize, bytes_for(offset, self.bits));
        let field = &mut bytes[first..end];
        let mut word = [0u8; 16];
        word[..field.len()].copy_from_slice(field);
        let shift = 128 - self.bits - (offset & 7) as u32;
        let mask = (u128::MAX >> (128 - self.bits)) << shift;
        let word = (u128::from_be_bytes(word) & !mask) | (((value as u128) << shift) & mask);
        field.copy_from_slice(&word.to_be_bytes()[..field.len()]);
    }

    /// The value that `SET value` stores; `None` when it does not fit and `overflow` is [`Overflow::Fail`]. A negative
    /// value for an unsigned field counts as one far above its largest.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        self.fit_wide(value, overflow)
    }

    /// The value that `INCRBY increment` stores over `old`, as [`FieldType::fit`].
    pub fn add(self, old: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit_wide(i128::from(old) + i128::from(increment), overflow)
    }

    fn fit_wide(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = match self.signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        };
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Sat => Some(value.clamp(min, max) as i64),
            Overflow::Wrap => Some(self.wrap(value)),
        }
    }

    fn wrap(self, value: i128) -> i64 {
        let top = (value as u128) << (128 - self.bits);
        if self.signed { ((top as i128) >> (128 - self.bits)) as i64 } else { (top >> (128 - self.bits)) as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator for the model tests: the seed is printed by the assert that fails.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
        }

        fn below(&mut self, limit: u64) -> u64 {
            self.next() % limit
        }

        /// Bytes that favour runs of 0x00 and 0xff, where searches go wrong.
        fn bytes(&mut self, limit: u64) -> Vec<u8> {
            let len = self.below(limit);
            let kind = self.below(4);
            (0..len)
                .map(|_| match (kind, self.below(20)) {
                    (0, 1..) => 0,
                    (1, 1..) => 0xff,
                    _ => self.next() as u8,
                })
                .collect()
        }
    }

    fn bits_of(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().flat_map(|byte| (0..8).map(move |at| byte >> (7 - at) & 1 == 1)).collect()
    }

    fn bytes_of(bits: &[bool]) -> Vec<u8> {
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
    }

    #[test]
    fn setbit_counts_from_the_top_of_the_first_byte() {
        let mut bytes = vec![0; bytes_for(9, 1)];
        assert_eq!(bytes.len(), 2);
        assert!(!setbit(&mut bytes, 9, true));
        assert_eq!(bytes, [0x00, 0x40]);
        assert!(getbit(&bytes, 9) && !getbit(&bytes, 8) && !getbit(&bytes, 1_000_000));
        assert!(setbit(&mut bytes, 9, false));
        assert_eq!(bytes, [0, 0]);
    }

    #[test]
    fn bitcount_of_foobar_in_bytes_and_bits() {
        use Unit::{Bit, Byte};
        let cases = [
            (0, -1, Byte, 26),
            (0, 0, Byte, 4),
            (1, 1, Byte, 6),
            (1, 1, Bit, 1),
            (5, 30, Bit, 17),
            (5, 3, Bit, 0),
            (5, 3, Byte, 0),
            (-2, -1, Byte, 7),
            (0, 1000, Byte, 26),
            (-1000, -1001, Byte, 0),
            (-1000, -1000, Byte, 4),
            (0, i64::MIN, Byte, 4),
            (i64::MIN, i64::MAX, Bit, 26),
        ];
        for (start, end, unit, want) in cases {
            let got = bitcount(b"foobar", count_span(6, start, end, unit));
            assert_eq!(got, want, "BITCOUNT foobar {start} {end} {unit:?}");
        }
    }

    #[test]
    fn an_empty_string_has_no_bits_in_any_range() {
        for unit in [Unit::Byte, Unit::Bit] {
            assert!(span(0, 0, -1, unit).is_empty() && count_span(0, -5, 5, unit).is_empty());
        }
    }

    #[test]
    fn counting_and_searching_agree_with_one_bit_at_a_time() {
        for seed in 1..400 {
            let mut random = Random(seed);
            let bytes = random.bytes(60);
            let bits = bits_of(&bytes);
            let (start, end) = (random.below(600) as i64 - 300, random.below(600) as i64 - 300);
            let range = span(bytes.len(), start, end, Unit::Bit);
            let slice = range.start as usize..range.end as usize;
            let count = bits[slice.clone()].iter().filter(|bit| **bit).count() as u64;
            assert_eq!(bitcount(&bytes, range.clone()), count, "seed {seed}");
            for bit in [false, true] {
                let first = slice.clone().find(|at| bits[*at] == bit).map(|at| at as u64);
                assert_eq!(bitpos(&bytes, bit, range.clone()), first, "seed {seed} bit {bit}");
            }
        }
    }

    #[test]
    fn bitop_agrees_with_one_bit_at_a_time() {
        use BitOp::*;
        for seed in 1..300 {
            let mut random = Random(seed);
            let sources: Vec<Vec<u8>> = (0..random.below(4) + 2).map(|_| random.bytes(40)).collect();
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let len = sources.iter().map(|source| source.len()).max().expect("some");
            for op in [And, Or, Xor, Diff, Diff1, AndOr, One] {
                let want: Vec<bool> = (0..len as u64 * 8)
                    .map(|at| {
                        let set = sources.iter().filter(|source| getbit(source, at)).count();
                        let x = getbit(sources[0], at);
                        let y = set - usize::from(x) > 0;
                        match op {
                            And => set == sources.len(),
                            Or => set > 0,
                            Xor => set % 2 == 1,
                            Diff => x && !y,
                            Diff1 => !x && y,
                            AndOr => x && y,
                            One => set == 1,
                            Not => unreachable!("not in the list"),
                        }
                    })
                    .collect();
                assert_eq!(bitop(op, &sources), bytes_of(&want), "seed {seed} {op:?}");
            }
        }
        assert_eq!(bitop(Not, &[b"\xaa\x00"]), [0x55, 0xff]);
    }

    #[test]
    fn field_types_have_limits() {
        for good in ["i1", "i64", "u1", "u63", "u8"] {
            assert!(FieldType::parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", "i", "u", "u64", "i65", "i0", "u0", "u08", "x8", "I8", "i-1", "i+1", "i 8", "u8 ", "i100"] {
            assert!(FieldType::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn fields_agree_with_one_bit_at_a_time() {
        for seed in 1..500 {
            let mut random = Random(seed);
            let signed = random.below(2) == 0;
            let bits = random.below(if signed { 64 } else { 63 }) as u32 + 1;
            let field = FieldType { signed, bits };
            let offset = random.below(200);
            let mut bytes = random.bytes(40);
            let want = (0..u64::from(bits)).fold(0u64, |sum, at| sum << 1 | u64::from(getbit(&bytes, offset + at)));
            let shift = 64 - bits;
            let want = if signed { ((want << shift) as i64) >> shift } else { want as i64 };
            assert_eq!(field.get(&bytes, offset), want, "seed {seed} get");

            let value = random.next() as i64;
            bytes.resize(bytes.len().max(bytes_for(offset, bits)), 0);
            let mut model = bytes.clone();
            for at in 0..u64::from(bits) {
                setbit(&mut model, offset + at, value >> (u64::from(bits) - 1 - at) & 1 == 1);
            }
            field.put(&mut bytes, offset, value);
            assert_eq!(bytes, model, "seed {seed} put");
        }
    }

    #[test]
    fn overflow_wraps_saturates_or_fails() {
        use Overflow::{Fail, Sat, Wrap};
        let field = |text: &str| FieldType::parse(text.as_bytes()).expect("a type");
        let add = [
            ("u8", 255, 1, Wrap, Some(0)),
            ("u8", 250, 10, Sat, Some(255)),
            ("u8", 250, 10, Fail, None),
            ("u8", 250, 5, Fail, Some(255)),
            ("u8", 0, -1, Wrap, Some(255)),
            ("u8", 0, -1, Sat, Some(0)),
            ("i8", 127, 1, Wrap, Some(-128)),
            ("i8", -128, -1, Wrap, Some(127)),
            ("i8", -128, -1, Sat, Some(-128)),
            ("i64", i64::MAX, 1, Wrap, Some(i64::MIN)),
            ("i64", i64::MAX, i64::MAX, Sat, Some(i64::MAX)),
            ("i64", i64::MIN, i64::MIN, Wrap, Some(0)),
            ("u63", i64::MAX, 1, Wrap, Some(0)),
            ("u63", 5, i64::MIN, Sat, Some(0)),
            ("i1", 0, 1, Wrap, Some(-1)),
            ("i1", 0, 1, Sat, Some(0)),
        ];
        for (text, old, increment, overflow, want) in add {
            assert_eq!(field(text).add(old, increment, overflow), want, "{text} {old} + {increment} {overflow:?}");
        }
        let fit = [
            ("u8", -1, Wrap, Some(255)),
            ("u8", -1, Sat, Some(255)),
            ("u8", 256, Fail, None),
            ("i8", 128, Wrap, Some(-128)),
            ("i8", -1000, Sat, Some(-128)),
            ("i64", i64::MIN, Fail, Some(i64::MIN)),
        ];
        for (text, value, overflow, want) in fit {
            assert_eq!(field(text).fit(value, overflow), want, "{text} SET {value} {overflow:?}");
        }
    }
}
