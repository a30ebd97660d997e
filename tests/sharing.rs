//! Values of very many elements: a copy shares all of them, a change after it copies a few nodes, and whoever removes one
//! does not free it. Work is counted in bytes allocated and in objects handed over, never in time.
//!
//! One test, since the bytes counted are those of the whole process.

use larder::base::alloc::used_memory;
use larder::base::hash::key_hash;
use larder::base::later::Later;
use larder::base::time::Clock;
use larder::keyspace::txn::{Create, Typed};
use larder::keyspace::{Deadline, Entry, Keyspace, Txn};
use larder::types::Value;
use larder::types::hash::{self, Hash, HashLimits};
use larder::types::list::{End, List, ListLimits};
use larder::types::set::{Set, SetLimits};
use larder::types::stream::{BlockLimits, NewId, Stream, StreamId};
use larder::types::string::NewStr;
use larder::types::zset::{ZSet, ZSetLimits};

const ELEMENTS: u64 = 120_000;
/// A path of nodes of at most 16 KiB and the root's own rows; a copy of the whole would be more than 1 MiB.
const PATH_BYTES: usize = 64 << 10;
/// More time than any command gets, and the clock stands still.
const NOW_MS: u64 = 1000;

fn name(number: u64) -> Vec<u8> {
    format!("element:{number}").into_bytes()
}

fn list() -> List {
    let limits = ListLimits::default();
    let mut list = List::new();
    for number in 0..ELEMENTS {
        let name = name(number);
        list.grow_for(1, name.len(), &limits);
        list.push(End::Back, &name, &limits);
    }
    list
}

fn hash() -> Hash {
    let mut hash = Hash::new();
    (0..ELEMENTS).for_each(|n| _ = hash.set(&name(n), b"value", hash::Deadline::None, &HashLimits::default()));
    hash
}

fn timed_hash() -> Hash {
    let mut hash = Hash::new();
    let limits = HashLimits::default();
    (0..ELEMENTS).for_each(|n| _ = hash.set(&name(n), b"value", hash::Deadline::At(1 << 40), &limits));
    hash
}

fn set() -> Set {
    let mut set = Set::default();
    (0..ELEMENTS).for_each(|n| _ = set.add(&name(n), &SetLimits::default()));
    set
}

fn zset() -> ZSet {
    let mut zset = ZSet::default();
    (0..ELEMENTS).for_each(|n| _ = zset.set(&name(n), (n % 1000) as f64, &ZSetLimits::default()));
    zset
}

fn stream() -> Stream {
    let mut stream = Stream::default();
    for number in 1..=ELEMENTS {
        append(&mut stream, StreamId { ms: number, seq: 0 });
    }
    stream
}

fn append(stream: &mut Stream, id: StreamId) {
    let limits = BlockLimits { bytes_max: 4096, entries_max: 100 };
    stream.log_mut().add(NewId::Exact(id), NOW_MS, &[b"field", b"value"], limits).expect("ids ascend");
}

/// A value, and a change of it that touches one place.
struct Case {
    name: &'static str,
    value: Value,
    change: fn(&mut Value),
}

/// A collection out of a value for change.
macro_rules! change {
    ($kind:ident, $value:ident => $body:expr) => {
        |value| match value {
            Value::$kind($value) => {
                $body;
            }
            _ => unreachable!("the case has this kind"),
        }
    };
}

