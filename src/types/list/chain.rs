//! The chain of a long list: nodes in runs, both shared by counter.
//!
//! ```text
//!   Chain { runs: [ (Arc run, elements) , ... ] }        run: up to 128 of (Arc node, elements)
//! ```
//! Two levels make a copy-on-write cheap at any length: after a snapshot the first change copies the row of runs (8 bytes
//! of pointer for some 128 nodes or 1 MiB of list), one run and one node. Finding an index adds up counts: first of runs,
//! then of nodes, then walks one node.
//!
//! The first and the last node are never compressed, so both ends can be read in place; with a compress depth of `d`
//! the `d` nodes of either end are open and the others are compressed when left.

use super::node::{Node, NodeBytes};
use super::{End, ListLimits};
use crate::types::packed::listpack::{Listpack, LpValue, Needle};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

const RUN_NODES_MAX: usize = 128;
/// What a node takes beside its contents: its counters, its tag, its slot.
const NODE_OVERHEAD_BYTES: usize = size_of::<Node>() + 16 + size_of::<Slot>();
/// What a run takes beside its slots.
const RUN_OVERHEAD_BYTES: usize = size_of::<Vec<Slot>>() + 16 + size_of::<Run>();

#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    runs: VecDeque<Run>,
    len: usize,
    nodes: usize,
    /// Sum of what the nodes take, overhead included.
    node_bytes: usize,
}

/// Never empty.
#[derive(Clone, Debug)]
struct Run {
    slots: Arc<Vec<Slot>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    node: Arc<Node>,
    len: u32,
}

/// The place of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    run: usize,
    slot: usize,
}

impl Slot {
    fn new(node: Node) -> Slot {
        let len = node.len() as u32;
        Slot { node: Arc::new(node), len }
    }

    fn bytes(&self) -> usize {
        self.node.heap_bytes() + NODE_OVERHEAD_BYTES
    }
}

impl Chain {
    /// A chain of one node, or of none if `lp` is empty.
    pub(super) fn of_listpack(lp: Listpack) -> Chain {
        let mut chain = Chain::default();
        if !lp.is_empty() {
            chain.insert_node(At { run: 0, slot: 0 }, Node::Packed(lp));
        }
        chain
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Chain>() + 16 + self.node_bytes + self.runs.len() * RUN_OVERHEAD_BYTES
    }

    /// The listpack of a chain that has but one node, a packed one.
    pub(super) fn only_listpack(&self) -> Option<&Listpack> {
        match (self.nodes, self.node(self.first()?)) {
            (1, Node::Packed(lp)) => Some(lp),
            _ => None,
        }
    }

    // Reading.

