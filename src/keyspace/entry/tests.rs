//! Entries of every shape, and random edits against a model.

use super::*;
use crate::base::rng::Rng;
use crate::types::hash::{Deadline, HashLimits};
use crate::types::set::SetLimits;
use crate::types::string::{NewStr, SHARED_MIN, StrRef};
use crate::types::{Kind, Value, ValueMut, ValueRef};

fn string(key: &[u8], value: &[u8]) -> Entry {
    Entry::new_str(key, &NewStr::from_bytes(value), None)
}
fn text(entry: &Entry) -> Vec<u8> {
    entry.str().expect("a string").to_vec()
}

#[test]
fn small_keys_cost_eight_bytes_beyond_key_and_value() {
    for (value, ttl, bytes) in [(8, None, 32), (8, Some(1), 40), (200, None, 224), (100, None, 128)] {
        let mut entry = string(&[b'k'; 16], &vec![b'v'; value]);
        entry.set_expiry(ttl);
        assert_eq!(entry.heap_bytes(), bytes, "{value} bytes, deadline {ttl:?}");
    }
    assert_eq!(string(&[b'k'; 16], b"12345678").heap_bytes(), 32);
}

#[test]
fn strings_of_every_shape_read_back() {
    let long_key = vec![b'K'; 70_000];
    let values: [&[u8]; 6] = [b"", b"x", b"-12", b"012", &[0; SHARED_MIN - 1], &[1; SHARED_MIN]];
    for key in [&b""[..], b"k", &[7; 255], &[8; 65_535], &long_key] {
        for value in values {
            for expiry in [None, Some(u64::MAX)] {
                let entry = Entry::new_str(key, &NewStr::from_bytes(value), expiry);
                assert_eq!((entry.key(), text(&entry), entry.expiry()), (key, value.to_vec(), expiry));
            }
        }
    }
}

#[test]
fn encodings_follow_what_was_done() {
    let mut entry = string(b"k", b"10");
    assert_eq!(entry.str_encoding(), Some("int"));
    entry.with_slice_mut(3, |s| s[2] = b'x');
    assert_eq!((text(&entry), entry.str_encoding()), (b"10x".to_vec(), Some("raw")));
    entry.set_str(&NewStr::Copy(b"abc"));
    assert_eq!(entry.str_encoding(), Some("embstr"));
    entry.with_bytes_mut(|s| s.push(b'd'));
    assert_eq!((text(&entry), entry.str_encoding()), (b"abcd".to_vec(), Some("raw")));
    entry.set_str(&NewStr::Int(5));
    assert_eq!(entry.str_encoding(), Some("int"));
    assert_eq!(Entry::new_value(b"k", Value::List(List::default()), None).str_encoding(), None);
}

#[test]
fn header_bits_survive_every_change_of_the_value() {
    let mut entry = string(b"k", b"v");
    entry.set_access(0x2bcd_ef01);
    entry.set_epoch(true);
    entry.set_expiry(Some(77));
    let long = vec![b'l'; SHARED_MIN];
    let texts: [&[u8]; 6] = [b"1", b"short", &long, b"2", &long, b"short again"];
    for value in texts {
        entry.set_str(&NewStr::from_bytes(value));
        assert_eq!(text(&entry), value);
        assert_eq!((entry.access(), entry.epoch(), entry.expiry()), (0x2bcd_ef01, true, Some(77)));
    }
    entry.rename(b"another key");
    assert_eq!(
        (entry.key(), entry.access(), entry.epoch(), entry.expiry()),
        (&b"another key"[..], 0x2bcd_ef01, true, Some(77))
    );
    entry.set_epoch(false);
    assert!(!entry.epoch() && entry.access() == 0x2bcd_ef01);
}

#[test]
fn a_deadline_moved_later_is_late_for_the_wheel() {
    let mut entry = string(b"k", b"v");
    for (at, late) in [
        (Some(10), false),
        (Some(20), true),
        (Some(20), true),
        (Some(15), false),
        (Some(16), true),
        (None, false),
        (Some(9), false),
    ] {
        entry.set_expiry(at);
        assert_eq!((entry.expiry(), entry.is_late()), (at, late));
    }
}

