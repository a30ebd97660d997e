//! The alphabet of RDB: type bytes, lengths, strings, numbers; [`Sink`] to write them to, [`Source`] to read them from.
//!
//! ```text
//!   00llllll                    length up to 63          11000000 i8            string of an integer
//!   01llllll llllllll           up to 16383              11000001 i16 LE        "
//!   10000000 u32 BE             up to 2^32 - 1           11000010 i32 LE        "
//!   10000001 u64 BE             any                      11000011 len len bytes string compressed by LZF: packed, full
//! ```

use crate::base::lzf;
use crate::base::num::parse_i64;
use crate::types::packed::listpack::Listpack;
use std::fmt;

/// The newest version we read (Redis 7.4).
pub const VERSION_MAX: u16 = 12;
/// The version that holds everything but what [`super::write`] says needs a newer one (Redis 7.0).
pub const VERSION_BASE: u16 = 10;

const LENGTH_6: u8 = 0;
const LENGTH_14: u8 = 1;
const LENGTH_32: u8 = 0x80;
const LENGTH_64: u8 = 0x81;
const ENCODED: u8 = 3;
const ENCODED_I8: u64 = 0;
const ENCODED_I16: u64 = 1;
const ENCODED_I32: u64 = 2;
const ENCODED_LZF: u64 = 3;

/// Integers are looked for in strings up to this many bytes.
const INT_TEXT_MAX: usize = 11;
/// Strings longer than this are compressed if that makes them shorter.
const COMPRESS_BYTES_OVER: usize = 20;
/// Strings of unknown truth are read in pieces of this size, so that a false length reserves no more.
const PIECE_BYTES: usize = 1 << 20;

/// Why bytes are not the value they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdbError {
    /// The input ends inside a value.
    Truncated,
    /// The input breaks a rule of the format; which one, for the log.
    Malformed(&'static str),
    /// A collection without elements: a file's reader skips the key, RESTORE refuses it.
    Empty,
}

impl fmt::Display for RdbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RdbError::Truncated => "it ends too early",
            RdbError::Malformed(rule) => rule,
            RdbError::Empty => "it has no elements",
        })
    }
}

/// The result of reading.
pub type Result<T> = std::result::Result<T, RdbError>;

/// How a node of a list is held.
pub(super) const NODE_PLAIN: u64 = 1;
pub(super) const NODE_PACKED: u64 = 2;

/// The type byte before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ValueType {
    Str = 0,
    List = 1,
    Set = 2,
    ZSet = 3,
    Hash = 4,
    ZSet2 = 5,
    HashZipmap = 9,
    ListZiplist = 10,
    SetIntset = 11,
    ZSetZiplist = 12,
    HashZiplist = 13,
    ListQuicklist = 14,
    StreamListpacks = 15,
    HashListpack = 16,
    ZSetListpack = 17,
    ListQuicklist2 = 18,
    StreamListpacks2 = 19,
    SetListpack = 20,
    StreamListpacks3 = 21,
    HashMetadataPreGa = 22,
    HashListpackExPreGa = 23,
    HashMetadata = 24,
    HashListpackEx = 25,
}

impl ValueType {
    const ALL: [ValueType; 23] = [
        ValueType::Str,
        ValueType::List,
        ValueType::Set,
        ValueType::ZSet,
        ValueType::Hash,
        ValueType::ZSet2,
        ValueType::HashZipmap,
        ValueType::ListZiplist,
        ValueType::SetIntset,
        ValueType::ZSetZiplist,
        ValueType::HashZiplist,
        ValueType::ListQuicklist,
        ValueType::StreamListpacks,
        ValueType::HashListpack,
        ValueType::ZSetListpack,
        ValueType::ListQuicklist2,
        ValueType::StreamListpacks2,
        ValueType::SetListpack,
        ValueType::StreamListpacks3,
        ValueType::HashMetadataPreGa,
        ValueType::HashListpackExPreGa,
        ValueType::HashMetadata,
        ValueType::HashListpackEx,
    ];

    /// The type of this byte; None for modules' values (6, 7) and bytes without meaning.
    pub fn from_byte(byte: u8) -> Option<ValueType> {
        ValueType::ALL.into_iter().find(|&value_type| value_type as u8 == byte)
    }

