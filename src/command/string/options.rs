//! The options of SET, GETEX and MSETEX: when to set, what to answer, when to expire.

use super::condition::Condition;
use crate::base::bytes::folded;
use crate::command::ctx::Result;
use crate::command::error::Error;
use crate::command::expire::{Base, Unit, positive_deadline};

/// Whose options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// SET.
    Set,
    /// GETEX.
    GetEx,
    /// MSETEX.
    MSetEx,
}

/// A time to expire at, as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry<'a> {
    /// The number.
    pub text: &'a [u8],
    /// What it counts.
    pub unit: Unit,
    /// From when.
    pub base: Base,
}

impl Expiry<'_> {
    /// Unix time in milliseconds; `command` is the lower-case name for the error.
    pub fn deadline(&self, now_ms: u64, command: &'static str) -> Result<u64> {
        positive_deadline(self.text, self.unit, self.base, now_ms, command)
    }
}

/// What the options say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Only when the key does not exist.
    pub nx: bool,
    /// Only when it exists.
    pub xx: bool,
    /// Only when the value is this one, or is not.
    pub condition: Option<Condition<'a>>,
    /// Return the old value.
    pub get: bool,
    /// Leave the deadline as it is.
    pub keep_ttl: bool,
    /// Take the deadline away.
    pub persist: bool,
    /// Set the deadline.
    pub expiry: Option<Expiry<'a>>,
}

impl<'a> Options<'a> {
    /// Reads the words behind key and value. Those that exclude each other are a syntax error; the same word twice is
    /// not, and the last number counts.
    pub fn parse(words: &[&'a [u8]], whose: For) -> Result<Options<'a>> {
        let mut options = Options::default();
        let sets = whose != For::GetEx;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match folded(word).as_slice() {
                b"nx" if sets && !options.xx && options.condition.is_none() => options.nx = true,
                b"xx" if sets && !options.nx && options.condition.is_none() => options.xx = true,
                b"get" if whose == For::Set => options.get = true,
                b"keepttl" if sets && options.expiry.is_none() => options.keep_ttl = true,
                b"persist" if whose == For::GetEx && options.expiry.is_none() => options.persist = true,
                b"ex" => options.expire(Unit::Seconds, Base::Now, words.next())?,
                b"px" => options.expire(Unit::Milliseconds, Base::Now, words.next())?,
                b"exat" => options.expire(Unit::Seconds, Base::Epoch, words.next())?,
                b"pxat" => options.expire(Unit::Milliseconds, Base::Epoch, words.next())?,
                name if whose == For::Set => options.compare(name, words.next())?,
                _ => return Err(Error::Syntax),
            }
        }
        Ok(options)
    }

    /// The deadline that EX, PX, EXAT or PXAT gives.
    pub fn deadline(&self, now_ms: u64, command: &'static str) -> Result<Option<u64>> {
        self.expiry.map(|expiry| expiry.deadline(now_ms, command)).transpose()
    }

    fn compare(&mut self, name: &[u8], operand: Option<&&'a [u8]>) -> Result<()> {
        let other = self.nx || self.xx || self.condition.is_some();
        match operand.and_then(|operand| Condition::new(name, operand)) {
            Some(condition) if !other => {
                self.condition = Some(condition);
                Ok(())
            }
            _ => Err(Error::Syntax),
        }
    }

    fn expire(&mut self, unit: Unit, base: Base, text: Option<&&'a [u8]>) -> Result<()> {
        let other = self.expiry.is_some_and(|old| (old.unit, old.base) != (unit, base));
        match text {
            Some(text) if !other && !self.keep_ttl && !self.persist => {
                self.expiry = Some(Expiry { text, unit, base });
                Ok(())
            }
            _ => Err(Error::Syntax),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, whose: For) -> Option<Options<'_>> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        Options::parse(&words, whose).ok()
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        for good in [
            "",
            "NX",
            "nx nx",
            "xx get",
            "get nx",
            "ex 1",
            "EX 1 ex 2",
            "px 5 nx",
            "exat 9",
            "keepttl get",
            "ifeq a",
            "ifne a get",
        ] {
            assert!(parse(good, For::Set).is_some(), "{good}");
        }
        for bad in [
            "nx xx",
            "xx nx",
            "ex",
            "ex 1 px 1",
            "ex 1 exat 1",
            "keepttl ex 1",
            "ex 1 keepttl",
            "persist",
            "foo",
            "ifeq",
            "ifeq a ifne b",
            "nx ifeq a",
            "ifeq a xx",
        ] {
            assert!(parse(bad, For::Set).is_none(), "{bad}");
        }
        for good in ["", "persist", "ex 1", "pxat 1"] {
            assert!(parse(good, For::GetEx).is_some(), "{good}");
        }
        for bad in ["nx", "xx", "get", "keepttl", "persist ex 1", "ex 1 persist", "ifeq a"] {
            assert!(parse(bad, For::GetEx).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_last_number_counts() {
        let options = parse("ex 1 ex 2", For::Set).expect("good");
        assert_eq!(options.deadline(1000, "set"), Ok(Some(3000)));
        assert_eq!(parse("ex 0", For::Set).expect("good").deadline(0, "set"), Err(Error::InvalidExpire("set")));
        assert_eq!(parse("ex x", For::Set).expect("good").deadline(0, "set"), Err(Error::NotInteger));
    }
}
