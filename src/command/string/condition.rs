//! What SET, DELEX and DELIFEQ compare the present value with: the value itself, or its digest, 16 hexadecimal digits of
//! XXH3 (Redis since 8.4).

use crate::command::ctx::Result;
use crate::command::error::Error;
use crate::types::string::StrRef;
use xxhash_rust::xxh3::xxh3_64;

/// Digits of a digest.
const DIGEST_LEN: usize = 16;

/// The digest of a value, in hexadecimal.
pub fn digest_of(value: &[u8]) -> String {
    format!("{:016x}", xxh3_64(value))
}

/// What the present value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// It is this.
    Is(&'a [u8]),
    /// It is not this.
    IsNot(&'a [u8]),
    /// Its digest is this.
    DigestIs(&'a [u8]),
    /// Its digest is not this.
    DigestIsNot(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// The condition of this name, in lower case.
    pub fn new(name: &[u8], operand: &'a [u8]) -> Option<Condition<'a>> {
        match name {
            b"ifeq" => Some(Condition::Is(operand)),
            b"ifne" => Some(Condition::IsNot(operand)),
            b"ifdeq" => Some(Condition::DigestIs(operand)),
            b"ifdne" => Some(Condition::DigestIsNot(operand)),
            _ => None,
        }
    }

    /// Whether one of these words names a condition.
    pub fn is_among(words: &[&[u8]]) -> bool {
        words.iter().any(|word| Condition::new(&word.to_ascii_lowercase(), b"").is_some())
    }

    /// Whether it holds; no value is not equal to any. A digest that a value is compared with has 16 digits; that they
    /// are hexadecimal is not asked, others just never match.
    pub fn holds(self, value: Option<StrRef<'_>>) -> Result<bool> {
        Ok(match self {
            Condition::Is(text) => value.is_some_and(|value| value.is(text)),
            Condition::IsNot(text) => !value.is_some_and(|value| value.is(text)),
            Condition::DigestIs(digest) => has_digest(value, digest)?,
            Condition::DigestIsNot(digest) => !has_digest(value, digest)?,
        })
    }
}

fn has_digest(value: Option<StrRef<'_>>, digest: &[u8]) -> Result<bool> {
    let Some(value) = value else { return Ok(false) };
    if digest.len() != DIGEST_LEN {
        return Err(Error::Text("ERR must be exactly 16 hexadecimal characters"));
    }
    Ok(digest_of(value.as_bytes(&mut itoa::Buffer::new())).as_bytes().eq_ignore_ascii_case(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_xxh3() {
        assert_eq!(digest_of(b"hello"), "9555e8555c62dcfd");
        assert_eq!(digest_of(b""), "2d06800538d394c2");
    }

    #[test]
    fn conditions_compare_value_or_digest() {
        let hello = Some(StrRef::Bytes(b"hello"));
        let number = Some(StrRef::Int(12));
        let long = digest_of(b"hello").to_ascii_uppercase();
        for (name, operand, value, want) in [
            ("ifeq", "hello", hello, true),
            ("ifeq", "12", number, true),
            ("ifeq", "hello", None, false),
            ("ifne", "hello", hello, false),
            ("ifne", "hello", None, true),
            ("ifdeq", long.as_str(), hello, true),
            ("ifdeq", long.as_str(), None, false),
            ("ifdne", long.as_str(), hello, false),
            ("ifdne", long.as_str(), number, true),
            ("ifdne", long.as_str(), None, true),
        ] {
            let condition = Condition::new(name.as_bytes(), operand.as_bytes()).expect("a condition");
            assert_eq!(condition.holds(value), Ok(want), "{name} {operand} of {value:?}");
        }
        assert!(Condition::DigestIs(b"short").holds(hello).is_err());
        assert_eq!(Condition::DigestIsNot(b"short").holds(None), Ok(true));
        assert_eq!(Condition::new(b"iflt", b""), None);
    }
}
