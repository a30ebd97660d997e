//! The stream: entries by id in packed blocks, and the consumer groups that read them.
//!
//! ```text
//! Stream ──Arc──► Log      ids and counters; B+ tree: block id ──► Arc'd listpack of up to ~100 entries; the last one
//!                 groups   B+ tree: name ──► Arc'd Group (see `types::group`)
//! ```
//! A stream is one pointer. All that it is made of is shared and copied on change, so a clone is O(1) and a change after
//! it copies one block and the tree nodes above. [`Stream::heap_bytes`] is kept with every change.
//!
//! Reading order: [`id`](StreamId), `block` (the bytes), [`log`](Log) (adding, deleting, trimming), `range` (walking).

mod block;
pub mod id;
pub mod log;
mod range;
#[cfg(test)]
mod tests;

pub use block::Entry;
pub use id::{IdText, NewId, StreamId};
pub use log::{AddError, BlockLimits, Log, Trim, TrimUntil};
pub use range::{Range, RangeBack};

use crate::types::group::{Group, name_bytes};
use crate::types::tree::ordered::Ordered;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Why foreign bytes are no block of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A stream, behind one pointer.
#[derive(Clone, Default)]
pub struct Stream {
    inner: Arc<Inner>,
}

const _: () = assert!(size_of::<Option<Stream>>() == 8);

#[derive(Clone, Default)]
struct Inner {
    log: Log,
    groups: Groups,
}

#[derive(Clone, Default)]
struct Groups {
    by_name: Ordered<Arc<[u8]>, Arc<Group>>,
    /// What the groups and their names take, without the nodes of `by_name`.
    bytes: usize,
}

fn group_bytes(group: &Group) -> usize {
    size_of::<Group>() + 16 + group.heap_bytes()
}

impl Stream {
    /// A stream without entries and groups.
    pub fn new() -> Stream {
        Stream::default()
    }

    /// Its entries.
    pub fn log(&self) -> &Log {
        &self.inner.log
    }

    /// Its entries, to change them.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut Arc::make_mut(&mut self.inner).log
    }

    /// Where its memory begins, without looking at it.
    #[inline]
    pub fn address(&self) -> *const u8 {
        Arc::as_ptr(&self.inner).cast()
    }

    /// What adding an entry looks at behind [`Stream::address`], which must be there.
    #[inline]
    pub fn end_addresses(&self) -> Option<[*const u8; 4]> {
        self.inner.log.end_addresses()
    }

    /// What the stream takes from the allocator, in bytes. O(1).
    pub fn heap_bytes(&self) -> usize {
        let Inner { log, groups } = &*self.inner;
        size_of::<Inner>() + 16 + log.heap_bytes() + groups.by_name.heap_bytes() + groups.bytes
    }

    /// A number that grows with the work of freeing the stream: blocks, groups, pending entries.
    pub fn free_effort(&self) -> usize {
        let groups = self.groups().map(|(_, group)| group.consumer_count() * (1 + group.pending_count()));
        self.log().block_count() + groups.sum::<usize>()
    }

    // Groups.

    /// The number of groups.
    pub fn group_count(&self) -> usize {
        self.inner.groups.by_name.len()
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.inner.groups.by_name.iter().map(|(name, group)| (&**name, &**group))
    }

    /// The group with this name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.inner.groups.by_name.get(name).map(|group| &**group)
    }

    /// The group with this name, to change it, and the entries it reads.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<(GroupMut<'_>, &Log)> {
        self.group(name)?;
        let Inner { log, groups } = Arc::make_mut(&mut self.inner);
        let group = groups.by_name.get_mut(name)?;
        let before = group_bytes(group);
        Some((GroupMut { group: Arc::make_mut(group), before, total: &mut groups.bytes }, log))
    }

    /// Adds a group; false if there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.group(name).is_some() {
            return false;
        }
        let groups = &mut Arc::make_mut(&mut self.inner).groups;
        groups.bytes += group_bytes(&group) + name_bytes(name);
        groups.by_name.insert(name.into(), Arc::new(group));
        true
    }

    /// Takes a group out, if there is one of that name.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Arc<Group>> {
        self.group(name)?;
        let groups = &mut Arc::make_mut(&mut self.inner).groups;
        let removed = groups.by_name.remove(name)?;
        groups.bytes -= group_bytes(&removed) + name_bytes(name);
        Some(removed)
    }
}

/// A group under change: when dropped, the stream's size is brought up to date.
pub struct GroupMut<'a> {
    group: &'a mut Group,
    before: usize,
    total: &'a mut usize,
}

impl Deref for GroupMut<'_> {
    type Target = Group;

    fn deref(&self) -> &Group {
        self.group
    }
}

impl DerefMut for GroupMut<'_> {
    fn deref_mut(&mut self) -> &mut Group {
        self.group
    }
}

impl Drop for GroupMut<'_> {
    fn drop(&mut self) {
        *self.total = *self.total + group_bytes(self.group) - self.before;
    }
}
