//! Intsets: foreign bytes are refused or hold ascending integers, and every change agrees with an ordered set.

#![no_main]

use larder::types::packed::intset::Intset;
use larder_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;

fuzz_target!(|data: &[u8]| {
    let _ = Intset::from_bytes(data);
    let mut input = Input(data);
    let width = 2u32 << (input.byte() % 3);
    let integers = input.text();
    let mut bytes = width.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(integers.len() as u32 / width).to_le_bytes());
    bytes.extend_from_slice(integers);
    let mut set = Intset::from_bytes(&bytes).unwrap_or_default();
    let mut model: BTreeSet<i64> = set.iter().collect();
    check(&set, &model);
    while !input.is_done() {
        let what = input.byte();
        let mut digits = [0; 8];
        let part = input.take(usize::from(what >> 4) % 9);
        digits[..part.len()].copy_from_slice(part);
        let int = if what & 4 == 0 { i64::from_le_bytes(digits) } else { !i64::from_le_bytes(digits) };
        assert_eq!(set.contains(int), model.contains(&int));
        if what & 3 == 0 {
            assert_eq!(set.remove(int), model.remove(&int));
        } else {
            assert_eq!(set.add(int), model.insert(int));
        }
        check(&set, &model);
    }
});

fn check(set: &Intset, model: &BTreeSet<i64>) {
    assert_eq!(set.len(), model.len());
    assert!(set.iter().eq(model.iter().copied()));
    assert!(set.iter().rev().eq(model.iter().rev().copied()));
    assert_eq!(set.get(set.len()), None);
    if !set.is_empty() {
        let again = Intset::from_bytes(set.as_bytes()).expect("our own bytes are sound");
        assert!(again.iter().eq(model.iter().copied()));
    }
}
