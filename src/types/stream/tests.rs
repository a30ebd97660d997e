//! The stream against a sorted list of entries that follows the same rules without blocks.

use super::*;
use crate::base::rng::Rng;
use crate::types::packed::listpack::Listpack;
use crate::types::packed::thin::capacity_for;

const LIMITS: BlockLimits = BlockLimits { bytes_max: 4096, entries_max: 100 };

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

fn pairs(entry: &Entry<'_>) -> Vec<Vec<u8>> {
    entry.pairs().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect()
}

fn filled(count: u64) -> Log {
    let mut log = Log::default();
    for ms in 1..=count {
        log.add(NewId::Exact(id(ms, 0)), 0, &[b"field", ms.to_string().as_bytes()], LIMITS).expect("ascending");
    }
    log
}

fn ids(log: &Log) -> Vec<u64> {
    log.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id.ms).collect()
}

#[test]
fn ids_ascend_or_are_refused() {
    let mut log = Log::default();
    let add = |log: &mut Log, new, now| log.add(new, now, &[b"a", b"1"], LIMITS);
    assert_eq!(add(&mut log, NewId::Exact(id(0, 0)), 5), Err(AddError::IdTooSmall));
    assert_eq!(add(&mut log, NewId::AutoSeq(0), 5), Ok(id(0, 1)));
    assert_eq!(add(&mut log, NewId::Auto, 5), Ok(id(5, 0)));
    assert_eq!(add(&mut log, NewId::Auto, 5), Ok(id(5, 1)));
    assert_eq!(add(&mut log, NewId::Auto, 4), Ok(id(5, 2)));
    assert_eq!(add(&mut log, NewId::AutoSeq(5), 4), Ok(id(5, 3)));
    assert_eq!(add(&mut log, NewId::AutoSeq(4), 4), Err(AddError::IdTooSmall));
    assert_eq!(add(&mut log, NewId::Exact(id(5, 3)), 4), Err(AddError::IdTooSmall));
    assert_eq!(add(&mut log, NewId::Exact(id(7, u64::MAX)), 4), Ok(id(7, u64::MAX)));
    assert_eq!(add(&mut log, NewId::AutoSeq(7), 4), Err(AddError::IdTooSmall));
    assert_eq!(add(&mut log, NewId::Auto, 4), Ok(id(8, 0)));
    assert_eq!(add(&mut log, NewId::Exact(StreamId::MAX), 4), Ok(StreamId::MAX));
    assert_eq!(add(&mut log, NewId::Auto, 4), Err(AddError::IdTooSmall));
    assert_eq!((log.len(), log.entries_added(), log.first_id()), (8, 8, id(0, 1)));
}

#[test]
fn a_block_has_the_bytes_of_the_original() {
    let mut log = Log::default();
    for (ms, texts) in
        [(10, [&b"a"[..], b"1", b"b", b"x"]), (12, [b"a", b"2", b"b", b"y"]), (13, [b"a", b"3", b"c", b"z"])]
    {
        log.add(NewId::Exact(id(ms, 0)), 0, &texts, LIMITS).expect("ascending");
    }
    log.delete(&[id(12, 0)]);
    let (base, pack) = log.blocks().next().expect("one block");
    let values: Vec<String> = pack.iter().map(|value| String::from_utf8_lossy(&value.to_vec()).into_owned()).collect();
    assert_eq!(base, id(10, 0));
    assert_eq!(values.join(" "), "2 1 2 a b 0 2 0 0 1 x 5 3 2 0 2 y 5 0 3 0 2 a 3 c z 8");
}

#[test]
fn blocks_end_at_either_limit() {
    let count = |bytes_max, entries_max, entries: u64| {
        let mut log = Log::default();
        for _ in 0..entries {
            log.add(NewId::Auto, 1, &[b"field", &[b'x'; 100]], BlockLimits { bytes_max, entries_max })
                .expect("ascending");
        }
        log.block_count()
    };
    assert_eq!(count(0, 10, 30), 3);
    assert_eq!(count(0, 0, 300), 1);
    assert_eq!(count(1000, 0, 16), 2);
    assert_eq!(count(1, 0, 5), 5);
}

