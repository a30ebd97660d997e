//! The list: one listpack while small, a chain of packed nodes beyond.
//!
//! ```text
//!   List ─┬─► listpack                                                          "listpack"
//!         └─► Arc<Chain> ─► runs of up to 128 ─► Arc<Node>: listpack | plain     "quicklist"
//! ```
//! The two forms and the points of conversion are Redis' ([`List::grow_for`], [`List::shrink`]): a list becomes a chain
//! when what is about to be added would pass `list-max-listpack-size`, and a listpack again when removals leave one
//! packed node of at most half that limit.
//!
//! A clone is cheap: it copies the listpack or one pointer, and a later change copies only the runs and the
//! node it touches. So a snapshot, COPY, or freeing a huge list elsewhere costs the keyspace nothing.

mod chain;
mod node;
#[cfg(test)]
mod tests;

use crate::types::Packing;
use crate::types::packed::listpack::{Listpack, LpValue, Needle};
use crate::types::packed::thin::Lent;
use chain::Chain;
pub use node::NodeBytes;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The directives that shape lists, read once per command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// `list-max-listpack-size`: entries per node if positive (0 is 1), else -1..-5 for 4, 8, 16, 32, 64 KiB.
    pub max_listpack_size: i64,
    /// `list-compress-depth`: how many nodes at each end stay uncompressed; 0 compresses none.
    pub compress_depth: usize,
    /// DEBUG QUICKLIST-PACKED-THRESHOLD: elements of this many bytes get a node of their own; 0 leaves it to the size
    /// limit.
    pub packed_threshold: usize,
}

/// The size limit of a node whose limit is a number of entries, in bytes.
const SAFETY_BYTES: usize = 8192;

impl ListLimits {
    /// The bytes and entries that a node may have; `usize::MAX` for the one that is not limited.
    fn of_node(&self) -> (usize, usize) {
        match self.max_listpack_size {
            0 => (usize::MAX, 1),
            entries @ 1.. => (usize::MAX, entries as usize),
            level => (4096 << (-level - 1).min(4), usize::MAX),
        }
    }

    /// Whether a listpack of `bytes` and `entries` is past the limit of a node.
    fn exceeded_by(&self, bytes: usize, entries: usize) -> bool {
        match self.of_node() {
            (usize::MAX, entries_max) => bytes > SAFETY_BYTES || entries > entries_max,
            (bytes_max, _) => bytes > bytes_max,
        }
    }

    /// Whether an element of `bytes` gets a node of its own.
    fn is_large(&self, bytes: usize) -> bool {
        match (self.packed_threshold, self.of_node().0) {
            (0, usize::MAX) => bytes > SAFETY_BYTES,
            (0, bytes_max) => bytes > bytes_max,
            (threshold, _) => bytes >= threshold,
        }
    }
}

impl Default for ListLimits {
    fn default() -> Self {
        ListLimits { max_listpack_size: -2, compress_depth: 0, packed_threshold: 0 }
    }
}

/// An end of a list: `LEFT` or `RIGHT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The head.
    Front,
    /// The tail.
    Back,
}

/// Where an element goes in respect of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Just before it.
    Before,
    /// Just behind it.
    After,
}

/// What a list key holds. An empty list is legal here; the keyspace does not keep one.
#[derive(Clone, Debug)]
pub struct List {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Packed(Listpack),
    Chain(Arc<Chain>),
}

const _: () = assert!(size_of::<List>() <= 24);

impl List {
    /// An empty list.
    pub fn new() -> List {
        List { form: Form::Packed(Listpack::new()) }
    }

    /// A list of one listpack, in the form its size asks for.
    pub fn from_listpack(lp: Listpack, limits: &ListLimits) -> List {
        let mut list = List { form: Form::Packed(lp) };
        list.grow_for(0, 0, limits);
        list
    }

    /// A small list in a block that is lent.
    #[inline]
    pub fn within(lent: Lent) -> List {
        List { form: Form::Packed(Listpack::within(lent)) }
    }