    pub(super) fn peek(&self, end: End) -> Option<LpValue<'_>> {
        self.node(self.at_end(end)?).peek(end)
    }

    pub(super) fn with_index<R>(&self, index: usize, read: impl FnOnce(LpValue<'_>) -> R) -> Option<R> {
        let (at, offset) = self.locate(index)?;
        let (mut read, mut result) = (Some(read), None);
        let _ = self.node(at).walk(End::Front, offset, &mut |value| {
            result = read.take().map(|read| read(value));
            ControlFlow::Break(())
        });
        result
    }

    /// The index of the first element equal to `value`.
    pub(super) fn index_of(&self, value: &[u8]) -> Option<usize> {
        let needle = Needle::new(value);
        let (mut index, mut found) = (0, None);
        self.walk(End::Front, 0, &mut |value| {
            if needle.is(value) {
                found = Some(index);
                return ControlFlow::Break(());
            }
            index += 1;
            ControlFlow::Continue(())
        });
        found
    }

    pub(super) fn walk<V: FnMut(LpValue<'_>) -> ControlFlow<()>>(&self, from: End, skip: usize, visit: &mut V) {
        if skip >= self.len {
            return;
        }
        let first = if from == End::Front { skip } else { self.len - 1 - skip };
        let Some((mut at, offset)) = self.locate(first) else { return };
        let mut skip = if from == End::Front { offset } else { self.slot(at).len as usize - 1 - offset };
        while self.node(at).walk(from, skip, visit).is_continue() {
            let beside = if from == End::Front { self.next(at) } else { self.prev(at) };
            let Some(next) = beside else { return };
            (at, skip) = (next, 0);
        }
    }

    pub(super) fn for_each_node(&self, visit: &mut dyn FnMut(NodeBytes<'_>)) {
        let slots = self.runs.iter().flat_map(|run| run.slots.iter());
        slots.for_each(|slot| slot.node.with_bytes(visit));
    }

    // Changing.

    pub(super) fn push(&mut self, end: End, value: &[u8], limits: &ListLimits) {
        let at = self.at_end(end);
        if let Some(at) = at.filter(|&at| self.admits(at, value, limits)) {
            self.edit(at, |lp| match end {
                End::Front => lp.push_front(value),
                End::Back => lp.push_back(value),
            });
            return;
        }
        let node = new_node(value, limits);
        match end {
            End::Front => self.insert_node(At { run: 0, slot: 0 }, node),
            End::Back => self.insert_node_behind_last(node),
        }
        self.squeeze_ends(limits);
    }

    pub(super) fn push_listpack(&mut self, lp: Listpack, limits: &ListLimits) {
        if !lp.is_empty() {
            self.insert_node_behind_last(Node::Packed(lp));
            self.squeeze_ends(limits);
        }
    }

    pub(super) fn push_plain(&mut self, value: &[u8], limits: &ListLimits) {
        self.insert_node_behind_last(Node::Plain(value.into()));
        self.squeeze_ends(limits);
    }

    pub(super) fn pop(&mut self, end: End, limits: &ListLimits) -> bool {
        let Some(at) = self.at_end(end) else { return false };
        if self.slot(at).len == 1 {
            self.remove_node(at);
            self.squeeze_ends(limits);
        } else {
            self.edit(at, |lp| {
                let pos = if end == End::Front { lp.first() } else { lp.last() };
                pos.map(|pos| lp.delete(pos));
            });
        }
        true
    }

    /// Replaces the element at `index`, which is in range.
    pub(super) fn set(&mut self, index: usize, value: &[u8], limits: &ListLimits) {
        let Some((at, offset)) = self.locate(index) else { return };
        if !self.node(at).is_plain() && !limits.is_large(value.len()) {
            self.edit(at, |lp| {
                if let Some(pos) = lp.seek(offset as i64) {
                    lp.replace(pos, value);
                }
            });
            self.squeeze(at, limits);
        } else if self.slot(at).len == 1 {
            self.replace_node(at, new_node(value, limits));
            self.squeeze(at, limits);
        } else {
            self.insert(index, value, limits);
            self.delete_range(index + 1, 1, limits);
        }
    }

    /// Puts `value` before the element at `index`, or behind the last one if that is the length.
    pub(super) fn insert(&mut self, index: usize, value: &[u8], limits: &ListLimits) {
        if index == 0 {
            return self.push(End::Front, value, limits);
        }
        // The place behind the element before: in a full node's end there may be room though the next is full too.
        let Some((at, offset)) = self.locate(index - 1) else { return };
        let offset = offset + 1;
        let at_end = offset == self.slot(at).len as usize;
        let next = self.next(at).filter(|_| at_end);
        if self.admits(at, value, limits) {
            self.edit(at, |lp| insert_at(lp, offset, value));
            self.squeeze(at, limits);
        } else if let Some(next) = next.filter(|&next| self.admits(next, value, limits)) {
            self.edit(next, |lp| lp.push_front(value));
            self.squeeze(next, limits);
        } else {
            self.insert_between(at, offset, value, limits);
            self.merge_around(index, limits);
            self.squeeze_ends(limits);
        }
    }

    /// Puts `value` behind the first `offset` elements of a node without room for it; a node with more is split there.
    fn insert_between(&mut self, at: At, offset: usize, value: &[u8], limits: &ListLimits) {
        if offset == self.slot(at).len as usize {
            self.insert_node_behind(at, new_node(value, limits));
            return;
        }
        let mut tail = Listpack::new();
        self.edit(at, |lp| tail = lp.split_off(offset));
        let behind = self.insert_node_behind(at, Node::Packed(tail));
        match self.prev(behind).filter(|&front| self.admits(front, value, limits)) {
            Some(front) => self.edit(front, |lp| lp.push_back(value)),
            None => self.insert_node(behind, new_node(value, limits)),
        }
    }

    /// After an insertion at `index` that made nodes: joins the pieces with their neighbours where two fit into one.
    fn merge_around(&mut self, index: usize, limits: &ListLimits) {
        let Some((at, _)) = self.locate(index) else { return };
        let mut left = self.prev(at).and_then(|at| self.prev(at)).or_else(|| self.prev(at)).unwrap_or(at);
        for _ in 0..4 {
            let Some(right) = self.next(left) else { break };
            if !self.merge(left, right, limits) {
                self.squeeze(left, limits);
                left = right;
            }
        }
        self.squeeze(left, limits);
    }

    /// Moves all of `right` into `left` if the sum is within the limit.
    fn merge(&mut self, left: At, right: At, limits: &ListLimits) -> bool {
        let (a, b) = (self.node(left).opened(), self.node(right).opened());
        let (Node::Packed(a), Node::Packed(b)) = (&*a, &*b) else { return false };
        if limits.exceeded_by(a.bytes() + b.bytes() - Listpack::new().bytes(), a.len() + b.len()) {
            return false;
        }
        let tail = b.clone();
        self.edit(left, |lp| lp.merge(&tail));
        self.remove_node(right);
        true
    }

    pub(super) fn remove_equal(&mut self, needle: &Needle<'_>, from: End, max: usize, limits: &ListLimits) -> usize {
        let mut removed = 0;
        let mut at = self.at_end(from);
        while let Some(here) = at.filter(|_| removed < max) {
            let found = self.remove_equal_in(here, needle, from, max - removed);
            removed += found;
            if self.slot(here).len > 0 {
                if found > 0 {
                    self.squeeze(here, limits);
                }
                at = if from == End::Front { self.next(here) } else { self.prev(here) };
            } else {
                let before = self.prev(here);
                self.remove_node(here);
                at = match (from, before) {
                    (End::Back, before) => before,
                    (End::Front, Some(before)) => self.next(before),
                    (End::Front, None) => self.first(),
                };
            }
        }
        self.squeeze_ends(limits);
        removed
    }

    /// May leave the node empty, for the caller to remove.
    fn remove_equal_in(&mut self, at: At, needle: &Needle<'_>, from: End, max: usize) -> usize {
        let (mut plain, mut found) = (false, false);
        match &*self.node(at).opened() {
            Node::Packed(lp) => found = lp.iter().any(|value| needle.is(value)),
            Node::Plain(bytes) => (plain, found) = (true, needle.is(LpValue::Str(bytes))),
            Node::Squeezed(_) => {}
        }
        match (plain, found) {
            (_, false) => 0,
            (true, true) => {
                self.replace_node(at, Node::Packed(Listpack::new()));
                1
            }
            (false, true) => {
                let mut removed = 0;
                self.edit(at, |lp| removed = super::node::remove_equal(lp, needle, from, max));
                removed
            }
        }
    }

    pub(super) fn delete_range(&mut self, start: usize, count: usize, limits: &ListLimits) {
        let mut left = count.min(self.len.saturating_sub(start));
        while left > 0 {
            let Some((at, offset)) = self.locate(start) else { break };
            let (node_len, run_len) = (self.slot(at).len as usize, self.runs[at.run].len);
            if offset == 0 && at.slot == 0 && left >= run_len {
                self.remove_run(at.run);
                left -= run_len;
            } else if offset == 0 && left >= node_len {
                self.remove_node(at);
                left -= node_len;
            } else {
                let part = left.min(node_len - offset);
                self.edit(at, |lp| lp.delete_range(offset as i64, part));
                self.squeeze(at, limits);
                left -= part;
            }
        }
        self.squeeze_ends(limits);
    }

    // Compression.

    /// Opens the nodes near the ends and compresses the first one further in, on either side. After every change of the
    /// row of nodes.
    fn squeeze_ends(&mut self, limits: &ListLimits) {
        for end in [End::Front, End::Back] {
            let mut at = self.at_end(end);
            for _ in 0..limits.compress_depth.max(1) {
                let Some(here) = at else { return };
                self.open(here);
                at = if end == End::Front { self.next(here) } else { self.prev(here) };
            }
            if let Some(here) = at {
                self.squeeze(here, limits);
            }
        }
    }

    fn open(&mut self, at: At) {
        if matches!(self.node(at), Node::Squeezed(_)) {
            let opened = self.node(at).opened().into_owned();
            self.replace_node(at, opened);
        }
    }

    /// Compresses a node unless it is near an end.
    fn squeeze(&mut self, at: At, limits: &ListLimits) {
        if limits.compress_depth == 0 || self.is_near_end(at, limits.compress_depth) {
            return;
        }
        if let Some(squeezed) = self.node(at).squeezed() {
            self.replace_node(at, squeezed);
        }
    }

    fn is_near_end(&self, at: At, depth: usize) -> bool {
        if self.nodes <= 2 * depth {
            return true;
        }
        let steps = |step: fn(&Chain, At) -> Option<At>| {
            std::iter::successors(Some(at), |&at| step(self, at)).take(depth + 1).count() <= depth
        };
        steps(Chain::prev) || steps(Chain::next)
    }

    // Places.

    fn first(&self) -> Option<At> {
        (!self.runs.is_empty()).then_some(At { run: 0, slot: 0 })
    }

    fn last(&self) -> Option<At> {
        let run = self.runs.len().checked_sub(1)?;
        Some(At { run, slot: self.runs[run].slots.len() - 1 })
    }

    fn at_end(&self, end: End) -> Option<At> {
        if end == End::Front { self.first() } else { self.last() }
    }

    fn next(&self, at: At) -> Option<At> {
        if at.slot + 1 < self.runs[at.run].slots.len() {
            return Some(At { slot: at.slot + 1, ..at });
        }
        (at.run + 1 < self.runs.len()).then_some(At { run: at.run + 1, slot: 0 })
    }

    fn prev(&self, at: At) -> Option<At> {
        if at.slot > 0 {
            return Some(At { slot: at.slot - 1, ..at });
        }
        let run = at.run.checked_sub(1)?;
        Some(At { run, slot: self.runs[run].slots.len() - 1 })
    }

    /// The node of the element at `index` and the element's index in it. Walks from the nearer end.
    fn locate(&self, index: usize) -> Option<(At, usize)> {
        if index >= self.len {
            return None;
        }
        let (run, offset) = position(self.runs.iter().map(|run| run.len), self.len, index)?;
        let slots = &self.runs[run].slots;
        let (slot, offset) = position(slots.iter().map(|slot| slot.len as usize), self.runs[run].len, offset)?;
        Some((At { run, slot }, offset))
    }

    fn slot(&self, at: At) -> &Slot {
        &self.runs[at.run].slots[at.slot]
    }

    fn node(&self, at: At) -> &Node {
        &self.slot(at).node
    }

    fn admits(&self, at: At, value: &[u8], limits: &ListLimits) -> bool {
        let slot = self.slot(at);
        slot.node.admits(value.len(), slot.len as usize, limits)
    }

    // The bookkeeping: all changes of nodes pass here.

    /// Changes the listpack of a packed node, copying what is shared, and counts again.
    fn edit(&mut self, at: At, change: impl FnOnce(&mut Listpack)) {
        let run = &mut self.runs[at.run];
        let slot = &mut Arc::make_mut(&mut run.slots)[at.slot];
        let (old_len, old_bytes) = (slot.len as usize, slot.bytes());
        let Some(lp) = Arc::make_mut(&mut slot.node).listpack_mut() else { return };
        change(lp);
        let new_len = lp.len();
        slot.len = new_len as u32;
        run.len = run.len - old_len + new_len;
        self.len = self.len - old_len + new_len;
        self.node_bytes = self.node_bytes - old_bytes + slot.bytes();
    }

    fn replace_node(&mut self, at: At, node: Node) {
        let new = Slot::new(node);
        let (new_len, new_bytes) = (new.len as usize, new.bytes());
        let run = &mut self.runs[at.run];
        let old = std::mem::replace(&mut Arc::make_mut(&mut run.slots)[at.slot], new);
        run.len = run.len - old.len as usize + new_len;
        self.len = self.len - old.len as usize + new_len;
        self.node_bytes = self.node_bytes - old.bytes() + new_bytes;
    }

    fn insert_node_behind_last(&mut self, node: Node) {
        match self.last() {
            None => self.insert_node(At { run: 0, slot: 0 }, node),
            Some(last) => drop(self.insert_node_behind(last, node)),
        }
    }

    /// Returns the place of the new node.
    fn insert_node_behind(&mut self, at: At, node: Node) -> At {
        let full = self.runs[at.run].slots.len() == RUN_NODES_MAX;
        let new = match (full, at.slot + 1 == RUN_NODES_MAX) {
            // Behind a full run a new one begins, so that runs filled in order are full.
            (true, true) => At { run: at.run + 1, slot: 0 },
            (true, false) => {
                self.split_run(at.run);
                let half = self.runs[at.run].slots.len();
                if at.slot < half {
                    At { run: at.run, slot: at.slot + 1 }
                } else {
                    At { run: at.run + 1, slot: at.slot - half + 1 }
                }
            }
            (false, _) => At { run: at.run, slot: at.slot + 1 },
        };
        let begins_run = full && new.slot == 0;
        self.insert_slot(new, Slot::new(node), begins_run);
        new
    }

    /// Puts a node where `at` is now; what was there is behind it then. A full run is split or, at its front, left alone.
    fn insert_node(&mut self, at: At, node: Node) {
        let full = self.runs.get(at.run).is_none_or(|run| run.slots.len() == RUN_NODES_MAX);
        if !full || at.slot == 0 {
            return self.insert_slot(at, Slot::new(node), full);
        }
        let before = At { slot: at.slot - 1, ..at };
        self.insert_node_behind(before, node);
    }

    fn insert_slot(&mut self, at: At, slot: Slot, begins_run: bool) {
        let len = slot.len as usize;
        self.len += len;
        self.nodes += 1;
        self.node_bytes += slot.bytes();
        if begins_run {
            self.runs.insert(at.run, Run { slots: Arc::new(vec![slot]), len });
        } else {
            let run = &mut self.runs[at.run];
            Arc::make_mut(&mut run.slots).insert(at.slot, slot);
            run.len += len;
        }
    }

    fn split_run(&mut self, index: usize) {
        let run = &mut self.runs[index];
        let slots = Arc::make_mut(&mut run.slots);
        let tail = slots.split_off(slots.len() / 2);
        let len = tail.iter().map(|slot| slot.len as usize).sum();
        run.len -= len;
        self.runs.insert(index + 1, Run { slots: Arc::new(tail), len });
    }

    fn remove_node(&mut self, at: At) {
        let run = &mut self.runs[at.run];
        let slot = Arc::make_mut(&mut run.slots).remove(at.slot);
        run.len -= slot.len as usize;
        self.len -= slot.len as usize;
        self.nodes -= 1;
        self.node_bytes -= slot.bytes();
        if run.slots.is_empty() {
            self.runs.remove(at.run);
        }
    }

    fn remove_run(&mut self, index: usize) {
        let Some(run) = self.runs.remove(index) else { return };
        self.len -= run.len;
        self.nodes -= run.slots.len();
        self.node_bytes -= run.slots.iter().map(Slot::bytes).sum::<usize>();
    }
}

/// A node for one element.
fn new_node(value: &[u8], limits: &ListLimits) -> Node {
    if limits.is_large(value.len()) {
        return Node::Plain(value.into());
    }
    let mut lp = Listpack::new();
    lp.push_back(value);
    Node::Packed(lp)
}

/// Puts `value` behind the first `offset` elements.
fn insert_at(lp: &mut Listpack, offset: usize, value: &[u8]) {
    match lp.seek(offset as i64) {
        Some(pos) => lp.insert_before(pos, value),
        None => lp.push_back(value),
    }
}

/// Which of the parts, `total` long together, holds `index`, and where in it. Adds up from the nearer end.
fn position(
    parts: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator,
    total: usize,
    index: usize,
) -> Option<(usize, usize)> {
    if index <= total / 2 {
        let mut before = 0;
        for (i, len) in parts.enumerate() {
            if index < before + len {
                return Some((i, index - before));
            }
            before += len;
        }
    } else {
        let mut before = total;
        for (i, len) in parts.enumerate().rev() {
            before -= len;
            if index >= before {
                return Some((i, index - before));
            }
        }
    }
    None
}

#[cfg(test)]
impl Chain {
    /// Panics if a count is wrong, a run is empty or an end is compressed.
    pub(super) fn check(&self) {
        let slots = || self.runs.iter().flat_map(|run| run.slots.iter());
        for run in &self.runs {
            assert!(!run.slots.is_empty() && run.slots.len() <= RUN_NODES_MAX);
            assert_eq!(run.len, run.slots.iter().map(|slot| slot.len as usize).sum::<usize>());
        }
        assert!(slots().all(|slot| slot.len > 0 && slot.len as usize == slot.node.len()));
        assert_eq!(self.len, slots().map(|slot| slot.len as usize).sum::<usize>());
        assert_eq!(self.nodes, slots().count());
        assert_eq!(self.node_bytes, slots().map(Slot::bytes).sum::<usize>());
        for end in [End::Front, End::Back] {
            assert!(self.at_end(end).is_none_or(|at| !matches!(self.node(at), Node::Squeezed(_))));
        }
    }

    pub(super) fn squeezed_nodes(&self) -> usize {
        let slots = self.runs.iter().flat_map(|run| run.slots.iter());
        slots.filter(|slot| matches!(&*slot.node, Node::Squeezed(_))).count()
    }
}