#[test]
fn trimming_by_length_exactly_and_by_blocks() {
    let trim = |until, approximate, limit| Trim { until, approximate, limit };
    let mut log = filled(250);
    assert_eq!(log.trim(trim(TrimUntil::MaxLen(300), false, 0)), 0);
    assert_eq!(log.trim(trim(TrimUntil::MaxLen(240), true, 0)), 0, "no whole block may go");
    assert_eq!(log.trim(trim(TrimUntil::MaxLen(140), true, 0)), 100);
    assert_eq!(log.first_id(), id(101, 0));
    assert_eq!(log.trim(trim(TrimUntil::MaxLen(20), true, 99)), 0, "the limit is below one block");
    assert_eq!(log.trim(trim(TrimUntil::MaxLen(45), false, 0)), 105);
    assert_eq!((log.len(), log.first_id(), log.max_deleted_id()), (45, id(206, 0), StreamId::MIN));
    assert_eq!(log.trim(trim(TrimUntil::MinId(id(230, 1)), false, 0)), 25);
    assert_eq!(log.trim(trim(TrimUntil::MinId(id(1000, 0)), true, 0)), 20);
    assert_eq!((log.len(), log.first_id(), log.last_id(), log.entries_added()), (0, StreamId::MIN, id(250, 0), 250));
    assert_eq!(log.heap_bytes(), 0);
}

#[test]
fn trimming_a_block_whose_last_entry_was_deleted_leaves_nothing_of_it() {
    let mut log = filled(3);
    log.delete(&[id(3, 0)]);
    assert_eq!(log.trim(Trim { until: TrimUntil::MinId(id(3, 0)), approximate: false, limit: 0 }), 2);
    assert_eq!((log.len(), log.block_count()), (0, 0));
}

#[test]
fn blocks_are_loaded_after_a_check() {
    let mut log = filled(250);
    log.delete(&[id(3, 0), id(120, 0), id(250, 0)]);
    let mut copy = Log::default();
    for (base, pack) in log.blocks() {
        let pack = Listpack::from_bytes(pack.as_bytes()).expect("sound");
        assert!(Log::default().load_block(id(base.ms + 1, 0), pack.clone()).is_ok(), "ids are relative");
        copy.load_block(base, pack).expect("sound");
    }
    copy.set_counters(log.last_id(), Some(log.entries_added()), Some(log.max_deleted_id()));
    assert_eq!(ids(&copy), ids(&log));
    let room = log.last_block().map_or(0, |(_, pack)| pack.heap_bytes() - capacity_for(pack.bytes()));
    assert_eq!((copy.len(), copy.first_id(), copy.heap_bytes() + room), (log.len(), log.first_id(), log.heap_bytes()));

    let (base, pack) = log.blocks().next().expect("some");
    assert_eq!(copy.load_block(base, pack.clone()), Err(Malformed), "not behind the others");
    for position in 0..pack.len() as i64 {
        let mut damaged = pack.clone();
        let at = damaged.seek(position).expect("within");
        damaged.replace(at, b"-7");
        let _ = Log::default().load_block(base, damaged.clone());
        damaged.delete(at);
        assert_eq!(Log::default().load_block(base, damaged), Err(Malformed), "without value {position}");
    }
    assert_eq!(Log::default().load_block(base, Listpack::new()), Err(Malformed));
}

/// What a stream is without blocks.
#[derive(Clone, Default)]
struct Model {
    entries: Vec<(StreamId, Vec<Vec<u8>>)>,
    last_id: StreamId,
    max_deleted: StreamId,
    added: u64,
}

fn check(log: &Log, model: &Model, rng: &mut Rng, why: &str) {
    assert_eq!(log.len(), model.entries.len() as u64, "{why}");
    assert_eq!(log.first_id(), model.entries.first().map_or(StreamId::MIN, |(id, _)| *id), "{why}");
    assert_eq!(
        (log.last_id(), log.max_deleted_id(), log.entries_added()),
        (model.last_id, model.max_deleted, model.added),
        "{why}"
    );
    assert_eq!(log.last_live_id(), model.entries.last().map(|(id, _)| *id), "{why}");
    let walked: usize = log.blocks().map(|(_, pack)| pack.heap_bytes() + size_of::<Listpack>() + 16).sum();
    assert_eq!(log.heap_bytes(), walked + log.full.heap_bytes(), "{why}: bytes");
    let (start, end) = (id(rng.below(60), rng.below(4)), id(rng.below(60), rng.below(4)));
    let want: Vec<_> = model.entries.iter().filter(|(id, _)| (start..=end).contains(id)).cloned().collect();
    let got: Vec<_> = log.range(start, end).map(|entry| (entry.id, pairs(&entry))).collect();
    assert_eq!(got, want, "{why}: {start}..{end}");
    let back: Vec<_> = log.range_back(start, end).map(|entry| (entry.id, pairs(&entry))).collect();
    assert!(back.iter().eq(want.iter().rev()), "{why}: {end}..{start}");
}

