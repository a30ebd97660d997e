//! Encoding, decoding and checking the entries of a listpack.
//!
//! Functions take the whole listpack and the offset of an entry. They index checked slices, so that bytes which never
//! passed [`validate`] could give nonsense or a panic but no read outside the buffer.

use crate::base::num::parse_i64;
use crate::types::packed::thin::Gap;

use super::{COUNT_UNKNOWN, Item, LISTPACK_BYTES_MAX, LpValue, Malformed};

/// Total bytes and count.
pub(super) const HEADER_BYTES: usize = 6;
/// An empty listpack: header and end mark.
pub(super) const MIN_BYTES: usize = HEADER_BYTES + 1;
/// The mark behind the last entry.
pub(super) const END: u8 = 0xFF;

const STR_6: u8 = 0b1000_0000;
const INT_13: u8 = 0b1100_0000;
const STR_12: u8 = 0b1110_0000;
const STR_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// A new entry in the pieces that go into the buffer: encoding (with an integer's value), string bytes, backlen.
pub(super) struct Entry<'a> {
    head: [u8; 9],
    head_len: u8,
    back: [u8; 5],
    back_len: u8,
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn of(item: Item<'a>) -> Entry<'a> {
        let (int, text) = match item {
            Item::Int(int) => (Some(int), &[][..]),
            Item::Bytes(bytes) => match parse_i64(bytes) {
                Some(int) => (Some(int), &[][..]),
                None => (None, bytes),
            },
        };
        let mut head = [0; 9];
        let head_len = match int {
            Some(int) => encode_int(int, &mut head),
            None => encode_text_len(text.len(), &mut head),
        };
        let (back, back_len) = encode_backlen(head_len + text.len());
        Entry { head, head_len: head_len as u8, back, back_len: back_len as u8, text }
    }

    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [&self.head[..self.head_len as usize], self.text, &self.back[..self.back_len as usize]]
    }

    pub(super) fn len(&self) -> usize {
        self.head_len as usize + self.text.len() + self.back_len as usize
    }
}

/// Writes an entry holding `text`; canonical decimal integers are stored as integers.
#[inline]
pub(super) fn write_text(gap: &mut Gap<'_>, text: &[u8]) {
    match text.len() {
        _ if looks_like_int(text) => write_entry(gap, &Entry::of(Item::Bytes(text))),
        len @ 0..64 => {
            gap.push(STR_6 | len as u8);
            gap.put(text);
            gap.push(len as u8 + 1);
        }
        len @ 64..126 => {
            gap.put(&[STR_12, len as u8]);
            gap.put(text);
            gap.push(len as u8 + 2);
        }
        _ => write_entry(gap, &Entry::of(Item::Bytes(text))),
    }
}

/// Writes an entry holding `int`.
#[inline]
pub(super) fn write_int(gap: &mut Gap<'_>, int: i64) {
    match int {
        0..=127 => gap.put(&[int as u8, 1]),
        -4096..=4095 => gap.put(&[INT_13 | (int >> 8) as u8 & 0x1F, int as u8, 2]),
        _ => write_wide_int(gap, int),
    }
}

#[inline(never)]
fn write_wide_int(gap: &mut Gap<'_>, int: i64) {
    let (head, len) = int_head(int);
    gap.put(&head[..len]);
    gap.push(len as u8);
}

/// Whether a text has up to 63 bytes and does not begin like an integer: the usual case.
#[inline]
fn is_short_text(text: &[u8]) -> bool {
    text.len() < 64 && !looks_like_int(text)
}

#[inline]
fn looks_like_int(text: &[u8]) -> bool {
    matches!(text, [b'-' | b'0'..=b'9', ..])
}

/// Whether `text` can take the place of the bytes of the entry at `at`, and nothing else changes.
#[inline]
pub(super) fn is_short_text_like(bytes: &[u8], at: usize, text: &[u8]) -> bool {
    is_short_text(text) && bytes[at] == STR_6 | text.len() as u8
}

fn write_entry(gap: &mut Gap<'_>, entry: &Entry<'_>) {
    entry.parts().into_iter().for_each(|part| gap.put(part));
}

/// More than the entry of a text takes, or as much; an integer takes no more than its text.
pub(super) fn bytes_max(text: &[u8]) -> usize {
    text.len()
        + match text.len() {
            0..64 => 2,
            64..4096 => 4,
            _ => 10,
        }
}

/// What the entry of an integer takes.
pub(super) fn int_bytes(int: i64) -> usize {
    match int {
        0..=127 => 2,
        -4096..=4095 => 3,
        -0x8000..=0x7FFF => 4,
        -0x80_0000..=0x7F_FFFF => 5,
        -0x8000_0000..=0x7FFF_FFFF => 6,
        _ => 10,
    }
}

/// An integer's encoding and value, without the backlen.
pub(super) fn int_head(int: i64) -> ([u8; 9], usize) {
    let mut head = [0; 9];
    let len = encode_int(int, &mut head);
    (head, len)
}

/// The count field of the header.
pub(super) fn count(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[4], bytes[5]])
}

