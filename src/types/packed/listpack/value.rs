//! One value of a listpack: an integer, or bytes inside the listpack.

use crate::base::num::{decimal_len, parse_i64};

/// A value of a listpack. Which of the two it is says how it is stored, not what it means: `Int(7)` and the string `7`
/// are the same value, so compare by [`LpValue::eq_bytes`] unless both come from canonical listpacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LpValue<'a> {
    /// A string in canonical decimal form, stored as an integer.
    Int(i64),
    /// Any other string.
    Str(&'a [u8]),
}

impl<'a> LpValue<'a> {
    /// The value's bytes; an integer is written into `scratch`.
    pub fn to_bytes<'s>(&self, scratch: &'s mut itoa::Buffer) -> &'s [u8]
    where
        'a: 's,
    {
        match *self {
            LpValue::Int(int) => scratch.format(int).as_bytes(),
            LpValue::Str(bytes) => bytes,
        }
    }

    /// The value's bytes, owned.
    pub fn to_vec(&self) -> Vec<u8> {
        self.to_bytes(&mut itoa::Buffer::new()).to_vec()
    }

    /// Whether the value's bytes are `other`.
    pub fn eq_bytes(&self, other: &[u8]) -> bool {
        match *self {
            LpValue::Int(int) => itoa::Buffer::new().format(int).as_bytes() == other,
            LpValue::Str(bytes) => bytes == other,
        }
    }

    /// The value as an integer, if its bytes are one in canonical decimal form.
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            LpValue::Int(int) => Some(int),
            LpValue::Str(bytes) => parse_i64(bytes),
        }
    }

    /// The number of the value's bytes.
    pub fn len(&self) -> usize {
        match *self {
            LpValue::Int(int) => decimal_len(int),
            LpValue::Str(bytes) => bytes.len(),
        }
    }

    /// Whether the value is the empty string.
    pub fn is_empty(&self) -> bool {
        matches!(self, LpValue::Str([]))
    }
}

/// Bytes to compare many values with: what integer they are is found out once.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    int: Option<i64>,
}

impl<'a> Needle<'a> {
    /// Looks for `bytes`.
    pub fn new(bytes: &'a [u8]) -> Needle<'a> {
        Needle { bytes, int: parse_i64(bytes) }
    }

    /// Whether `value` is what is looked for.
    #[inline]
    pub fn is(&self, value: LpValue<'_>) -> bool {
        match value {
            LpValue::Int(int) => self.int == Some(int),
            LpValue::Str(bytes) => self.bytes == bytes,
        }
    }
}
