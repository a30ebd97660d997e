//! Ordinary requests that are all there: what nearly every read brings, found without the state of a parser.
//!
//! A connection that is between two requests looks here first. What is cut off, inline, big, or written in another way
//! than nearly all clients do is left to the [`Parser`](super::request::Parser), which would find the same.

use super::args::OWNED_MIN;
use smallvec::SmallVec;

/// The arguments of requests, where they lie.
pub type Words<'a> = SmallVec<[&'a [u8]; 192]>;

/// Adds the arguments of the request that begins at `at` of the input to `words`, if it is an ordinary one and all there;
/// returns where the next one begins.
#[inline]
pub fn whole<'a>(input: &'a [u8], at: usize, words: &mut Words<'a>) -> Option<usize> {
    let before = words.len();
    let end = read(input, at, words);
    if end.is_none() {
        words.truncate(before);
    }
    end
}

/// The same of an input that is one request and nothing else, as a client sends it that waits for each reply.
#[inline]
pub fn lone<'a>(input: &'a [u8], words: &mut Words<'a>) -> bool {
    whole(input, 0, words) == Some(input.len())
}

#[inline(always)]
fn read<'a>(input: &'a [u8], at: usize, words: &mut Words<'a>) -> Option<usize> {
    let (count @ 1.., mut at) = number(b'*', input, at)? else { return None };
    for _ in 0..count {
        let (len @ ..OWNED_MIN, from) = number(b'$', input, at)? else { return None };
        // What stands behind an argument is skipped unread.
        let end = from + len + 2;
        words.push(&input.get(from..end)?[..len]);
        at = end;
    }
    Some(at)
}

/// The number of the line at `at`, which begins with this byte and has one to five digits and a proper end; and where the
/// next line begins.
#[inline(always)]
pub(super) fn number(kind: u8, input: &[u8], at: usize) -> Option<(usize, usize)> {
    const LINE_END: u64 = u16::from_le_bytes(*b"\r\n") as u64;
    let line = &input[at..];
    let line = u64::from_le_bytes(line.first_chunk().copied().unwrap_or_else(|| padded(line)));
    let ends_behind = |digits: usize| line >> (8 + 8 * digits) & 0xffff == LINE_END;
    let digit = |place: usize| {
        let value = ((line >> (8 * place)) as u8).wrapping_sub(b'0');
        (value < 10).then_some(usize::from(value))
    };
    if line as u8 != kind {
        return None;
    }
    let mut value = digit(1)?;
    if ends_behind(1) {
        return Some((value, at + 4));
    }
    if value == 0 {
        return None;
    }
    for digits in 2..=5 {
        value = value * 10 + digit(digits)?;
        if ends_behind(digits) {
            return Some((value, at + digits + 3));
        }
    }
    None
}

/// The last bytes of an input, with others behind them that no line has.
#[cold]
fn padded(line: &[u8]) -> [u8; 8] {
    let mut all = [0; 8];
    all[..line.len()].copy_from_slice(line);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::request::{Limits, Parser, Step};

    /// What is found at the start, and how many bytes that is.
    fn found(wire: &str) -> Option<(Vec<String>, usize)> {
        let mut words = Words::new();
        let end = whole(wire.as_bytes(), 0, &mut words);
        assert_eq!(end.is_none(), words.is_empty(), "{wire:?}");
        let text = |word: &&[u8]| String::from_utf8(word.to_vec()).expect("text");
        end.map(|end| (words.iter().map(text).collect(), end))
    }

    /// What the parser finds there.
    fn parsed(wire: &str) -> Option<(Vec<String>, usize)> {
        let mut parser = Parser::new();
        let Ok(Step::Request(request)) = parser.next(wire.as_bytes(), &Limits::default()) else { return None };
        let text = |word: &[u8]| String::from_utf8(word.to_vec()).expect("text");
        Some((parser.args(&request, wire.as_bytes()).iter().map(text).collect(), request.end))
    }

    #[test]
    fn what_clients_send_needs_no_parser() {
        let value = |len: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\n{}\r\n", "v".repeat(len));
        for wire in [
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            "*3\r\n$3\r\nSET\r\n$2\r\nkk\r\n$0\r\n\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "*1\r\n$0\r\n\r\n",
            "*1\r\n$4\r\nPINGxx",
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1",
            &value(9),
            &value(10),
            &value(999),
            &value(1000),
            &value(OWNED_MIN - 1),
            &format!("*1200\r\n{}", "$1\r\nk\r\n".repeat(1200)),
        ] {
            let found = found(wire);
            assert!(found.is_some(), "{wire:?}");
            assert_eq!(found, parsed(wire));
        }
    }

    #[test]
    fn everything_else_is_left_to_it() {
        for wire in [
            "",
            "*",
            "PING\r\n",
            "*0\r\n",
            "*01\r\n$4\r\nPING\r\n",
            "*-1\r\n",
            "*1\rX$4\r\nPING\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nk\r",
            "*2\r\n$3\r\nGET\r\n$1\r\n",
            "*2\r\n$3\r\nGET\r\n$999\r\nk\r\n",
            "*2\r\n$3\r\nGET\r\n:1\r\n",
            "*1\r\n$04\r\nPING\r\n",
            "*1\r\n$-1\r\n",
            "*100000\r\n$1\r\nk\r\n",
            &format!("*1\r\n${OWNED_MIN}\r\n{}\r\n", "v".repeat(OWNED_MIN)),
        ] {
            assert_eq!(found(wire), None, "{wire:?}");
        }
    }

    #[test]
    fn a_pipeline_is_found_one_after_the_other() {
        let wire = b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*1\r\n$4\r\nPI";
        let mut words = Words::new();
        let second = whole(wire, 0, &mut words).expect("PING");
        let third = whole(wire, second, &mut words).expect("ECHO");
        assert_eq!(whole(wire, third, &mut words), None);
        assert_eq!(words.as_slice(), [&b"PING"[..], b"ECHO", b"hi"]);
        assert!(!lone(wire, &mut Words::new()) && lone(&wire[..second], &mut Words::new()));
    }
}
