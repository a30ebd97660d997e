//! An ordered map whose copies share: blocks of a stream by id, pending entries by id, groups and consumers by name.
//!
//! A B+ tree of reference-counted nodes. Cloning the map clones its root, in O(1); a later change copies only the nodes
//! on its path, 64 entries each. That is what lets a snapshot, a COPY or a deferred free take a stream of millions of
//! entries without a stall.
//!
//! ```text
//!              inner [ 1-0 ──┐ 9-3 ──┐ ]           an inner key is a lower bound of its child's keys
//!                            v       v
//!        leaf [ 1-0:v 4-1:v 7-0:v ] [ 9-3:v ]
//! ```
//! Most maps grow at their end and shrink at their front, so a full node that is appended to starts a new one instead
//! of being halved, and small nodes are joined with a neighbour on removal only.
//!
//! [`Ordered::heap_bytes`] is kept with every change: what the nodes take, without what keys and values own.

use smallvec::SmallVec;
use std::borrow::Borrow;
use std::sync::Arc;

const ITEMS_MAX: usize = 64;
const ITEMS_FEW: usize = 16;
/// What a node takes beside its items: itself and the two counts of its `Arc`.
const fn node_bytes<K, V>() -> usize {
    size_of::<Node<K, V>>() + 16
}

/// The map.
pub struct Ordered<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
    heap_bytes: usize,
}

enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<(K, Arc<Node<K, V>>)>),
}

impl<K, V> Clone for Ordered<K, V> {
    fn clone(&self) -> Self {
        Ordered { root: self.root.clone(), len: self.len, heap_bytes: self.heap_bytes }
    }
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered { root: None, len: 0, heap_bytes: 0 }
    }
}

impl<K, V> Ordered<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the nodes take from the allocator, in bytes; shared nodes count in every copy.
    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    /// The entry with the smallest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => return items.first().map(|(key, value)| (key, value)),
                Node::Inner(children) => node = &children.first()?.1,
            }
        }
    }

    /// The entry with the largest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => return items.last().map(|(key, value)| (key, value)),
                Node::Inner(children) => node = &children.last()?.1,
            }
        }
    }

    /// All entries in ascending order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { stack: self.root.iter().map(|root| (&**root, 0)).collect() }
    }

    /// All entries in descending order.
    pub fn iter_back(&self) -> IterBack<'_, K, V> {
        IterBack { stack: self.root.iter().map(|root| (&**root, root.len())).collect() }
    }
}

impl<K: Ord + Clone, V: Clone> Ordered<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => return position(items, key).ok().map(|at| &items[at].1),
                Node::Inner(children) => node = &children[child_for(children, key)].1,
            }
        }
    }

    /// The value of a key, to change it.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let mut node = own(self.root.as_mut()?, &mut self.heap_bytes);
        loop {
            match node {
                Node::Leaf(items) => return position(items, key).ok().map(|at| &mut items[at].1),
                Node::Inner(children) => {
                    let at = child_for(children, key);
                    node = own(&mut children[at].1, &mut self.heap_bytes);
                }
            }
        }
    }

    /// Takes the entry with the smallest key out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let key = self.first()?.0.clone();
        let value = self.remove(&key)?;
        Some((key, value))
    }

    /// Takes the entry with the largest key out.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        let key = self.last()?.0.clone();
        let value = self.remove(&key)?;
        Some((key, value))
    }

    /// Puts a value under a key; returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let bytes = &mut self.heap_bytes;
        let root = self.root.get_or_insert_with(|| {
            *bytes += node_bytes::<K, V>();
            Arc::new(Node::Leaf(Vec::new()))
        });
        match insert_below(root, key, value, bytes) {
            Inserted::Replaced(old) => return Some(old),
            Inserted::Added(None) => {}
            Inserted::Added(Some(right)) => {
                let left = (root.first_key(), root.clone());
                *bytes += node_bytes::<K, V>() + 2 * size_of_val(&right);
                *root = Arc::new(Node::Inner(vec![left, right]));
            }
        }
        self.len += 1;
        None
    }

    /// Takes a key and its value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let root = self.root.as_mut()?;
        let value = remove_below(root, key, &mut self.heap_bytes)?;
        self.len -= 1;
        self.lower_root();
        Some(value)
    }

    /// Drops roots that hold a single child, and the last leaf when it is empty.
    fn lower_root(&mut self) {
        while let Some(root) = &self.root {
            let lower = match &**root {
                Node::Leaf(items) if items.is_empty() => None,
                Node::Inner(children) if children.len() == 1 => Some(children[0].1.clone()),
                _ => return,
            };
            self.heap_bytes -= root.bytes();
            self.root = lower;
        }
    }

    /// The entries from a key on, that key included, in ascending order.
    pub fn iter_from<Q: Ord + ?Sized>(&self, from: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let mut stack = SmallVec::new();
        let mut next = self.root.as_deref();
        while let Some(node) = next.take() {
            match node {
                Node::Leaf(items) => stack.push((node, position(items, from).unwrap_or_else(|at| at))),
                Node::Inner(children) => {
                    let at = child_for(children, from);
                    stack.push((node, at + 1));
                    next = Some(&children[at].1);
                }
            }
        }
        Iter { stack }
    }

    /// The entries down from a key, that key included, in descending order.
    pub fn iter_back_from<Q: Ord + ?Sized>(&self, from: &Q) -> IterBack<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let mut stack = SmallVec::new();
        let mut next = self.root.as_deref();
        while let Some(node) = next.take() {
            match node {
                Node::Leaf(items) => stack.push((node, position(items, from).map_or_else(|at| at, |at| at + 1))),
                Node::Inner(children) => {
                    let at = child_for(children, from);
                    stack.push((node, at));
                    next = Some(&children[at].1);
                }
            }
        }
        IterBack { stack }
    }
}

