//! The hash: fields to values, each field with an optional deadline.
//!
//! | form | while | OBJECT ENCODING |
//! |---|---|---|
//! | [`Hash::Packed`] | at most `hash-max-listpack-entries`, nothing longer than `hash-max-listpack-value` | listpack |
//! | [`Hash::PackedEx`] | the same, and a field has or had a deadline | listpackex |
//! | [`Hash::Table`] | otherwise | hashtable |
//!
//! Forms change where Redis changes them and never back. A deadline is in Unix milliseconds; a field is *due* once the
//! clock has reached it. This room knows no clock: reads report deadlines and leave the judgement to the caller, who also
//! calls [`Hash::expire_due`].

mod fields;
mod timed;

use super::Packing;
use super::packed::listpack::{Item, Listpack, LpValue};
use super::packed::thin::Lent;
use bytes::Bytes;
pub use fields::Fields;
use std::sync::Arc;

/// A map from field names to values.
#[derive(Clone)]
pub enum Hash {
    /// Names and values alternate, in the order they came.
    Packed(Listpack),
    /// Triples of name, value and deadline (0: none), in the order of deadlines.
    PackedEx(Listpack),
    /// Fields by hash and by deadline.
    Table(Arc<Fields>),
}

const _: () = assert!(size_of::<Hash>() <= 24);

/// One field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its name.
    pub name: LpValue<'a>,
    /// Its value.
    pub value: LpValue<'a>,
    /// When it expires, in Unix milliseconds.
    pub deadline: Option<u64>,
}

impl Field<'_> {
    /// Whether its deadline has passed at `now_ms`.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now_ms)
    }
}

/// What setting a field does to its deadline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deadline {
    /// It keeps the one it has, if any.
    Keep,
    /// It has none from now on.
    None,
    /// It gets this one, in Unix milliseconds.
    At(u64),
}

impl Deadline {
    /// The deadline of a field that had `old`.
    fn after(self, old: Option<u64>) -> Option<u64> {
        match self {
            Deadline::Keep => old,
            Deadline::None => None,
            Deadline::At(ms) => Some(ms),
        }
    }
}

/// How far the small forms go: directives of the same names.
#[derive(Clone, Copy, Debug)]
pub struct HashLimits {
    /// `hash-max-listpack-entries`, in fields
    pub listpack_entries: usize,
    /// `hash-max-listpack-value`, in bytes of a name or value
    pub listpack_value: usize,
}

