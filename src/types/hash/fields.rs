//! The table of a big hash: fields by name, and those with a deadline by deadline.
//!
//! An item of the table is
//! ```text
//! [ head: 7-bit groups, (name length << 1) | has deadline ] [ name ] [ deadline: u64, ms, if it has one ] [ value ]
//! ```
//! The second index is a tree of (deadline, hash of the name): 16 bytes per field with a deadline, none for others. A name
//! is found again by its hash, and checked against the deadline, so two names with one hash do no harm.

use super::{Deadline, Field};
use crate::base::hash::key_hash;
use crate::types::packed::listpack::LpValue;
use crate::types::tree::rank::RankTree;
use crate::types::tree::slots::{Format, Slots};
use crate::types::tree::table::Table;
use bytes::Bytes;

/// Fields by hash and by deadline.
#[derive(Clone, Default)]
pub struct Fields {
    table: Table<Slots<Named>>,
    /// There while a field has a deadline.
    deadlines: Option<RankTree<(u64, u64)>>,
}

/// Items that start with a field's name.
#[derive(Clone)]
pub struct Named;

impl Format for Named {
    fn key(item: &[u8]) -> &[u8] {
        let (head, at) = read_head(item);
        &item[at..at + (head >> 1)]
    }
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes on the heap beyond the struct itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.table.heap_bytes() + self.deadlines.as_ref().map_or(0, RankTree::heap_bytes)
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        let hash = key_hash(name);
        let page = self.table.page(hash);
        page.find(hash, name).map(|at| parse(page.item(at)))
    }

    /// The value of a field as shared bytes, if it is long enough to be kept so.
    pub(super) fn shared(&self, name: &[u8]) -> Option<Bytes> {
        let hash = key_hash(name);
        let page = self.table.page(hash);
        let item = page.shared(page.find(hash, name)?)?;
        let LpValue::Str(value) = parse(item).value else { return None };
        Some(item.slice_ref(value))
    }

    pub(super) fn at(&self, rank: usize) -> Option<Field<'_>> {
        self.table.at(rank).map(|(page, at)| parse(page.item(at)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.table.pages().flat_map(|page| page.items().map(parse))
    }

    pub(super) fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(Field<'_>)) -> u64 {
        self.table.scan(cursor, count, |page, at| each(parse(page.item(at))))
    }

    /// Sets a field; true if it is new.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8], deadline: Deadline) -> bool {
        let hash = key_hash(name);
        let page = self.table.page(hash);
        let at = page.find(hash, name);
        let old = at.and_then(|at| parse(page.item(at)).deadline);
        let new = deadline.after(old);
        self.put(hash, at, name, value, new);
        self.index(hash, old, new);
        at.is_none()
    }

    /// Gives a field another deadline or none; false if there is no such field.
    pub(super) fn set_deadline(&mut self, name: &[u8], new: Option<u64>) -> bool {
        let hash = key_hash(name);
        let page = self.table.page(hash);
        let Some(at) = page.find(hash, name) else { return false };
        let field = parse(page.item(at));
        let old = field.deadline;
        if old != new {
            let value = field.value.to_vec();
            self.put(hash, Some(at), name, &value, new);
            self.index(hash, old, new);
        }
        true
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        let hash = key_hash(name);
        let page = self.table.page(hash);
        let Some(at) = page.find(hash, name) else { return false };
        let old = parse(page.item(at)).deadline;
        self.index(hash, old, None);
        self.table.edit(hash, |page| page.remove(at));
        self.table.settle(hash);
        true
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        Some(self.deadlines.as_ref()?.get(0)?.0)
    }

    /// The name of the field whose deadline is next.
    pub(super) fn next_due(&self) -> Option<&[u8]> {
        let (deadline, hash) = *self.deadlines.as_ref()?.get(0)?;
        let page = self.table.page(hash);
        let is_it = |item: &[u8]| parse(item).deadline == Some(deadline) && key_hash(Named::key(item)) == hash;
        page.find_that(hash, is_it).map(|at| Named::key(page.item(at)))
    }

    /// How many fields have a deadline.
    pub(super) fn with_deadline(&self) -> usize {
        self.deadlines.as_ref().map_or(0, RankTree::len)
    }

    fn put(&mut self, hash: u64, at: Option<usize>, name: &[u8], value: &[u8], deadline: Option<u64>) {
        let mut head = [0; HEAD_BYTES_MAX];
        let head = write_head(&mut head, name.len() << 1 | usize::from(deadline.is_some()));
        let stamp = deadline.unwrap_or(0).to_le_bytes();
        let stamp = if deadline.is_some() { &stamp[..] } else { &[] };
        let parts = [head, name, stamp, value];
        let Some(at) = at else {
            self.table.make_room(hash, parts.iter().map(|part| part.len()).sum());
            return self.table.edit(hash, |page| page.push(hash, &parts));
        };
        self.table.edit(hash, |page| page.replace(at, &parts));
    }

    fn index(&mut self, hash: u64, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        let tree = self.deadlines.get_or_insert_default();
        if let Some(old) = old {
            tree.remove(&(old, hash));
        }
        if let Some(new) = new {
            tree.insert((new, hash));
        }
        if tree.is_empty() {
            self.deadlines = None;
        }
    }
}

fn parse(item: &[u8]) -> Field<'_> {
    let (head, at) = read_head(item);
    let (name, rest) = item[at..].split_at(head >> 1);
    let (deadline, value) = match rest.split_first_chunk::<8>() {
        Some((stamp, value)) if head & 1 == 1 => (Some(u64::from_le_bytes(*stamp)), value),
        _ => (None, rest),
    };
    Field { name: LpValue::Str(name), value: LpValue::Str(value), deadline }
}

/// A name of up to 512 MiB, shifted by one.
const HEAD_BYTES_MAX: usize = 5;

fn write_head(out: &mut [u8; HEAD_BYTES_MAX], mut head: usize) -> &[u8] {
    let mut len = 0;
    while head >= 0x80 {
        out[len] = head as u8 | 0x80;
        head >>= 7;
        len += 1;
    }
    out[len] = head as u8;
    &out[..=len]
}

/// The head, and where the name starts.
fn read_head(item: &[u8]) -> (usize, usize) {
    let (mut head, mut at) = (0, 0);
    loop {
        let byte = item[at];
        head |= usize::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte < 0x80 {
            return (head, at);
        }
    }
}

#[cfg(test)]
impl Fields {
    /// Checks that both indexes hold the same deadlines and the counters are right.
    pub(super) fn check(&self) {
        let mut stamps: Vec<(u64, u64)> =
            self.iter().filter_map(|field| Some((field.deadline?, key_hash(&field.name.to_vec())))).collect();
        stamps.sort_unstable();
        assert!(self.deadlines.iter().flat_map(RankTree::iter).copied().eq(stamps));
        assert_eq!(self.table.heap_bytes(), self.table.counted_bytes());
    }
}
