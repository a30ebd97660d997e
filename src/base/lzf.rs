//! LZF: the small fast compression inside RDB files, DUMP payloads and the inner nodes of long lists.
//!
//! ```text
//!   000lllll                      l + 1 literal bytes follow
//!   lllooooo oooooooo             copy l + 2 bytes (l in 1..=6) from o + 1 bytes back in the output
//!   111ooooo llllllll oooooooo    copy l + 9 bytes from o + 1 bytes back
//! ```
//! The format is Marc Lehmann's LibLZF, which Redis uses; the code is ours: one pass, a table of the last place of each
//! hash of three bytes, the first match taken. [`decompress`] trusts nothing: every length and offset is checked, and no
//! more memory is reserved than the input could fill.

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 1 << 13;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
/// Places in the input are kept as `u32`.
const INPUT_MAX: usize = 1 << 31;
const TABLE_BITS_MIN: u32 = 8;
const TABLE_BITS_MAX: u32 = 13;

/// Compresses `input`; None if the result would be longer than `len_max` bytes, or the input is past 2 GiB.
pub fn compress(input: &[u8], len_max: usize) -> Option<Vec<u8>> {
    if input.len() > INPUT_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(len_max.min(input.len()));
    let bits = input.len().next_power_of_two().trailing_zeros().clamp(TABLE_BITS_MIN, TABLE_BITS_MAX);
    // Not an array of the largest size: clearing that takes longer than compressing a short input.
    let mut table = vec![0u32; 1 << bits];
    let (mut at, mut literals_from) = (0, 0);
    while at + MATCH_MIN <= input.len() {
        // Table entries are places plus one; zero is "never seen".
        let seen = std::mem::replace(&mut table[slot(input, at, bits)], at as u32 + 1) as usize;
        let length = if seen == 0 { 0 } else { match_length(input, seen - 1, at) };
        if length < MATCH_MIN {
            at += 1;
            continue;
        }
        put_literals(&mut out, &input[literals_from..at]);
        put_match(&mut out, at - (seen - 1), length);
        if out.len() > len_max {
            return None;
        }
        let end = at + length;
        for inner in at + 1..end.min((input.len() + 1).saturating_sub(MATCH_MIN)) {
            table[slot(input, inner, bits)] = inner as u32 + 1;
        }
        at = end;
        literals_from = end;
    }
    put_literals(&mut out, &input[literals_from..]);
    (out.len() <= len_max).then_some(out)
}

/// Decompresses `input` to exactly `len` bytes; None if it is not sound or gives another length.
pub fn decompress(input: &[u8], len: usize) -> Option<Vec<u8>> {
    // Three bytes of input give at most 264 of output.
    if len > input.len().saturating_mul(MATCH_MAX / MATCH_MIN) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&control, after)) = rest.split_first() {
        rest = if control < 32 {
            let (literals, after) = after.split_at_checked(control as usize + 1)?;
            out.extend_from_slice(literals);
            after
        } else {
            copy_match(&mut out, control, after)?
        };
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

fn slot(input: &[u8], at: usize, bits: u32) -> usize {
    let three = (input[at] as u32) << 16 | (input[at + 1] as u32) << 8 | input[at + 2] as u32;
    (three.wrapping_mul(0x9E37_79B1) >> (32 - bits)) as usize
}

/// How many bytes at `at` repeat those at `earlier`; 0 if that is too far back.
fn match_length(input: &[u8], earlier: usize, at: usize) -> usize {
    if at - earlier > DISTANCE_MAX {
        return 0;
    }
    let ahead = &input[at..input.len().min(at + MATCH_MAX)];
    let behind = &input[earlier..earlier + ahead.len()];
    let (ahead_words, behind_words) = (ahead.as_chunks::<8>().0, behind.as_chunks::<8>().0);
    let words = ahead_words.iter().zip(behind_words);
    let differences = words.map(|(a, b)| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b));
    for (word, difference) in differences.enumerate() {
        if difference != 0 {
            return word * 8 + difference.trailing_zeros() as usize / 8;
        }
    }
    let whole = ahead_words.len() * 8;
    whole + ahead[whole..].iter().zip(&behind[whole..]).take_while(|(a, b)| a == b).count()
}

fn put_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn put_match(out: &mut Vec<u8>, distance: usize, length: usize) {
    let (offset, length) = (distance - 1, length - 2);
    if length < 7 {
        out.push((length as u8) << 5 | (offset >> 8) as u8);
    } else {
        out.push(0xE0 | (offset >> 8) as u8);
        out.push((length - 7) as u8);
    }
    out.push(offset as u8);
}

/// Reads the rest of a match after its `control` byte, appends what it stands for, returns the input behind it.
fn copy_match<'a>(out: &mut Vec<u8>, control: u8, rest: &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = match control >> 5 {
        7 => {
            let (&more, rest) = rest.split_first()?;
            (more as usize + 9, rest)
        }
        short => (short as usize + 2, rest),
    };
    let (&low, rest) = rest.split_first()?;
    let distance = ((control as usize & 0x1F) << 8 | low as usize) + 1;
    let from = out.len().checked_sub(distance)?;
    if distance >= length {
        out.extend_from_within(from..from + length);
    } else {
        for i in from..from + length {
            out.push(out[i]);
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(input: &[u8]) -> usize {
        let packed = compress(input, usize::MAX).expect("no limit");
        assert!(decompress(&packed, input.len()).as_deref() == Some(input), "{} bytes", input.len());
        packed.len()
    }

    #[test]
    fn what_went_in_comes_out() {
        let text = b"the quick brown fox jumps over the lazy dog; ".repeat(40);
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as u8
        })
        .take(50_000)
        .collect();
        for len in (0..300).chain([1000, text.len()]) {
            round_trip(&text[..len]);
            round_trip(&vec![b'x'; len]);
            round_trip(&noise[..len]);
        }
        let mut far = noise.clone();
        far.extend_from_slice(&noise[..9000]);
        round_trip(&far);
        assert!(round_trip(&text) < text.len() / 5);
        assert!(round_trip(&vec![0; 100_000]) < 1200);
    }

    #[test]
    fn known_streams_are_read() {
        let cases: [(&[u8], &[u8]); 3] =
            [(b"\x02abc", b"abc"), (b"\x00a\xE0\x01\x00", b"aaaaaaaaaaa"), (b"\x03abcd\x40\x03\x00!", b"abcdabcd!")];
        for (packed, text) in cases {
            assert_eq!(decompress(packed, text.len()).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_result_past_the_limit_is_none() {
        assert_eq!(compress(b"abcdefgh", 8), None);
        assert!(compress(&[b'a'; 100], 20).is_some());
        assert_eq!(compress(b"", 0), Some(vec![]));
    }

    #[test]
    fn unsound_streams_are_refused() {
        let cases: [(&str, &[u8], usize); 7] = [
            ("literals past the end", b"\x05abc", 6),
            ("copy from before the start", b"\x00a\x20\x01", 4),
            ("copy without an offset", b"\x00a\x20", 4),
            ("long copy without a length", b"\x00a\xE0", 4),
            ("longer than told", b"\x02abc", 2),
            ("shorter than told", b"\x02abc", 4),
            ("a length no input of that size could give", b"\x02abc", 1 << 40),
        ];
        for (why, packed, len) in cases {
            assert_eq!(decompress(packed, len), None, "{why}");
        }
    }
}
