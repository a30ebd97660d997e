//! Listpacks: foreign bytes are refused or walk the same from both ends, and every change agrees with a plain vector.
//!
//! The input is a number of entries' bytes with their length before them, then changes. Header and end are put around
//! the entries here, so that libFuzzer need not guess sizes.

#![no_main]

use larder::types::packed::listpack::{Listpack, LpValue};
use larder_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Listpack::from_bytes(data);
    let mut input = Input(data);
    let entries = input.text();
    let count = u16::from(input.byte());
    let Some(mut listpack) = framed(entries, count).or_else(|| framed(entries, u16::MAX)) else { return };
    let mut model: Vec<Vec<u8>> = listpack.iter().map(|value| value.to_vec()).collect();
    check(&listpack, &model);
    while !input.is_done() {
        change(&mut listpack, &mut model, &mut input);
        check(&listpack, &model);
    }
});

fn framed(entries: &[u8], count: u16) -> Option<Listpack> {
    let mut bytes = ((entries.len() + 7) as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(entries);
    bytes.push(0xFF);
    Listpack::from_bytes(&bytes).ok()
}

fn check(listpack: &Listpack, model: &[Vec<u8>]) {
    assert_eq!(listpack.len(), model.len());
    let forward: Vec<Vec<u8>> = listpack.iter().map(|value| value.to_vec()).collect();
    assert_eq!(forward, model);
    let mut back: Vec<Vec<u8>> = listpack.iter().rev().map(|value| value.to_vec()).collect();
    back.reverse();
    assert_eq!(back, model);
    let last = listpack.get_at(-1).map(|value| value.to_vec());
    assert_eq!(last.as_ref(), model.last());
    let again = Listpack::from_bytes(listpack.as_bytes()).expect("our own bytes are sound");
    assert_eq!(again.len(), model.len());
}

fn change(listpack: &mut Listpack, model: &mut Vec<Vec<u8>>, input: &mut Input<'_>) {
    let (what, index) = (input.byte(), usize::from(input.byte()));
    let place = listpack.seek(index as i64);
    assert_eq!(place.is_some(), index < model.len());
    match (what % 9, place) {
        (0, _) => {
            let end = model.len();
            push(model, end, input, |value| listpack.push_back(value));
        }
        (1, _) => push(model, 0, input, |value| listpack.push_front(value)),
        (2, Some(place)) => push(model, index, input, |value| listpack.insert_before(place, value)),
        (3, Some(place)) => push(model, index + 1, input, |value| drop(listpack.insert_after(place, value))),
        (4, Some(place)) => {
            let value = input.text();
            listpack.replace(place, value);
            model[index] = value.to_vec();
        }
        (5, Some(place)) => {
            let count = usize::from(input.byte() % 4);
            listpack.delete_entries(place, count);
            model.drain(index..(index + count).min(model.len()));
        }
        (6, _) if index <= model.len() => {
            let tail = listpack.split_off(index);
            let model_tail = model.split_off(index);
            check(&tail, &model_tail);
            if what & 128 != 0 {
                listpack.merge(&tail);
                model.extend(model_tail);
            }
        }
        (7, _) => {
            let needle = input.text();
            let skip = usize::from(what >> 6);
            let found = listpack.find(needle, skip).map(|place| listpack.get(place).to_vec());
            let expected = model.iter().step_by(skip + 1).find(|value| *value == needle);
            assert_eq!(found.as_ref(), expected);
        }
        _ => {
            let number = i64::from(input.byte()) << (what % 56);
            listpack.push_back_int(number);
            assert_eq!(listpack.get_at(-1), Some(LpValue::Int(number)));
            model.push(number.to_string().into_bytes());
        }
    }
}

fn push(model: &mut Vec<Vec<u8>>, at: usize, input: &mut Input<'_>, put: impl FnOnce(&[u8])) {
    let value = input.text();
    put(value);
    model.insert(at, value.to_vec());
}