fn cases() -> Vec<Case> {
    let case = |name, value, change| Case { name, value, change };
    vec![
        case("LPUSH", Value::List(list()), change!(List, v => v.push(End::Front, b"new", &ListLimits::default()))),
        case("RPOP", Value::List(list()), change!(List, v => v.pop(End::Back, &ListLimits::default()))),
        case("LSET", Value::List(list()), change!(List, v => v.set(60_000, b"new", &ListLimits::default()))),
        case(
            "HSET",
            Value::Hash(hash()),
            change!(Hash, v => v.set(b"new", b"value", hash::Deadline::None, &HashLimits::default())),
        ),
        case("HDEL", Value::Hash(hash()), change!(Hash, v => v.remove(&name(5)))),
        case(
            "HPEXPIREAT",
            Value::Hash(timed_hash()),
            change!(Hash, v => v.set(&name(7), b"value", hash::Deadline::At(1 << 41), &HashLimits::default())),
        ),
        case("SADD", Value::Set(set()), change!(Set, v => v.add(b"new", &SetLimits::default()))),
        case("SREM", Value::Set(set()), change!(Set, v => v.remove(&name(5)))),
        case("ZADD", Value::ZSet(zset()), change!(ZSet, v => v.set(b"new", 500.0, &ZSetLimits::default()))),
        case("ZADD again", Value::ZSet(zset()), change!(ZSet, v => v.set(&name(9), 7.0, &ZSetLimits::default()))),
        case("ZREM", Value::ZSet(zset()), change!(ZSet, v => v.remove(&name(5)))),
        case("XADD", Value::Stream(stream()), change!(Stream, v => append(v, StreamId { ms: 1 << 40, seq: 0 }))),
        case(
            "XDEL",
            Value::Stream(stream()),
            change!(Stream, v => v.log_mut().delete(&[StreamId { ms: 60_000, seq: 0 }])),
        ),
    ]
}

/// The bytes allocated and not freed by what is done.
fn growth<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = used_memory();
    let result = work();
    (result, used_memory().saturating_sub(before))
}

fn copies_share_and_changes_copy_little() {
    for case in cases() {
        let (mut copy, bytes) = growth(|| case.value.clone());
        assert!(bytes <= 64, "{}: COPY allocates {bytes} bytes", case.name);
        let ((), bytes) = growth(|| (case.change)(&mut copy));
        assert!(bytes <= PATH_BYTES, "{}: the first change after COPY allocates {bytes} bytes", case.name);
        drop(copy);
        let mut alone = case.value;
        let ((), bytes) = growth(|| (case.change)(&mut alone));
        assert!(bytes <= PATH_BYTES, "{}: a change of a value that nobody shares allocates {bytes} bytes", case.name);
    }
}

fn one(keyspace: &Keyspace) -> Txn<'_> {
    Txn::one(keyspace, 0, NOW_MS, key_hash(b"k"))
}

/// Every way for a value to go, but for commands that remove its elements one by one.
const WAYS: &[(&str, fn(&mut Txn<'_>))] = &[
    ("DEL", |txn| assert!(txn.delete(b"k"))),
    ("UNLINK", |txn| assert!(txn.unlink(b"k"))),
    ("SET", |txn| txn.set_str(b"k", NewStr::Int(1), Deadline::Clear)),
    ("a STORE", |txn| txn.insert(b"k", Value::Set(Set::default()), Deadline::Clear)),
    ("RENAME over it", |txn| txn.insert_entry(Entry::new_str(b"k", &NewStr::Int(1), None))),
    ("expiry on access", |txn| {
        txn.set_deadline(b"k", Some(NOW_MS));
        let edited = txn.edit(b"k", Create::No, |_: &mut List, _| ());
        assert!(matches!(edited, Ok(None)), "the key has expired");
    }),
    ("expiry by the wheel", |txn| {
        txn.set_deadline(b"k", Some(NOW_MS));
        txn.sweep(1000);
    }),
    ("FLUSHALL", |_| ()),
];

fn whoever_removes_does_not_free() {
    let later = Later::start().expect("a thread");
    let keyspace = Keyspace::new(4, 1, Clock::manual(NOW_MS), later.clone(), 1);
    let makers: [fn() -> Value; 5] = [
        || list().into_value(),
        || hash().into_value(),
        || set().into_value(),
        || zset().into_value(),
        || stream().into_value(),
    ];
    for make in makers {
        let value = make();
        for (way, remove) in WAYS {
            // The copy keeps the elements, so that only handing over is done here.
            one(&keyspace).insert(b"k", value.clone(), Deadline::Clear);
            later.wait();
            later.reset_freed();
            remove(&mut one(&keyspace));
            if *way == "FLUSHALL" {
                Txn::all(&keyspace, 0, NOW_MS).flush(0..1, true);
            }
            later.wait();
            assert_eq!(later.freed_objects(), 1, "{way} of a {:?} hands it over", value.kind());
            one(&keyspace).delete(b"k");
        }
    }
}

#[test]
fn big_values_are_shared_and_freed_elsewhere() {
    copies_share_and_changes_copy_little();
    whoever_removes_does_not_free();
}