/// The offset behind the entry at `at`: that of the next one or of the end mark.
#[inline]
pub(super) fn after(bytes: &[u8], at: usize) -> usize {
    match bytes[at] {
        0..STR_6 => at + 2,
        first @ STR_6..INT_13 => at + first as usize - (STR_6 as usize - 2),
        INT_13..STR_12 => at + 3,
        _ => long_after(bytes, at),
    }
}

/// The same for the rarer encodings.
#[inline(never)]
fn long_after(bytes: &[u8], at: usize) -> usize {
    let (head, text) = long_extent(bytes, at);
    let body = head + text;
    at + body + backlen_size(body)
}

/// The value of the entry at `at`, and the offset behind the entry.
#[inline(always)]
pub(super) fn read(bytes: &[u8], at: usize) -> (LpValue<'_>, usize) {
    match bytes[at] {
        small @ 0..STR_6 => (LpValue::Int(small as i64), at + 2),
        first @ STR_6..INT_13 => {
            let end = at + 1 + (first & 0x3F) as usize;
            (LpValue::Str(&bytes[at + 1..end]), end + 1)
        }
        high @ INT_13..STR_12 => (LpValue::Int(int_13(high, bytes[at + 1])), at + 3),
        _ => read_long(bytes, at),
    }
}

/// The same for the rarer encodings.
#[inline(never)]
fn read_long(bytes: &[u8], at: usize) -> (LpValue<'_>, usize) {
    (value(bytes, at), long_after(bytes, at))
}

/// The offset of the entry that ends where `at` begins.
#[inline]
pub(super) fn before(bytes: &[u8], at: usize) -> Option<usize> {
    if at <= HEADER_BYTES {
        return None;
    }
    let body = decode_backlen(bytes, at)?;
    Some(at - body - backlen_size(body))
}

/// The value of the entry at `at`.
#[inline]
pub(super) fn value(bytes: &[u8], at: usize) -> LpValue<'_> {
    let first = bytes[at];
    if first < 0x80 {
        return LpValue::Int(first as i64);
    }
    let (head, text) = extent(bytes, at);
    if is_string(first) {
        return LpValue::Str(&bytes[at + head..at + head + text]);
    }
    LpValue::Int(wide_int(&bytes[at..at + head]))
}

fn is_string(first: u8) -> bool {
    (STR_6..INT_13).contains(&first) || (STR_12..=STR_32).contains(&first)
}

