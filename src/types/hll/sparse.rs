//! The sparse registers: opcodes that cover all 16384 registers in order, one run each.
//!
//! ```text
//! ZERO   00nnnnnn             n + 1 registers of 0, up to 64
//! XZERO  01nnnnnn nnnnnnnn    n + 1 registers of 0, up to 16384, high byte first
//! VAL    1vvvvvnn             n + 1 registers of v + 1, up to 4 of up to 32
//! ```
//!
//! [`raise`] splits the run that holds a register into at most three and then joins equal neighbours, the way Redis
//! does: whether a string still fits `hll-sparse-max-bytes` depends on it. Functions here take the bytes behind the
//! header; [`raise`] alone takes the whole string, since it grows it.

use super::estimate::Histogram;
use super::{HEADER_LEN, HllError, REGISTERS};
use smallvec::SmallVec;
use std::fmt::Write;
use std::ops::Range;

/// One run over all registers.
pub(super) const EMPTY: [u8; 2] = [0x7f, 0xff];

const VALUE_MAX: u8 = 32;
const VALUE_RUN_MAX: usize = 4;
const ZERO_RUN_MAX: usize = 64;

/// A run of equal registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) value: u8,
    pub(super) first: usize,
    len: usize,
    /// Where its opcode stands, and its length in bytes.
    at: usize,
    opcode_len: usize,
}

impl Run {
    pub(super) fn registers(&self) -> Range<usize> {
        self.first..self.first + self.len
    }

    fn end_at(&self) -> usize {
        self.at + self.opcode_len
    }
}

/// The run whose opcode stands at `at` and whose first register is `first`; an error when it is cut short. It may reach
/// past the last register: [`runs`] refuses that, while changing and describing go as far as they make sense.
fn run_at(opcodes: &[u8], at: usize, first: usize) -> Result<Run, HllError> {
    let byte = *opcodes.get(at).ok_or(HllError::Corrupt)?;
    let (value, len, opcode_len) = match byte >> 6 {
        0 => (0, usize::from(byte) + 1, 1),
        1 => {
            let low = *opcodes.get(at + 1).ok_or(HllError::Corrupt)?;
            (0, (usize::from(byte & 63) << 8 | usize::from(low)) + 1, 2)
        }
        _ => ((byte >> 2 & 31) + 1, usize::from(byte & 3) + 1, 1),
    };
    Ok(Run { value, first, len, at, opcode_len })
}

/// All runs; an error, the last item, where they do not cover the registers exactly.
pub(super) fn runs(opcodes: &[u8]) -> impl Iterator<Item = Result<Run, HllError>> {
    let mut next = Some((0, 0));
    std::iter::from_fn(move || {
        let (at, first) = next.take()?;
        if at == opcodes.len() {
            return (first != REGISTERS).then_some(Err(HllError::Corrupt));
        }
        let run = run_at(opcodes, at, first)
            .and_then(|run| if first + run.len > REGISTERS { Err(HllError::Corrupt) } else { Ok(run) });
        next = run.as_ref().ok().map(|run| (run.end_at(), first + run.len));
        Some(run)
    })
}

/// How many registers hold each value.
pub(super) fn histogram(opcodes: &[u8]) -> Result<Histogram, HllError> {
    let mut histogram = [0; 64];
    for run in runs(opcodes) {
        let run = run?;
        histogram[usize::from(run.value)] += run.len as u32;
    }
    Ok(histogram)
}

/// The opcodes as text, `z:3 v:1,1 Z:16380`, whether they cover the registers or not.
pub(super) fn describe(opcodes: &[u8]) -> Result<String, HllError> {
    let mut text = String::new();
    let mut at = 0;
    while at < opcodes.len() {
        let run = run_at(opcodes, at, 0)?;
        at = run.end_at();
        let separator = if text.is_empty() { "" } else { " " };
        let written = match (run.value, run.opcode_len) {
            (0, 1) => write!(text, "{separator}z:{}", run.len),
            (0, _) => write!(text, "{separator}Z:{}", run.len),
            (value, _) => write!(text, "{separator}v:{value},{}", run.len),
        };
        written.expect("a String takes any text");
    }
    Ok(text)
}

/// What became of a register.
pub(super) enum Raised {
    /// It was as large already.
    Kept,
    /// It grew.
    Grew,
    /// It cannot grow in this encoding; nothing was changed.
    NeedsDense,
}

/// Where a caller that raises registers in ascending order may begin to look: the opcode before the one changed last.
#[derive(Default)]
pub(super) struct Hint {
    at: usize,
    first: usize,
}

/// Raises one register of a whole sparse string to at least `value`.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    register: usize,
    value: u8,
    bytes_max: usize,
    hint: &mut Hint,
) -> Result<Raised, HllError> {
    if value > VALUE_MAX {
        return Ok(Raised::NeedsDense);
    }
    let (before, run) = locate(&bytes[HEADER_LEN..], register, hint)?;
    if run.value >= value {
        return Ok(Raised::Kept);
    }
    let pieces = split(&run, register, value);
    if pieces.len() > run.opcode_len && bytes.len() + pieces.len() - run.opcode_len > bytes_max {
        return Ok(Raised::NeedsDense);
    }
    let in_place = HEADER_LEN + run.at..HEADER_LEN + run.end_at();
    bytes.splice(in_place, pieces);
    let from = before.map_or((run.at, run.first), |before| (before.at, before.first));
    join(bytes, HEADER_LEN + from.0);
    *hint = Hint { at: from.0, first: from.1 };
    Ok(Raised::Grew)
}

/// The run that holds a register, and the one before it.
fn locate(opcodes: &[u8], register: usize, hint: &Hint) -> Result<(Option<Run>, Run), HllError> {
    let mut run = run_at(opcodes, hint.at, hint.first)?;
    if register < run.first + run.len {
        // The hint may only save steps: the run before must be known, or joining would miss it.
        run = run_at(opcodes, 0, 0)?;
    }
    let mut before = None;
    while register >= run.first + run.len {
        before = Some(run);
        run = run_at(opcodes, run.end_at(), run.first + run.len)?;
    }
    Ok((before, run))
}

/// The opcodes that replace a run so that one of its registers takes a new value.
fn split(run: &Run, register: usize, value: u8) -> SmallVec<[u8; 5]> {
    let mut pieces = SmallVec::new();
    let push_rest = |pieces: &mut SmallVec<[u8; 5]>, len: usize| match (run.value, len) {
        (_, 0) => {}
        (0, 1..=ZERO_RUN_MAX) => pieces.push((len - 1) as u8),
        (0, _) => pieces.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
        (old, _) => pieces.push(val(old, len)),
    };
    push_rest(&mut pieces, register - run.first);
    pieces.push(val(value, 1));
    push_rest(&mut pieces, run.first + run.len - 1 - register);
    pieces
}

fn val(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// Joins neighbouring VALs of one value while they fit one opcode, looking at the five opcodes from `at` on: a change
/// touches no more.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..5 {
        let Some(byte) = bytes.get(at).copied() else { return };
        if byte & 0x80 == 0 {
            at += if byte & 0x40 == 0 { 1 } else { 2 };
            continue;
        }
        if let Some(next) = bytes.get(at + 1).copied() {
            let len = usize::from(byte & 3) + usize::from(next & 3) + 2;
            if byte & !3 == next & !3 && len <= VALUE_RUN_MAX {
                bytes[at + 1] = byte & !3 | (len - 1) as u8;
                bytes.remove(at);
                continue;
            }
        }
        at += 1;
    }
}