    /// The bytes of a small list.
    pub fn packed(&self) -> Option<(Packing, &[u8])> {
        match &self.form {
            Form::Packed(lp) => Some((Packing::Listpack, lp.as_bytes())),
            Form::Chain(_) => None,
        }
    }

    /// The loan back, if this is still in the block that was lent.
    #[inline]
    pub fn into_lent(self) -> Result<(Packing, Lent), Self> {
        match self.form {
            Form::Packed(lp) => match lp.into_lent() {
                Ok(lent) => Ok((Packing::Listpack, lent)),
                Err(lp) => Err(List { form: Form::Packed(lp) }),
            },
            form @ Form::Chain(_) => Err(List { form }),
        }
    }

    /// OBJECT ENCODING's name of the form.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Packed(_) => "listpack",
            Form::Chain(_) => "quicklist",
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(lp) => lp.len(),
            Form::Chain(chain) => chain.len(),
        }
    }

    /// True if there is no element.
    pub fn is_empty(&self) -> bool {
        match &self.form {
            Form::Packed(lp) => lp.is_empty(),
            Form::Chain(chain) => chain.len() == 0,
        }
    }

    /// Where its memory begins, without looking at it.
    #[inline]
    pub fn address(&self) -> *const u8 {
        match &self.form {
            Form::Packed(lp) => lp.address(),
            Form::Chain(chain) => Arc::as_ptr(chain).cast(),
        }
    }

    /// What the list takes from the allocator, in bytes; O(1). Nodes shared with a copy count in both.
    pub fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(lp) => lp.heap_bytes(),
            Form::Chain(chain) => chain.heap_bytes(),
        }
    }

    /// The number of nodes; 1 for a listpack.
    pub fn node_count(&self) -> usize {
        match &self.form {
            Form::Packed(_) => 1,
            Form::Chain(chain) => chain.node_count(),
        }
    }

    /// Converts a listpack to a chain if `count` more elements of `bytes` in sum would pass the limit. Commands that add
    /// call this first, once for all they add.
    pub fn grow_for(&mut self, count: usize, bytes: usize, limits: &ListLimits) {
        let Form::Packed(lp) = &mut self.form else { return };
        if limits.exceeded_by(lp.bytes() + bytes, lp.len() + count) {
            let chain = Chain::of_listpack(std::mem::take(lp).into_own());
            self.form = Form::Chain(Arc::new(chain));
        }
    }

    /// Converts a chain of one packed node to a listpack if it is within half the limit. Every removal here ends so.
    pub fn shrink(&mut self, limits: &ListLimits) {
        let (bytes_max, entries_max) = limits.of_node();
        self.unchain_within(bytes_max / 2, entries_max / 2);
    }

    /// Converts to whichever form suits the size: what a list built elsewhere (SORT STORE, a loaded file) is given.
    pub fn settle(&mut self, limits: &ListLimits) {
        self.grow_for(0, 0, limits);
        let (bytes_max, entries_max) = limits.of_node();
        self.unchain_within(bytes_max, entries_max);
    }

    fn unchain_within(&mut self, bytes_max: usize, entries_max: usize) {
        let Form::Chain(chain) = &self.form else { return };
        let small = match chain.only_listpack() {
            None => chain.len() == 0,
            Some(lp) => lp.bytes() <= bytes_max && lp.len() <= entries_max,
        };
        if small {
            let lp = chain.only_listpack().cloned().unwrap_or_default();
            self.form = Form::Packed(lp);
        }
    }

    /// The element with this index; -1 is the last.
    pub fn with_index<R>(&self, index: i64, read: impl FnOnce(LpValue<'_>) -> R) -> Option<R> {
        match &self.form {
            Form::Packed(lp) => lp.get_at(index).map(read),
            Form::Chain(chain) => chain.with_index(self.normalize(index)?, read),
        }
    }

    /// The element at an end.
    pub fn peek(&self, end: End) -> Option<LpValue<'_>> {
        match (&self.form, end) {
            (Form::Packed(lp), End::Front) => lp.first().map(|pos| lp.get(pos)),
            (Form::Packed(lp), End::Back) => lp.last().map(|pos| lp.get(pos)),
            (Form::Chain(chain), end) => chain.peek(end),
        }
    }

    /// Puts `value` at an end. Never converts: see [`List::grow_for`].
    pub fn push(&mut self, end: End, value: &[u8], limits: &ListLimits) {
        match (&mut self.form, end) {
            (Form::Packed(lp), End::Front) => lp.push_front(value),
            (Form::Packed(lp), End::Back) => lp.push_back(value),
            (Form::Chain(chain), end) => Arc::make_mut(chain).push(end, value, limits),
        }
    }

    /// Removes the element at an end, after [`List::peek`] has shown it. False if there is none.
    pub fn pop(&mut self, end: End, limits: &ListLimits) -> bool {
        match &mut self.form {
            Form::Packed(lp) => {
                let pos = if end == End::Front { lp.first() } else { lp.last() };
                pos.map(|pos| lp.delete(pos)).is_some()
            }
            Form::Chain(chain) => {
                let popped = Arc::make_mut(chain).pop(end, limits);
                self.shrink(limits);
                popped
            }
        }
    }

    /// Replaces the element with this index (-1 is the last); false if there is none. Call [`List::grow_for`] first.
    pub fn set(&mut self, index: i64, value: &[u8], limits: &ListLimits) -> bool {
        let Some(index) = self.normalize(index) else { return false };
        match &mut self.form {
            Form::Packed(lp) => {
                if let Some(pos) = lp.seek(index as i64) {
                    lp.replace(pos, value);
                }
            }
            Form::Chain(chain) => {
                Arc::make_mut(chain).set(index, value, limits);
                self.shrink(limits);
            }
        }
        true
    }

    /// Puts `value` beside the first element equal to `pivot`; false if there is none. Call [`List::grow_for`] first.
    pub fn insert(&mut self, side: Side, pivot: &[u8], value: &[u8], limits: &ListLimits) -> bool {
        match &mut self.form {
            Form::Packed(lp) => {
                let Some(pos) = lp.find(pivot, 0) else { return false };
                match side {
                    Side::Before => lp.insert_before(pos, value),
                    Side::After => drop(lp.insert_after(pos, value)),
                }
            }
            Form::Chain(chain) => {
                let Some(index) = chain.index_of(pivot) else { return false };
                let index = if side == Side::Before { index } else { index + 1 };
                Arc::make_mut(chain).insert(index, value, limits);
            }
        }
        true
    }

    /// Removes elements equal to `value`, at most `count` from the head, or -`count` from the tail, or all if 0. Returns
    /// how many.
    pub fn remove(&mut self, count: i64, value: &[u8], limits: &ListLimits) -> usize {
        let from = if count < 0 { End::Back } else { End::Front };
        let max = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
        match &mut self.form {
            Form::Packed(lp) => node::remove_equal(lp, &Needle::new(value), from, max),
            Form::Chain(chain) => {
                let removed = Arc::make_mut(chain).remove_equal(&Needle::new(value), from, max, limits);
                if removed > 0 {
                    self.shrink(limits);
                }
                removed
            }
        }
    }

    /// Removes up to `count` elements from `start` on.
    pub fn delete_range(&mut self, start: usize, count: usize, limits: &ListLimits) {
        if count == 0 || start >= self.len() {
            return;
        }
        match &mut self.form {
            Form::Packed(lp) => lp.delete_range(start as i64, count),
            Form::Chain(chain) => {
                Arc::make_mut(chain).delete_range(start, count, limits);
                self.shrink(limits);
            }
        }
    }

    /// Keeps `count` elements from `start` on and removes the others.
    pub fn trim(&mut self, start: usize, count: usize, limits: &ListLimits) {
        self.delete_range(start.saturating_add(count), usize::MAX, limits);
        self.delete_range(0, start, limits);
        self.shrink(limits);
    }

    /// Gives the elements from `start` on to `read`, towards the tail, until it breaks or `count` have been read.
    pub fn range(&self, start: usize, count: usize, mut read: impl FnMut(LpValue<'_>)) {
        let mut left = count;
        if count > 0 {
            self.walk(End::Front, start, |value| {
                read(value);
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
    }

    /// Walks from an end, stepping over `skip` elements first, until `visit` breaks.
    pub fn walk(&self, from: End, skip: usize, mut visit: impl FnMut(LpValue<'_>) -> ControlFlow<()>) {
        match &self.form {
            Form::Packed(lp) => {
                let _ = node::walk(lp, from, skip, &mut visit);
            }
            Form::Chain(chain) => chain.walk(from, skip, &mut visit),
        }
    }

    /// The indexes of elements equal to `value`, as LPOS finds them.
    pub fn positions(&self, value: &[u8], query: &PosQuery) -> Vec<usize> {
        let needle = Needle::new(value);
        let (len, mut seen, mut rank) = (self.len(), 0, 0);
        let mut found = Vec::new();
        if query.compared_max == 0 || query.count_max == 0 {
            return found;
        }
        self.walk(query.from, 0, |value| {
            if needle.is(value) {
                rank += 1;
                if rank >= query.rank {
                    found.push(if query.from == End::Front { seen } else { len - 1 - seen });
                }
            }
            seen += 1;
            let done = found.len() >= query.count_max || seen >= query.compared_max;
            if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        found
    }

    /// The nodes as an RDB file stores them; a listpack is one packed node.
    pub fn for_each_node(&self, mut visit: impl FnMut(NodeBytes<'_>)) {
        match &self.form {
            Form::Packed(lp) => visit(NodeBytes::Packed(lp.as_bytes())),
            Form::Chain(chain) => chain.for_each_node(&mut visit),
        }
    }

    /// Appends a node as it was stored. For loading; [`List::settle`] ends it.
    pub fn push_listpack(&mut self, lp: Listpack, limits: &ListLimits) {
        self.chain_mut().push_listpack(lp, limits);
    }

    /// Appends an element in a node of its own. For loading.
    pub fn push_plain(&mut self, value: &[u8], limits: &ListLimits) {
        self.chain_mut().push_plain(value, limits);
    }

    /// Appends an element as a long list takes it, however short this one is. For what is built elsewhere (SORT STORE);
    /// [`List::settle`] ends it.
    pub fn append(&mut self, value: &[u8], limits: &ListLimits) {
        self.chain_mut().push(End::Back, value, limits);
    }

    fn chain_mut(&mut self) -> &mut Chain {
        if let Form::Packed(lp) = &mut self.form {
            self.form = Form::Chain(Arc::new(Chain::of_listpack(std::mem::take(lp).into_own())));
        }
        match &mut self.form {
            Form::Chain(chain) => Arc::make_mut(chain),
            Form::Packed(_) => unreachable!("just made a chain"),
        }
    }

    /// `index` from the head; None if there is no such element.
    fn normalize(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let index =
            if index < 0 { len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)? } else { index as usize };
        (index < len).then_some(index)
    }
}

impl Default for List {
    fn default() -> Self {
        List::new()
    }
}

/// What LPOS asks for.
#[derive(Clone, Copy, Debug)]
pub struct PosQuery {
    /// Where to begin: the tail for a negative RANK.
    pub from: End,
    /// Matches to count before the first returned one, that one included (RANK without its sign, 1 is the first).
    pub rank: usize,
    /// At most so many matches (COUNT; `usize::MAX` for all).
    pub count_max: usize,
    /// Compare at most so many elements (MAXLEN; `usize::MAX` for all).
    pub compared_max: usize,
}