    /// The form in which it is stored, in the words of the log.
    pub fn form(self) -> &'static str {
        match self {
            ValueType::Str => "String",
            ValueType::List => "List",
            ValueType::ListZiplist => "List ziplist",
            ValueType::ListQuicklist => "Quicklist ziplist",
            ValueType::ListQuicklist2 => "Quicklist listpack",
            ValueType::Set => "Set",
            ValueType::SetIntset => "Intset",
            ValueType::SetListpack => "Set listpack",
            ValueType::ZSet | ValueType::ZSet2 => "Zset",
            ValueType::ZSetZiplist => "Zset ziplist",
            ValueType::ZSetListpack => "Zset listpack",
            ValueType::Hash | ValueType::HashMetadata | ValueType::HashMetadataPreGa => "Hash",
            ValueType::HashZipmap => "Zipmap",
            ValueType::HashZiplist => "Hash ziplist",
            ValueType::HashListpack | ValueType::HashListpackEx | ValueType::HashListpackExPreGa => "Hash listpack",
            ValueType::StreamListpacks | ValueType::StreamListpacks2 | ValueType::StreamListpacks3 => "Stream listpack",
        }
    }

    /// The first version whose readers know this type.
    pub fn version(self) -> u16 {
        match self as u8 {
            0..20 => VERSION_BASE,
            20 | 21 => 11,
            _ => 12,
        }
    }
}

/// Where bytes are written to. A sink that can fail remembers it and swallows the rest.
pub trait Sink {
    /// Takes bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes the alphabet to a sink.
pub struct Writer<'a, S: Sink> {
    sink: &'a mut S,
    compress: bool,
}

impl<'a, S: Sink> Writer<'a, S> {
    /// Writes to `sink`; `compress` is the directive `rdbcompression`.
    pub fn new(sink: &'a mut S, compress: bool) -> Writer<'a, S> {
        Writer { sink, compress }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.sink.put(bytes);
    }

    /// A length or count.
    pub fn length(&mut self, length: u64) {
        match length {
            0..0x40 => self.raw(&[LENGTH_6 << 6 | length as u8]),
            0x40..0x4000 => self.raw(&[LENGTH_14 << 6 | (length >> 8) as u8, length as u8]),
            0x4000..=0xFFFF_FFFF => {
                self.raw(&[LENGTH_32]);
                self.raw(&(length as u32).to_be_bytes());
            }
            _ => {
                self.raw(&[LENGTH_64]);
                self.raw(&length.to_be_bytes());
            }
        }
    }

    /// A string: as an integer if it is a small one, compressed if that is shorter, else as it is.
    pub fn string(&mut self, text: &[u8]) {
        if text.len() <= INT_TEXT_MAX
            && let Some(int) = parse_i64(text)
            && self.small_int(int)
        {
            return;
        }
        if self.compress && text.len() > COMPRESS_BYTES_OVER && self.compressed(text) {
            return;
        }
        self.length(text.len() as u64);
        self.raw(text);
    }

    /// The string of an integer.
    pub fn int_string(&mut self, int: i64) {
        if !self.small_int(int) {
            let mut scratch = itoa::Buffer::new();
            let text = scratch.format(int).as_bytes();
            self.length(text.len() as u64);
            self.raw(text);
        }
    }

    /// A double in eight bytes.
    pub fn double(&mut self, value: f64) {
        self.raw(&value.to_le_bytes());
    }

    /// A time in milliseconds, or another signed number, in eight bytes.
    pub fn millis(&mut self, millis: i64) {
        self.raw(&millis.to_le_bytes());
    }

    fn small_int(&mut self, int: i64) -> bool {
        if let Ok(int) = i8::try_from(int) {
            self.raw(&[ENCODED << 6 | ENCODED_I8 as u8, int as u8]);
        } else if let Ok(int) = i16::try_from(int) {
            self.raw(&[ENCODED << 6 | ENCODED_I16 as u8]);
            self.raw(&int.to_le_bytes());
        } else if let Ok(int) = i32::try_from(int) {
            self.raw(&[ENCODED << 6 | ENCODED_I32 as u8]);
            self.raw(&int.to_le_bytes());
        } else {
            return false;
        }
        true
    }

    fn compressed(&mut self, text: &[u8]) -> bool {
        let Some(packed) = lzf::compress(text, text.len() - 4) else { return false };
        self.raw(&[ENCODED << 6 | ENCODED_LZF as u8]);
        self.length(packed.len() as u64);
        self.length(text.len() as u64);
        self.raw(&packed);
        true
    }
}

/// Where bytes are read from.
pub trait Source {
    /// Fills `out` whole, or says why not.
    fn fill(&mut self, out: &mut [u8]) -> Result<()>;
    /// How many bytes are left, if that is known.
    fn left(&self) -> Option<u64>;
}

impl Source for &[u8] {
    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        let (head, rest) = self.split_at_checked(out.len()).ok_or(RdbError::Truncated)?;
        out.copy_from_slice(head);
        *self = rest;
        Ok(())
    }

