//! What LMPOP, ZMPOP and their blocking forms ask for.

use super::args::Argv;
use super::ctx::Result;
use super::error::Error;
use crate::base::num::parse_i64;

/// Elements from one end of the first of some keys.
pub(super) struct MultiPop<'a, E> {
    /// The keys, in the order in which they are tried.
    pub(super) keys: &'a [&'a [u8]],
    /// Which end.
    pub(super) end: E,
    /// At most so many.
    pub(super) count: usize,
}

impl<'a, E> MultiPop<'a, E> {
    /// From `numkeys key .. end [COUNT count]`, the number being argument `at`; `end_of` knows the words for the ends.
    ///
    /// # Errors
    /// Those of Redis: numbers that are none or not positive, and the syntax error.
    pub(super) fn parse(args: Argv<'a>, at: usize, end_of: impl FnOnce(&[u8]) -> Result<E>) -> Result<Self> {
        let numkeys = at_least_one(args.all()[at]).ok_or(Error::Text("ERR numkeys should be greater than 0"))?;
        let after = numkeys.checked_add(at + 1).filter(|&after| after < args.len()).ok_or(Error::Syntax)?;
        let mut words = args.cursor(after);
        let end = end_of(words.take()?)?;
        let mut count = None;
        while !words.is_done() {
            if count.is_some() || !words.word_with("COUNT", 1) {
                return Err(Error::Syntax);
            }
            count = Some(at_least_one(words.take()?).ok_or(Error::Text("ERR count should be greater than 0"))?);
        }
        Ok(MultiPop { keys: &args.all()[at + 1..after], end, count: count.unwrap_or(1) })
    }
}

fn at_least_one(text: &[u8]) -> Option<usize> {
    parse_i64(text).filter(|&int| int > 0).and_then(|int| usize::try_from(int).ok())
}
