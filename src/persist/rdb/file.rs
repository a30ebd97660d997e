//! A whole keyspace as one stream of bytes: what an RDB file holds, and what DEBUG RELOAD writes and reads in memory.
//!
//! ```text
//!   REDIS0010                                     magic, version in four digits
//!   0xFA name value                               about the file, any number
//!   0xF5 library                                  a function library's code, any number
//!   0xFE db  0xFB keys volatile                   the keys of one database follow
//!     [0xFC millis u64] [0xF8 idle seconds | 0xF9 frequency] type key value
//!   0xFF  CRC64 of all before, LE (0: not to be checked)
//! ```
//! [`FileWriter`] writes the pieces in that order as its caller says them, [`FileReader`] hands them out one by one and
//! knows the older forms too (0xFD: a deadline in seconds, which versions before 3 wrote). What a reader cannot know the
//! length of (modules' values, unknown opcodes) ends the reading with an error; sizes of cluster slots (0xF4) are
//! skipped.

use super::code::{RdbError, Reader, Result, Sink, Source, VERSION_MAX, ValueType, Writer};
use super::read::{self, Limits, Loaded};
use super::write;
use crate::base::crc64::crc64_update;
use crate::types::ValueRef;

const MAGIC: &[u8; 5] = b"REDIS";
const SLOT_INFO: u8 = 244;
const FUNCTION: u8 = 245;
const IDLE: u8 = 248;
const FREQUENCY: u8 = 249;
const AUX: u8 = 250;
const RESIZE: u8 = 251;
const EXPIRY_MS: u8 = 252;
const EXPIRY_SECONDS: u8 = 253;
const SELECT: u8 = 254;
const END: u8 = 255;

/// The first version that ends with a checksum.
const VERSION_WITH_CHECKSUM: u16 = 5;

/// How recently or how often a key was used, as far as it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Use {
    /// Not kept.
    #[default]
    Unknown,
    /// Seconds since the last access.
    Idle(u64),
    /// The logarithmic counter of LFU.
    Frequency(u8),
}

/// What stands beside a key's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyInfo {
    /// Unix time in milliseconds.
    pub expiry: Option<u64>,
    /// Its last accesses.
    pub used: Use,
}

/// Passes bytes on and keeps their checksum.
struct Summed<'a, S: Sink> {
    sink: &'a mut S,
    checksum: u64,
}

impl<S: Sink> Sink for Summed<'_, S> {
    fn put(&mut self, bytes: &[u8]) {
        self.checksum = crc64_update(self.checksum, bytes);
        self.sink.put(bytes);
    }
}

/// Writes a file's pieces to a sink.
pub struct FileWriter<'a, S: Sink> {
    out: Summed<'a, S>,
    compress: bool,
}

