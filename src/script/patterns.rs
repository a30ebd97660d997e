//! Lua 5.1 patterns.
//!
//! The matcher of Lua itself is not used: it recurses once per repetition in the pattern without a bound, and a pattern
//! of a few stars can keep it busy for hours where no hook ever runs. This one is a backtracking matcher of the same
//! meaning that counts its depth and its steps, so that a long match yields to the worker and can be killed.

use super::params::Pace;

/// Captures a pattern may have.
pub(super) const CAPTURES_MAX: usize = 32;

/// Repetitions nested inside one match. Each level is a frame of some 200 bytes.
const DEPTH_MAX: usize = 10_000;

const ESCAPE: u8 = b'%';

/// Why a match ended without an answer.
pub(super) enum Failure {
    /// The pattern makes no sense; the text is Lua's.
    Malformed(&'static str),
    /// The script is to die.
    Stop(mlua::Error),
}

type Outcome<T> = Result<T, Failure>;

/// What a capture holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// Opened, not closed.
    Open(usize),
    /// `()`: a position, from 0.
    Position(usize),
    /// The bytes `start..end`.
    Span(usize, usize),
}

/// A pattern being matched against a text.
pub(super) struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    pace: &'a Pace<'a>,
    captures: [Capture; CAPTURES_MAX],
    level: usize,
    depth: usize,
}

/// Whether a pattern is a plain text.
pub(super) fn is_plain(pattern: &[u8]) -> bool {
    !until_nul(pattern).iter().any(|b| b"^$*+?.([%-".contains(b))
}

fn until_nul(pattern: &[u8]) -> &[u8] {
    super::error::until_nul(pattern)
}

impl<'a> Matcher<'a> {
    /// Patterns end at a NUL, as those of Lua 5.1 do.
    pub fn new(text: &'a [u8], pattern: &'a [u8], pace: &'a Pace<'a>) -> Self {
        let captures = [Capture::Open(0); CAPTURES_MAX];
        Matcher { text, pattern: until_nul(pattern), pace, captures, level: 0, depth: 0 }
    }

    /// The captures of the last match.
    pub fn captures(&self) -> &[Capture] {
        &self.captures[..self.level]
    }

    /// The text being matched.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Where a match that begins at `start` ends, with the pattern read from `from` on.
    pub fn match_at(&mut self, start: usize, from: usize) -> Outcome<Option<usize>> {
        self.level = 0;
        self.depth = 0;
        self.run(start, from)
    }

    fn at(&self, index: usize) -> Option<u8> {
        self.pattern.get(index).copied()
    }

