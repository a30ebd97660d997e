//! The arguments of one request, and a cursor over them.
//!
//! Arguments are slices of the read buffer. A big one may also be at hand as its own shared buffer
//! ([`Argv::shared`]), so that it can be stored without a copy.

use super::error::Error;
use crate::base::hash::key_hash;
use crate::base::num;
use bytes::Bytes;
use std::num::NonZero;

/// What an argument hashes to as a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash {
    /// Which argument; the first one is the command's name.
    pub at: NonZero<u32>,
    /// Its hash.
    pub hash: u64,
}

impl KeyHash {
    /// The hash of the argument at this place, if there is one.
    #[inline]
    pub fn of(list: &[&[u8]], at: NonZero<u32>) -> Option<KeyHash> {
        list.get(at.get() as usize).map(|key| KeyHash { at, hash: key_hash(key) })
    }
}

/// The arguments of one request, the command's name first.
#[derive(Clone, Copy)]
pub struct Argv<'a> {
    list: &'a [&'a [u8]],
    big: &'a [(usize, Bytes)],
    /// The hash of one argument, where it was known beforehand.
    hashed: Option<KeyHash>,
}

impl<'a> Argv<'a> {
    /// From slices alone.
    pub fn new(list: &'a [&'a [u8]]) -> Argv<'a> {
        Argv { list, big: &[], hashed: None }
    }
    /// From slices, some of which are whole shared buffers: (argument index, buffer).
    pub fn with_big(list: &'a [&'a [u8]], big: &'a [(usize, Bytes)]) -> Argv<'a> {
        Argv { list, big, hashed: None }
    }
    /// The same with the hash of an argument.
    pub fn with_hash(self, hashed: Option<KeyHash>) -> Argv<'a> {
        debug_assert!(hashed.is_none_or(|known| known.hash == key_hash(self.list[known.at.get() as usize])));
        Argv { hashed, ..self }
    }
    /// The hash of an argument as a key.
    #[inline]
    pub fn key_hash(self, index: usize) -> u64 {
        match self.hashed {
            Some(known) if index == known.at.get() as usize => known.hash,
            _ => key_hash(self.list[index]),
        }
    }
    /// Number of arguments, the command's name included.
    pub fn len(self) -> usize {
        self.list.len()
    }
    /// Never true for a request that reached a handler.
    pub fn is_empty(self) -> bool {
        self.list.is_empty()
    }
    /// All arguments.
    pub fn all(self) -> &'a [&'a [u8]] {
        self.list
    }
    /// One argument, borrowed from the request rather than from the context.
    pub fn at(self, index: usize) -> &'a [u8] {
        self.list[index]
    }
    /// The arguments from `from` on.
    pub fn rest(self, from: usize) -> &'a [&'a [u8]] {
        &self.list[from.min(self.list.len())..]
    }
    /// The argument as its own shared buffer, if it is one.
    pub fn shared(self, index: usize) -> Option<Bytes> {
        self.big.iter().find(|(i, _)| *i == index).map(|(_, b)| b.clone())
    }
    /// The big arguments.
    pub fn big(self) -> &'a [(usize, Bytes)] {
        self.big
    }
    /// An argument as an integer.
    pub fn int(self, index: usize) -> Result<i64, Error> {
        num::parse_i64(self.list[index]).ok_or(Error::NotInteger)
    }
    /// An argument as a float.
    pub fn float(self, index: usize) -> Result<f64, Error> {
        num::parse_f64(self.list[index]).ok_or(Error::NotFloat)
    }
    /// Whether the argument is this word, in any case.
    pub fn is(self, index: usize, word: &str) -> bool {
        self.list.get(index).is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()))
    }
    /// A cursor that begins at argument `from`.
    pub fn cursor(self, from: usize) -> Cursor<'a> {
        Cursor { argv: self, at: from }
    }
}

impl std::ops::Index<usize> for Argv<'_> {
    type Output = [u8];
    fn index(&self, index: usize) -> &[u8] {
        self.list[index]
    }
}

/// A cursor over arguments: option loops become flat.
pub struct Cursor<'a> {
    argv: Argv<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Index of the next argument.
    pub fn at(&self) -> usize {
        self.at
    }
    /// Number of arguments left.
    pub fn left(&self) -> usize {
        self.argv.len().saturating_sub(self.at)
    }
    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.left() == 0
    }
    /// The next argument, not taken.
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.argv.list.get(self.at).copied()
    }
    /// Takes the next argument; a syntax error when there is none.
    pub fn take(&mut self) -> Result<&'a [u8], Error> {
        let arg = self.peek().ok_or(Error::Syntax)?;
        self.at += 1;
        Ok(arg)
    }
    /// Takes the next argument as an integer.
    pub fn int(&mut self) -> Result<i64, Error> {
        num::parse_i64(self.take()?).ok_or(Error::NotInteger)
    }
    /// Takes the next argument as a float.
    pub fn float(&mut self) -> Result<f64, Error> {
        num::parse_f64(self.take()?).ok_or(Error::NotFloat)
    }
    /// Takes the next argument if it is this word, in any case.
    pub fn word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|a| a.eq_ignore_ascii_case(word.as_bytes()));
        self.at += found as usize;
        found
    }
    /// Takes the next argument if it is this word and at least `more` arguments follow it.
    pub fn word_with(&mut self, word: &str, more: usize) -> bool {
        let found = self.left() > more && self.argv.is(self.at, word);
        self.at += found as usize;
        found
    }
    /// What is left, not taken.
    pub fn rest(&self) -> &'a [&'a [u8]] {
        self.argv.rest(self.at)
    }
}