impl<'a, S: Sink> FileWriter<'a, S> {
    /// Begins a file of this version, which is the highest that one of its values needs ([`ValueType::version`]);
    /// `compress` is the directive `rdbcompression`.
    pub fn begin(sink: &'a mut S, version: u16, compress: bool) -> FileWriter<'a, S> {
        let mut writer = FileWriter { out: Summed { sink, checksum: 0 }, compress };
        writer.out.put(MAGIC);
        writer.out.put(format!("{version:04}").as_bytes());
        writer
    }

    fn code(&mut self, opcode: u8) -> Writer<'_, Summed<'a, S>> {
        self.out.put(&[opcode]);
        Writer::new(&mut self.out, self.compress)
    }

    /// Something about the file.
    pub fn aux(&mut self, name: &str, value: &[u8]) {
        let mut out = self.code(AUX);
        out.string(name.as_bytes());
        out.string(value);
    }

    /// The code of a function library.
    pub fn function(&mut self, code: &[u8]) {
        self.code(FUNCTION).string(code);
    }

    /// The keys that follow are of this database; the counts let a reader make room.
    pub fn database(&mut self, db: usize, keys: usize, volatile: usize) {
        self.code(SELECT).length(db as u64);
        let mut out = self.code(RESIZE);
        out.length(keys as u64);
        out.length(volatile as u64);
    }

    /// A key.
    pub fn key(&mut self, key: &[u8], value: ValueRef<'_>, info: KeyInfo) {
        if let Some(at) = info.expiry {
            self.code(EXPIRY_MS).millis(at as i64);
        }
        match info.used {
            Use::Unknown => {}
            Use::Idle(seconds) => self.code(IDLE).length(seconds),
            Use::Frequency(counter) => self.code(FREQUENCY).raw(&[counter]),
        }
        let mut out = self.code(write::type_of(&value) as u8);
        out.string(key);
        write::value(&mut out, value);
    }

    /// The end.
    pub fn end(mut self) {
        self.out.put(&[END]);
        let checksum = self.out.checksum;
        self.out.put(&checksum.to_le_bytes());
    }
}

/// A piece of a file.
#[derive(Clone)]
pub enum Piece {
    /// Something about the file.
    Aux(Vec<u8>, Vec<u8>),
    /// The code of a function library.
    Function(Vec<u8>),
    /// The keys that follow are of this database.
    Database(u64),
    /// How many keys the database has, and how many of them have a deadline: a hint from a stranger.
    Sizes(u64, u64),
    /// A key.
    Key(Vec<u8>, Loaded, KeyInfo),
}

/// Passes bytes on and keeps their checksum.
struct Checked<S: Source> {
    source: S,
    checksum: u64,
}

impl<S: Source> Source for Checked<S> {
    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        self.source.fill(out)?;
        self.checksum = crc64_update(self.checksum, out);
        Ok(())
    }
    fn left(&self) -> Option<u64> {
        self.source.left()
    }
}

/// Reads a file's pieces from a source.
pub struct FileReader<S: Source> {
    input: Checked<S>,
    version: u16,
    limits: Limits,
}

impl<S: Source> FileReader<S> {
    /// Begins to read; `limits` say how far the small forms of collections go.
    ///
    /// # Errors
    /// It is no such file, or of a version past ours.
    pub fn begin(source: S, limits: Limits) -> Result<FileReader<S>> {
        let mut input = Checked { source, checksum: 0 };
        let head: [u8; 9] = Reader::new(&mut input).array()?;
        let version = head.strip_prefix(MAGIC).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        match version {
            Some(version @ 1..=VERSION_MAX) => Ok(FileReader { input, version, limits }),
            _ => Err(RdbError::Malformed("no RDB file, or of an unknown version")),
        }
    }

