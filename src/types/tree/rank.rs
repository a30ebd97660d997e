//! An order-statistics B+ tree: an ordered multiset of keys that also answers "which is the n-th" and "how many are
//! smaller" in O(log n). Sorted sets keep (score, member) in it, hashes keep the deadlines of their fields.
//!
//! # Shape
//! Leaves hold sorted keys. An inner node holds, for each child, a lower bound of its keys, how many keys lie below it
//! and the child itself:
//! ```text
//! Inner   lows:   [ -  , k1 , k2 ]      every key of child i-1 <= lows[i] <= every key of child i; lows[0] is not read
//!         counts: [ 90 , 77 , 128]
//!         kids:   [Arc , Arc, Arc]
//! ```
//! Nodes sit behind `Arc`: cloning the tree clones one pointer, and a later write copies the nodes on its path (at most
//! a few KiB each) and no others. There are no sibling pointers, since they could not survive such copies; iterators
//! walk a leaf as a slice and find the next leaf by its rank, which costs one descent per ~90 keys.
//!
//! # Balance
//! A full node splits in the middle, except when the new key lands at one end: then the full node stays full and the key
//! starts a node of its own, so that keys arriving in order pack the leaves. Removal merges a node below a quarter of
//! its capacity with a neighbour if both fit in three quarters of one; otherwise it stays small. Vectors grow in steps of
//! an eighth of the capacity, so that a leaf holds little air.

use std::ops::Range;
use std::sync::Arc;

/// An ordered multiset of keys with ranks. `CAP` is the number of keys in a leaf and of children in an inner node.
#[derive(Clone)]
pub struct RankTree<K, const CAP: usize = 128> {
    root: Arc<Node<K>>,
    len: usize,
    bytes: usize,
}

#[derive(Clone)]
enum Node<K> {
    Leaf(Vec<K>),
    Inner(Inner<K>),
}

#[derive(Clone)]
struct Inner<K> {
    lows: Vec<K>,
    counts: Vec<usize>,
    kids: Vec<Arc<Node<K>>>,
}

impl<K: Ord + Clone, const CAP: usize> Default for RankTree<K, CAP> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Clone, const CAP: usize> RankTree<K, CAP> {
    const VALID: () = assert!(CAP >= 4);

    /// An empty tree.
    pub fn new() -> Self {
        let () = Self::VALID;
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0, bytes: node_bytes::<K>() }
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of its nodes; what the keys themselves point to is not in it.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a key; an equal one is kept beside it.
    pub fn insert(&mut self, key: K) {
        let split = Node::insert::<CAP>(&mut self.root, key, &mut self.bytes);
        self.len += 1;
        if let Some((low, right)) = split {
            self.grow_root(low, right);
        }
    }

