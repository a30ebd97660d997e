//! The packed layouts that servers before 7.0 wrote: the ziplist and, before 2.6, the zipmap. Read only.
//!
//! ```text
//!   ziplist = [ total bytes u32 | offset of the last entry u32 | count u16 | entry ... | 0xFF ]         little-endian
//!   entry   = [ bytes of the entry before: u8, or 254 and u32 | encoding | string or integer ]
//!     00llllll  string up to 63         0xC0 i16   0xD0 i32   0xE0 i64   0xF0 i24   0xFE i8
//!     01llllll llllllll  up to 16383    0xF1..0xFD  the integers 0..12
//!     10000000 u32 BE  any string
//!
//!   zipmap  = [ pairs u8, 254 and up = unknown | pair ... | 0xFF ]
//!   pair    = [ length | key | length | free u8 | value | free bytes ]        length: u8, or 254 and u32 LE
//! ```
//! Both become listpacks. Every size is checked against the bytes that are there, and what is told twice must agree.

use super::code::{RdbError, Result};
use crate::types::packed::listpack::{Builder, Listpack};

const ZIPLIST_HEADER_BYTES: usize = 10;
const END: u8 = 0xFF;
const LONG: u8 = 254;

/// Reads a ziplist into a listpack of the same entries.
pub fn ziplist(bytes: &[u8]) -> Result<Listpack> {
    let sound = RdbError::Malformed("an unsound ziplist");
    read_ziplist(bytes).ok_or(sound)
}

/// Reads a zipmap into a listpack of keys and values in turn.
pub fn zipmap(bytes: &[u8]) -> Result<Listpack> {
    let sound = RdbError::Malformed("an unsound zipmap");
    read_zipmap(bytes).ok_or(sound)
}

fn read_ziplist(bytes: &[u8]) -> Option<Listpack> {
    let mut input = Input { bytes, at: 0 };
    let (total, last) = (input.u32()? as usize, input.u32()? as usize);
    let count = u16::from_le_bytes(input.array()?);
    if total != bytes.len() {
        return None;
    }
    let mut entries = Builder::new();
    let (mut previous_bytes, mut last_seen) = (0, ZIPLIST_HEADER_BYTES);
    while input.peek()? != END {
        last_seen = input.at;
        if input.previous()? != previous_bytes {
            return None;
        }
        ziplist_entry(&mut input, &mut entries)?;
        previous_bytes = input.at - last_seen;
    }
    let whole = input.at + 1 == total && last == last_seen;
    let counted = count == u16::MAX || count as usize == entries.len();
    (whole && counted).then(|| entries.finish())
}

fn ziplist_entry(input: &mut Input<'_>, entries: &mut Builder) -> Option<()> {
    let first = input.byte()?;
    match first {
        0..0xC0 => {
            let length = match first >> 6 {
                0 => first as usize,
                1 => (first as usize & 0x3F) << 8 | input.byte()? as usize,
                _ => u32::from_be_bytes(input.array()?) as usize,
            };
            entries.push(input.take(length)?);
        }
        0xC0 => entries.push_int(i16::from_le_bytes(input.array()?) as i64),
        0xD0 => entries.push_int(i32::from_le_bytes(input.array()?) as i64),
        0xE0 => entries.push_int(i64::from_le_bytes(input.array()?)),
        0xF0 => {
            let [a, b, c] = input.array()?;
            entries.push_int((i32::from_le_bytes([0, a, b, c]) >> 8) as i64);
        }
        0xFE => entries.push_int(i8::from_le_bytes(input.array()?) as i64),
        0xF1..=0xFD => entries.push_int((first & 0x0F) as i64 - 1),
        _ => return None,
    }
    Some(())
}