    fn left(&self) -> Option<u64> {
        Some(self.len() as u64)
    }
}

/// A string as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RdbString {
    /// Stored as an integer.
    Int(i64),
    /// Stored as bytes.
    Bytes(Vec<u8>),
}

impl RdbString {
    /// The string's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            RdbString::Int(int) => itoa::Buffer::new().format(int).as_bytes().to_vec(),
            RdbString::Bytes(bytes) => bytes,
        }
    }
}

enum Length {
    Plain(u64),
    Encoded(u64),
}

/// Reads the alphabet from a source.
pub struct Reader<'a, S: Source> {
    source: &'a mut S,
}

impl<'a, S: Source> Reader<'a, S> {
    /// Reads from `source`.
    pub fn new(source: &'a mut S) -> Reader<'a, S> {
        Reader { source }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A length or count.
    pub fn length(&mut self) -> Result<u64> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(RdbError::Malformed("an encoding where a length belongs")),
        }
    }

    /// A count of things of which each takes at least `bytes_each` bytes, checked against what is left of the input.
    pub fn count(&mut self, bytes_each: u64) -> Result<usize> {
        let count = self.length()?;
        let possible = self.source.left().is_none_or(|left| count.saturating_mul(bytes_each) <= left);
        if !possible {
            return Err(RdbError::Truncated);
        }
        usize::try_from(count).map_err(|_| RdbError::Malformed("a count past all memory"))
    }

    /// A count of elements of a collection, which is never empty.
    pub fn elements(&mut self, bytes_each: u64) -> Result<usize> {
        match self.count(bytes_each)? {
            0 => Err(RdbError::Empty),
            count => Ok(count),
        }
    }

    /// A string, integers told apart.
    pub fn stored_string(&mut self) -> Result<RdbString> {
        Ok(match self.any_length()? {
            Length::Plain(length) => RdbString::Bytes(self.bytes(length)?),
            Length::Encoded(ENCODED_I8) => RdbString::Int(i8::from_le_bytes(self.array()?) as i64),
            Length::Encoded(ENCODED_I16) => RdbString::Int(i16::from_le_bytes(self.array()?) as i64),
            Length::Encoded(ENCODED_I32) => RdbString::Int(i32::from_le_bytes(self.array()?) as i64),
            Length::Encoded(ENCODED_LZF) => RdbString::Bytes(self.lzf()?),
            Length::Encoded(_) => return Err(RdbError::Malformed("an unknown string encoding")),
        })
    }

    /// A string.
    pub fn string(&mut self) -> Result<Vec<u8>> {
        Ok(self.stored_string()?.into_bytes())
    }

    /// A listpack with at least one entry.
    pub(super) fn listpack(&mut self) -> Result<Listpack> {
        Listpack::from_bytes(&self.string()?).map_err(|_| RdbError::Malformed("an unsound listpack"))
    }