impl<K, V> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn bytes(&self) -> usize {
        node_bytes::<K, V>()
            + match self {
                Node::Leaf(items) => items.capacity() * size_of::<(K, V)>(),
                Node::Inner(children) => children.capacity() * size_of::<(K, Arc<Self>)>(),
            }
    }
}

impl<K: Clone, V: Clone> Node<K, V> {
    fn first_key(&self) -> K {
        match self {
            Node::Leaf(items) => items[0].0.clone(),
            Node::Inner(children) => children[0].0.clone(),
        }
    }

    fn copy(&self) -> Self {
        match self {
            Node::Leaf(items) => Node::Leaf(items.clone()),
            Node::Inner(children) => Node::Inner(children.clone()),
        }
    }
}

/// The node itself to change, or a copy in its place when others share it.
fn own<'a, K: Clone, V: Clone>(node: &'a mut Arc<Node<K, V>>, bytes: &mut usize) -> &'a mut Node<K, V> {
    if Arc::get_mut(node).is_none() {
        let copy = node.copy();
        *bytes = *bytes + copy.bytes() - node.bytes();
        *node = Arc::new(copy);
    }
    Arc::get_mut(node).expect("just made sure that nobody shares it")
}

fn position<K: Borrow<Q>, V, Q: Ord + ?Sized>(items: &[(K, V)], key: &Q) -> Result<usize, usize> {
    // Appending and looking at the newest are the common cases.
    match items.last() {
        Some((last, _)) if last.borrow() < key => Err(items.len()),
        _ => items.binary_search_by(|(at, _)| at.borrow().cmp(key)),
    }
}

/// The child that holds a key if any does: the last whose bound is not above it.
fn child_for<K: Borrow<Q>, V, Q: Ord + ?Sized>(children: &[(K, V)], key: &Q) -> usize {
    position(children, key).unwrap_or_else(|at| at.saturating_sub(1))
}

enum Inserted<K, V> {
    Replaced(V),
    /// With a new right neighbour if the node was full.
    Added(Option<(K, Arc<Node<K, V>>)>),
}

fn insert_below<K: Ord + Clone, V: Clone>(
    node: &mut Arc<Node<K, V>>,
    key: K,
    value: V,
    bytes: &mut usize,
) -> Inserted<K, V> {
    match own(node, bytes) {
        Node::Leaf(items) => match position(items, &key) {
            Ok(at) => Inserted::Replaced(std::mem::replace(&mut items[at].1, value)),
            Err(at) => Inserted::Added(put(items, at, (key, value), bytes).map(|right| wrap(Node::Leaf(right)))),
        },
        Node::Inner(children) => {
            let at = child_for(children, &key);
            match insert_below(&mut children[at].1, key, value, bytes) {
                Inserted::Added(Some(child)) => {
                    Inserted::Added(put(children, at + 1, child, bytes).map(|right| wrap(Node::Inner(right))))
                }
                done => done,
            }
        }
    }
}