    fn grow_root(&mut self, low: K, right: Arc<Node<K>>) {
        let left = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Vec::new())));
        let right_len = right.keys();
        let mut inner = Inner { lows: Vec::new(), counts: Vec::new(), kids: Vec::new() };
        inner.lows.extend([low.clone(), low]);
        inner.counts.extend([self.len - right_len, right_len]);
        inner.kids.extend([left, right]);
        self.bytes += node_bytes::<K>() + inner.bytes();
        self.root = Arc::new(Node::Inner(inner));
    }

    /// Removes one key equal to `key`; false if there is none.
    pub fn remove(&mut self, key: &K) -> bool {
        let found = Node::remove::<CAP>(&mut self.root, key, &mut self.bytes);
        if found {
            self.len -= 1;
            self.lower_root();
        }
        found
    }

    /// Removes and returns the key at `rank`.
    pub fn remove_at(&mut self, rank: usize) -> Option<K> {
        if rank >= self.len {
            return None;
        }
        let key = Node::remove_at::<CAP>(&mut self.root, rank, &mut self.bytes);
        self.len -= 1;
        self.lower_root();
        Some(key)
    }

    fn lower_root(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
        while let Node::Inner(inner) = &*self.root
            && inner.kids.len() == 1
        {
            self.bytes -= node_bytes::<K>() + inner.bytes();
            self.root = inner.kids[0].clone();
        }
    }

    /// Removes the keys at these ranks, handing each to `each` from the lowest up.
    pub fn remove_range(&mut self, ranks: Range<usize>, mut each: impl FnMut(K)) {
        for _ in ranks.start..ranks.end.min(self.len) {
            self.remove_at(ranks.start).into_iter().for_each(&mut each);
        }
    }

    /// The key at `rank`, 0 being the smallest.
    pub fn get(&self, rank: usize) -> Option<&K> {
        if rank >= self.len {
            return None;
        }
        let (leaf, at) = self.leaf_at(rank);
        leaf.get(at)
    }

    /// How many keys come first, `before` being true for a head of the order and false for the rest.
    pub fn partition_point(&self, before: impl Fn(&K) -> bool) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            match node {
                Node::Leaf(keys) => return rank + keys.partition_point(before),
                Node::Inner(inner) => {
                    let kid = inner.lows[1..].partition_point(&before);
                    rank += inner.counts[..kid].iter().sum::<usize>();
                    node = &inner.kids[kid];
                }
            }
        }
    }

    /// The rank of the first key equal to `key`.
    pub fn rank(&self, key: &K) -> Option<usize> {
        let rank = self.partition_point(|k| k < key);
        (self.get(rank)? == key).then_some(rank)
    }

    /// Keys from `rank` upwards.
    pub fn iter_from(&self, rank: usize) -> Ascending<'_, K, CAP> {
        Ascending { tree: self, leaf: [].iter(), next_rank: rank }
    }

    /// Keys from `rank` downwards; starts at the last key if `rank` is beyond it.
    pub fn iter_back_from(&self, rank: usize) -> Descending<'_, K, CAP> {
        Descending { tree: self, leaf: [].iter(), left: self.len.min(rank.saturating_add(1)) }
    }

    /// All keys upwards.
    pub fn iter(&self) -> Ascending<'_, K, CAP> {
        self.iter_from(0)
    }

    /// The leaf holding `rank` and the place in it. `rank` must be below the length.
    fn leaf_at(&self, rank: usize) -> (&[K], usize) {
        let (mut node, mut rank) = (&*self.root, rank);
        loop {
            match node {
                Node::Leaf(keys) => return (keys, rank),
                Node::Inner(inner) => {
                    let kid = inner.kid_at(&mut rank);
                    node = &inner.kids[kid];
                }
            }
        }
    }
}

/// Keys upwards from a rank.
pub struct Ascending<'a, K, const CAP: usize> {
    tree: &'a RankTree<K, CAP>,
    leaf: std::slice::Iter<'a, K>,
    next_rank: usize,
}

impl<'a, K: Ord + Clone, const CAP: usize> Iterator for Ascending<'a, K, CAP> {
    type Item = &'a K;

    fn next(&mut self) -> Option<&'a K> {
        if let Some(key) = self.leaf.next() {
            return Some(key);
        }
        if self.next_rank >= self.tree.len {
            return None;
        }
        let (leaf, at) = self.tree.leaf_at(self.next_rank);
        self.next_rank += leaf.len() - at;
        self.leaf = leaf[at..].iter();
        self.leaf.next()
    }
}

/// Keys downwards from a rank.
pub struct Descending<'a, K, const CAP: usize> {
    tree: &'a RankTree<K, CAP>,
    leaf: std::slice::Iter<'a, K>,
    left: usize,
}

impl<'a, K: Ord + Clone, const CAP: usize> Iterator for Descending<'a, K, CAP> {
    type Item = &'a K;

    fn next(&mut self) -> Option<&'a K> {
        if let Some(key) = self.leaf.next_back() {
            return Some(key);
        }
        let rank = self.left.checked_sub(1)?;
        let (leaf, at) = self.tree.leaf_at(rank);
        self.left = rank - at;
        self.leaf = leaf[..=at].iter();
        self.leaf.next_back()
    }
}

/// What a split hands up: the lower bound of the new right-hand node, and the node.
type Split<K> = Option<(K, Arc<Node<K>>)>;

impl<K: Ord + Clone> Node<K> {
    /// Keys below this node.
    fn keys(&self) -> usize {
        match self {
            Node::Leaf(keys) => keys.len(),
            Node::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    /// Keys of a leaf, children of an inner node: what the capacity limits.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(keys) => keys.len(),
            Node::Inner(inner) => inner.kids.len(),
        }
    }

    fn insert<const CAP: usize>(this: &mut Arc<Self>, key: K, bytes: &mut usize) -> Split<K> {
        match Node::own(this, bytes) {
            Node::Leaf(keys) => insert_into_leaf::<K, CAP>(keys, key, bytes),
            Node::Inner(inner) => {
                let kid = inner.lows[1..].partition_point(|low| *low <= key);
                inner.counts[kid] += 1;
                let (low, right) = Node::insert::<CAP>(&mut inner.kids[kid], key, bytes)?;
                let right_len = right.keys();
                inner.counts[kid] -= right_len;
                inner.insert::<CAP>(kid + 1, (low, right_len, right), bytes)
            }
        }
    }

