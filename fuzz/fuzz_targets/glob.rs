//! The glob matcher against the textbook definition on short texts; on any text it ends in bounded time (libFuzzer's own
//! timeout tells).

#![no_main]

use larder::base::glob::{matches, matches_nocase};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (pattern, text) = input;
    let found = matches(pattern, text);
    if found {
        assert!(matches_nocase(pattern, text) || has_escape_in_class(pattern));
    }
    if pattern.len() <= 12 && (1..=12).contains(&text.len()) {
        assert_eq!(found, naive(pattern, text));
    }
});

/// An escaped byte in a class keeps its case even where case is ignored, and a negated class turns more letters away:
/// only then may ignoring case lose a match.
fn has_escape_in_class(pattern: &[u8]) -> bool {
    pattern.contains(&b'[')
}

/// A star takes nothing, or one byte and then again anything.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..])),
        _ => match text {
            [] => false,
            [byte, tail @ ..] => element(pattern, *byte).is_some_and(|width| naive(&pattern[width..], tail)),
        },
    }
}

/// The width of the first element of a pattern, if it takes this byte.
fn element(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', ..] => class(pattern, byte),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = 1 + usize::from(negated);
    let mut found = false;
    while at < pattern.len() && pattern[at] != b']' {
        if pattern[at] == b'\\' && at + 1 < pattern.len() {
            found |= pattern[at + 1] == byte;
            at += 2;
        } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
            // C's characters: those beyond ASCII are negative.
            let [one, other, byte] = [pattern[at], pattern[at + 2], byte].map(|byte| byte as i8);
            found |= one.min(other) <= byte && byte <= one.max(other);
            at += 3;
        } else {
            found |= pattern[at] == byte;
            at += 1;
        }
    }
    (found != negated).then_some((at + 1).min(pattern.len()))
}
