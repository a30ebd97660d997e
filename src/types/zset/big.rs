//! The big sorted set: a table of members by hash and a tree of them by (score, bytes), over shared bytes.

use super::Scored;
use super::names::Names;
use super::ranked::Ranked;
use crate::base::hash::key_hash;
use crate::types::tree::member::Member;
use crate::types::tree::rank::RankTree;
use crate::types::tree::table::Table;
use std::ops::Range;

/// Members by hash and by rank.
#[derive(Clone, Default)]
pub struct Big {
    names: Table<Names>,
    ranks: RankTree<Ranked>,
    /// The allocations of the members, together.
    member_bytes: usize,
}

impl Big {
    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// Bytes on the heap beyond the struct itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.names.heap_bytes() + self.ranks.heap_bytes() + self.member_bytes
    }

    fn find(&self, member: &[u8]) -> Option<(u64, usize, &Ranked)> {
        let hash = key_hash(member);
        let page = self.names.page(hash);
        page.find(hash, member).map(|at| (hash, at, page.entry(at)))
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(|(_, _, entry)| entry.score)
    }

    /// The rank and the score of a member.
    pub(super) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let (_, _, entry) = self.find(member)?;
        Some((self.ranks.partition_point(|other| other < entry), entry.score))
    }

    /// Adds a member, or gives it another score.
    pub(super) fn set(&mut self, member: &[u8], score: f64) {
        match self.find(member) {
            Some((hash, at, entry)) => {
                let old = entry.clone();
                let new = Ranked { score, member: old.member.clone() };
                self.names.edit(hash, |page| page.set_score(at, score));
                self.ranks.remove(&old);
                self.ranks.insert(new);
            }
            None => self.insert(member, score),
        }
    }

    /// Adds a member that is not there.
    pub(super) fn insert(&mut self, member: &[u8], score: f64) {
        let hash = key_hash(member);
        let entry = Ranked { score, member: Member::new(member) };
        self.member_bytes += entry.member.heap_bytes();
        self.names.make_room(hash, size_of::<Ranked>());
        self.names.edit(hash, |page| page.push(hash, entry.clone()));
        self.ranks.insert(entry);
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let Some((hash, at, _)) = self.find(member) else { return false };
        let entry = self.remove_name(hash, at);
        self.ranks.remove(&entry);
        true
    }

    fn remove_name(&mut self, hash: u64, at: usize) -> Ranked {
        let entry = self.names.edit(hash, |page| page.remove(at));
        self.names.settle(hash);
        self.member_bytes -= entry.member.heap_bytes();
        entry
    }

    /// Removes the members at these ranks, handing each to `each` from the lowest up.
    pub(super) fn remove_ranks(&mut self, ranks: Range<usize>, mut each: impl FnMut(Scored<'_>)) {
        for _ in ranks.start..ranks.end.min(self.len()) {
            let Some(entry) = self.ranks.remove_at(ranks.start) else { return };
            let hash = key_hash(entry.member.bytes());
            if let Some(at) = self.names.page(hash).find(hash, entry.member.bytes()) {
                self.remove_name(hash, at);
            }
            each(entry.scored());
        }
    }

    /// How many members come first, `before` being true for a head of the order and false for the rest.
    pub(super) fn partition_point(&self, before: impl Fn(&[u8], f64) -> bool) -> usize {
        self.ranks.partition_point(|entry| before(entry.member.bytes(), entry.score))
    }

    pub(super) fn at(&self, rank: usize) -> Option<Scored<'_>> {
        self.ranks.get(rank).map(Ranked::scored)
    }

    pub(super) fn iter(&self, ranks: Range<usize>) -> impl Iterator<Item = Scored<'_>> {
        self.ranks.iter_from(ranks.start).take(ranks.len()).map(Ranked::scored)
    }

    pub(super) fn iter_back(&self, ranks: Range<usize>) -> impl Iterator<Item = Scored<'_>> {
        self.ranks.iter_back_from(ranks.end.saturating_sub(1)).take(ranks.len()).map(Ranked::scored)
    }

    pub(super) fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(Scored<'_>)) -> u64 {
        self.names.scan(cursor, count, |page, at| each(page.entry(at).scored()))
    }
}

#[cfg(test)]
impl Big {
    /// Checks that both sides hold the same members and the counters are right.
    pub(super) fn check(&self) {
        use crate::types::tree::page::Page;
        let mut by_name: Vec<&Ranked> =
            self.names.pages().flat_map(|page| (0..page.len()).map(|at| page.entry(at))).collect();
        by_name.sort_unstable();
        assert!(by_name.iter().copied().eq(self.ranks.iter()));
        assert_eq!(self.member_bytes, by_name.iter().map(|entry| entry.member.heap_bytes()).sum::<usize>());
        assert_eq!(self.names.heap_bytes(), self.names.counted_bytes());
    }
}