    fn remove_at<const CAP: usize>(this: &mut Arc<Self>, mut rank: usize, bytes: &mut usize) -> K {
        match Node::own(this, bytes) {
            Node::Leaf(keys) => remove_from_leaf::<K, CAP>(keys, rank, bytes),
            Node::Inner(inner) => {
                let kid = inner.kid_at(&mut rank);
                let key = Node::remove_at::<CAP>(&mut inner.kids[kid], rank, bytes);
                inner.lost_one::<CAP>(kid, bytes);
                key
            }
        }
    }

    fn remove<const CAP: usize>(this: &mut Arc<Self>, key: &K, bytes: &mut usize) -> bool {
        match Node::own(this, bytes) {
            Node::Leaf(keys) => match keys.binary_search(key) {
                Ok(at) => {
                    remove_from_leaf::<K, CAP>(keys, at, bytes);
                    true
                }
                Err(_) => false,
            },
            Node::Inner(inner) => {
                let mut kid = inner.lows[1..].partition_point(|low| low <= key);
                // Equal keys may reach back over several children, and the last of these may have lost its own.
                while !Node::remove::<CAP>(&mut inner.kids[kid], key, bytes) {
                    if kid == 0 || inner.lows[kid] != *key {
                        return false;
                    }
                    kid -= 1;
                }
                inner.lost_one::<CAP>(kid, bytes);
                true
            }
        }
    }

    /// This node to write to, copied if a clone of the tree shares it; a copy is cut to size, so it is counted anew.
    fn own<'a>(this: &'a mut Arc<Self>, bytes: &mut usize) -> &'a mut Self {
        *bytes -= this.bytes();
        let node = Arc::make_mut(this);
        *bytes += node.bytes();
        node
    }

    /// Heap bytes of this node alone, its place in the `Arc` included.
    fn bytes(&self) -> usize {
        node_bytes::<K>()
            + match self {
                Node::Leaf(keys) => keys.capacity() * size_of::<K>(),
                Node::Inner(inner) => inner.bytes(),
            }
    }
}

fn insert_into_leaf<K: Ord + Clone, const CAP: usize>(keys: &mut Vec<K>, key: K, bytes: &mut usize) -> Split<K> {
    let before = keys.capacity();
    let at = keys.partition_point(|k| *k <= key);
    if keys.len() < CAP {
        insert_stepwise(keys, at, key, step::<CAP>());
        *bytes += (keys.capacity() - before) * size_of::<K>();
        return None;
    }
    let mut right = split_vec(keys, split_point(at, CAP));
    if at <= keys.len() && at < CAP {
        insert_stepwise(keys, at, key, step::<CAP>());
    } else {
        insert_stepwise(&mut right, at - keys.len(), key, step::<CAP>());
    }
    trim(keys, step::<CAP>());
    *bytes += keys.capacity() * size_of::<K>();
    *bytes -= before * size_of::<K>();
    let (low, right) = (right[0].clone(), Arc::new(Node::Leaf(right)));
    *bytes += right.bytes();
    Some((low, right))
}

fn remove_from_leaf<K, const CAP: usize>(keys: &mut Vec<K>, at: usize, bytes: &mut usize) -> K {
    let before = keys.capacity();
    let key = keys.remove(at);
    trim(keys, step::<CAP>());
    *bytes -= (before - keys.capacity()) * size_of::<K>();
    key
}

impl<K: Ord + Clone> Inner<K> {
    fn bytes(&self) -> usize {
        self.lows.capacity() * size_of::<K>() + (self.counts.capacity() + self.kids.capacity()) * size_of::<usize>()
    }

    /// The child holding `rank`, which becomes the rank inside that child.
    fn kid_at(&self, rank: &mut usize) -> usize {
        for (kid, count) in self.counts.iter().enumerate() {
            if *rank < *count {
                return kid;
            }
            *rank -= count;
        }
        unreachable!("a rank below the length lies in a child")
    }

    /// Puts a child at `at` (never 0), splitting this node if it is full.
    fn insert<const CAP: usize>(&mut self, at: usize, kid: (K, usize, Arc<Node<K>>), bytes: &mut usize) -> Split<K> {
        let before = self.bytes();
        if self.kids.len() < CAP {
            self.put(at, kid, step::<CAP>());
            *bytes += self.bytes() - before;
            return None;
        }
        let cut = split_point(at, CAP).max(1);
        let mut right = Inner {
            lows: split_vec(&mut self.lows, cut),
            counts: split_vec(&mut self.counts, cut),
            kids: split_vec(&mut self.kids, cut),
        };
        if at <= self.kids.len() && at < CAP {
            self.put(at, kid, step::<CAP>());
        } else {
            right.put(at - self.kids.len(), kid, step::<CAP>());
        }
        self.trim(step::<CAP>());
        *bytes += self.bytes();
        *bytes -= before;
        let (low, right) = (right.lows[0].clone(), Arc::new(Node::Inner(right)));
        *bytes += right.bytes();
        Some((low, right))
    }

