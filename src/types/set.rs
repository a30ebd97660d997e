//! The set: integers, a listpack, or a table.
//!
//! | form | while | a member costs |
//! |---|---|---|
//! | [`Set::Ints`] | all members are integers and there are at most `set-max-intset-entries` | 2, 4 or 8 bytes |
//! | [`Set::Packed`] | at most `set-max-listpack-entries`, none longer than `set-max-listpack-value` | its bytes + 2 |
//! | [`Set::Table`] | otherwise | its bytes + ~6 |
//!
//! The first two are Redis' own layouts and forms change where Redis changes them, so OBJECT ENCODING agrees and RDB copies
//! bytes. A set never goes back to a smaller form.

use super::Packing;
use super::packed::intset::Intset;
use super::packed::listpack::{Listpack, LpValue};
use super::packed::thin::Lent;
use super::tree::page::Page;
use super::tree::slots::{Format, Slots};
use super::tree::table::Table;
use crate::base::hash::key_hash;
use crate::base::num::{decimal_len, parse_i64};
use std::sync::Arc;

/// A set of byte strings.
#[derive(Clone)]
pub enum Set {
    /// Sorted integers.
    Ints(Intset),
    /// Members one after another, in the order they came.
    Packed(Listpack),
    /// Members by hash.
    Table(Arc<Members>),
}

const _: () = assert!(size_of::<Set>() <= 24);

impl Default for Set {
    fn default() -> Self {
        Set::Ints(Intset::new())
    }
}

/// The table of a big set: an item is a member.
pub type Members = Table<Slots<Plain>>;

/// Items that are keys and nothing else.
#[derive(Clone)]
pub struct Plain;

impl Format for Plain {
    fn key(item: &[u8]) -> &[u8] {
        item
    }
}

/// How far the small forms go: directives of the same names.
#[derive(Clone, Copy, Debug)]
pub struct SetLimits {
    /// `set-max-intset-entries`
    pub intset_entries: usize,
    /// `set-max-listpack-entries`
    pub listpack_entries: usize,
    /// `set-max-listpack-value`, in bytes
    pub listpack_value: usize,
}

impl Default for SetLimits {
    fn default() -> Self {
        Self { intset_entries: 512, listpack_entries: 128, listpack_value: 64 }
    }
}

/// An intset holds no more than this, whatever the directive says.
const INTSET_ENTRIES_MAX: usize = 1 << 30;

impl SetLimits {
    fn intset_entries(&self) -> usize {
        self.intset_entries.min(INTSET_ENTRIES_MAX)
    }

    fn packs(&self, member: &[u8]) -> bool {
        member.len() <= self.listpack_value
    }
}

impl Set {
    /// An empty set in the form fit for `first` and `count` members in all.
    pub fn for_members(first: &[u8], count: usize, limits: &SetLimits) -> Self {
        if parse_i64(first).is_some() && count <= limits.intset_entries {
            Set::Ints(Intset::new())
        } else if count <= limits.listpack_entries {
            Set::Packed(Listpack::new())
        } else {
            Set::Table(Arc::default())
        }
    }

    /// Takes a listpack of foreign origin; none if a member is in it twice.
    pub fn from_listpack(listpack: Listpack) -> Option<Self> {
        let mut members: Vec<Vec<u8>> = listpack.iter().map(|member| member.to_vec()).collect();
        members.sort_unstable();
        members.windows(2).all(|pair| pair[0] != pair[1]).then_some(Set::Packed(listpack))
    }

    /// A small set in a block that is lent.
    #[inline]
    pub fn within(packing: Packing, lent: Lent) -> Self {
        match packing {
            Packing::Intset => Set::Ints(Intset::within(lent)),
            _ => Set::Packed(Listpack::within(lent)),
        }
    }

    /// The bytes of a small set.
    pub fn packed(&self) -> Option<(Packing, &[u8])> {
        match self {
            Set::Ints(ints) => Some((Packing::Intset, ints.as_bytes())),
            Set::Packed(listpack) => Some((Packing::Listpack, listpack.as_bytes())),
            Set::Table(_) => None,
        }
    }