fn wrap<K: Clone, V: Clone>(node: Node<K, V>) -> (K, Arc<Node<K, V>>) {
    (node.first_key(), Arc::new(node))
}

/// Puts an item into a node's list, which doubles up to the limit; what is too much moves into a list for a new right
/// neighbour, whose node is counted as well.
fn put<T>(items: &mut Vec<T>, at: usize, item: T, bytes: &mut usize) -> Option<Vec<T>> {
    if items.len() < ITEMS_MAX {
        let before = items.capacity();
        if items.len() == before {
            items.reserve_exact((before * 2).clamp(1, ITEMS_MAX) - before);
        }
        *bytes += (items.capacity() - before) * size_of::<T>();
        items.insert(at, item);
        return None;
    }
    let mut right = match at == ITEMS_MAX {
        true => Vec::with_capacity(1),
        false => {
            let mut right = Vec::with_capacity(ITEMS_MAX);
            right.extend(items.drain(ITEMS_MAX / 2..));
            right
        }
    };
    if at > ITEMS_MAX / 2 {
        right.insert(at - items.len(), item)
    } else {
        items.insert(at, item)
    }
    // A node of items and one of children have the same size apart from their lists.
    *bytes += node_bytes::<u64, u64>() + right.capacity() * size_of::<T>();
    Some(right)
}

const _: () = assert!(node_bytes::<u64, u64>() == node_bytes::<[u8; 40], ()>());

fn remove_below<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    node: &mut Arc<Node<K, V>>,
    key: &Q,
    bytes: &mut usize,
) -> Option<V> {
    match own(node, bytes) {
        Node::Leaf(items) => {
            let at = position(items, key).ok()?;
            Some(items.remove(at).1)
        }
        Node::Inner(children) => {
            let at = child_for(children, key);
            let value = remove_below(&mut children[at].1, key, bytes)?;
            tidy(children, at, bytes);
            Some(value)
        }
    }
}

/// After a removal below the child at `at`: drops it when empty, joins it with a neighbour when both are small.
fn tidy<K: Ord + Clone, V: Clone>(children: &mut Vec<(K, Arc<Node<K, V>>)>, at: usize, bytes: &mut usize) {
    let len = children[at].1.len();
    if len == 0 {
        let (_, empty) = children.remove(at);
        *bytes -= empty.bytes();
        return;
    }
    if len >= ITEMS_FEW {
        return;
    }
    let left = if at + 1 < children.len() { at } else { at.saturating_sub(1) };
    let fits = left + 1 < children.len() && children[left].1.len() + children[left + 1].1.len() <= ITEMS_MAX / 2;
    if !fits {
        return;
    }
    let (_, mut right) = children.remove(left + 1);
    own(&mut right, bytes);
    let target = own(&mut children[left].1, bytes);
    *bytes -= right.bytes() + target.bytes();
    match (&mut *target, Arc::into_inner(right)) {
        (Node::Leaf(items), Some(Node::Leaf(more))) => items.extend(more),
        (Node::Inner(items), Some(Node::Inner(more))) => items.extend(more),
        _ => unreachable!("all leaves of the tree are equally deep"),
    }
    *bytes += target.bytes();
}

/// Entries in ascending order; see [`Ordered::iter`].
pub struct Iter<'a, K, V> {
    /// The path to the next entry: each node with the index of what is next in it.
    stack: SmallVec<[(&'a Node<K, V>, usize); 4]>,
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, at) = self.stack.last_mut()?;
            let next = *at;
            *at += 1;
            match node {
                Node::Leaf(items) if next < items.len() => return Some((&items[next].0, &items[next].1)),
                Node::Inner(children) if next < children.len() => self.stack.push((&children[next].1, 0)),
                _ => drop(self.stack.pop()),
            }
        }
    }
}

impl<K, V> Default for Iter<'_, K, V> {
    /// No entries.
    fn default() -> Self {
        Iter { stack: SmallVec::new() }
    }
}