    /// A double in eight bytes.
    pub fn double(&mut self) -> Result<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A double in the text form of the first sorted sets: length byte and text, or one byte for a special value.
    pub fn text_double(&mut self) -> Result<f64> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            length => {
                let text = self.bytes(length as u64)?;
                let text = std::str::from_utf8(&text).map_err(|_| RdbError::Malformed("a score that is no number"))?;
                text.trim_start().parse().map_err(|_| RdbError::Malformed("a score that is no number"))
            }
        }
    }

    /// A time in milliseconds, or another signed number, in eight bytes.
    pub fn millis(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn any_length(&mut self) -> Result<Length> {
        let first = self.byte()?;
        let low = (first & 0x3F) as u64;
        Ok(match (first >> 6, first) {
            (LENGTH_6, _) => Length::Plain(low),
            (LENGTH_14, _) => Length::Plain(low << 8 | self.byte()? as u64),
            (ENCODED, _) => Length::Encoded(low),
            (_, LENGTH_32) => Length::Plain(u32::from_be_bytes(self.array()?) as u64),
            (_, LENGTH_64) => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(RdbError::Malformed("an unknown length encoding")),
        })
    }

    fn lzf(&mut self) -> Result<Vec<u8>> {
        let (packed_len, len) = (self.length()?, self.length()?);
        let packed = self.bytes(packed_len)?;
        let len = usize::try_from(len).map_err(|_| RdbError::Malformed("a string past all memory"))?;
        lzf::decompress(&packed, len).ok_or(RdbError::Malformed("an unsound LZF string"))
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>> {
        if self.source.left().is_some_and(|left| length > left) {
            return Err(RdbError::Truncated);
        }
        let length = usize::try_from(length).map_err(|_| RdbError::Malformed("a string past all memory"))?;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let at = bytes.len();
            bytes.resize(at + PIECE_BYTES.min(length - at), 0);
            self.source.fill(&mut bytes[at..])?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_, Vec<u8>>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, true));
        out
    }

    #[test]
    fn lengths() {
        let cases: [(u64, &[u8]); 7] = [
            (0, &[0]),
            (63, &[63]),
            (64, &[0x40, 64]),
            (16_383, &[0x7F, 0xFF]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (0xFFFF_FFFF, &[0x80, 0xFF, 0xFF, 0xFF, 0xFF]),
            (0x1_0000_0000, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        for (length, bytes) in cases {
            assert_eq!(written(|writer| writer.length(length)), bytes);
            assert_eq!(Reader::new(&mut &bytes[..]).length(), Ok(length));
        }
    }

    #[test]
    fn strings() {
        let repeated = [b"abc".repeat(30), b"!".to_vec()].concat();
        let cases: [(&[u8], &[u8]); 8] = [
            (b"", &[0]),
            (b"hello", b"\x05hello"),
            (b"-128", &[0xC0, 0x80]),
            (b"300", &[0xC1, 0x2C, 1]),
            (b"-70000", &[0xC2, 0x90, 0xEE, 0xFE, 0xFF]),
            (b"2147483648", b"\x0A2147483648"),
            (b"007", b"\x03007"),
            (&repeated, b"\xC3\x09\x40\x5B\x02abc\xE0\x4E\x02\x00!"),
        ];
        for (text, bytes) in cases {
            let out = written(|writer| writer.string(text));
            if text.len() < 20 {
                assert_eq!(out, bytes, "{}", String::from_utf8_lossy(text));
            }
            assert_eq!(Reader::new(&mut &out[..]).string().as_deref(), Ok(text));
        }
        assert_eq!(written(|writer| writer.int_string(1 << 40)), b"\x0D1099511627776");
        assert!(written(|writer| writer.string(&repeated)).len() < 20);
    }

    #[test]
    fn unsound_input_is_refused() {
        let cases: [(&[u8], RdbError); 7] = [
            (&[], RdbError::Truncated),
            (&[5, b'a'], RdbError::Truncated),
            (&[0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], RdbError::Truncated),
            (&[0x82], RdbError::Malformed("an unknown length encoding")),
            (&[0xC4], RdbError::Malformed("an unknown string encoding")),
            (&[0xC3, 1, 0x80, 0x7F, 0xFF, 0xFF, 0xFF, 0], RdbError::Malformed("an unsound LZF string")),
            (&[0xC2, 1, 2], RdbError::Truncated),
        ];
        for (mut bytes, error) in cases {
            assert_eq!(Reader::new(&mut bytes).string(), Err(error));
        }
        assert_eq!(Reader::new(&mut &[0xC0u8, 1][..]).length().ok(), None);
        assert_eq!(Reader::new(&mut &[0x80u8, 0xFF, 0, 0, 0, 1][..]).count(1), Err(RdbError::Truncated));
    }

    #[test]
    fn text_scores() {
        let cases: [(&[u8], f64); 4] = [
            (b"\x031.5", 1.5),
            (b"\x18-3.1000000000000001e+300", -3.1e300),
            (&[254], f64::INFINITY),
            (b"\x0217", 17.0),
        ];
        for (mut bytes, value) in cases {
            assert_eq!(Reader::new(&mut bytes).text_double(), Ok(value));
        }
        assert!(Reader::new(&mut &b"\x03abc"[..]).text_double().is_err());
    }
}