#[test]
fn it_is_a_sorted_list_of_entries_and_old_copies_do_not_change() {
    for seed in 0..60 {
        let mut rng = Rng::from_seed(seed);
        let limits =
            BlockLimits { bytes_max: [0, 200][seed as usize % 2], entries_max: [3, 7, 100][seed as usize % 3] };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        let mut copies = Vec::new();
        for step in 0..400 {
            let log = stream.log_mut();
            match rng.index(10) {
                0..=5 => {
                    let texts: Vec<Vec<u8>> = (0..(1 + rng.index(2)) * 2)
                        .map(|at| {
                            if at % 2 == 0 {
                                vec![b'a' + rng.below(3) as u8]
                            } else {
                                rng.below(1000).to_string().into_bytes()
                            }
                        })
                        .collect();
                    let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
                    let new = id(step / 8 + rng.below(2), rng.below(6));
                    let added = log.add(NewId::Exact(new), 0, &slices, limits);
                    assert_eq!(added.is_ok(), new > model.last_id, "seed {seed} step {step}");
                    if added.is_ok() {
                        model.entries.push((new, texts));
                        model.last_id = new;
                        model.added += 1;
                    }
                }
                6..=7 => {
                    let targets: Vec<StreamId> = (0..3)
                        .map(|_| match model.entries.is_empty() {
                            true => id(1, 1),
                            false => model.entries[rng.index(model.entries.len())].0,
                        })
                        .collect();
                    let before = model.entries.len();
                    for target in &targets {
                        if let Some(at) = model.entries.iter().position(|(id, _)| id == target) {
                            model.entries.remove(at);
                            model.max_deleted = model.max_deleted.max(*target);
                        }
                    }
                    assert_eq!(log.delete(&targets), (before - model.entries.len()) as u64, "seed {seed} step {step}");
                }
                8 => {
                    let (len, min) = (rng.below(80), id(rng.below(50), rng.below(4)));
                    let until = if rng.below(2) == 0 { TrimUntil::MaxLen(len) } else { TrimUntil::MinId(min) };
                    let removed = log.trim(Trim { until, approximate: false, limit: 0 });
                    let before = model.entries.len();
                    match until {
                        TrimUntil::MaxLen(len) => drop(model.entries.drain(..before.saturating_sub(len as usize))),
                        TrimUntil::MinId(min) => model.entries.retain(|(id, _)| *id >= min),
                    }
                    assert_eq!(removed, (before - model.entries.len()) as u64, "seed {seed} step {step}");
                }
                _ => copies.push((stream.clone(), model.clone())),
            }
            check(stream.log(), &model, &mut rng, &format!("seed {seed} step {step}"));
        }
        for (copy, model) in &copies {
            check(copy.log(), model, &mut rng, &format!("seed {seed}, an old copy"));
        }
    }
}

#[test]
fn groups_are_counted_as_they_change() {
    let mut stream = Stream::new();
    let empty = stream.heap_bytes();
    assert!(stream.add_group(b"g", Group::new(StreamId::MIN, None)));
    assert!(!stream.add_group(b"g", Group::new(StreamId::MIN, None)));
    let with_group = stream.heap_bytes();
    let copy = stream.clone();
    {
        let (mut group, _) = stream.group_mut(b"g").expect("just added");
        let alice = group.create_consumer(b"alice", 1).expect("new");
        (1..100).for_each(|ms| group.deliver(id(ms, 0), alice, 2));
    }
    assert!(stream.heap_bytes() > with_group + 99 * 40);
    assert_eq!(copy.group(b"g").map(Group::consumer_count), Some(0));
    {
        let (mut group, _) = stream.group_mut(b"g").expect("still there");
        let alice = group.find_consumer(b"alice").expect("still there");
        assert_eq!(group.remove_consumer(alice), 99);
    }
    assert_eq!(stream.heap_bytes(), with_group);
    assert!(stream.remove_group(b"g").is_some() && stream.remove_group(b"g").is_none());
    assert_eq!(stream.heap_bytes(), empty);
}