    /// The loan back, if this is still in the block that was lent.
    #[inline]
    pub fn into_lent(self) -> Result<(Packing, Lent), Self> {
        match self {
            Set::Ints(ints) => ints.into_lent().map(|lent| (Packing::Intset, lent)).map_err(Set::Ints),
            Set::Packed(listpack) => listpack.into_lent().map(|lent| (Packing::Listpack, lent)).map_err(Set::Packed),
            table @ Set::Table(_) => Err(table),
        }
    }

    /// The name of the form, as OBJECT ENCODING gives it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(listpack) => listpack.len(),
            Set::Table(table) => table.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its memory begins, without looking at it.
    #[inline]
    pub fn address(&self) -> *const u8 {
        match self {
            Set::Ints(ints) => ints.address(),
            Set::Packed(lp) => lp.address(),
            Set::Table(table) => Arc::as_ptr(table).cast(),
        }
    }

    /// Bytes on the heap, O(1).
    pub fn heap_bytes(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.heap_bytes(),
            Set::Packed(listpack) => listpack.heap_bytes(),
            Set::Table(table) => 2 * size_of::<usize>() + size_of::<Members>() + table.heap_bytes(),
        }
    }

    /// Whether `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|int| ints.contains(int)),
            Set::Packed(listpack) => listpack.find(member, 0).is_some(),
            Set::Table(table) => {
                let hash = key_hash(member);
                table.page(hash).find(hash, member).is_some()
            }
        }
    }

    /// Adds a member; false if it was there.
    pub fn add(&mut self, member: &[u8], limits: &SetLimits) -> bool {
        match self {
            Set::Ints(ints) => match parse_i64(member) {
                Some(int) => {
                    let added = ints.add(int);
                    if added && ints.len() > limits.intset_entries() {
                        self.convert_to_table();
                    }
                    added
                }
                None => {
                    self.leave_ints(member, limits);
                    self.add(member, limits)
                }
            },
            Set::Packed(listpack) => {
                if listpack.find(member, 0).is_some() {
                    return false;
                }
                if listpack.len() < limits.listpack_entries
                    && limits.packs(member)
                    && !listpack.would_exceed(Listpack::entry_bytes(member))
                {
                    listpack.push_back(member);
                    return true;
                }
                self.convert_to_table();
                self.add(member, limits)
            }
            Set::Table(table) => add_to_table(Arc::make_mut(table), member),
        }
    }

    /// Removes a member; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|int| ints.remove(int)),
            Set::Packed(listpack) => match listpack.find(member, 0) {
                Some(pos) => {
                    listpack.delete(pos);
                    true
                }
                None => false,
            },
            Set::Table(table) => {
                let hash = key_hash(member);
                let Some(at) = table.page(hash).find(hash, member) else { return false };
                remove_from_table(table, hash, at);
                true
            }
        }
    }

    /// The member at `rank`, in an order that holds until the next change. With a random rank: a uniformly random member.
    pub fn at(&self, rank: usize) -> Option<LpValue<'_>> {
        match self {
            Set::Ints(ints) => ints.get(rank).map(LpValue::Int),
            Set::Packed(listpack) => listpack.get_at(i64::try_from(rank).ok()?),
            Set::Table(table) => table.at(rank).map(|(page, at)| LpValue::Str(page.item(at))),
        }
    }

    /// Removes and returns the member at `rank`.
    pub fn pop_at(&mut self, rank: usize) -> Option<Vec<u8>> {
        let member = self.at(rank)?.to_vec();
        match self {
            Set::Ints(_) => {
                self.remove(&member);
            }
            Set::Packed(listpack) => listpack.delete_range(rank as i64, 1),
            Set::Table(table) => {
                let (page, at) = table.at(rank)?;
                let hash = page.hash_at(at);
                remove_from_table(table, hash, at);
            }
        }
        Some(member)
    }

    /// All members.
    pub fn iter(&self) -> Box<dyn Iterator<Item = LpValue<'_>> + '_> {
        match self {
            Set::Ints(ints) => Box::new(ints.iter().map(LpValue::Int)),
            Set::Packed(listpack) => Box::new(listpack.iter()),
            Set::Table(table) => Box::new(table.pages().flat_map(|page| page.items().map(LpValue::Str))),
        }
    }

    /// Reports about `count` members from `cursor` on (0 starts) and returns the next cursor (0: all were reported). The
    /// small forms report everything at once.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(LpValue<'_>)) -> u64 {
        match self {
            Set::Table(table) => table.scan(cursor, count, |page, at| each(LpValue::Str(page.item(at)))),
            _ => {
                self.iter().for_each(each);
                0
            }
        }
    }

    /// Goes to the table at once if `count` members are about to be added and would not fit.
    pub fn expect(&mut self, count: usize, limits: &SetLimits) {
        let fits = match self {
            Set::Ints(_) => count <= limits.intset_entries,
            Set::Packed(_) => count <= limits.listpack_entries,
            Set::Table(_) => true,
        };
        if !fits {
            self.convert_to_table();
        }
    }

    /// The same members in a table.
    pub fn convert_to_table(&mut self) {
        let mut table = Members::new();
        let mut text = itoa::Buffer::new();
        for member in self.iter() {
            add_to_table(&mut table, member.to_bytes(&mut text));
        }
        *self = Set::Table(Arc::new(table));
    }

    /// From integers to the form that can take `member`, which is none. Redis looks at the extremes of the set only.
    fn leave_ints(&mut self, member: &[u8], limits: &SetLimits) {
        let Set::Ints(ints) = self else { return };
        let extremes = [ints.iter().next(), ints.iter().next_back()];
        let longest = extremes.into_iter().flatten().map(decimal_len).max().unwrap_or(0);
        if ints.len() < limits.listpack_entries && limits.packs(member) && longest <= limits.listpack_value {
            let mut listpack = Listpack::new();
            ints.iter().for_each(|int| listpack.push_back_int(int));
            *self = Set::Packed(listpack);
        } else {
            self.convert_to_table();
        }
    }
}

