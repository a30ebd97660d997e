//! The listpack against a vector of strings, and foreign bytes against the checker.

use super::*;

/// A small generator whose seed the failing assert prints.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }

    fn value(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 => self.below(128).to_string().into_bytes(),
            1 => (self.below(20_000) as i64 - 10_000).to_string().into_bytes(),
            2 => ((self.below(1 << 30) as i64 - (1 << 29)) * self.below(1 << 20) as i64).to_string().into_bytes(),
            3 => vec![b'y'; self.below(200)],
            4 => vec![b'z'; 4000 + self.below(200)],
            5 => [b"0".as_slice(), b"-0", b"007", b"+1", b"-", b"", b"1e3", b" 1"][self.below(8)].to_vec(),
            _ => format!("field:{}", self.below(50)).into_bytes(),
        }
    }
}

fn texts(lp: &Listpack) -> Vec<Vec<u8>> {
    lp.iter().map(|value| value.to_vec()).collect()
}

fn check(lp: &Listpack, model: &[Vec<u8>], why: &str) {
    assert_eq!(lp.len(), model.len(), "{why}");
    assert!(texts(lp) == model, "{why}: forward");
    let backward: Vec<_> = lp.iter().rev().map(|value| value.to_vec()).collect();
    assert!(backward.iter().eq(model.iter().rev()), "{why}: backward");
    assert_eq!(Listpack::from_bytes(lp.as_bytes()).map(|copy| copy.bytes()), Ok(lp.bytes()), "{why}: checked");
}

#[test]
fn known_bytes() {
    let cases: [(&[u8], &[u8]); 13] = [
        (b"0", &[0, 1]),
        (b"127", &[127, 1]),
        (b"128", &[0xC0, 128, 2]),
        (b"-1", &[0xDF, 0xFF, 2]),
        (b"-4096", &[0xD0, 0, 2]),
        (b"4095", &[0xCF, 0xFF, 2]),
        (b"4096", &[0xF1, 0, 0x10, 3]),
        (b"-32769", &[0xF2, 0xFF, 0x7F, 0xFF, 4]),
        (b"8388608", &[0xF3, 0, 0, 0x80, 0, 5]),
        (b"-9223372036854775808", &[0xF4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9]),
        (b"9223372036854775808", b"\x939223372036854775808\x14"),
        (b"", &[0x80, 1]),
        (b"hi", &[0x82, b'h', b'i', 3]),
    ];
    for (text, entry) in cases {
        let mut lp = Listpack::new();
        lp.push_back(text);
        let mut bytes = vec![7 + entry.len() as u8, 0, 0, 0, 1, 0];
        bytes.extend_from_slice(entry);
        bytes.push(0xFF);
        assert_eq!(lp.as_bytes(), bytes, "{}", String::from_utf8_lossy(text));
        assert!(lp.get_at(0).unwrap().eq_bytes(text));
        assert_eq!(lp.get_at(0).unwrap().len(), text.len());
        assert_eq!(Listpack::entry_bytes(text), entry.len());
    }
}

#[test]
fn backlens_of_every_size_are_read_from_both_sides() {
    for len in [126, 127, 16_379, 16_380, 16_381, 16_384, 2_097_145, 2_097_146, 2_097_147] {
        let model = vec![vec![b'x'; len], b"end".to_vec()];
        let lp: Listpack = model.iter().map(Vec::as_slice).collect();
        check(&lp, &model, &format!("string of {len}"));
    }
}

