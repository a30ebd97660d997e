//! The DUMP payload: a value with its type before it and a footer behind it.
//!
//! The footer is the version that a reader must know (two bytes) and the CRC64 of everything before it (eight bytes), both
//! little-endian. A payload with a version past ours or another checksum is refused before anything of it is read.

use super::code::{RdbError, Reader, Sink, VERSION_MAX, ValueType, Writer};
use super::read::{self, Limits, Loaded};
use super::write;
use crate::base::crc64::crc64;
use crate::types::ValueRef;
use std::fmt;

const FOOTER_BYTES: usize = 10;
/// Room that a payload has from the start: most need no more than the value takes.
const CAPACITY_MIN: usize = 64;
const CAPACITY_MAX: usize = 16 * 1024;

/// What stands before the code of a library.
const OPCODE_FUNCTION: u8 = 245;
/// The first version with functions.
const FUNCTION_VERSION: u16 = 10;

const NO_TYPE: &str = "a type without meaning";

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpError {
    /// The version or the checksum is wrong.
    Footer,
    /// What is between is no value that can be kept.
    Value(Unsound),
}

/// Whether the checksum of a payload counts. It says that a payload arrived as it was sent, not that it is sound: what is
/// read is judged just as hard without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// A wrong one refuses the payload.
    Counts,
    /// Any will do (`DEBUG SET-SKIP-CHECKSUM-VALIDATION`).
    Skipped,
}

/// What is wrong with a value, in words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound {
    value_type: Option<ValueType>,
    error: RdbError,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = self.value_type.map_or("Value of an unknown type", ValueType::form);
        write!(f, "{form} integrity check failed: {}", self.error)
    }
}

/// The payload of a value; `compress` is the directive `rdbcompression`.
pub fn encode(value: ValueRef<'_>, compress: bool) -> Vec<u8> {
    let value_type = write::type_of(&value);
    let mut payload = Vec::with_capacity(value.heap_bytes().min(CAPACITY_MAX) + CAPACITY_MIN);
    payload.push(value_type as u8);
    write::value(&mut Writer::new(&mut payload, compress), value);
    put_footer(&mut payload, value_type.version());
    payload
}

/// How many bytes a value takes in a file, without its type.
pub fn saved_bytes(value: ValueRef<'_>, compress: bool) -> usize {
    let mut bytes = Vec::new();
    write::value(&mut Writer::new(&mut bytes, compress), value);
    bytes.len()
}

fn put_footer(payload: &mut Vec<u8>, version: u16) {
    payload.put(&version.to_le_bytes());
    let checksum = crc64(payload);
    payload.put(&checksum.to_le_bytes());
}

/// The value of a payload.
pub fn decode(payload: &[u8], checksum: Checksum, limits: &Limits) -> Result<Loaded, DumpError> {
    let mut body = checked_body(payload, checksum).ok_or(DumpError::Footer)?;
    let mut input = Reader::new(&mut body);
    let unsound = |value_type| move |error| DumpError::Value(Unsound { value_type, error });
    let byte = input.byte().map_err(unsound(None))?;
    let value_type = ValueType::from_byte(byte).ok_or_else(|| unsound(None)(RdbError::Malformed(NO_TYPE)))?;
    read::value(&mut input, value_type, limits).map_err(unsound(Some(value_type)))
}

/// The payload of FUNCTION DUMP: the code of every library, each after the opcode that an RDB file has before it.
pub fn encode_libraries<'a>(codes: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    for code in codes {
        payload.push(OPCODE_FUNCTION);
        Writer::new(&mut payload, compress).string(code);
    }
    put_footer(&mut payload, FUNCTION_VERSION);
    payload
}

/// The codes of a payload of FUNCTION DUMP.
pub fn decode_libraries(payload: &[u8], checksum: Checksum) -> Result<Vec<Vec<u8>>, DumpError> {
    let unsound = |error| DumpError::Value(Unsound { value_type: None, error });
    let mut body = checked_body(payload, checksum).ok_or(DumpError::Footer)?;
    let mut codes = Vec::new();
    while !body.is_empty() {
        let mut input = Reader::new(&mut body);
        if input.byte() != Ok(OPCODE_FUNCTION) {
            return Err(unsound(RdbError::Malformed(NO_TYPE)));
        }
        codes.push(input.string().map_err(unsound)?);
    }
    Ok(codes)
}

/// What is before a sound footer.
fn checked_body(payload: &[u8], checksum: Checksum) -> Option<&[u8]> {
    let (body, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
    let (version, stored) = footer.split_at(2);
    let version = u16::from_le_bytes(version.try_into().ok()?);
    let stored = u64::from_le_bytes(stored.try_into().ok()?);
    let sound = checksum == Checksum::Skipped || crc64(&payload[..body.len() + 2]) == stored;
    (version <= VERSION_MAX && sound).then_some(body)
}
