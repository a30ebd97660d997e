//! Case-blind comparison, quoting and splitting: small tools for byte strings.

use super::num::is_space;
use smallvec::SmallVec;

/// Whether two texts are equal: the same as `==`, which for short ones costs more in the call than in the comparison.
#[inline(always)]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.len() {
        8..=16 => a.first_chunk::<8>() == b.first_chunk() && a.last_chunk::<8>() == b.last_chunk(),
        4..=7 => a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        2..=3 => a.first_chunk::<2>() == b.first_chunk() && a.last() == b.last(),
        _ => a == b,
    }
}

/// Are the two equal when ASCII case is ignored?
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// An option's word in lower case. It costs no allocation when it is as short as all options are.
#[inline]
pub fn folded(word: &[u8]) -> SmallVec<[u8; 16]> {
    word.iter().map(u8::to_ascii_lowercase).collect()
}

/// A copy with ASCII letters in lower case.
pub fn to_lower(text: &[u8]) -> Vec<u8> {
    text.to_ascii_lowercase()
}

/// A lossy `String`, for names that go into log lines and the like.
pub fn to_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Appends `text` in double quotes with everything unprintable escaped, as MONITOR and CONFIG REWRITE show values.
pub fn push_quoted(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            _ => out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    out.push(b'"');
}

/// [`push_quoted`] into a string of its own.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// The quotes of a line do not pair, or a closing quote is not followed by space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnbalancedQuotes;

/// Splits a line into words as an inline command or a line of the configuration is split: spaces separate; within
/// `"..."` the escapes `\n \r \t \b \a \xHH` hold and any other backslash gives the next byte; within `'...'` only
/// `\'`. The line ends at its first NUL. Words are appended to `data` without separators and `word` is called with
/// each one's range in it, so that an inline command needs no allocation of its own.
pub fn split_args_into(
    line: &[u8],
    data: &mut Vec<u8>,
    mut word: impl FnMut(std::ops::Range<usize>),
) -> Result<(), UnbalancedQuotes> {
    let line = &line[..memchr::memchr(0, line).unwrap_or(line.len())];
    let mut at = 0;
    loop {
        at += line[at..].iter().take_while(|byte| is_space(**byte)).count();
        if at == line.len() {
            return Ok(());
        }
        let start = data.len();
        at = push_word(line, at, data)?;
        word(start..data.len());
    }
}

/// [`split_args_into`] with each word in a string of its own.
pub fn split_args(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let mut data = Vec::with_capacity(line.len());
    let mut ranges = Vec::new();
    split_args_into(line, &mut data, |range| ranges.push(range))?;
    Ok(ranges.into_iter().map(|range| data[range].to_vec()).collect())
}

/// Appends the word that starts at `at`; returns where it ended.
fn push_word(line: &[u8], mut at: usize, data: &mut Vec<u8>) -> Result<usize, UnbalancedQuotes> {
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            b'"' => return push_double_quoted(line, at + 1, data),
            b'\'' => return push_single_quoted(line, at + 1, data),
            _ => data.push(*byte),
        }
        at += 1;
    }
    Ok(at)
}

fn push_double_quoted(line: &[u8], mut at: usize, data: &mut Vec<u8>) -> Result<usize, UnbalancedQuotes> {
    loop {
        at += match &line[at..] {
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                data.push(hex_digit(*high) << 4 | hex_digit(*low));
                4
            }
            [b'\\', escaped, ..] => {
                data.push(unescape(*escaped));
                2
            }
            [b'"', ..] => return close_quote(line, at + 1),
            [byte, ..] => {
                data.push(*byte);
                1
            }
            [] => return Err(UnbalancedQuotes),
        };
    }
}

fn push_single_quoted(line: &[u8], mut at: usize, data: &mut Vec<u8>) -> Result<usize, UnbalancedQuotes> {
    loop {
        at += match &line[at..] {
            [b'\\', b'\'', ..] => {
                data.push(b'\'');
                2
            }
            [b'\'', ..] => return close_quote(line, at + 1),
            [byte, ..] => {
                data.push(*byte);
                1
            }
            [] => return Err(UnbalancedQuotes),
        };
    }
}

/// A closing quote ends the word: only space or the end may follow.
fn close_quote(line: &[u8], at: usize) -> Result<usize, UnbalancedQuotes> {
    match line.get(at) {
        Some(byte) if !is_space(*byte) => Err(UnbalancedQuotes),
        _ => Ok(at),
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// The text as one line: what follows the last visible byte is cut, other line breaks become spaces.
pub fn plain_line(text: &[u8]) -> Vec<u8> {
    let end = text.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |last| last + 1);
    text[..end].iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_what_is_equal() {
        let mut rng = crate::base::rng::Rng::from_seed(7);
        for len in 0..40 {
            let text: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
            assert!(same(&text, &text.clone()));
            assert!(!same(&text, &[&text[..], b"x"].concat()));
            for at in 0..len {
                let mut other = text.clone();
                other[at] ^= 1 << rng.below(8);
                assert!(!same(&text, &other), "{text:?} {other:?}");
            }
        }
    }

    #[test]
    fn quoting_escapes_what_is_not_printable() {
        assert_eq!(quoted(b"a\"b\\\n\r\t\x07\x08\x01\xff~"), br#""a\"b\\\n\r\t\a\b\x01\xff~""#);
        assert_eq!(quoted(b""), b"\"\"");
    }

    #[test]
    fn lines_split_as_inline_commands() {
        let cases: &[(&[u8], Option<&[&[u8]]>)] = &[
            (b"", Some(&[])),
            (b"  \t ", Some(&[])),
            (b"set k v", Some(&[b"set", b"k", b"v"])),
            (b" set  \"a b\" 'c\\'d' ", Some(&[b"set", b"a b", b"c'd"])),
            (b"\"\\x41\\n\\q\\\"\"", Some(&[b"A\nq\""])),
            (b"\"\\xZZ\"", Some(&[b"xZZ"])),
            (b"a\"b\"", Some(&[b"ab"])),
            (b"echo \"\"", Some(&[b"echo", b""])),
            (b"a\x0bb \x0bc", Some(&[b"a\x0bb", b"c"])),
            (b"a\0b", Some(&[b"a"])),
            (b"\"a", None),
            (b"'a", None),
            (b"\"a\"b", None),
            (b"'a'b", None),
            (b"\"a\\", None),
        ];
        for (line, want) in cases {
            let got = split_args(line).ok();
            let want = want.map(|words| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
            assert_eq!(got, want, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_is_quoted_splits_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(split_args(&quoted(&all)), Ok(vec![all]));
    }
}