    fn put(&mut self, at: usize, (low, count, kid): (K, usize, Arc<Node<K>>), step: usize) {
        insert_stepwise(&mut self.lows, at, low, step);
        insert_stepwise(&mut self.counts, at, count, step);
        insert_stepwise(&mut self.kids, at, kid, step);
    }

    fn trim(&mut self, step: usize) {
        trim(&mut self.lows, step);
        trim(&mut self.counts, step);
        trim(&mut self.kids, step);
    }

    /// Keeps count and balance after a child has lost a key.
    fn lost_one<const CAP: usize>(&mut self, kid: usize, bytes: &mut usize) {
        self.counts[kid] -= 1;
        if self.counts[kid] == 0 {
            self.forget(kid, bytes);
        } else if self.kids[kid].width() < CAP / 4 {
            self.merge::<CAP>(kid, bytes);
        }
    }

    /// Removes an empty child.
    fn forget(&mut self, kid: usize, bytes: &mut usize) {
        self.lows.remove(kid);
        self.counts.remove(kid);
        *bytes -= self.kids.remove(kid).bytes();
    }

    /// Merges the small child `kid` with its narrower neighbour, if one node can hold both with room to spare.
    fn merge<const CAP: usize>(&mut self, kid: usize, bytes: &mut usize) {
        let left = match (kid.checked_sub(1), self.kids.get(kid + 1)) {
            (None, None) => return,
            (None, Some(_)) => kid,
            (Some(left), None) => left,
            (Some(left), Some(right)) if self.kids[left].width() <= right.width() => left,
            (Some(_), Some(_)) => kid,
        };
        if self.kids[left].width() + self.kids[left + 1].width() > CAP * 3 / 4 {
            return;
        }
        let before = self.bytes() + self.kids[left].bytes() + self.kids[left + 1].bytes();
        let (low, right) = (self.lows.remove(left + 1), self.kids.remove(left + 1));
        self.counts[left] += self.counts.remove(left + 1);
        let step = step::<CAP>();
        match (Arc::make_mut(&mut self.kids[left]), Arc::unwrap_or_clone(right)) {
            (Node::Leaf(keys), Node::Leaf(more)) => {
                reserve(keys, more.len(), step);
                keys.extend(more);
            }
            (Node::Inner(inner), Node::Inner(mut more)) => {
                more.lows[0] = low;
                for entry in more.lows.into_iter().zip(more.counts).zip(more.kids) {
                    let ((low, count), kid) = entry;
                    inner.put(inner.kids.len(), (low, count, kid), step);
                }
            }
            _ => unreachable!("all leaves lie at one depth"),
        }
        self.trim(step);
        *bytes += self.bytes() + self.kids[left].bytes();
        *bytes -= before;
    }
}

/// Bytes of a node behind its `Arc`, before what its vectors hold.
const fn node_bytes<K>() -> usize {
    size_of::<Node<K>>() + 2 * size_of::<usize>()
}

const fn step<const CAP: usize>() -> usize {
    if CAP / 8 == 0 { 1 } else { CAP / 8 }
}

/// Where a full node splits, given where the next entry goes: at the ends it starts a node of its own.
fn split_point(at: usize, cap: usize) -> usize {
    match at {
        0 => 0,
        _ if at == cap => cap,
        _ => cap / 2,
    }
}

/// The tail from `at` in a vector with a little room; the head stays.
fn split_vec<T>(head: &mut Vec<T>, at: usize) -> Vec<T> {
    let mut tail = Vec::with_capacity(head.len() - at + 1);
    tail.extend(head.drain(at..));
    tail
}

fn insert_stepwise<T>(vec: &mut Vec<T>, at: usize, item: T, step: usize) {
    reserve(vec, 1, step);
    vec.insert(at, item);
}

fn reserve<T>(vec: &mut Vec<T>, extra: usize, step: usize) {
    let need = vec.len() + extra;
    if need > vec.capacity() {
        vec.reserve_exact(need.next_multiple_of(step) - vec.len());
    }
}

