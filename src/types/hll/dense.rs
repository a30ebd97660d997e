//! The dense registers: 6 bits each from the low bit up, so that six bytes read as one little-endian word are eight
//! registers. All functions take the 12288 bytes behind the header.

use super::REGISTERS;
use super::estimate::Histogram;

fn group_of(bytes: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = bytes;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// The value of one register.
pub(super) fn get(bytes: &[u8], register: usize) -> u8 {
    let (groups, _) = bytes.as_chunks::<6>();
    (group_of(groups[register / 8]) >> (register % 8 * 6)) as u8 & 63
}

/// Overwrites one register.
pub(super) fn set(bytes: &mut [u8], register: usize, value: u8) {
    let (groups, _) = bytes.as_chunks_mut::<6>();
    let group = &mut groups[register / 8];
    let shift = register % 8 * 6;
    let word = group_of(*group) & !(63 << shift) | u64::from(value & 63) << shift;
    group.copy_from_slice(&word.to_le_bytes()[..6]);
}

/// Raises one register to at least `value`; returns whether it grew.
pub(super) fn raise(bytes: &mut [u8], register: usize, value: u8) -> bool {
    let grows = value > get(bytes, register);
    if grows {
        set(bytes, register, value);
    }
    grows
}

/// Raises all registers to at least these.
pub(super) fn raise_all(bytes: &mut [u8], registers: &[u8; REGISTERS]) {
    for (group, values) in bytes.as_chunks_mut::<6>().0.iter_mut().zip(registers.as_chunks::<8>().0) {
        let old = group_of(*group);
        let raised = values
            .iter()
            .enumerate()
            .fold(0, |word, (at, value)| word | u64::from((*value & 63).max((old >> (at * 6)) as u8 & 63)) << (at * 6));
        group.copy_from_slice(&raised.to_le_bytes()[..6]);
    }
}

/// How many registers hold each value.
pub(super) fn histogram(bytes: &[u8]) -> Histogram {
    let mut histogram = [0; 64];
    for group in bytes.as_chunks::<6>().0 {
        let word = group_of(*group);
        (0..8).for_each(|at| histogram[(word >> (at * 6)) as usize & 63] += 1);
    }
    histogram
}

/// Takes the larger value of each register into one byte per register.
pub(super) fn merge(registers: &mut [u8; REGISTERS], bytes: &[u8]) {
    for (targets, group) in registers.as_chunks_mut::<8>().0.iter_mut().zip(bytes.as_chunks::<6>().0) {
        let word = group_of(*group);
        for (at, target) in targets.iter_mut().enumerate() {
            *target = (*target).max((word >> (at * 6)) as u8 & 63);
        }
    }
}