#[test]
fn a_shared_string_is_not_changed_under_its_reader() {
    let mut entry = string(b"k", &[b'a'; SHARED_MIN]);
    let Some(StrRef::Shared(bytes)) = entry.str() else { panic!("long strings are shared") };
    let reader = bytes.clone();
    entry.with_slice_mut(0, |s| s[0] = b'b');
    entry.with_bytes_mut(|s| s[1] = b'b');
    assert!(reader.iter().all(|&b| b == b'a'));
    assert_eq!(&text(&entry)[..3], b"bba");
}

#[test]
fn collections_move_in_and_out() {
    let entry = Entry::new_value(b"k", Value::Set(Set::default()), Some(5));
    let copy = entry.clone_with_key(b"other");
    assert_eq!((copy.key(), copy.kind(), copy.expiry()), (&b"other"[..], Kind::Set, Some(5)));
    let mut list = Entry::new_value(b"k", Value::List(List::default()), None);
    assert_eq!(list.edit(b"k", |value| matches!(value, ValueMut::List(_))), Some(true));
    assert!(string(b"k", b"v").edit(b"k", |_| ()).is_none());
    list.set_expiry(Some(1));
    list.rename(b"longer key");
    list.set_expiry(None);
    assert!(matches!(list.value(), ValueRef::List(v) if v.is_empty()));
    assert!(list.with_slice_mut(1, |_| ()).is_none() && list.with_bytes_mut(|_| ()).is_none());
    list.set_str(&NewStr::Int(1));
    assert_eq!(list.kind(), Kind::Str);
}

/// Random edits against a plain model.
#[test]
fn edits_agree_with_a_model() {
    let seed = 0x5eed_u64;
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let steps = if cfg!(miri) { 200 } else { 20_000 };
    let mut model: (Vec<u8>, Vec<u8>, Option<u64>) = (b"key".to_vec(), b"v".to_vec(), None);
    let mut entry = string(&model.0, &model.1);
    for step in 0..steps {
        let len = [0, 3, 40, 300, SHARED_MIN - 2, SHARED_MIN + 5][random(6)] + random(4);
        match random(6) {
            0 => {
                model.1 = if random(3) == 0 { random(1 << 20).to_string().into() } else { vec![step as u8; len] };
                entry.set_str(&NewStr::from_bytes(&model.1));
            }
            1 => {
                model.2 = (random(2) == 0).then_some(step);
                entry.set_expiry(model.2);
            }
            2 => {
                model.0 = vec![b'k'; [0, 5, 4_090, 70_000][random(4)] + random(9)];
                entry.rename(&model.0);
            }
            3 => {
                model.1.resize(model.1.len().max(len), 0);
                entry.with_slice_mut(len, |s| s.iter_mut().take(3).for_each(|b| *b = b'w'));
                model.1.iter_mut().take(3).for_each(|b| *b = b'w');
            }
            4 => {
                model.1.extend_from_slice(b"tail");
                entry.with_bytes_mut(|s| s.extend_from_slice(b"tail"));
            }
            _ => entry = entry.clone_with_key(&model.0),
        }
        assert_eq!((entry.key(), entry.expiry()), (&model.0[..], model.2), "seed {seed:#x} step {step}");
        assert!(text(&entry) == model.1, "seed {seed:#x} step {step}");
    }
}

const HASH_LIMITS: HashLimits = HashLimits { listpack_entries: 400, listpack_value: 64 };

fn fields(entry: &Entry) -> Vec<(Vec<u8>, Vec<u8>, Option<u64>)> {
    let ValueRef::Hash(hash) = entry.value() else { panic!("a hash") };
    let mut fields: Vec<_> =
        hash.iter().map(|field| (field.name.to_vec(), field.value.to_vec(), field.deadline)).collect();
    fields.sort();
    fields
}

fn edit_hash<R>(entry: &mut Entry, key: &[u8], change: impl FnOnce(&mut Hash) -> R) -> R {
    let changed = entry.edit(key, |value| match value {
        ValueMut::Hash(hash) => change(hash),
        _ => panic!("a hash"),
    });
    changed.expect("a collection")
}

