//! Bytes to values, distrustful: every type and packed layout that versions through 12 may hold.
//!
//! What was stored packed stays so if it is within the limits of now, as in Redis; what was stored one by one grows from
//! the smallest form. A duplicate, a score that is no number, an unsound packed layout or a collection without elements
//! refuses the whole value.

use super::code::{NODE_PACKED, NODE_PLAIN, RdbError, RdbString, Reader, Result, Source, ValueType};
use super::{legacy, stream};
use crate::types::Value;
use crate::types::hash::{Deadline, Hash, HashLimits};
use crate::types::list::{End, List, ListLimits};
use crate::types::packed::intset::Intset;
use crate::types::packed::listpack::Listpack;
use crate::types::set::{Set, SetLimits};
use crate::types::string::NewStr;
use crate::types::zset::{Added, ZSet, ZSetLimits};

/// Deadlines of fields are below this (48 bits of milliseconds).
const FIELD_DEADLINE_MAX: u64 = (1 << 48) - 1;

/// How far the small forms of collections go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of lists.
    pub list: ListLimits,
    /// Of sets.
    pub set: SetLimits,
    /// Of hashes.
    pub hash: HashLimits,
    /// Of sorted sets.
    pub zset: ZSetLimits,
}

/// What was read.
#[derive(Clone)]
pub enum Loaded {
    /// A string.
    Str(NewStr<'static>),
    /// A collection.
    Value(Value),
}

/// Reads a value that was announced by this type.
pub fn value<S: Source>(input: &mut Reader<'_, S>, value_type: ValueType, limits: &Limits) -> Result<Loaded> {
    let value = match value_type {
        ValueType::Str => return read_string(input).map(Loaded::Str),
        ValueType::List => Value::List(read_list(input, &limits.list)?),
        ValueType::ListZiplist => Value::List(list_of_ziplist(input, &limits.list)?),
        ValueType::ListQuicklist => Value::List(read_quicklist_1(input, &limits.list)?),
        ValueType::ListQuicklist2 => Value::List(read_quicklist_2(input, &limits.list)?),
        ValueType::Set => Value::Set(read_set(input, &limits.set)?),
        ValueType::SetIntset => Value::Set(set_of_intset(input, &limits.set)?),
        ValueType::SetListpack => Value::Set(set_of_listpack(input, &limits.set)?),
        ValueType::ZSet => Value::ZSet(read_zset(input, |input| input.text_double(), 2, &limits.zset)?),
        ValueType::ZSet2 => Value::ZSet(read_zset(input, |input| input.double(), 9, &limits.zset)?),
        ValueType::ZSetZiplist => Value::ZSet(packed_zset(legacy::ziplist(&input.string()?)?, &limits.zset)?),
        ValueType::ZSetListpack => Value::ZSet(packed_zset(input.listpack()?, &limits.zset)?),
        ValueType::Hash => Value::Hash(read_hash(input, &limits.hash)?),
        ValueType::HashZipmap => Value::Hash(hash_of_pairs(&legacy::zipmap(&input.string()?)?, &limits.hash)?),
        ValueType::HashZiplist => Value::Hash(packed_hash(legacy::ziplist(&input.string()?)?, &limits.hash)?),
        ValueType::HashListpack => Value::Hash(packed_hash(input.listpack()?, &limits.hash)?),
        ValueType::HashMetadata => {
            let earliest = deadline_base(input)?;
            Value::Hash(read_timed_hash(input, |ttl| earliest.checked_add(ttl)?.checked_sub(1), &limits.hash)?)
        }
        ValueType::HashMetadataPreGa => Value::Hash(read_timed_hash(input, Some, &limits.hash)?),
        ValueType::HashListpackEx => {
            deadline_base(input)?;
            Value::Hash(packed_timed_hash(input, &limits.hash)?)
        }
        ValueType::HashListpackExPreGa => Value::Hash(packed_timed_hash(input, &limits.hash)?),
        ValueType::StreamListpacks | ValueType::StreamListpacks2 | ValueType::StreamListpacks3 => {
            Value::Stream(stream::read(input, value_type)?)
        }
    };
    Ok(Loaded::Value(value))
}

/// A string, as an integer if it is one.
fn read_string<S: Source>(input: &mut Reader<'_, S>) -> Result<NewStr<'static>> {
    Ok(match input.stored_string()? {
        RdbString::Int(int) => NewStr::Int(int),
        RdbString::Bytes(text) => match NewStr::from_bytes(&text) {
            NewStr::Int(int) => NewStr::Int(int),
            _ => NewStr::Shared(text.into()),
        },
    })
}

fn not_empty<T>(value: T, is_empty: bool) -> Result<T> {
    if is_empty { Err(RdbError::Empty) } else { Ok(value) }
}

// Lists.

fn read_list<S: Source>(input: &mut Reader<'_, S>, limits: &ListLimits) -> Result<List> {
    let count = input.elements(1)?;
    let mut list = List::new();
    for _ in 0..count {
        let text = input.string()?;
        list.grow_for(1, text.len(), limits);
        list.push(End::Back, &text, limits);
    }
    list.settle(limits);
    Ok(list)
}

fn list_of_ziplist<S: Source>(input: &mut Reader<'_, S>, limits: &ListLimits) -> Result<List> {
    let list = List::from_listpack(legacy::ziplist(&input.string()?)?, limits);
    let is_empty = list.is_empty();
    not_empty(list, is_empty)
}

fn read_quicklist_1<S: Source>(input: &mut Reader<'_, S>, limits: &ListLimits) -> Result<List> {
    let nodes = input.elements(1)?;
    let mut list = List::new();
    for _ in 0..nodes {
        list.push_listpack(legacy::ziplist(&input.string()?)?, limits);
    }
    settled(list, limits)
}

fn read_quicklist_2<S: Source>(input: &mut Reader<'_, S>, limits: &ListLimits) -> Result<List> {
    let nodes = input.elements(2)?;
    let mut list = List::new();
    for _ in 0..nodes {
        match input.length()? {
            NODE_PLAIN => list.push_plain(&not_empty_text(input.string()?)?, limits),
            NODE_PACKED => list.push_listpack(input.listpack()?, limits),
            _ => return Err(RdbError::Malformed("an unknown kind of list node")),
        }
    }
    settled(list, limits)
}

/// A node of its own is for a large element.
fn not_empty_text(text: Vec<u8>) -> Result<Vec<u8>> {
    if text.is_empty() { Err(RdbError::Malformed("an empty list node")) } else { Ok(text) }
}

fn settled(mut list: List, limits: &ListLimits) -> Result<List> {
    list.settle(limits);
    let is_empty = list.is_empty();
    not_empty(list, is_empty)
}

// Sets.

const DOUBLE_MEMBER: RdbError = RdbError::Malformed("a member twice in a set");

fn read_set<S: Source>(input: &mut Reader<'_, S>, limits: &SetLimits) -> Result<Set> {
    let count = input.elements(1)?;
    let mut set = Set::default();
    set.expect(count, limits);
    for _ in 0..count {
        if !set.add(&input.string()?, limits) {
            return Err(DOUBLE_MEMBER);
        }
    }
    Ok(set)
}

fn set_of_intset<S: Source>(input: &mut Reader<'_, S>, limits: &SetLimits) -> Result<Set> {
    let bytes = input.string()?;
    let ints = Intset::from_bytes(&bytes).map_err(|_| RdbError::Malformed("an unsound intset"))?;
    Ok(within_limits(Set::Ints(ints), limits))
}

fn set_of_listpack<S: Source>(input: &mut Reader<'_, S>, limits: &SetLimits) -> Result<Set> {
    let set = Set::from_listpack(input.listpack()?).ok_or(DOUBLE_MEMBER)?;
    let is_empty = set.is_empty();
    not_empty(within_limits(set, limits), is_empty)
}

fn within_limits(mut set: Set, limits: &SetLimits) -> Set {
    set.expect(set.len(), limits);
    set
}

// Sorted sets.

/// Members one by one, each followed by what `score` reads; a pair takes at least `pair_bytes`.
fn read_zset<S: Source>(
    input: &mut Reader<'_, S>,
    score: impl Fn(&mut Reader<'_, S>) -> Result<f64>,
    pair_bytes: u64,
    limits: &ZSetLimits,
) -> Result<ZSet> {
    let count = input.elements(pair_bytes)?;
    let mut zset = ZSet::for_members(count, 0, limits);
    for _ in 0..count {
        let member = input.string()?;
        let score = score(input)?;
        match zset.set(&member, score, limits) {
            Added::New(_) if !score.is_nan() => {}
            _ => return Err(RdbError::Malformed("a member twice in a sorted set, or a score that is no number")),
        }
    }
    Ok(zset)
}

fn packed_zset(pairs: Listpack, limits: &ZSetLimits) -> Result<ZSet> {
    let unsound = RdbError::Malformed("a sorted set with a member twice or a score that is no number");
    let mut zset = ZSet::from_listpack(pairs).ok_or(unsound)?;
    zset.expect(zset.len(), limits);
    let is_empty = zset.is_empty();
    not_empty(zset, is_empty)
}

// Hashes.

const DOUBLE_FIELD: RdbError = RdbError::Malformed("a field twice in a hash");

fn read_hash<S: Source>(input: &mut Reader<'_, S>, limits: &HashLimits) -> Result<Hash> {
    let count = input.elements(2)?;
    let mut hash = hash_for(count, limits);
    for _ in 0..count {
        let (name, value) = (input.string()?, input.string()?);
        set_field(&mut hash, &name, &value, Deadline::None, limits)?;
    }
    Ok(hash)
}

/// Fields one by one, each behind what `deadline` makes a deadline of; 0 is none.
fn read_timed_hash<S: Source>(
    input: &mut Reader<'_, S>,
    deadline: impl Fn(u64) -> Option<u64>,
    limits: &HashLimits,
) -> Result<Hash> {
    let count = input.elements(3)?;
    let mut hash = hash_for(count, limits);
    for _ in 0..count {
        let deadline = match input.length()? {
            0 => Deadline::None,
            // The sum may be 0, too, and that is none.
            ttl => match checked_deadline(deadline(ttl))? {
                0 => Deadline::None,
                at => Deadline::At(at),
            },
        };
        let (name, value) = (input.string()?, input.string()?);
        set_field(&mut hash, &name, &value, deadline, limits)?;
    }
    Ok(hash)
}

fn hash_for(count: usize, limits: &HashLimits) -> Hash {
    let mut hash = Hash::new();
    if count > limits.listpack_entries {
        hash.convert_to_table();
    }
    hash
}

fn set_field(hash: &mut Hash, name: &[u8], value: &[u8], deadline: Deadline, limits: &HashLimits) -> Result<()> {
    if hash.set(name, value, deadline, limits) { Ok(()) } else { Err(DOUBLE_FIELD) }
}

fn hash_of_pairs(pairs: &Listpack, limits: &HashLimits) -> Result<Hash> {
    let mut hash = hash_for(pairs.len() / 2, limits);
    for (name, value) in pairs.pairs() {
        set_field(&mut hash, &name.to_vec(), &value.to_vec(), Deadline::None, limits)?;
    }
    let is_empty = hash.is_empty();
    not_empty(hash, is_empty)
}

fn packed_hash(pairs: Listpack, limits: &HashLimits) -> Result<Hash> {
    hash_within_limits(Hash::from_listpack(pairs), limits)
}

fn packed_timed_hash<S: Source>(input: &mut Reader<'_, S>, limits: &HashLimits) -> Result<Hash> {
    let hash = Hash::from_listpack_ex(input.listpack()?);
    if let Some(hash) = &hash {
        hash.iter().try_for_each(|field| field.deadline.map_or(Ok(()), |at| checked_deadline(Some(at)).map(drop)))?;
    }
    hash_within_limits(hash, limits)
}

fn hash_within_limits(hash: Option<Hash>, limits: &HashLimits) -> Result<Hash> {
    let mut hash = hash.ok_or(RdbError::Malformed("a hash with a field twice, an odd end or a false deadline"))?;
    if hash.len() > limits.listpack_entries {
        hash.convert_to_table();
    }
    let is_empty = hash.is_empty();
    not_empty(hash, is_empty)
}

fn deadline_base<S: Source>(input: &mut Reader<'_, S>) -> Result<u64> {
    checked_deadline(u64::try_from(input.millis()?).ok())
}

fn checked_deadline(deadline: Option<u64>) -> Result<u64> {
    deadline.filter(|&at| at <= FIELD_DEADLINE_MAX).ok_or(RdbError::Malformed("a deadline out of range"))
}
