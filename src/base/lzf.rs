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

use std::cell::RefCell;

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 1 << 13;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
/// Bytes looked at together where a match may begin; the last place in the input has as many.
const LOOK: usize = 4;
/// Places in the input are kept as `u32`.
const INPUT_MAX: usize = 1 << 31;
/// Longer room is given back.
const ROOM_KEPT: usize = 64 * 1024;
const TABLE_BITS: u32 = 15;
/// So many places are looked at one by one.
const PATIENCE: usize = 64;

/// Where three bytes were last seen, by their hash.
///
/// Clearing the table takes longer than compressing a short input, so it is kept, and the places of each input are
/// counted on from those of the inputs before it: what is smaller than `base` was seen in another input.
struct Seen {
    base: u32,
    table: Box<[u32; 1 << TABLE_BITS]>,
    /// Room for results, kept for the next short one.
    room: Vec<u8>,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::new(Seen { base: 1, table: Box::new([0; 1 << TABLE_BITS]), room: Vec::new() });
}

impl Seen {
    /// Forgets all that was seen, and has room for an input of this length.
    fn begin(&mut self, len: usize) {
        if self.base.checked_add(len as u32).is_none() {
            self.table.fill(0);
            self.base = 1;
        }
    }
    fn end(&mut self, len: usize) {
        self.base += len as u32;
    }
    /// Where these bytes were seen last; notes that they are at `at` too.
    #[inline(always)]
    fn replace(&mut self, bytes: u32, at: usize) -> Option<usize> {
        let slot = &mut self.table[slot(bytes)];
        let seen = std::mem::replace(slot, self.base + at as u32);
        seen.checked_sub(self.base).map(|at| at as usize)
    }
    /// The next place from `at` on where three bytes begin that were seen near before, and where that was. After a long
    /// search in vain the input is likely noise: then steps grow.
    #[inline(never)]
    fn next_match(&mut self, input: &[u8], at: usize) -> Option<(usize, usize)> {
        (at..at + PATIENCE).find_map(|at| self.match_at(input, at)).or_else(|| {
            let mut at = at + PATIENCE;
            let mut tries = PATIENCE;
            while at < input.len() {
                let found = self.match_at(input, at);
                if found.is_some() {
                    return found;
                }
                at += tries / PATIENCE;
                tries += 1;
            }
            None
        })
    }
    #[inline(always)]
    fn match_at(&mut self, input: &[u8], at: usize) -> Option<(usize, usize)> {
        let bytes = look(input, at)?;
        let earlier = self.replace(bytes, at)?;
        begins_match(input, earlier, at, bytes).then_some((at, earlier))
    }
    #[inline(always)]
    fn note(&mut self, bytes: u32, at: usize) {
        self.table[slot(bytes)] = self.base + at as u32;
    }
}

/// Compresses `input`; None if the result would be longer than `len_max` bytes, or the input is past 2 GiB.
pub fn compress(input: &[u8], len_max: usize) -> Option<Vec<u8>> {
    if input.len() > INPUT_MAX {
        return None;
    }
    SEEN.with_borrow_mut(|seen| {
        seen.begin(input.len());
        let mut out = Output::for_input(input.len(), std::mem::take(&mut seen.room));
        let fits = compress_with(seen, input, len_max, &mut out);
        seen.end(input.len());
        let packed = fits.then(|| out.bytes[..out.len].to_vec());
        if out.bytes.len() <= ROOM_KEPT {
            seen.room = out.bytes;
        }
        packed
    })
}

/// False if the result is longer than `len_max`.
fn compress_with(seen: &mut Seen, input: &[u8], len_max: usize, out: &mut Output) -> bool {
    let mut at = 0;
    while let Some((start, earlier)) = seen.next_match(input, at) {
        let end = start + match_length(input, earlier, start);
        out.literals(input, at, start);
        out.repeat(start - earlier, end - start);
        if out.len > len_max {
            return false;
        }
        // Of what repeats only the end: the rest leads where the earlier place leads, and noting it takes longer than all
        // else here.
        if let Some(bytes) = look(input, end - 2) {
            seen.note(bytes, end - 2);
            seen.note(bytes >> 8, end - 1);
        }
        at = end;
    }
    out.literals(input, at, input.len());
    out.len <= len_max
}

/// The result while it is made: its room is from the start as long as it can become, so that nothing has to grow.
struct Output {
    bytes: Vec<u8>,
    len: usize,
}

/// Short runs are copied as so many bytes, whatever their length: what is too much is written over.
const STRIDE: usize = 16;

impl Output {
    fn for_input(len: usize, mut room: Vec<u8>) -> Output {
        let most = len + len.div_ceil(LITERALS_MAX) + STRIDE;
        if room.len() < most {
            room.resize(most, 0);
        }
        Output { bytes: room, len: 0 }
    }

    #[inline(always)]
    fn put(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    #[inline(always)]
    fn literals(&mut self, input: &[u8], mut from: usize, end: usize) {
        while from < end {
            let run = (end - from).min(LITERALS_MAX);
            self.put(run as u8 - 1);
            match input[from..].first_chunk::<STRIDE>() {
                Some(stride) if run <= STRIDE => self.bytes[self.len..][..STRIDE].copy_from_slice(stride),
                _ => self.bytes[self.len..][..run].copy_from_slice(&input[from..from + run]),
            }
            self.len += run;
            from += run;
        }
    }

    #[inline(always)]
    fn repeat(&mut self, distance: usize, length: usize) {
        let (offset, length) = (distance - 1, length - 2);
        if length < 7 {
            self.put((length as u8) << 5 | (offset >> 8) as u8);
        } else {
            self.put(0xE0 | (offset >> 8) as u8);
            self.put((length - 7) as u8);
        }
        self.put(offset as u8);
    }
}

/// The bytes at a place, the first one lowest; none at the very end.
#[inline(always)]
fn look(input: &[u8], at: usize) -> Option<u32> {
    input.get(at..)?.first_chunk::<LOOK>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Whether the three bytes at `at` stand `earlier` too, and near enough.
#[inline(always)]
fn begins_match(input: &[u8], earlier: usize, at: usize, bytes: u32) -> bool {
    at - earlier <= DISTANCE_MAX && look(input, earlier).is_some_and(|before| (before ^ bytes) << 8 == 0)
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

/// The place in the table of the lower three of these bytes.
#[inline(always)]
fn slot(bytes: u32) -> usize {
    ((bytes << 8).wrapping_mul(0x9E37_79B1) >> (32 - TABLE_BITS)) as usize
}

/// How many bytes at `at` repeat those at `earlier`; the first three do.
#[inline(always)]
fn match_length(input: &[u8], earlier: usize, at: usize) -> usize {
    let most = (input.len() - at).min(MATCH_MAX);
    let word = |at: usize| input.get(at..)?.first_chunk::<8>().map(|word| u64::from_le_bytes(*word));
    let mut length = MATCH_MIN;
    while length + 8 <= most
        && let (Some(ahead), Some(behind)) = (word(at + length), word(earlier + length))
    {
        let difference = ahead ^ behind;
        if difference != 0 {
            return length + difference.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    while length < most && input[at + length] == input[earlier + length] {
        length += 1;
    }
    length
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
        return Some(rest);
    }
    // What is copied reaches into itself, so that it repeats what lies before: each copy finds more of it there.
    let mut left = length;
    while left > 0 {
        let count = left.min(out.len() - from);
        out.extend_from_within(from..from + count);
        left -= count;
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
