//! The list against a deque of strings, under limits small enough to meet every corner.

use super::*;
use std::collections::VecDeque;

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % n
    }

    fn value(&mut self) -> Vec<u8> {
        match self.below(6) {
            0 => (self.below(2000) as i64 - 1000).to_string().into_bytes(),
            1 => vec![b'a' + self.below(3) as u8; self.below(120)],
            2 if self.below(10) == 0 => vec![b'L'; 5000 + self.below(5000)],
            _ => format!("v{}", self.below(40)).into_bytes(),
        }
    }
}

fn limits(max_listpack_size: i64, compress_depth: usize, packed_threshold: usize) -> ListLimits {
    ListLimits { max_listpack_size, compress_depth, packed_threshold }
}

fn texts(list: &List) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    list.range(0, usize::MAX, |value| all.push(value.to_vec()));
    all
}

fn check(list: &List, model: &VecDeque<Vec<u8>>, why: &str) {
    assert_eq!(list.len(), model.len(), "{why}");
    assert!(texts(list).iter().eq(model.iter()), "{why}: forward");
    let mut backward = Vec::new();
    list.walk(End::Back, 0, |value| {
        backward.push(value.to_vec());
        ControlFlow::Continue(())
    });
    assert!(backward.iter().eq(model.iter().rev()), "{why}: backward");
    if let Form::Chain(chain) = &list.form {
        chain.check();
    }
}

/// RPUSH or LPUSH as a command does it.
fn push(list: &mut List, end: End, values: &[&[u8]], limits: &ListLimits) {
    list.grow_for(values.len(), values.iter().map(|value| value.len()).sum(), limits);
    values.iter().for_each(|value| list.push(end, value, limits));
}

fn step(rng: &mut Rng, list: &mut List, model: &mut VecDeque<Vec<u8>>, limits: &ListLimits) {
    let value = rng.value();
    let at = rng.below(model.len().max(1));
    match rng.below(14) {
        0..=2 => {
            push(list, End::Front, &[&value], limits);
            model.push_front(value);
        }
        3..=5 => {
            push(list, End::Back, &[&value], limits);
            model.push_back(value);
        }
        6 => {
            assert_eq!(list.peek(End::Front).map(|value| value.to_vec()), model.pop_front());
            list.pop(End::Front, limits);
        }
        7 => {
            assert_eq!(list.peek(End::Back).map(|value| value.to_vec()), model.pop_back());
            list.pop(End::Back, limits);
        }
        8 => {
            list.grow_for(1, value.len(), limits);
            assert_eq!(list.set(at as i64, &value, limits), !model.is_empty());
            if let Some(slot) = model.get_mut(at) {
                *slot = value;
            }
        }
        9 | 10 => {
            let pivot = model.get(at).cloned().unwrap_or_default();
            let found = model.iter().position(|value| *value == pivot);
            list.grow_for(1, value.len(), limits);
            let side = [Side::Before, Side::After][rng.below(2)];
            assert_eq!(list.insert(side, &pivot, &value, limits), found.is_some());
            if let Some(found) = found {
                model.insert(found + (side == Side::After) as usize, value);
            }
        }
        11 => {
            let count = rng.below(5) as i64 - 2;
            let removed = remove_from_model(model, count, &value);
            assert_eq!(list.remove(count, &value, limits), removed);
        }
        12 => {
            let count = rng.below(10);
            list.delete_range(at, count, limits);
            model.drain(at.min(model.len())..(at + count).min(model.len()));
        }
        _ => {
            let start = rng.below(5);
            let count = (model.len() + 3).saturating_sub(start + rng.below(6));
            list.trim(start, count, limits);
            model.truncate(start + count);
            model.drain(..start.min(model.len()));
        }
    }
}

fn remove_from_model(model: &mut VecDeque<Vec<u8>>, count: i64, value: &[u8]) -> usize {
    let mut places: Vec<usize> = (0..model.len()).filter(|&i| model[i] == value).collect();
    let max = if count == 0 { places.len() } else { places.len().min(count.unsigned_abs() as usize) };
    if count < 0 {
        places.reverse();
    }
    places.truncate(max);
    places.sort();
    places.iter().rev().for_each(|&i| drop(model.remove(i)));
    places.len()
}

#[test]
fn it_is_a_deque_of_strings() {
    let shapes =
        [limits(-2, 0, 0), limits(4, 0, 0), limits(1, 1, 0), limits(3, 2, 50), limits(-1, 1, 100), limits(0, 3, 1)];
    for seed in 0..90 {
        let mut rng = Rng(seed);
        let shape = shapes[seed as usize % shapes.len()];
        let (mut list, mut model) = (List::new(), VecDeque::new());
        for n in 0..250 {
            let (copy, copied) = (list.clone(), model.clone());
            step(&mut rng, &mut list, &mut model, &shape);
            let why = format!("seed {seed} step {n} {shape:?}");
            check(&list, &model, &why);
            check(&copy, &copied, &format!("{why}: the copy taken before"));
            if !model.is_empty() {
                let at = rng.below(model.len());
                let read = |index| list.with_index(index, |value| value.to_vec());
                assert_eq!(read(at as i64).as_ref(), model.get(at), "{why}");
                assert_eq!(read(at as i64 - model.len() as i64).as_ref(), model.get(at), "{why}");
            }
        }
    }
}

