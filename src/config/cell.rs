//! Where the values live while the server runs. Reading one costs a relaxed load (numbers, flags, choices) or a shared
//! pointer (texts); writing goes through [`Cell`], which knows how the value is written and what it may be.
//!
//! Relaxed is enough: a directive guards no other data, and a reader that sees the old value one command longer is as
//! correct as a CONFIG SET that arrived one command later.

use crate::base::bytes;
use crate::config::number;
use crate::config::row::{Kind, Row};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// One live value behind its row: what CONFIG GET, SET and REWRITE need to know of it.
pub trait Cell: Sync {
    /// The value as CONFIG GET prints it.
    fn text(&self, row: &Row) -> Vec<u8>;

    /// Checks `words` and takes them over; on an error the old value stays. The text of an error is Redis' own.
    fn set(&self, row: &Row, words: &[&[u8]], source: Source) -> Result<(), String>;

    /// The lines CONFIG REWRITE writes, each with whether it is worth a new line (the value is not the default).
    fn lines(&self, row: &Row) -> Vec<Line> {
        let value = self.text(row);
        let forced = value != row.default.as_bytes();
        vec![Line { text: [row.redis_name().as_bytes(), b" ", &value].concat(), forced }]
    }
}

/// One line for CONFIG REWRITE.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The whole line, without its end.
    pub text: Vec<u8>,
    /// Whether it is written even when the file did not have the directive before.
    pub forced: bool,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The row's default, or an old value put back.
    Table,
    /// A file, stdin or the command line: lines of the same directive may add up.
    File,
    /// CONFIG SET.
    Command,
}

/// A number. Percentages are negative.
#[derive(Default)]
pub struct Num(AtomicI64);

impl Num {
    /// The value.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// The value of a directive that is never negative, for sizes and counts.
    #[inline]
    pub fn size(&self) -> u64 {
        self.get() as u64
    }

    /// Changes the value without a check; for the owner of a limit that must follow the system's.
    pub fn store(&self, value: i64) {
        self.0.store(value, Relaxed);
    }
}

impl Cell for Num {
    fn text(&self, row: &Row) -> Vec<u8> {
        number::print(self.get(), row.kind).into_bytes()
    }

    fn set(&self, row: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let value = number::parse(single(words)?, row.kind)?;
        self.store(value);
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let value = number::print_short(self.get(), row.kind);
        let default = number::parse(row.default.as_bytes(), row.kind).unwrap_or_default();
        vec![Line { text: format!("{} {value}", row.redis_name()).into_bytes(), forced: self.get() != default }]
    }
}

/// `yes` or `no`.
#[derive(Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// Whether it is `yes`.
    #[inline]
    pub fn get(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Changes the value.
    pub fn store(&self, value: bool) {
        self.0.store(value, Relaxed);
    }
}

impl Cell for Flag {
    fn text(&self, _: &Row) -> Vec<u8> {
        if self.get() { b"yes".to_vec() } else { b"no".to_vec() }
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let word = single(words)?;
        match (word.eq_ignore_ascii_case(b"yes"), word.eq_ignore_ascii_case(b"no")) {
            (true, _) => self.store(true),
            (_, true) => self.store(false),
            _ => return Err("argument must be 'yes' or 'no'".into()),
        }
        Ok(())
    }
}

/// The words a choice can be, as a plain enum that numbers its variants from 0 (see `choices.rs`).
pub trait Word: Copy + 'static {
    /// The variants by number.
    const ALL: &'static [Self];

    /// Every word with its variant, in the order error texts list them; a variant may have two.
    const WORDS: &'static [(&'static str, Self)];

    /// The variant's number.
    fn number(self) -> u8;
}

/// One of some words.
pub struct Choice<E>(AtomicU8, PhantomData<E>);

impl<E> Default for Choice<E> {
    fn default() -> Self {
        Choice(AtomicU8::new(0), PhantomData)
    }
}

impl<E: Word> Choice<E> {
    /// The value.
    #[inline]
    pub fn get(&self) -> E {
        E::ALL[usize::from(self.0.load(Relaxed))]
    }

    /// Changes the value.
    pub fn store(&self, value: E) {
        self.0.store(value.number(), Relaxed);
    }

    /// The word of the value.
    pub fn word(&self) -> &'static str {
        let number = self.0.load(Relaxed);
        E::WORDS.iter().find(|(_, word)| word.number() == number).map_or("", |(name, _)| name)
    }
}

impl<E: Word + Sync> Cell for Choice<E> {
    fn text(&self, _: &Row) -> Vec<u8> {
        self.word().as_bytes().to_vec()
    }

    fn set(&self, _: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let word = single(words)?;
        let found = E::WORDS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
        let (_, value) = found.ok_or_else(|| one_of(E::WORDS.iter().map(|(name, _)| *name)))?;
        self.store(*value);
        Ok(())
    }
}

/// Redis' refusal of a word that is none of `names`.
pub(super) fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    format!("argument(s) must be one of the following: {}", names.collect::<Vec<_>>().join(", "))
}

/// Any bytes.
#[derive(Default)]
pub struct Text(RwLock<Arc<[u8]>>);

impl Text {
    /// The value; empty where it is not set.
    pub fn get(&self) -> Arc<[u8]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The value as text, for names and paths.
    pub fn string(&self) -> String {
        String::from_utf8_lossy(&self.get()).into_owned()
    }

    /// Whether it is empty, which for most means "not set".
    pub fn is_empty(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Changes the value.
    pub fn store(&self, value: &[u8]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value.into();
    }
}

impl Cell for Text {
    fn text(&self, _: &Row) -> Vec<u8> {
        self.get().to_vec()
    }

    fn set(&self, row: &Row, words: &[&[u8]], _: Source) -> Result<(), String> {
        let word = single(words)?;
        if let Some(check) = row.check {
            check(word)?;
        }
        self.store(word);
        Ok(())
    }

    fn lines(&self, row: &Row) -> Vec<Line> {
        let value = self.get();
        if value.is_empty() && matches!(row.kind, Kind::Text { empty_is_unset: true }) {
            return Vec::new();
        }
        let text = [row.redis_name().as_bytes(), b" ", &bytes::quoted(&value)].concat();
        vec![Line { text, forced: *value != *row.default.as_bytes() }]
    }
}

/// The one word of a one-word directive.
fn single<'a>(words: &[&'a [u8]]) -> Result<&'a [u8], String> {
    match words {
        [word] => Ok(word),
        _ => Err("wrong number of arguments".into()),
    }
}

/// `text` cut at every single space, empty pieces kept: how the one argument of a many-word directive is read.
pub(super) fn by_space(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() { Vec::new() } else { text.split(|byte| *byte == b' ').collect() }
}