/// Gives back room beyond two steps.
fn trim<T>(vec: &mut Vec<T>, step: usize) {
    if vec.capacity() - vec.len() > 2 * step {
        vec.shrink_to((vec.len() + 1).next_multiple_of(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::types::tree::testing::{dice, seeds};

    /// A wrong shape fails here, not in a far-off answer.
    fn check<const CAP: usize>(tree: &RankTree<u32, CAP>) {
        fn walk<const CAP: usize>(node: &Node<u32>, depth: usize, leaves: &mut Vec<usize>) -> (usize, usize) {
            match node {
                Node::Leaf(keys) => {
                    assert!(keys.len() <= CAP && keys.is_sorted());
                    leaves.push(depth);
                    (keys.len(), node.bytes())
                }
                Node::Inner(inner) => {
                    assert!(inner.kids.len() <= CAP && inner.kids.len() == inner.counts.len());
                    let mut total = (0, node.bytes());
                    for (kid, count) in inner.kids.iter().zip(&inner.counts) {
                        let (len, bytes) = walk::<CAP>(kid, depth + 1, leaves);
                        assert!(len == *count && len > 0);
                        total = (total.0 + len, total.1 + bytes);
                    }
                    total
                }
            }
        }
        let mut leaves = Vec::new();
        assert_eq!(walk::<CAP>(&tree.root, 0, &mut leaves), (tree.len, tree.bytes));
        assert!(leaves.iter().all(|depth| *depth == leaves[0]));
    }

    fn compare<const CAP: usize>(tree: &RankTree<u32, CAP>, model: &[u32], dice: &mut Rng) {
        assert_eq!(tree.len(), model.len());
        assert!(tree.iter().eq(model));
        let rank = dice.below(model.len() as u64 + 2) as usize;
        assert_eq!(tree.get(rank), model.get(rank));
        assert!(tree.iter_from(rank).eq(model.iter().skip(rank)));
        let end = model.len().min(rank + 1);
        assert!(tree.iter_back_from(rank).eq(model[..end].iter().rev()));
        let key = dice.below(300) as u32;
        assert_eq!(tree.partition_point(|k| *k < key), model.partition_point(|k| *k < key));
        assert_eq!(tree.rank(&key), model.iter().position(|k| *k == key));
    }

    fn random_walk<const CAP: usize>(seed: u64) {
        let mut dice = dice(seed);
        let (mut tree, mut model) = (RankTree::<u32, CAP>::new(), Vec::new());
        let mut old = None;
        for round in 0..3000 {
            let growing = (round / 500) % 2 == 0;
            let key = dice.below(300) as u32;
            if dice.below(10) < if growing { 7 } else { 2 } {
                tree.insert(key);
                model.insert(model.partition_point(|k| *k <= key), key);
            } else if dice.below(2) == 0 {
                let at = model.iter().position(|k| *k == key);
                assert_eq!(tree.remove(&key), at.is_some());
                at.map(|at| model.remove(at));
            } else if !model.is_empty() {
                let at = dice.below(model.len() as u64) as usize;
                assert_eq!(tree.remove_at(at), Some(model.remove(at)));
            }
            check(&tree);
            compare(&tree, &model, &mut dice);
            if round % 400 == 399 {
                let (tree_then, model_then) = old.replace((tree.clone(), model.clone())).unwrap_or_default();
                assert!(tree_then.iter().eq(&model_then), "a clone does not see later writes");
            }
        }
        while tree.remove_at(0).is_some() {
            check(&tree);
        }
    }

    #[test]
    fn a_random_walk_agrees_with_a_sorted_vector() {
        for seed in seeds(4) {
            random_walk::<4>(seed);
            random_walk::<5>(seed);
            random_walk::<16>(seed);
        }
    }

    #[test]
    fn keys_in_order_fill_the_leaves() {
        let (mut up, mut down) = (RankTree::<u32, 16>::new(), RankTree::<u32, 16>::new());
        for key in 0..1600 {
            up.insert(key);
            down.insert(1600 - key);
            check(&up);
            check(&down);
        }
        for tree in [&up, &down] {
            let per_key = tree.heap_bytes() as f64 / 1600.0;
            assert!(per_key < 16.0, "{per_key} bytes per key of 4");
        }
    }

    #[test]
    fn a_range_is_removed_in_order() {
        let mut tree = RankTree::<u32, 8>::new();
        (0..100).for_each(|key| tree.insert(key));
        let mut gone = Vec::new();
        tree.remove_range(10..20, |key| gone.push(key));
        tree.remove_range(85..200, |key| gone.push(key));
        assert_eq!(gone, (10..20).chain(95..100).collect::<Vec<_>>());
        assert_eq!(tree.len(), 85);
    }
}
