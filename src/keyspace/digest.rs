//! DEBUG DIGEST: 20 bytes that are equal for equal data.
//!
//! The scheme is Redis', so that digests of two servers can be compared: SHA-1 values are combined by XOR where order
//! does not matter (keys, set members, fields) and by hashing the running digest where it does (list elements, the
//! parts of one pair). Deadlines count only as being there or not.

use super::entry::Entry;
use crate::base::num::format_f64;
use crate::types::packed::listpack::LpValue;
use crate::types::stream::StreamId;
use crate::types::{Kind, ValueRef};
use sha1::{Digest as _, Sha1};

/// A digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(pub [u8; 20]);

impl Digest {
    /// Adds something without regard to order.
    pub fn add(&mut self, bytes: &[u8]) {
        let hash: [u8; 20] = Sha1::digest(bytes).into();
        self.0.iter_mut().zip(hash).for_each(|(d, h)| *d ^= h);
    }
    /// Adds something in order.
    pub fn mix(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = Sha1::digest(self.0).into();
    }
    fn mix_value(&mut self, value: LpValue<'_>) {
        self.mix(value.to_bytes(&mut itoa::Buffer::new()));
    }
    fn add_value(&mut self, value: LpValue<'_>) {
        self.add(value.to_bytes(&mut itoa::Buffer::new()));
    }
    /// As 40 hex digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Redis' numbers of the types.
fn type_number(kind: Kind) -> u32 {
    match kind {
        Kind::Str => 0,
        Kind::List => 1,
        Kind::Set => 2,
        Kind::ZSet => 3,
        Kind::Hash => 4,
        Kind::Stream => 6,
    }
}

/// Adds the digest of an entry's value and of its having a deadline.
pub fn add_value(digest: &mut Digest, entry: &Entry) {
    digest.mix(&type_number(entry.kind()).to_be_bytes());
    match entry.value() {
        ValueRef::Str(text) => digest.mix(text.as_bytes(&mut itoa::Buffer::new())),
        ValueRef::List(list) => list.range(0, list.len(), |v| digest.mix_value(v)),
        ValueRef::Set(set) => set.iter().for_each(|m| digest.add_value(m)),
        ValueRef::ZSet(zset) => {
            for scored in zset.iter_all() {
                let mut pair = Digest::default();
                pair.mix_value(scored.member);
                pair.mix(&format_f64(scored.score));
                digest.add(&pair.0);
            }
        }
        ValueRef::Hash(hash) => {
            for field in hash.iter() {
                let mut pair = Digest::default();
                pair.mix_value(field.name);
                pair.mix_value(field.value);
                if field.deadline.is_some() {
                    pair.add(b"!!hexpire!!");
                }
                digest.add(&pair.0);
            }
        }
        ValueRef::Stream(stream) => {
            for item in stream.log().range(StreamId::MIN, StreamId::MAX) {
                digest.mix(format!("{}.{}", item.id.ms, item.id.seq).as_bytes());
                for (name, value) in item.pairs() {
                    digest.mix_value(name);
                    digest.mix_value(value);
                }
            }
        }
    }
    if entry.expiry().is_some() {
        digest.add(b"!!expire!!");
    }
}

/// The digest of one entry within its database.
pub fn of_entry(entry: &Entry) -> Digest {
    let mut digest = Digest::default();
    digest.mix(entry.key());
    add_value(&mut digest, entry);
    digest
}