#[test]
fn long_rows_of_nodes_split_and_shrink() {
    let shape = limits(1, 0, 0);
    let mut rng = Rng(9);
    let (mut list, mut model) = (List::new(), VecDeque::new());
    for n in 0..1500 {
        let value = format!("{n}").into_bytes();
        push(&mut list, [End::Front, End::Back][n % 2], &[&value], &shape);
        if n % 2 == 0 { model.push_front(value) } else { model.push_back(value) }
    }
    for n in 0..800 {
        let at = rng.below(model.len());
        let pivot = model[at].clone();
        let value = format!("new{n}").into_bytes();
        list.insert(Side::Before, &pivot, &value, &shape);
        model.insert(at, value);
    }
    check(&list, &model, "after inserting");
    let copy = list.clone();
    list.delete_range(100, 1900, &shape);
    model.drain(100..2000);
    check(&list, &model, "after deleting");
    assert_eq!(copy.len(), 2300);
}

#[test]
fn a_list_becomes_a_quicklist_when_what_is_added_passes_the_limit() {
    // (directive, elements there, element added, encoding after RPUSH)
    let long = "x".repeat(8190);
    let cases: [(i64, usize, &str, &str); 7] = [
        (3, 2, "a", "listpack"),
        (3, 3, "a", "quicklist"),
        (0, 0, "a", "listpack"),
        (0, 1, "a", "quicklist"),
        (1000, 0, &long, "quicklist"),
        (-2, 0, &long[..8185], "listpack"),
        (-2, 0, &long[..8186], "quicklist"),
    ];
    for (directive, there, added, encoding) in cases {
        let shape = limits(directive, 0, 0);
        let mut list = List::new();
        (0..there).for_each(|_| push(&mut list, End::Back, &[b"e"], &shape));
        push(&mut list, End::Back, &[added.as_bytes()], &shape);
        assert_eq!(list.encoding(), encoding, "list-max-listpack-size {directive}, {there} + {} bytes", added.len());
    }
}

#[test]
fn a_quicklist_becomes_a_listpack_at_half_the_limit() {
    let shape = limits(8, 0, 0);
    let mut list = List::new();
    for n in 0..9 {
        push(&mut list, End::Back, &[n.to_string().as_bytes()], &shape);
    }
    assert_eq!((list.encoding(), list.node_count()), ("quicklist", 2));
    list.pop(End::Back, &shape);
    for left in [7, 6, 5] {
        list.pop(End::Back, &shape);
        assert_eq!((list.len(), list.encoding()), (left, "quicklist"));
    }
    list.pop(End::Front, &shape);
    assert_eq!((list.len(), list.encoding()), (4, "listpack"));
}

#[test]
fn inner_nodes_are_compressed() {
    let shape = limits(4, 2, 0);
    let mut list = List::new();
    let value = "z".repeat(100);
    (0..40).for_each(|_| push(&mut list, End::Back, &[value.as_bytes()], &shape));
    let Form::Chain(chain) = &list.form else { panic!("a quicklist") };
    assert_eq!((chain.node_count(), chain.squeezed_nodes()), (10, 6));
    list.set(20, b"changed", &shape);
    let Form::Chain(chain) = &list.form else { panic!("a quicklist") };
    assert_eq!(chain.squeezed_nodes(), 6);
    assert!(list.with_index(20, |value| value.eq_bytes(b"changed")).unwrap());
}

#[test]
fn positions_as_lpos_gives_them() {
    let mut list = List::new();
    push(&mut list, End::Back, &[b"a", b"b", b"c", b"1", b"2", b"3", b"c", b"c"], &ListLimits::default());
    let query =
        |from, rank, count_max, compared_max| list.positions(b"c", &PosQuery { from, rank, count_max, compared_max });
    let all = usize::MAX;
    assert_eq!(query(End::Front, 1, 1, all), [2]);
    assert_eq!(query(End::Front, 2, all, all), [6, 7]);
    assert_eq!(query(End::Back, 1, 2, all), [7, 6]);
    assert_eq!(query(End::Back, 1, all, 3), [7, 6]);
    assert_eq!(query(End::Front, 4, all, all), [0usize; 0]);
}

#[test]
fn a_stored_list_comes_back_node_by_node() {
    let shape = limits(3, 1, 20);
    let mut list = List::new();
    for n in 0..20 {
        push(&mut list, End::Back, &["x".repeat(n + 5).as_bytes()], &shape);
    }
    let mut back = List::new();
    list.for_each_node(|node| match node {
        NodeBytes::Packed(bytes) => back.push_listpack(Listpack::from_bytes(bytes).unwrap(), &shape),
        NodeBytes::Plain(bytes) => back.push_plain(bytes, &shape),
    });
    back.settle(&shape);
    assert_eq!(texts(&back), texts(&list));
    assert_eq!(back.node_count(), list.node_count());
    let small = List::from_listpack([b"a".as_slice(), b"b"].into_iter().collect(), &shape);
    assert_eq!(small.encoding(), "listpack");
}