impl Default for HashLimits {
    fn default() -> Self {
        Self { listpack_entries: 512, listpack_value: 64 }
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty hash.
    pub fn new() -> Self {
        Hash::Packed(Listpack::new())
    }

    /// Takes a listpack of pairs of foreign origin; none if it is odd or a name is in it twice.
    pub fn from_listpack(pairs: Listpack) -> Option<Self> {
        let whole = pairs.len().is_multiple_of(2);
        let names = pairs.pairs().map(|(name, _)| name.to_vec()).collect();
        (whole && are_unique(names)).then_some(Hash::Packed(pairs))
    }

    /// Takes a listpack of triples of foreign origin; none if it is not whole, a name is in it twice, or its deadlines are
    /// not numbers in order.
    pub fn from_listpack_ex(triples: Listpack) -> Option<Self> {
        let whole = triples.len().is_multiple_of(3);
        let stamps_are_numbers =
            triples.iter().skip(2).step_by(3).all(|stamp| stamp.as_int().is_some_and(|ms| ms >= 0));
        let names = timed::fields(&triples).map(|field| field.name.to_vec()).collect();
        (whole && stamps_are_numbers && are_unique(names) && timed::is_sorted(&triples))
            .then_some(Hash::PackedEx(triples))
    }

    /// A small hash in a block that is lent.
    #[inline]
    pub fn within(packing: Packing, lent: Lent) -> Self {
        match packing {
            Packing::ListpackEx => Hash::PackedEx(Listpack::within(lent)),
            _ => Hash::Packed(Listpack::within(lent)),
        }
    }

    /// The bytes of a small hash.
    pub fn packed(&self) -> Option<(Packing, &[u8])> {
        match self {
            Hash::Packed(pairs) => Some((Packing::Listpack, pairs.as_bytes())),
            Hash::PackedEx(triples) => Some((Packing::ListpackEx, triples.as_bytes())),
            Hash::Table(_) => None,
        }
    }

    /// The loan back, if this is still in the block that was lent.
    #[inline]
    pub fn into_lent(self) -> Result<(Packing, Lent), Self> {
        match self {
            Hash::Packed(listpack) => listpack.into_lent().map(|lent| (Packing::Listpack, lent)).map_err(Hash::Packed),
            Hash::PackedEx(listpack) => {
                listpack.into_lent().map(|lent| (Packing::ListpackEx, lent)).map_err(Hash::PackedEx)
            }
            table @ Hash::Table(_) => Err(table),
        }
    }

    /// The name of the form, as OBJECT ENCODING gives it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Hash::Packed(_) => "listpack",
            Hash::PackedEx(_) => "listpackex",
            Hash::Table(_) => "hashtable",
        }
    }

    /// How many fields it has, those due included.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Hash::Packed(pairs) => pairs.len() / 2,
            Hash::PackedEx(triples) => triples.len() / 3,
            Hash::Table(fields) => fields.len(),
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
            Hash::Packed(lp) | Hash::PackedEx(lp) => lp.address(),
            Hash::Table(fields) => Arc::as_ptr(fields).cast(),
        }
    }

    /// Bytes on the heap, O(1).
    pub fn heap_bytes(&self) -> usize {
        match self {
            Hash::Packed(listpack) | Hash::PackedEx(listpack) => listpack.heap_bytes(),
            Hash::Table(fields) => 2 * size_of::<usize>() + size_of::<Fields>() + fields.heap_bytes(),
        }
    }

    /// The field of this name.
    pub fn get(&self, name: &[u8]) -> Option<Field<'_>> {
        match self {
            Hash::Packed(pairs) => {
                let at = pairs.find(name, 1)?;
                let mut values = pairs.iter_from(at);
                Some(Field { name: values.next()?, value: values.next()?, deadline: None })
            }
            Hash::PackedEx(triples) => timed::field_at(triples, triples.find(name, timed::STEP)?),
            Hash::Table(fields) => fields.get(name),
        }
    }

    /// The value of a field as shared bytes, if it is so long that it is kept so: a reply need not copy it.
    pub fn shared(&self, name: &[u8]) -> Option<Bytes> {
        match self {
            Hash::Table(fields) => fields.shared(name),
            _ => None,
        }
    }

    /// Sets a field; true if it is new.
    pub fn set(&mut self, name: &[u8], value: &[u8], deadline: Deadline, limits: &HashLimits) -> bool {
        if matches!(deadline, Deadline::At(_)) {
            self.prepare_deadlines();
        }
        self.leave_listpack_for(name, value, limits);
        let new = match self {
            Hash::Packed(pairs) => set_pair(pairs, name, value),
            Hash::PackedEx(triples) => set_triple(triples, name, value, deadline),
            Hash::Table(fields) => return Arc::make_mut(fields).set(name, value, deadline),
        };
        if self.len() > limits.listpack_entries {
            self.convert_to_table();
        }
        new
    }

    /// Removes a field; false if it was not there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let (listpack, entries) = match self {
            Hash::Packed(pairs) => (pairs, 2),
            Hash::PackedEx(triples) => (triples, 3),
            Hash::Table(fields) => return fields.get(name).is_some() && Arc::make_mut(fields).remove(name),
        };
        let Some(at) = listpack.find(name, entries - 1) else { return false };
        listpack.delete_entries(at, entries);
        true
    }

    /// Gives a field a deadline, or none; false if there is no such field.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<u64>) -> bool {
        let Some(field) = self.get(name) else { return false };
        if field.deadline.is_none() && deadline.is_none() {
            return true;
        }
        self.prepare_deadlines();
        match self {
            Hash::Packed(_) => unreachable!("just left that form"),
            Hash::PackedEx(triples) => move_triple(triples, name, deadline),
            Hash::Table(fields) => Arc::make_mut(fields).set_deadline(name, deadline),
        }
    }

    /// Makes place for deadlines in a listpack. The HEXPIRE family does this even if it then finds none of its fields.
    pub fn prepare_deadlines(&mut self) {
        if let Hash::Packed(pairs) = self {
            *self = Hash::PackedEx(timed::from_pairs(pairs));
        }
    }

    /// The earliest deadline of a field.
    pub fn next_deadline(&self) -> Option<u64> {
        match self {
            Hash::Packed(_) => None,
            Hash::PackedEx(triples) => timed::fields(triples).next()?.deadline,
            Hash::Table(fields) => fields.next_deadline(),
        }
    }

    /// How many fields have a deadline.
    pub fn with_deadline(&self) -> usize {
        match self {
            Hash::Packed(_) => 0,
            Hash::PackedEx(triples) => timed::fields(triples).take_while(|field| field.deadline.is_some()).count(),
            Hash::Table(fields) => fields.with_deadline(),
        }
    }

    /// Removes up to `count` fields that are due at `now_ms`, the earliest first, and returns their names.
    pub fn expire_due(&mut self, now_ms: u64, count: usize) -> Vec<Vec<u8>> {
        let mut gone = Vec::new();
        while gone.len() < count
            && let Some(name) = self.next_due(now_ms)
        {
            self.remove(&name);
            gone.push(name);
        }
        gone
    }

    fn next_due(&self, now_ms: u64) -> Option<Vec<u8>> {
        match self {
            Hash::Packed(_) => None,
            Hash::PackedEx(triples) => {
                timed::fields(triples).next().filter(|field| field.is_due(now_ms)).map(|field| field.name.to_vec())
            }
            Hash::Table(fields) => {
                let due = fields.next_deadline()? <= now_ms;
                due.then(|| fields.next_due().map(<[u8]>::to_vec))?
            }
        }
    }

    /// The field at `rank`, in an order that holds until the next change. With a random rank: a uniformly random field.
    pub fn at(&self, rank: usize) -> Option<Field<'_>> {
        match self {
            Hash::Packed(pairs) => {
                let mut values = pairs.iter_from(pairs.seek(2 * i64::try_from(rank).ok()?)?);
                Some(Field { name: values.next()?, value: values.next()?, deadline: None })
            }
            Hash::PackedEx(triples) => timed::field_at(triples, triples.seek(3 * i64::try_from(rank).ok()?)?),
            Hash::Table(fields) => fields.at(rank),
        }
    }

    /// All fields, those due included.
    pub fn iter(&self) -> Box<dyn Iterator<Item = Field<'_>> + '_> {
        match self {
            Hash::Packed(pairs) => Box::new(pairs.pairs().map(|(name, value)| Field { name, value, deadline: None })),
            Hash::PackedEx(triples) => Box::new(timed::fields(triples)),
            Hash::Table(fields) => Box::new(fields.iter()),
        }
    }

    /// Hands all fields to `each`, those due included.
    pub fn each(&self, mut each: impl FnMut(Field<'_>)) {
        match self {
            Hash::Packed(pairs) => pairs.pairs().for_each(|(name, value)| each(Field { name, value, deadline: None })),
            _ => self.iter().for_each(each),
        }
    }

    /// Reports about `count` fields from `cursor` on (0 starts) and returns the next cursor (0: all were reported). The small
    /// forms report everything at once.
    pub fn scan(&self, cursor: u64, count: usize, each: impl FnMut(Field<'_>)) -> u64 {
        match self {
            Hash::Table(fields) => fields.scan(cursor, count, each),
            _ => {
                self.iter().for_each(each);
                0
            }
        }
    }

    /// Goes to the table at once if what is about to be set, names and values alternating, does not fit a listpack.
    pub fn expect<'a>(&mut self, names_and_values: impl ExactSizeIterator<Item = &'a [u8]>, limits: &HashLimits) {
        let (Hash::Packed(listpack) | Hash::PackedEx(listpack)) = self else { return };
        let many = names_and_values.len() / 2 > limits.listpack_entries;
        let mut added = 0;
        let too_long = |part: &[u8]| {
            added += part.len();
            part.len() > limits.listpack_value
        };
        if many || names_and_values.map(too_long).fold(false, |any, long| any | long) || listpack.would_exceed(added) {
            self.convert_to_table();
        }
    }

    fn leave_listpack_for(&mut self, name: &[u8], value: &[u8], limits: &HashLimits) {
        let (Hash::Packed(listpack) | Hash::PackedEx(listpack)) = self else { return };
        let longest = name.len().max(value.len());
        if longest > limits.listpack_value || listpack.would_exceed(2 * longest + ENTRY_BYTES_EXTRA) {
            self.convert_to_table();
        }
    }

    /// The same fields in a table.
    pub fn convert_to_table(&mut self) {
        let mut fields = Fields::default();
        let (mut name_text, mut value_text) = (itoa::Buffer::new(), itoa::Buffer::new());
        for field in self.iter() {
            let (name, value) = (field.name.to_bytes(&mut name_text), field.value.to_bytes(&mut value_text));
            fields.set(name, value, field.deadline.map_or(Deadline::None, Deadline::At));
        }
        *self = Hash::Table(Arc::new(fields));
    }
}