    fn run(&mut self, s: usize, p: usize) -> Outcome<Option<usize>> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Failure::Malformed("pattern too complex"));
        }
        let end = self.go(s, p);
        self.depth -= 1;
        end
    }

    fn go(&mut self, mut s: usize, mut p: usize) -> Outcome<Option<usize>> {
        loop {
            self.pace.step().map_err(Failure::Stop)?;
            let Some(item) = self.at(p) else { return Ok(Some(s)) };
            match item {
                b'(' if self.at(p + 1) == Some(b')') => return self.open(s, p + 2, Capture::Position(s)),
                b'(' => return self.open(s, p + 1, Capture::Open(s)),
                b')' => return self.close(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => return Ok((s == self.text.len()).then_some(s)),
                ESCAPE => match self.at(p + 1) {
                    Some(b'b') => match self.balance(s, p + 2)? {
                        Some(after) => {
                            s = after;
                            p += 4;
                            continue;
                        }
                        None => return Ok(None),
                    },
                    Some(b'f') => {
                        p += 2;
                        if self.at(p) != Some(b'[') {
                            return Err(Failure::Malformed("missing '[' after '%f' in pattern"));
                        }
                        let end = self.class_end(p)?;
                        let before = if s == 0 { 0 } else { self.text[s - 1] };
                        let here = self.text.get(s).copied().unwrap_or(0);
                        if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                            return Ok(None);
                        }
                        p = end;
                        continue;
                    }
                    Some(digit @ b'0'..=b'9') => match self.back_reference(s, digit)? {
                        Some(after) => {
                            s = after;
                            p += 2;
                            continue;
                        }
                        None => return Ok(None),
                    },
                    _ => {}
                },
                _ => {}
            }
            let end = self.class_end(p)?;
            let fits = self.single(s, p, end);
            match self.at(end) {
                Some(b'?') => {
                    if fits && let Some(after) = self.run(s + 1, end + 1)? {
                        return Ok(Some(after));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.longest(s, p, end),
                Some(b'+') => return if fits { self.longest(s + 1, p, end) } else { Ok(None) },
                Some(b'-') => return self.shortest(s, p, end),
                _ if fits => {
                    s += 1;
                    p = end;
                }
                _ => return Ok(None),
            }
        }
    }

    /// The index behind the single-character class at `p`.
    fn class_end(&self, mut p: usize) -> Outcome<usize> {
        let first = self.at(p);
        p += 1;
        match first {
            Some(ESCAPE) if p >= self.pattern.len() => Err(Failure::Malformed("malformed pattern (ends with '%')")),
            Some(ESCAPE) => Ok(p + 1),
            Some(b'[') => {
                if self.at(p) == Some(b'^') {
                    p += 1;
                }
                // The first one is a member even if it is `]`.
                loop {
                    let Some(member) = self.at(p) else {
                        return Err(Failure::Malformed("malformed pattern (missing ']')"));
                    };
                    p += 1;
                    if member == ESCAPE && p < self.pattern.len() {
                        p += 1;
                    }
                    if self.at(p) == Some(b']') {
                        return Ok(p + 1);
                    }
                }
            }
            _ => Ok(p),
        }
    }

    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(s) else { return false };
        match self.pattern[p] {
            b'.' => true,
            ESCAPE => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            other => other == byte,
        }
    }

    /// Whether a byte is in the set whose brackets stand at `p` and `close`.
    fn in_set(&self, byte: u8, mut p: usize, close: usize) -> bool {
        let mut member = true;
        if self.pattern[p + 1] == b'^' {
            member = false;
            p += 1;
        }
        p += 1;
        while p < close {
            if self.pattern[p] == ESCAPE {
                p += 1;
                if in_class(byte, self.pattern[p]) {
                    return member;
                }
            } else if self.pattern[p + 1] == b'-' && p + 2 < close {
                if (self.pattern[p]..=self.pattern[p + 2]).contains(&byte) {
                    return member;
                }
                p += 2;
            } else if self.pattern[p] == byte {
                return member;
            }
            p += 1;
        }
        !member
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Outcome<Option<usize>> {
        let mut count = 0;
        while self.single(s + count, p, end) {
            self.pace.step().map_err(Failure::Stop)?;
            count += 1;
        }
        loop {
            if let Some(after) = self.run(s + count, end + 1)? {
                return Ok(Some(after));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Outcome<Option<usize>> {
        loop {
            if let Some(after) = self.run(s, end + 1)? {
                return Ok(Some(after));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, what: Capture) -> Outcome<Option<usize>> {
        if self.level >= CAPTURES_MAX {
            return Err(Failure::Malformed("too many captures"));
        }
        self.captures[self.level] = what;
        self.level += 1;
        let end = self.run(s, p)?;
        if end.is_none() {
            self.level -= 1;
        }
        Ok(end)
    }

    fn close(&mut self, s: usize, p: usize) -> Outcome<Option<usize>> {
        let open = self.captures[..self.level].iter().rposition(|capture| matches!(capture, Capture::Open(_)));
        let Some(index) = open else { return Err(Failure::Malformed("invalid pattern capture")) };
        let before = self.captures[index];
        if let Capture::Open(start) = before {
            self.captures[index] = Capture::Span(start, s);
        }
        let end = self.run(s, p)?;
        if end.is_none() {
            self.captures[index] = before;
        }
        Ok(end)
    }

    fn balance(&self, s: usize, p: usize) -> Outcome<Option<usize>> {
        let (Some(open), Some(close)) = (self.at(p), self.at(p + 1)) else {
            return Err(Failure::Malformed("unbalanced pattern"));
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut nested = 1;
        for (index, &byte) in self.text.iter().enumerate().skip(s + 1) {
            self.pace.step().map_err(Failure::Stop)?;
            if byte == close {
                nested -= 1;
                if nested == 0 {
                    return Ok(Some(index + 1));
                }
            } else if byte == open {
                nested += 1;
            }
        }
        Ok(None)
    }

    fn back_reference(&self, s: usize, digit: u8) -> Outcome<Option<usize>> {
        let capture = usize::from(digit).checked_sub(usize::from(b'1')).and_then(|index| self.captures().get(index));
        let Some(Capture::Span(start, end)) = capture else { return Err(Failure::Malformed("invalid capture index")) };
        let earlier = &self.text[*start..*end];
        Ok(self.text[s..].starts_with(earlier).then_some(s + earlier.len()))
    }
}

/// Whether a byte is in the class a letter names; a capital names the rest, any other byte itself.
fn in_class(byte: u8, class: u8) -> bool {
    let member = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 11,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    member != class.is_ascii_uppercase()
}