fn add_to_table(table: &mut Members, member: &[u8]) -> bool {
    let hash = key_hash(member);
    if table.page(hash).find(hash, member).is_some() {
        return false;
    }
    table.make_room(hash, member.len());
    table.edit(hash, |page| page.push(hash, &[member]));
    true
}

fn remove_from_table(table: &mut Arc<Members>, hash: u64, at: usize) {
    let table = Arc::make_mut(table);
    table.edit(hash, |page| page.remove(at));
    table.settle(hash);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::types::tree::testing::{dice, seeds};
    use std::collections::BTreeSet;

    fn set_of(members: &[&str], limits: &SetLimits) -> Set {
        let mut set = Set::for_members(members[0].as_bytes(), 1, limits);
        members.iter().for_each(|member| {
            set.add(member.as_bytes(), limits);
        });
        set
    }

    #[test]
    fn forms_change_where_redis_changes_them() {
        let limits = SetLimits { intset_entries: 4, listpack_entries: 6, listpack_value: 8 };
        let cases: &[(&[&str], &str)] = &[
            (&["1", "2", "-3", "4"], "intset"),
            (&["1", "2", "3", "4", "5"], "hashtable"),
            (&["1", "2", "2", "1", "2"], "intset"),
            (&["1", "01"], "listpack"),
            (&["1", "+1"], "listpack"),
            (&["1", "9223372036854775808"], "hashtable"),
            (&["a", "1", "2", "3", "4", "5"], "listpack"),
            (&["a", "1", "2", "3", "4", "5", "6"], "hashtable"),
            (&["12345678", "a"], "listpack"),
            (&["123456789", "a"], "hashtable"),
            (&["-12345678", "a"], "hashtable"),
            (&["a", "12345678"], "listpack"),
            (&["a", "123456789"], "hashtable"),
            (&["a", "a"], "listpack"),
        ];
        for (members, encoding) in cases {
            assert_eq!(set_of(members, &limits).encoding(), *encoding, "{members:?}");
        }
        let starts: &[(&str, usize, &str)] = &[
            ("1", 4, "intset"),
            ("1", 5, "listpack"),
            ("1", 7, "hashtable"),
            ("a", 1, "listpack"),
            ("a", 7, "hashtable"),
        ];
        for (first, count, encoding) in starts {
            assert_eq!(Set::for_members(first.as_bytes(), *count, &limits).encoding(), *encoding, "{first} {count}");
        }
        let mut set = set_of(&["1"], &limits);
        set.expect(4, &limits);
        assert_eq!(set.encoding(), "intset");
        set.expect(5, &limits);
        assert_eq!((set.encoding(), set.len()), ("hashtable", 1));
    }

    fn member(dice: &mut Rng, words: bool) -> Vec<u8> {
        let number = dice.below(400) as i64 - 200;
        let text = if words && dice.below(3) == 0 { format!("w{number}") } else { number.to_string() };
        text.into_bytes()
    }

    fn check(set: &Set, model: &BTreeSet<Vec<u8>>) {
        assert_eq!(set.len(), model.len());
        let sorted = |members: Vec<Vec<u8>>| BTreeSet::from_iter(members);
        assert_eq!(sorted(set.iter().map(|member| member.to_vec()).collect()), *model);
        assert_eq!(sorted((0..set.len()).map(|rank| set.at(rank).unwrap().to_vec()).collect()), *model);
        let (mut seen, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = set.scan(cursor, 7, |member| seen.push(member.to_vec()));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), model.len());
        assert_eq!(sorted(seen), *model);
    }

    #[test]
    fn a_random_walk_agrees_with_a_set() {
        let limits = SetLimits { intset_entries: 40, listpack_entries: 30, listpack_value: 4 };
        for (turn, seed) in seeds(12).into_iter().enumerate() {
            let mut dice = dice(seed);
            let (mut set, mut model) = (Set::for_members(b"1", 1, &limits), BTreeSet::new());
            let mut old = (set.clone(), model.clone());
            for round in 0..1500 {
                let member = member(&mut dice, turn % 3 != 0);
                assert_eq!(set.contains(&member), model.contains(&member));
                match dice.below(10) {
                    0..6 if round % 600 < 400 => assert_eq!(set.add(&member, &limits), model.insert(member)),
                    0..9 => assert_eq!(set.remove(&member), model.remove(&member)),
                    _ => {
                        let popped = set.pop_at(dice.below(set.len() as u64 + 1) as usize);
                        assert!(popped.is_none_or(|member| model.remove(&member)));
                    }
                }
                if round % 100 == 0 {
                    check(&set, &model);
                    check(&old.0, &old.1);
                    old = (set.clone(), model.clone());
                }
            }
        }
    }

    #[test]
    fn a_foreign_listpack_may_not_repeat_a_member() {
        let pack = |members: &[&str]| members.iter().map(|member| member.as_bytes()).collect::<Listpack>();
        assert!(Set::from_listpack(pack(&["a", "1", "b"])).is_some());
        assert!(Set::from_listpack(pack(&["1", "b", "1"])).is_none());
    }

    /// Redis 7.0 takes about 50 bytes per integer and 72 per string of 16 bytes, the budget is 0.6 of it.
    #[test]
    fn big_sets_stay_within_their_budget() {
        let limits = SetLimits::default();
        let (mut numbers, mut strings) = (Set::default(), Set::default());
        for i in 0..100_000 {
            numbers.add((i * 97 + 1_000_000).to_string().as_bytes(), &limits);
            strings.add(format!("member:{i:09}").as_bytes(), &limits);
        }
        let per_member = [numbers, strings].map(|set| set.heap_bytes() as f64 / 100_000.0);
        assert!(per_member[0] < 22.0 && per_member[1] < 30.0, "{per_member:?} bytes per member");
    }
}