/// More than the headers of three entries take.
const ENTRY_BYTES_EXTRA: usize = 64;

fn are_unique(mut names: Vec<Vec<u8>>) -> bool {
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

fn set_pair(pairs: &mut Listpack, name: &[u8], value: &[u8]) -> bool {
    match pairs.find(name, 1).and_then(|at| pairs.next(at)) {
        Some(at) => {
            pairs.replace(at, value);
            false
        }
        None => {
            pairs.push_pair(Item::Bytes(name), Item::Bytes(value));
            true
        }
    }
}

fn set_triple(triples: &mut Listpack, name: &[u8], value: &[u8], deadline: Deadline) -> bool {
    let Some(at) = triples.find(name, timed::STEP) else {
        timed::insert(triples, name, value, deadline.after(None));
        return true;
    };
    let old = timed::field_at(triples, at).and_then(|field| field.deadline);
    let new = deadline.after(old);
    if new != old || matches!(deadline, Deadline::At(_)) {
        triples.delete_entries(at, 3);
        timed::insert(triples, name, value, new);
    } else if let Some(at) = triples.next(at) {
        triples.replace(at, value);
    }
    false
}

fn move_triple(triples: &mut Listpack, name: &[u8], deadline: Option<u64>) -> bool {
    let Some(at) = triples.find(name, timed::STEP) else { return false };
    let Some(value) = timed::field_at(triples, at).map(|field| field.value.to_vec()) else { return false };
    triples.delete_entries(at, 3);
    timed::insert(triples, name, &value, deadline);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use crate::types::tree::testing::{dice, seeds};
    use std::collections::BTreeMap;

    const SMALL: HashLimits = HashLimits { listpack_entries: 4, listpack_value: 8 };

    fn hash_of(pairs: &[(&str, &str)], limits: &HashLimits) -> Hash {
        let mut hash = Hash::new();
        for (name, value) in pairs {
            hash.set(name.as_bytes(), value.as_bytes(), Deadline::None, limits);
        }
        hash
    }

    #[test]
    fn forms_change_where_redis_changes_them() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("d", "5")], "listpack"),
            (&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")], "hashtable"),
            (&[("12345678", "12345678")], "listpack"),
            (&[("123456789", "1")], "hashtable"),
            (&[("1", "123456789")], "hashtable"),
        ];
        for (pairs, encoding) in cases {
            assert_eq!(hash_of(pairs, &SMALL).encoding(), *encoding, "{pairs:?}");
            let mut hash = Hash::new();
            let parts: Vec<&[u8]> = pairs.iter().flat_map(|(n, v)| [n.as_bytes(), v.as_bytes()]).collect();
            hash.expect(parts.into_iter(), &SMALL);
            let early = pairs.len() > 4 || pairs.iter().any(|(n, v)| n.len().max(v.len()) > 8);
            assert_eq!(hash.encoding(), if early { "hashtable" } else { "listpack" }, "{pairs:?}");
        }
        let mut hash = hash_of(&[("a", "1")], &SMALL);
        assert!(hash.set_deadline(b"a", None) && !hash.set_deadline(b"b", Some(5)));
        assert_eq!(hash.encoding(), "listpack");
        hash.prepare_deadlines();
        assert_eq!((hash.encoding(), hash.next_deadline()), ("listpackex", None));
    }

    #[test]
    fn a_small_hash_lies_in_the_order_of_deadlines() {
        let mut hash = hash_of(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")], &SMALL);
        assert!(hash.set_deadline(b"c", Some(300)) && hash.set_deadline(b"d", Some(100)));
        assert!(hash.set_deadline(b"a", Some(100)) && hash.set_deadline(b"d", Some(400)));
        let order = |hash: &Hash| -> Vec<u8> { hash.iter().map(|field| field.name.to_vec()[0]).collect() };
        assert_eq!((order(&hash), hash.next_deadline()), (b"acdb".to_vec(), Some(100)));
        hash.set(b"c", b"9", Deadline::Keep, &SMALL);
        hash.set(b"a", b"8", Deadline::None, &SMALL);
        assert_eq!((order(&hash), hash.next_deadline(), hash.with_deadline()), (b"cdba".to_vec(), Some(300), 2));
        assert_eq!(hash.expire_due(299, 9), Vec::<Vec<u8>>::new());
        assert_eq!(hash.expire_due(500, 9), [b"c", b"d"]);
        assert_eq!(order(&hash), b"ba");
    }

    #[test]
    fn foreign_listpacks_are_checked() {
        let pack = |parts: &[&str]| parts.iter().map(|part| part.as_bytes()).collect::<Listpack>();
        assert!(Hash::from_listpack(pack(&["a", "1", "b", "1"])).is_some());
        assert!(Hash::from_listpack(pack(&["a", "1", "b"])).is_none());
        assert!(Hash::from_listpack(pack(&["a", "1", "a", "2"])).is_none());
        assert!(Hash::from_listpack_ex(pack(&["a", "1", "5", "b", "1", "7", "c", "1", "0"])).is_some());
        for bad in
            [&["a", "1", "7", "b", "1", "5"][..], &["a", "1", "0", "b", "1", "5"], &["a", "1", "x"], &["a", "1", "-1"]]
        {
            assert!(Hash::from_listpack_ex(pack(bad)).is_none(), "{bad:?}");
        }
        assert!(Hash::from_listpack_ex(pack(&["a", "1"])).is_none());
        assert!(Hash::from_listpack_ex(pack(&["a", "1", "0", "a", "1", "0"])).is_none());
    }

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn owned(field: Field<'_>) -> (Vec<u8>, (Vec<u8>, Option<u64>)) {
        (field.name.to_vec(), (field.value.to_vec(), field.deadline))
    }

    fn check(hash: &Hash, model: &Model) {
        assert_eq!(hash.len(), model.len());
        assert_eq!(hash.iter().map(owned).collect::<Model>(), *model);
        assert_eq!((0..hash.len()).map(|rank| owned(hash.at(rank).unwrap())).collect::<Model>(), *model);
        assert_eq!(hash.next_deadline(), model.values().filter_map(|field| field.1).min());
        assert_eq!(hash.with_deadline(), model.values().filter(|field| field.1.is_some()).count());
        let (mut seen, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = hash.scan(cursor, 5, |field| seen.push(owned(field)));
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen.len(), model.len());
        assert_eq!(seen.into_iter().collect::<Model>(), *model);
        if let Hash::Table(fields) = hash {
            fields.check();
        }
    }

    fn value(dice: &mut Rng) -> Vec<u8> {
        match dice.below(50) {
            0 => vec![b'v'; dice.below(3000) as usize],
            _ => dice.below(10_000).to_string().into_bytes(),
        }
    }

    fn step(hash: &mut Hash, model: &mut Model, limits: &HashLimits, dice: &mut Rng) {
        let name = format!("{}", dice.below(300)).into_bytes();
        let stamp = 1000 + dice.below(50);
        assert_eq!(hash.get(&name).map(owned).map(|field| field.1), model.get(&name).cloned());
        match dice.below(20) {
            0..9 => {
                let (value, old) = (value(dice), model.get(&name).and_then(|field| field.1));
                let (deadline, after) = match dice.below(6) {
                    0..4 => (Deadline::None, None),
                    4 => (Deadline::Keep, old),
                    _ => (Deadline::At(stamp), Some(stamp)),
                };
                let new = hash.set(&name, &value, deadline, limits);
                assert_eq!(new, model.insert(name.clone(), (value.clone(), after)).is_none());
                if let Some(shared) = hash.shared(&name) {
                    assert_eq!(shared, value);
                }
            }
            9..13 => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
            13..18 => {
                let deadline = (dice.below(4) > 0).then_some(stamp);
                let field = model.get_mut(&name).map(|field| field.1 = deadline);
                assert_eq!(hash.set_deadline(&name, deadline), field.is_some());
            }
            _ => {
                let now = 1000 + dice.below(20);
                for gone in hash.expire_due(now, dice.below(6) as usize) {
                    let (_, deadline) = model.remove(&gone).expect("it was there");
                    assert!(deadline.is_some_and(|deadline| deadline <= now));
                    assert!(model.values().filter_map(|field| field.1).all(|other| Some(other) >= deadline));
                }
            }
        }
    }

    #[test]
    fn a_random_walk_agrees_with_a_map() {
        for (turn, seed) in seeds(12).into_iter().enumerate() {
            let mut dice = dice(seed);
            let limits = match turn % 3 {
                0 => HashLimits { listpack_entries: 400, listpack_value: 4000 },
                1 => HashLimits { listpack_entries: 60, listpack_value: 64 },
                _ => HashLimits { listpack_entries: 0, listpack_value: 0 },
            };
            let (mut hash, mut model) = (Hash::new(), Model::new());
            let mut old = (hash.clone(), model.clone());
            for round in 0..3000 {
                step(&mut hash, &mut model, &limits, &mut dice);
                if round % 100 == 0 {
                    check(&hash, &model);
                    check(&old.0, &old.1);
                    old = (hash.clone(), model.clone());
                }
            }
        }
    }

    /// Redis 7.0 takes about 104 bytes per field of this size, the budget is 0.6 of it.
    #[test]
    fn a_big_hash_stays_within_its_budget() {
        let mut hash = Hash::new();
        for i in 0..100_000 {
            let (name, value) = (format!("field:{i:010}"), format!("{i:08}"));
            hash.set(name.as_bytes(), value.as_bytes(), Deadline::None, &HashLimits::default());
        }
        let per_field = hash.heap_bytes() as f64 / 100_000.0;
        assert!(per_field < 40.0, "{per_field} bytes per field of 16 and value of 8");
    }
}