/// An integer of more than one byte, `entry` being its encoding and value.
fn wide_int(entry: &[u8]) -> i64 {
    match *entry {
        [high, low] => int_13(high, low),
        [_, a, b] => i16::from_le_bytes([a, b]) as i64,
        [_, a, b, c] => (i32::from_le_bytes([0, a, b, c]) >> 8) as i64,
        [_, a, b, c, d] => i32::from_le_bytes([a, b, c, d]) as i64,
        [_, a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

/// An integer of 13 bits.
#[inline]
fn int_13(high: u8, low: u8) -> i64 {
    let bits = ((high & 0x1F) as u16) << 8 | low as u16;
    ((bits << 3) as i16 >> 3) as i64
}

/// The bytes of an entry's encoding (with an integer's value) and of its string. The end mark and the unused encodings
/// count as one byte.
#[inline(always)]
fn extent(bytes: &[u8], at: usize) -> (usize, usize) {
    match bytes[at] {
        0..STR_6 => (1, 0),
        first @ STR_6..INT_13 => (1, (first & 0x3F) as usize),
        _ => long_extent(bytes, at),
    }
}

/// The same for the rarer encodings.
#[inline(never)]
fn long_extent(bytes: &[u8], at: usize) -> (usize, usize) {
    let first = bytes[at];
    match first {
        INT_13..STR_12 => (2, 0),
        STR_12..STR_32 => (2, ((first & 0x0F) as usize) << 8 | bytes[at + 1] as usize),
        STR_32 => (5, u32::from_le_bytes([bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]]) as usize),
        INT_16 => (3, 0),
        INT_24 => (4, 0),
        INT_32 => (5, 0),
        INT_64 => (9, 0),
        _ => (1, 0),
    }
}

/// See [`super::Listpack::find_from`].
pub(super) fn find(bytes: &[u8], from: usize, needle: &[u8], skip: usize) -> Option<usize> {
    if is_short_text(needle) { find_short(bytes, from, needle, skip) } else { find_any(bytes, from, needle, skip) }
}

/// The same for a short text that is no integer: its entry begins with one byte that tells its length.
fn find_short(bytes: &[u8], from: usize, needle: &[u8], skip: usize) -> Option<usize> {
    let head = STR_6 | needle.len() as u8;
    let mut at = from;
    loop {
        let first = *bytes.get(at)?;
        if first == head {
            let text = bytes.get(at + 1..at + 1 + needle.len())?;
            // Names of one collection often differ in their last byte only.
            if text.last() == needle.last() && text == needle {
                return Some(at);
            }
        } else if first >= STR_12 && is_long_text(bytes, at, needle) {
            return Some(at);
        }
        at = next(bytes, at)?;
        for _ in 0..skip {
            at = next(bytes, at)?;
        }
    }
}

/// Whether there is an entry with this text at `at`, told in a longer way: only foreign bytes tell a short text so.
#[inline(never)]
fn is_long_text(bytes: &[u8], at: usize, text: &[u8]) -> bool {
    bytes[at] != END && value(bytes, at) == LpValue::Str(text)
}

/// The same for any.
fn find_any(bytes: &[u8], from: usize, needle: &[u8], skip: usize) -> Option<usize> {
    let int = parse_i64(needle);
    let mut at = from;
    loop {
        let first = *bytes.get(at)?;
        let equal = match first {
            END => return None,
            _ if is_string(first) => value(bytes, at) == LpValue::Str(needle),
            _ => int.is_some_and(|int| value(bytes, at) == LpValue::Int(int)),
        };
        if equal {
            return Some(at);
        }
        for _ in 0..=skip {
            at = next(bytes, at)?;
        }
    }
}

/// The offset behind the entry at `at`; none at the end. In a walk every step waits for the one before, so that the usual
/// one is a single sum.
#[inline(always)]
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    match *bytes.get(at)? {
        0..STR_6 => Some(at + 2),
        first @ STR_6..INT_13 => Some(at + first as usize - (STR_6 as usize - 2)),
        INT_13..STR_12 => Some(at + 3),
        END => None,
        _ => Some(long_after(bytes, at)),
    }
}

/// Checks foreign bytes: total, end mark, count, and every entry from both sides.
pub(super) fn validate(bytes: &[u8]) -> Result<(), Malformed> {
    let len = bytes.len();
    if !(MIN_BYTES..=LISTPACK_BYTES_MAX).contains(&len) || bytes[len - 1] != END {
        return Err(Malformed);
    }
    if u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize != len {
        return Err(Malformed);
    }
    let (mut at, mut entries) = (HEADER_BYTES, 0usize);
    while at < len - 1 {
        at = validate_entry(bytes, at).ok_or(Malformed)?;
        entries += 1;
    }
    let told = count(bytes);
    (told == COUNT_UNKNOWN || told as usize == entries).then_some(()).ok_or(Malformed)
}

/// The offset behind a sound entry that ends before the end mark.
fn validate_entry(bytes: &[u8], at: usize) -> Option<usize> {
    let end = bytes.len() - 1;
    let first = bytes[at];
    let head = match first {
        0..INT_13 => 1,
        INT_13..STR_32 => 2,
        STR_32 => 5,
        INT_16..=INT_64 => extent(bytes, at).0,
        _ => return None,
    };
    if head > end - at {
        return None;
    }
    let (head, text) = extent(bytes, at);
    let body = head + text;
    let (backlen, size) = encode_backlen(body);
    let next = at + body + size;
    // Byte for byte: one that only decodes to the same may take what lies before it for a part of itself.
    (next <= end && bytes[at + body..next] == backlen[..size]).then_some(next)
}

fn encode_int(int: i64, out: &mut [u8; 9]) -> usize {
    let bytes = int.to_le_bytes();
    let (mark, width) = match int {
        0..=127 => {
            out[0] = int as u8;
            return 1;
        }
        -4096..=4095 => {
            out[0] = INT_13 | (int >> 8) as u8 & 0x1F;
            out[1] = int as u8;
            return 2;
        }
        -0x8000..=0x7FFF => (INT_16, 2),
        -0x80_0000..=0x7F_FFFF => (INT_24, 3),
        -0x8000_0000..=0x7FFF_FFFF => (INT_32, 4),
        _ => (INT_64, 8),
    };
    out[0] = mark;
    out[1..1 + width].copy_from_slice(&bytes[..width]);
    1 + width
}

fn encode_text_len(len: usize, out: &mut [u8; 9]) -> usize {
    if len < 64 {
        out[0] = STR_6 | len as u8;
        1
    } else if len < 4096 {
        out[0] = STR_12 | (len >> 8) as u8;
        out[1] = len as u8;
        2
    } else {
        let len = u32::try_from(len).expect("a listpack stays far below 4 GiB");
        out[0] = STR_32;
        out[1..5].copy_from_slice(&len.to_le_bytes());
        5
    }
}

/// The bytes that a backlen of `body` takes. The limits from two bytes on are one lower than they need be, as in every
/// listpack written so far.
#[inline]
fn backlen_size(body: usize) -> usize {
    match body {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

fn encode_backlen(body: usize) -> ([u8; 5], usize) {
    let size = backlen_size(body);
    let mut out = [0; 5];
    for (i, byte) in out[..size].iter_mut().enumerate() {
        let group = (body >> (7 * (size - 1 - i))) as u8 & 0x7F;
        *byte = if i == 0 { group } else { group | 0x80 };
    }
    (out, size)
}

/// Reads the backlen that ends before `end`, from right to left. None if it has no end within five bytes.
fn decode_backlen(bytes: &[u8], end: usize) -> Option<usize> {
    let mut body = 0;
    for i in 0..5 {
        let byte = *bytes.get(end.checked_sub(1 + i)?)?;
        body |= ((byte & 0x7F) as usize) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(body);
        }
    }
    None
}