#[test]
fn it_is_a_vector_of_strings() {
    for seed in 0..60 {
        let mut rng = Rng(seed);
        let (mut lp, mut model) = (Listpack::new(), Vec::<Vec<u8>>::new());
        for step in 0..120 {
            let value = rng.value();
            let at = if model.is_empty() { 0 } else { rng.below(model.len()) };
            let pos = lp.seek(at as i64);
            match (rng.below(12), pos) {
                (0, _) => {
                    lp.push_front(&value);
                    model.insert(0, value);
                }
                (1, Some(pos)) => {
                    lp.insert_before(pos, &value);
                    assert!(lp.get(pos).eq_bytes(&value));
                    model.insert(at, value);
                }
                (2, Some(pos)) => {
                    let new = lp.insert_after(pos, &value);
                    assert!(lp.get(new).eq_bytes(&value));
                    model.insert(at + 1, value);
                }
                (3, Some(pos)) => {
                    lp.replace(pos, &value);
                    model[at] = value;
                }
                (4, Some(pos)) => {
                    assert_eq!(lp.delete(pos).is_some(), at + 1 < model.len());
                    model.remove(at);
                }
                (5, Some(_)) => {
                    let count = rng.below(6);
                    lp.delete_range(at as i64 - model.len() as i64, count);
                    model.drain(at..(at + count).min(model.len()));
                }
                (6, Some(_)) => {
                    let tail = lp.split_off(at);
                    check(&tail, &model[at..], &format!("seed {seed} step {step} tail"));
                    lp.merge(&tail);
                }
                (7, Some(_)) => {
                    let skip = rng.below(3);
                    let want = model.iter().step_by(skip + 1).position(|v| *v == value).map(|i| i * (skip + 1));
                    assert_eq!(lp.find(&value, skip), want.and_then(|i| lp.seek(i as i64)), "seed {seed} step {step}");
                }
                (8, _) => {
                    let mut tail = Tail::default();
                    tail.push(&value);
                    tail.push_int(-70_000);
                    lp.push_tail(&tail);
                    model.extend([value, b"-70000".to_vec()]);
                }
                (9, Some(pos)) => {
                    let mut tail = Tail::default();
                    tail.push(&value);
                    tail.push(b"12");
                    lp.insert_tail_before(pos, &tail);
                    model.splice(at..at, [value, b"12".to_vec()]);
                }
                (10, Some(pos)) => {
                    let count = 1 + rng.below(3).min(model.len() - at - 1);
                    let target =
                        [rng.below(at + 1), at + count + rng.below(model.len() - at - count + 1)][rng.below(2)];
                    lp.move_entries(pos, count, lp.seek(target as i64));
                    let moved: Vec<Vec<u8>> = model.drain(at..at + count).collect();
                    let target = if target > at { target - count } else { target };
                    model.splice(target..target, moved);
                }
                _ => {
                    lp.push_back(&value);
                    model.push(value);
                }
            }
            check(&lp, &model, &format!("seed {seed} step {step}"));
        }
        for (i, value) in model.iter().enumerate() {
            assert!(lp.get_at(i as i64).unwrap().eq_bytes(value), "seed {seed} index {i}");
            assert!(lp.get_at(i as i64 - model.len() as i64).unwrap().eq_bytes(value), "seed {seed} index -{i}");
        }
        assert_eq!(lp.seek(model.len() as i64), None);
        assert_eq!(lp.seek(-1 - model.len() as i64), None);
    }
}

#[test]
fn integers_are_what_their_text_is() {
    let mut by_int = Listpack::new();
    let mut by_text = Listpack::new();
    for shift in 0..64 {
        for int in [i64::MIN >> shift, (i64::MIN >> shift).wrapping_sub(1), i64::MAX >> shift] {
            by_int.push_back_int(int);
            by_text.push_back(int.to_string().as_bytes());
            assert_eq!(by_int.get(by_int.last().unwrap()), LpValue::Int(int));
        }
    }
    assert_eq!(by_int.as_bytes(), by_text.as_bytes());
    assert_eq!(by_int.find(i64::MIN.to_string().as_bytes(), 0), by_int.first());
}

#[test]
fn more_entries_than_the_header_can_count() {
    let mut lp: Listpack = std::iter::repeat_n(b"7".as_slice(), 65_534).collect();
    assert_eq!(lp.len(), 65_534);
    lp.push_back(b"8");
    lp.push_front(b"9");
    assert_eq!(&lp.as_bytes()[4..6], [0xFF, 0xFF]);
    assert_eq!(lp.len(), 65_536);
    assert!(Listpack::from_bytes(lp.as_bytes()).is_ok());
    assert_eq!(lp.get_at(-1), Some(LpValue::Int(8)));
    lp.delete_range(0, 2);
    assert_eq!(&lp.as_bytes()[4..6], [0xFE, 0xFF], "counted again");
    assert_eq!(lp.len(), 65_534);
}