    /// The next piece; `None` after the last one, when the checksum was right.
    ///
    /// # Errors
    /// The bytes are none that a server would write; nothing more can be read.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        let mut info = KeyInfo::default();
        loop {
            let opcode = Reader::new(&mut self.input).byte()?;
            if opcode == END {
                return self.check_end().map(|()| None);
            }
            let mut input = Reader::new(&mut self.input);
            match opcode {
                EXPIRY_MS => info.expiry = Some(deadline(input.millis()?)?),
                EXPIRY_SECONDS => {
                    let seconds = i32::from_le_bytes(input.array()?);
                    info.expiry = Some(deadline(i64::from(seconds) * 1000)?);
                }
                IDLE => info.used = Use::Idle(input.length()?),
                FREQUENCY => info.used = Use::Frequency(input.byte()?),
                AUX => return Ok(Some(Piece::Aux(input.string()?, input.string()?))),
                FUNCTION => return Ok(Some(Piece::Function(input.string()?))),
                SELECT => return Ok(Some(Piece::Database(input.length()?))),
                RESIZE => return Ok(Some(Piece::Sizes(input.length()?, input.length()?))),
                SLOT_INFO => {
                    for _ in 0..3 {
                        input.length()?;
                    }
                }
                _ => {
                    let unknown = RdbError::Malformed("an opcode or a type without meaning");
                    let value_type = ValueType::from_byte(opcode).ok_or(unknown)?;
                    let key = input.string()?;
                    match read::value(&mut input, value_type, &self.limits) {
                        Ok(loaded) => return Ok(Some(Piece::Key(key, loaded, info))),
                        // A key without elements is as good as none.
                        Err(RdbError::Empty) => info = KeyInfo::default(),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    fn check_end(&mut self) -> Result<()> {
        if self.version < VERSION_WITH_CHECKSUM {
            return Ok(());
        }
        let expected = self.input.checksum;
        match u64::from_le_bytes(Reader::new(&mut self.input).array()?) {
            0 => Ok(()),
            checksum if checksum == expected => Ok(()),
            _ => Err(RdbError::Malformed("a wrong checksum")),
        }
    }
}

fn deadline(millis: i64) -> Result<u64> {
    u64::try_from(millis).map_err(|_| RdbError::Malformed("a deadline before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::string::{NewStr, StrRef};

    fn pieces(bytes: &[u8]) -> Result<Vec<Piece>> {
        let mut reader = FileReader::begin(bytes, Limits::default())?;
        let mut pieces = Vec::new();
        while let Some(piece) = reader.next_piece()? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    fn shown(piece: &Piece) -> String {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        match piece {
            Piece::Aux(name, value) => format!("{}={}", text(name), text(value)),
            Piece::Function(code) => format!("function {}", text(code)),
            Piece::Database(db) => format!("db {db}"),
            Piece::Sizes(keys, volatile) => format!("{keys} keys, {volatile} volatile"),
            Piece::Key(key, Loaded::Str(NewStr::Int(int)), info) => format!("{}={int} {info:?}", text(key)),
            Piece::Key(key, _, info) => format!("{} {info:?}", text(key)),
        }
    }

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut file = FileWriter::begin(&mut bytes, 10, true);
        file.aux("redis-ver", b"7.4.1");
        file.function(b"#!lua name=l\n");
        file.database(3, 2, 1);
        file.key(b"a", ValueRef::Str(StrRef::Int(7)), KeyInfo { expiry: Some(1 << 40), used: Use::Idle(300) });
        file.key(b"b", ValueRef::Str(StrRef::Bytes(b"text")), KeyInfo { expiry: None, used: Use::Frequency(9) });
        file.end();
        bytes
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let shown: Vec<String> = pieces(&sample()).unwrap().iter().map(shown).collect();
        let expected = [
            "redis-ver=7.4.1",
            "function #!lua name=l\\n",
            "db 3",
            "2 keys, 1 volatile",
            "a=7 KeyInfo { expiry: Some(1099511627776), used: Idle(300) }",
            "b KeyInfo { expiry: None, used: Frequency(9) }",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut bytes = Vec::new();
        let mut file = FileWriter::begin(&mut bytes, 11, false);
        file.database(0, 1, 0);
        file.key(b"k", ValueRef::Str(StrRef::Bytes(b"v")), KeyInfo::default());
        file.end();
        let checksum = bytes.split_off(bytes.len() - 8);
        assert_eq!(bytes, b"REDIS0011\xFE\x00\xFB\x01\x00\x00\x01k\x01v\xFF");
        assert_eq!(checksum, crate::base::crc64::crc64(&bytes).to_le_bytes());
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let whole = sample();
        for len in 0..whole.len() {
            assert!(pieces(&whole[..len]).is_err(), "cut at {len}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(pieces(&bytes).is_err(), "a flipped bit at {at}");
        }
        let mut unchecked = whole.clone();
        let footer = unchecked.len() - 8;
        unchecked[footer..].fill(0);
        assert_eq!(pieces(&unchecked).unwrap().len(), 6, "a checksum of 0 is none");
    }

    #[test]
    fn old_files_have_seconds_and_no_checksum() {
        let old = b"REDIS0003\xFE\x00\xFD\x01\x00\x00\x00\x00\x01k\x01v\xFF";
        let shown: Vec<String> = pieces(old).unwrap().iter().map(shown).collect();
        assert_eq!(shown, ["db 0", "k KeyInfo { expiry: Some(1000), used: Unknown }"]);
    }
}