/// A small collection shares the block of its key; whatever is done to either, both stay what they are.
#[test]
fn small_collections_live_with_their_key() {
    let seed = 0x9ac_u64;
    let mut rng = Rng::from_seed(seed);
    for turn in 0..if cfg!(miri) { 3 } else { 60 } {
        let (mut key, mut at) = (b"key".to_vec(), None);
        let mut entry = Entry::new_value(&key, Value::Hash(Hash::default()), None);
        let mut model = std::collections::BTreeMap::new();
        entry.set_epoch(true);
        entry.set_access(12345);
        for step in 0..if cfg!(miri) { 60 } else { 800 } {
            let name = rng.below(300).to_string().into_bytes();
            let value = vec![b'v'; rng.below(70) as usize];
            match rng.below(20) {
                0..12 => {
                    edit_hash(&mut entry, &key, |hash| hash.set(&name, &value, Deadline::None, &HASH_LIMITS));
                    model.insert(name, (value, None));
                }
                12..15 => {
                    let removed = edit_hash(&mut entry, &key, |hash| hash.remove(&name));
                    assert_eq!(removed, model.remove(&name).is_some());
                }
                15 if turn % 2 == 0 => {
                    let deadline = Some(rng.below(100) + 1);
                    edit_hash(&mut entry, &key, |hash| hash.set_deadline(&name, deadline));
                    if let Some(field) = model.get_mut(&name) {
                        field.1 = deadline;
                    }
                }
                16 => {
                    at = (rng.below(2) == 0).then_some(step);
                    entry.set_expiry(at);
                }
                17 => {
                    key = vec![b'k'; [1, 30, 5000][rng.index(3)]];
                    entry.rename(&key);
                }
                18 => {
                    let copy = entry.clone_with_key(b"copy");
                    assert_eq!((copy.key(), fields(&copy)), (&b"copy"[..], fields(&entry)));
                }
                19 if rng.below(100) == 0 => {
                    edit_hash(&mut entry, &key, |hash| *hash = Hash::default());
                    model.clear();
                }
                _ => {}
            }
            let want: Vec<_> = model.iter().map(|(name, (value, at))| (name.clone(), value.clone(), *at)).collect();
            assert_eq!(fields(&entry), want, "seed {seed:#x} turn {turn} step {step}");
            assert_eq!((entry.key(), entry.expiry()), (&key[..], at), "seed {seed:#x} turn {turn} step {step}");
            assert!(entry.epoch() && entry.access() == 12345, "seed {seed:#x} turn {turn} step {step}");
        }
    }
}

#[test]
fn a_small_collection_costs_its_bytes_and_eight() {
    let mut entry = Entry::new_value(&[b'k'; 16], Value::Set(Set::default()), None);
    let limits = SetLimits::default();
    let add = |entry: &mut Entry, member: &[u8]| {
        entry.edit(&[b'k'; 16], |value| match value {
            ValueMut::Set(set) => set.add(member, &limits),
            _ => panic!("a set"),
        })
    };
    let sizes: Vec<usize> = [&b"1"[..], b"70000", b"member", b"another"]
        .iter()
        .map(|member| {
            add(&mut entry, member);
            entry.heap_bytes()
        })
        .collect();
    // 24 bytes of header and key; 8 + 2, 8 + 2 * 4, 7 + 2 + 6 + 8, and 9 more.
    assert_eq!(sizes, [40, 40, 48, 56]);
}

#[test]
fn a_huge_key_shares_its_block_with_no_collection() {
    let huge = vec![b'k'; PACKED_KEY_LEN_MAX + 1];
    let mut entry = Entry::new_value(b"key", Value::Hash(Hash::default()), Some(7));
    edit_hash(&mut entry, b"key", |hash| hash.set(b"f", b"v", Deadline::None, &HASH_LIMITS));
    entry.set_epoch(true);
    entry.set_access(12345);
    assert!(entry.is_packed());
    entry.rename(&huge);
    assert!(!entry.is_packed() && entry.epoch() && entry.access() == 12345);
    assert_eq!((entry.key(), entry.expiry()), (&huge[..], Some(7)));
    edit_hash(&mut entry, &huge, |hash| hash.set(b"g", b"w", Deadline::None, &HASH_LIMITS));
    let want = [(b"f".to_vec(), b"v".to_vec(), None), (b"g".to_vec(), b"w".to_vec(), None)];
    assert_eq!(fields(&entry), want);
    assert!(!entry.clone_with_key(&huge).is_packed());
    entry.rename(b"key");
    assert_eq!(fields(&entry), want);
}