#[test]
fn a_string_stored_as_such_is_found_though_it_looks_like_an_integer() {
    let lp = Listpack::from_bytes(&[11, 0, 0, 0, 1, 0, 0x82, b'4', b'2', 3, 0xFF]).unwrap();
    assert_eq!(lp.find(b"42", 0), lp.first());
    assert_eq!(lp.get_at(0).unwrap().as_int(), Some(42));
}

#[test]
fn a_short_text_is_found_however_its_length_is_told() {
    let entries = [&[5, 1][..], &[0xE0, 2, b'h', b'i', 4], &[0xF0, 3, 0, 0, 0, b'y', b'o', b'u', 8], b"\x82me\x03"];
    let bytes = [&[27, 0, 0, 0, 4, 0][..], &entries.concat(), &[0xFF]].concat();
    let lp = Listpack::from_bytes(&bytes).unwrap();
    for (index, text) in [(1, "hi"), (2, "you"), (3, "me")] {
        assert_eq!(lp.find(text.as_bytes(), 0), lp.seek(index), "{text}");
        assert_eq!(lp.find(text.as_bytes(), 1), lp.seek(index).filter(|_| index == 2), "{text}");
    }
    assert_eq!((lp.find(b"yo", 0), lp.find(b"", 0), lp.find(b"hi", 4)), (None, None, None));
}

#[test]
fn foreign_bytes_are_refused() {
    let cases: [(&str, &[u8]); 15] = [
        ("nothing", &[]),
        ("no end mark", &[7, 0, 0, 0, 0, 0, 0]),
        ("too short", &[6, 0, 0, 0, 0, 0xFF]),
        ("total too small", &[7, 0, 0, 0, 1, 0, 5, 1, 0xFF]),
        ("total too big", &[10, 0, 0, 0, 1, 0, 5, 1, 0xFF]),
        ("count too small", &[9, 0, 0, 0, 0, 0, 5, 1, 0xFF]),
        ("count too big", &[9, 0, 0, 0, 2, 0, 5, 1, 0xFF]),
        ("wrong backlen", &[9, 0, 0, 0, 1, 0, 5, 2, 0xFF]),
        ("backlen without an end", &[9, 0, 0, 0, 1, 0, 5, 0x81, 0xFF]),
        ("backlen that goes on into the entry before it", &[9, 0, 0, 0, 1, 0, 0x80, 0x81, 0xFF]),
        ("string past the end", &[9, 0, 0, 0, 1, 0, 0xBF, 1, 0xFF]),
        ("long string past the end", &[13, 0, 0, 0, 1, 0, 0xF0, 0xFF, 0xFF, 0xFF, 0xFF, 5, 0xFF]),
        ("cut in the encoding", &[8, 0, 0, 0, 1, 0, 0xF4, 0xFF]),
        ("end mark inside", &[9, 0, 0, 0, 0, 0, 0xFF, 1, 0xFF]),
        ("unused encoding", &[9, 0, 0, 0, 1, 0, 0xF5, 1, 0xFF]),
    ];
    for (why, bytes) in cases {
        assert_eq!(Listpack::from_bytes(bytes).map(|_| ()), Err(Malformed), "{why}");
    }
}

#[test]
fn flipped_bytes_are_refused_or_harmless() {
    let mut rng = Rng(3);
    for seed in 0..200 {
        let lp: Listpack = (0..8).map(|_| rng.value()).collect::<Vec<_>>().iter().map(Vec::as_slice).collect();
        let mut bytes = lp.as_bytes().to_vec();
        for _ in 0..40 {
            let at = rng.below(bytes.len().min(60));
            let old = std::mem::replace(&mut bytes[at], rng.below(256) as u8);
            if let Ok(sound) = Listpack::from_bytes(&bytes) {
                assert_eq!(sound.iter().count(), sound.iter().rev().count(), "seed {seed}");
                assert_eq!(sound.find(b"not there at all", 0), None);
            }
            bytes[at] = old;
        }
    }
}
