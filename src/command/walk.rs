//! What HSCAN, SSCAN and ZSCAN share: the cursor, the options, the shape of the reply.

use super::args::Argv;
use super::ctx::Result;
use super::error::Error;
use crate::base::glob;
use crate::base::num::parse_u64_loose;
use crate::resp::reply::Reply;
use crate::types::packed::listpack::LpValue;

/// How many elements a step is to report when nothing is said.
const COUNT: usize = 10;

/// Reads the cursor of a step at argument 2.
pub(super) fn cursor(args: Argv<'_>) -> Result<u64> {
    parse_u64_loose(&args[2]).ok_or(Error::Text("ERR invalid cursor"))
}

/// The options of a step.
pub(super) struct Options<'a> {
    pattern: Option<&'a [u8]>,
    /// How many elements it is to report.
    pub(super) count: usize,
    /// Leave out the values of a hash.
    pub(super) no_values: bool,
}

impl<'a> Options<'a> {
    /// Reads what follows the cursor; `is_hash` allows NOVALUES.
    pub(super) fn parse(args: Argv<'a>, is_hash: bool) -> Result<Self> {
        let mut options = Options { pattern: None, count: COUNT, no_values: false };
        let mut words = args.cursor(3);
        while !words.is_done() {
            if words.word_with("COUNT", 1) {
                let count = words.int()?;
                options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(Error::Syntax)?;
            } else if words.word_with("MATCH", 1) {
                options.pattern = Some(words.take()?).filter(|pattern| *pattern != b"*");
            } else if words.word("NOVALUES") {
                if !is_hash {
                    return Err(Error::Text("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.no_values = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Whether a name is to be reported.
    pub(super) fn wants(&self, name: LpValue<'_>) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name.to_bytes(&mut itoa::Buffer::new())))
    }
}

/// Replies with one step: `scan` writes the elements to the reply it is given and returns the next cursor and how many
/// entries it wrote.
pub(super) fn reply_step(reply: &mut Reply, scan: impl FnOnce(&mut Reply) -> (u64, usize)) {
    let mut elements = Reply::new(reply.proto());
    let (next, count) = scan(&mut elements);
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(count);
    reply.append(&mut elements);
}

/// Replies with the only step over a missing key.
pub(super) fn reply_empty(reply: &mut Reply) {
    reply_step(reply, |_| (0, 0));
}
