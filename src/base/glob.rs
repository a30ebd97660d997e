//! KEYS-style glob patterns, in bounded time.
//!
//! `*` any run of bytes, `?` any byte, `[abc]`, `[a-z]`, `[^...]` a byte of a class, `\x` the byte `x`. Corners are those
//! of Redis: a class that is not closed ends with the pattern, `[]` matches nothing, `[^]` anything, a backslash at the
//! end of the pattern is itself, and a run of two or more stars does not match the empty string.
//!
//! When something behind a star does not fit, only that star is given one more byte and the tail is tried again:
//! earlier stars never need to give way, because the later one takes anything the earlier ones would have left. Time is
//! at most pattern times text, never exponential. Patterns with more than [`STARS_MAX`] separate stars match nothing,
//! as in Redis since 7.4.1.

/// More separate runs of `*` than this never match (unless the last one ends the pattern).
const STARS_MAX: usize = 1000;

/// Does the whole of `text` fit `pattern`? Letters are compared as they are.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_by::<false>(pattern, text)
}

/// Does the whole of `text` fit `pattern`, ASCII case ignored?
pub fn matches_nocase(pattern: &[u8], text: &[u8]) -> bool {
    matches_by::<true>(pattern, text)
}

/// Has the pattern no special byte, so that it can only match itself?
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

fn matches_by<const NOCASE: bool>(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<Retry> = None;
    let mut stars = 0;
    // As in Redis, an empty text meets only an empty pattern.
    if text.is_empty() {
        return pattern.is_empty();
    }
    loop {
        if t == text.len() {
            return pattern[p..].iter().all(|byte| *byte == b'*');
        }
        if pattern.get(p) == Some(&b'*') {
            p += pattern[p..].iter().take_while(|byte| **byte == b'*').count();
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > STARS_MAX {
                return false;
            }
            retry = Some(Retry { pattern: p, text: t });
            continue;
        }
        match one::<NOCASE>(&pattern[p..], text[t]) {
            Some(width) => {
                p += width;
                t += 1;
            }
            None => {
                let Some(star) = &mut retry else { return false };
                star.text += 1;
                (p, t) = (star.pattern, star.text);
                if t == text.len() {
                    return false;
                }
            }
        }
    }
}

/// Where to go on when the tail behind the last star does not fit.
struct Retry {
    pattern: usize,
    text: usize,
}

/// Does the element at the start of `pattern` take this byte? Its width if so.
fn one<const NOCASE: bool>(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (taken, width) = in_class::<NOCASE>(class, byte);
            taken.then_some(width + 1)
        }
        [b'\\', literal, ..] => same::<NOCASE>(*literal, byte).then_some(2),
        [literal, ..] => same::<NOCASE>(*literal, byte).then_some(1),
    }
}

/// Is the byte in the class that starts behind `[`, and how long is the class, closing bracket included?
fn in_class<const NOCASE: bool>(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            // Escaped bytes are compared with their case even where case is ignored.
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [] => break,
            [first, b'-', last, ..] => {
                found |= in_range::<NOCASE>(*first, *last, byte);
                at += 3;
            }
            [literal, ..] => {
                found |= same::<NOCASE>(*literal, byte);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

fn in_range<const NOCASE: bool>(first: u8, last: u8, byte: u8) -> bool {
    // Bytes are compared as C's characters, of which those beyond ASCII are negative on the usual machines. Redis puts
    // the ends in order before it folds their case.
    let [first, last] = [first, last].map(|end| end as i8);
    let [low, high, byte] = [first.min(last), first.max(last), byte as i8]
        .map(|character| if NOCASE { (character as u8).to_ascii_lowercase() as i8 } else { character });
    (low..=high).contains(&byte)
}

fn same<const NOCASE: bool>(literal: u8, byte: u8) -> bool {
    if NOCASE { literal.eq_ignore_ascii_case(&byte) } else { literal == byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_manual() {
        for (pattern, text, want) in [
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "hllo", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hxllo", false),
            ("a\\", "a\\", true),
            ("[a", "a", true),
            ("[]", "a", false),
            ("[]a]", "a]", false),
            ("[^]", "a", true),
            ("[\\]]", "]", true),
            ("[a-", "-", true),
            ("*", "anything", true),
            ("**", "", false),
            ("*", "", false),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
            ("*a", "ba", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("H", "h", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern:?} on {text:?}");
        }
        assert!(matches_nocase(b"H[A-Z]LL*", b"hello"));
        assert!(!matches_nocase(b"[\\A]", b"a"));
    }

    #[test]
    fn ranges_take_bytes_beyond_ascii_for_negative() {
        assert!(matches(b"[\xa0-\xc3]", b"\xb0") && !matches(b"[\xa0-\xc3]", b"\xd0"));
        assert!(matches(b"[\xff-a]", b"A") && !matches(b"[\xff-a]", b"z"));
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let text = vec![b'a'; 20_000];
        let pattern = b"a*".repeat(900);
        let mut never = pattern.clone();
        never.push(b'b');
        assert!(matches(&pattern, &text));
        assert!(!matches(&never, &text));
        assert!(!matches(&b"a*".repeat(1002), &text), "too many stars");
        assert!(matches(&b"a*".repeat(1001), &text), "the last star ends the pattern");
    }

    /// The textbook definition: a star takes nothing or one more byte.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], _) => naive(rest, text) || (!text.is_empty() && naive(pattern, &text[1..])),
            (_, []) => false,
            (_, [byte, tail @ ..]) => one::<false>(pattern, *byte).is_some_and(|width| naive(&pattern[width..], tail)),
        }
    }

    #[test]
    fn agrees_with_the_textbook() {
        let seed = 42;
        let mut rng = crate::base::rng::Rng::from_seed(seed);
        for _ in 0..50_000 {
            let mut make = |letters: &[u8], len: u64| -> Vec<u8> {
                (0..rng.below(len)).map(|_| letters[rng.below(letters.len() as u64) as usize]).collect()
            };
            let pattern = make(b"ab*?[]^-\\", 9);
            let text = make(b"ab-]", 8);
            if !text.is_empty() {
                assert_eq!(
                    matches(&pattern, &text),
                    naive(&pattern, &text),
                    "seed {seed}: {:?} on {:?}",
                    String::from_utf8_lossy(&pattern),
                    String::from_utf8_lossy(&text)
                );
            }
        }
    }
}