/// Entries in descending order; see [`Ordered::iter_back`].
pub struct IterBack<'a, K, V> {
    /// The path to the next entry: each node with how many of its items are left.
    stack: SmallVec<[(&'a Node<K, V>, usize); 4]>,
}

impl<'a, K, V> Iterator for IterBack<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, left) = self.stack.last_mut()?;
            let Some(at) = left.checked_sub(1) else {
                self.stack.pop();
                continue;
            };
            *left = at;
            match node {
                Node::Leaf(items) => return Some((&items[at].0, &items[at].1)),
                Node::Inner(children) => {
                    let child = &*children[at].1;
                    self.stack.push((child, child.len()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::BTreeMap;

    /// What the nodes take, counted by walking them.
    fn walked_bytes(map: &Ordered<u32, u64>) -> usize {
        fn below(node: &Node<u32, u64>) -> usize {
            node.bytes()
                + match node {
                    Node::Leaf(_) => 0,
                    Node::Inner(children) => children.iter().map(|(_, child)| below(child)).sum(),
                }
        }
        map.root.as_deref().map_or(0, below)
    }

    fn check(map: &Ordered<u32, u64>, model: &BTreeMap<u32, u64>, why: &str) {
        assert_eq!(map.len(), model.len(), "{why}");
        assert!(map.iter().eq(model.iter()), "{why}: forward");
        assert!(map.iter_back().eq(model.iter().rev()), "{why}: backward");
        assert_eq!(map.first(), model.first_key_value(), "{why}");
        assert_eq!(map.last(), model.last_key_value(), "{why}");
        assert_eq!(map.heap_bytes(), walked_bytes(map), "{why}: bytes");
    }

    #[test]
    fn it_is_an_ordered_map_and_old_copies_do_not_change() {
        for seed in 0..24 {
            let mut rng = Rng::from_seed(seed);
            let (mut map, mut model) = (Ordered::default(), BTreeMap::new());
            let mut copies = Vec::new();
            // Seeds differ in how much they remove, so that trees grow deep, stay small or drain.
            let (range, removals) = ([200, 5000, 100_000][seed as usize % 3], seed as usize / 3 % 8);
            for step in 0..4000 {
                let key = rng.below(range) as u32;
                match rng.index(10) {
                    draw if draw < removals => {
                        assert_eq!(map.remove(&key), model.remove(&key), "seed {seed} step {step}")
                    }
                    8 => {
                        assert_eq!(map.get(&key), model.get(&key), "seed {seed} step {step}");
                        if let (Some(value), Some(want)) = (map.get_mut(&key), model.get_mut(&key)) {
                            *value += 1;
                            *want += 1;
                        }
                    }
                    9 => {
                        let near = map.iter_from(&key).map(|(key, _)| *key).take(3).collect::<Vec<_>>();
                        assert!(
                            near.iter().eq(model.range(key..).map(|(key, _)| key).take(3)),
                            "seed {seed} step {step}"
                        );
                        let near = map.iter_back_from(&key).map(|(key, _)| *key).take(3).collect::<Vec<_>>();
                        assert!(
                            near.iter().eq(model.range(..=key).rev().map(|(key, _)| key).take(3)),
                            "seed {seed} step {step}"
                        );
                    }
                    _ => assert_eq!(map.insert(key, step), model.insert(key, step), "seed {seed} step {step}"),
                }
                if step % 1000 == 0 {
                    copies.push((map.clone(), model.clone()));
                }
            }
            check(&map, &model, &format!("seed {seed}"));
            for (map, model) in &copies {
                check(map, model, &format!("seed {seed}, an old copy"));
            }
        }
    }

    #[test]
    fn a_queue_grows_at_its_end_and_drains_at_its_front() {
        let (mut map, mut model) = (Ordered::default(), BTreeMap::new());
        for key in 0..20_000u32 {
            map.insert(key, 0);
            model.insert(key, 0);
            *map.get_mut(&key).expect("just added") = u64::from(key);
            model.insert(key, u64::from(key));
            if key > 500 {
                assert_eq!(map.remove(&(key - 500)), model.remove(&(key - 500)));
            }
        }
        check(&map, &model, "queue");
        assert!(map.heap_bytes() < 30_000, "{} bytes for 500 entries", map.heap_bytes());
        while let Some((key, _)) = map.first() {
            let key = *key;
            map.remove(&key);
        }
        assert_eq!((map.len(), map.heap_bytes()), (0, 0));
    }
}