fn read_zipmap(bytes: &[u8]) -> Option<Listpack> {
    let mut input = Input { bytes, at: 0 };
    let told = input.byte()?;
    let mut pairs = Builder::new();
    while input.peek()? != END {
        let length = input.zipmap_length()?;
        pairs.push(input.take(length)?);
        let length = input.zipmap_length()?;
        let free = input.byte()? as usize;
        pairs.push(input.take(length)?);
        input.take(free)?;
    }
    let whole = input.at + 1 == bytes.len();
    let counted = told >= LONG || told as usize * 2 == pairs.len();
    (whole && counted).then(|| pairs.finish())
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.array()?))
    }

    /// The size of the entry before, as a ziplist's entry begins with.
    fn previous(&mut self) -> Option<usize> {
        match self.byte()? {
            LONG => Some(self.u32()? as usize),
            END => None,
            short => Some(short as usize),
        }
    }

    fn zipmap_length(&mut self) -> Option<usize> {
        self.previous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lp: &Listpack) -> Vec<String> {
        lp.iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }

    /// A ziplist of these entries, each without the size of the one before.
    fn ziplist_of(entries: &[&[u8]]) -> Vec<u8> {
        let (mut body, mut previous, mut last) = (Vec::new(), 0u32, ZIPLIST_HEADER_BYTES);
        for entry in entries {
            last = ZIPLIST_HEADER_BYTES + body.len();
            match u8::try_from(previous) {
                Ok(short) if short < LONG => body.push(short),
                _ => {
                    body.push(LONG);
                    body.extend_from_slice(&previous.to_le_bytes());
                }
            }
            body.extend_from_slice(entry);
            previous = (ZIPLIST_HEADER_BYTES + body.len() - last) as u32;
        }
        let total = (ZIPLIST_HEADER_BYTES + body.len() + 1) as u32;
        let count = entries.len() as u16;
        [&total.to_le_bytes()[..], &(last as u32).to_le_bytes(), &count.to_le_bytes(), &body, &[END]].concat()
    }

    #[test]
    fn ziplists_of_every_encoding() {
        let long = [&[0x41, 0x2C][..], &[b'x'; 300]].concat();
        let longer = [&[0x80, 0, 0, 0x40, 0][..], &[b'y'; 16_384]].concat();
        let entries: [&[u8]; 11] = [
            b"\x03abc",
            &long,
            &longer,
            &[0xC0, 0xFF, 0xFF],
            &[0xD0, 0, 0, 1, 0],
            &[0xE0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0xF0, 0xFF, 0xFF, 0x7F],
            &[0xFE, 0x80],
            &[0xF1],
            &[0xFD],
            &[0],
        ];
        let lp = ziplist(&ziplist_of(&entries)).unwrap();
        let (x, y) = ("x".repeat(300), "y".repeat(16_384));
        let want = ["abc", &x, &y, "-1", "65536", "-9223372036854775808", "8388607", "-128", "0", "12", ""];
        assert_eq!(texts(&lp), want);
        assert!(ziplist(&ziplist_of(&[])).unwrap().is_empty());
    }

    #[test]
    fn zipmaps() {
        let bytes = b"\x02\x03foo\x03\x02bar..\x05hello\x05\x00world\xFF";
        assert_eq!(texts(&zipmap(bytes).unwrap()), ["foo", "bar", "hello", "world"]);
        assert!(zipmap(b"\x00\xFF").unwrap().is_empty());
    }

    #[test]
    fn no_flipped_or_cut_byte_panics() {
        let sound = ziplist_of(&[b"\x03abc", &[0xF1], b"\x01z", &[0xC0, 1, 2]]);
        let map = b"\x02\x03foo\x03\x02bar..\x05hello\x05\x00world\xFF";
        for len in 0..sound.len() {
            assert!(ziplist(&sound[..len]).is_err());
        }
        for len in 0..map.len() {
            assert!(zipmap(&map[..len]).is_err());
        }
        for at in 0..sound.len() {
            for byte in 0..=255 {
                let mut bytes = sound.clone();
                bytes[at] = byte;
                let _ = ziplist(&bytes);
                let mut bytes = map.to_vec();
                bytes[at % map.len()] = byte;
                let _ = zipmap(&bytes);
            }
        }
    }

    #[test]
    fn what_is_told_twice_must_agree() {
        let sound = ziplist_of(&[b"\x03abc", &[0xF1]]);
        for (why, at) in [("total", 0), ("last", 4), ("count", 8), ("size of the one before", 15)] {
            let mut bytes = sound.clone();
            bytes[at] += 1;
            assert!(ziplist(&bytes).is_err(), "{why}");
        }
        assert!(zipmap(b"\x03\x03foo\x03\x00bar\xFF").is_err(), "pairs");
    }
}
