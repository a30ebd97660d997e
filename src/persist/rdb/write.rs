//! Values to bytes, in the lowest version that can hold them.
//!
//! | value | written as | version |
//! |---|---|---|
//! | list | quicklist 2, a listpack being its one node | 10 |
//! | set | intset, or members one by one (a listpack too: its own type is of version 11) | 10 |
//! | sorted set, hash | listpack, or elements one by one | 10 |
//! | hash with deadlines | listpack of triples, or fields with relative deadlines | 12 |
//! | stream | stream 2, or 3 if a consumer was active at another time than it was seen | 10, 11 |

use super::code::{NODE_PACKED, NODE_PLAIN, Sink, ValueType, Writer};
use super::stream;
use crate::types::ValueRef;
use crate::types::hash::{Field, Hash};
use crate::types::list::{List, NodeBytes};
use crate::types::packed::listpack::LpValue;
use crate::types::set::Set;
use crate::types::string::StrRef;
use crate::types::zset::ZSet;

/// The type byte to write before this value.
pub fn type_of(value: &ValueRef<'_>) -> ValueType {
    match value {
        ValueRef::Str(_) => ValueType::Str,
        ValueRef::List(_) => ValueType::ListQuicklist2,
        ValueRef::Set(set) => {
            if matches!(**set, Set::Ints(_)) {
                ValueType::SetIntset
            } else {
                ValueType::Set
            }
        }
        ValueRef::ZSet(zset) => {
            if matches!(**zset, ZSet::Packed(_)) {
                ValueType::ZSetListpack
            } else {
                ValueType::ZSet2
            }
        }
        ValueRef::Hash(hash) => type_of_hash(hash),
        ValueRef::Stream(stream) => stream::type_of(stream),
    }
}

fn type_of_hash(hash: &Hash) -> ValueType {
    match (hash, hash.next_deadline()) {
        (Hash::Packed(_), _) => ValueType::HashListpack,
        (_, None) => ValueType::Hash,
        (Hash::PackedEx(_), Some(_)) => ValueType::HashListpackEx,
        (Hash::Table(_), Some(_)) => ValueType::HashMetadata,
    }
}

/// Writes a value as [`type_of`] announces it, without the type byte.
pub fn value<S: Sink>(out: &mut Writer<'_, S>, value: ValueRef<'_>) {
    match value {
        ValueRef::Str(StrRef::Int(int)) => out.int_string(int),
        ValueRef::Str(text) => out.string(text.as_bytes(&mut itoa::Buffer::new())),
        ValueRef::List(list) => write_list(out, &list),
        ValueRef::Set(set) => write_set(out, &set),
        ValueRef::ZSet(zset) => write_zset(out, &zset),
        ValueRef::Hash(hash) => write_hash(out, &hash),
        ValueRef::Stream(stream) => stream::write(out, stream),
    }
}

fn element<S: Sink>(out: &mut Writer<'_, S>, value: LpValue<'_>) {
    match value {
        LpValue::Int(int) => out.int_string(int),
        LpValue::Str(text) => out.string(text),
    }
}

fn write_list<S: Sink>(out: &mut Writer<'_, S>, list: &List) {
    out.length(list.node_count() as u64);
    list.for_each_node(|node| {
        let (held, bytes) = match node {
            NodeBytes::Plain(bytes) => (NODE_PLAIN, bytes),
            NodeBytes::Packed(bytes) => (NODE_PACKED, bytes),
        };
        out.length(held);
        out.string(bytes);
    });
}

fn write_set<S: Sink>(out: &mut Writer<'_, S>, set: &Set) {
    if let Set::Ints(ints) = set {
        return out.string(ints.as_bytes());
    }
    out.length(set.len() as u64);
    set.iter().for_each(|member| element(out, member));
}

fn write_zset<S: Sink>(out: &mut Writer<'_, S>, zset: &ZSet) {
    if let ZSet::Packed(listpack) = zset {
        return out.string(listpack.as_bytes());
    }
    out.length(zset.len() as u64);
    // From the top down: the original's reader then always inserts at the head of its list.
    for scored in zset.iter_back(0..zset.len()) {
        element(out, scored.member);
        out.double(scored.score);
    }
}

fn write_hash<S: Sink>(out: &mut Writer<'_, S>, hash: &Hash) {
    match (hash, hash.next_deadline()) {
        (Hash::Packed(pairs), _) => out.string(pairs.as_bytes()),
        (Hash::PackedEx(triples), Some(earliest)) => {
            out.millis(earliest as i64);
            out.string(triples.as_bytes());
        }
        (_, None) => {
            out.length(hash.len() as u64);
            hash.iter().for_each(|field| write_field(out, &field));
        }
        (_, Some(earliest)) => {
            out.millis(earliest as i64);
            out.length(hash.len() as u64);
            for field in hash.iter() {
                out.length(field.deadline.map_or(0, |deadline| deadline - earliest + 1));
                write_field(out, &field);
            }
        }
    }
}

fn write_field<S: Sink>(out: &mut Writer<'_, S>, field: &Field<'_>) {
    element(out, field.name);
    element(out, field.value);
}
