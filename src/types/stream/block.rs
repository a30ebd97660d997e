//! One block of a stream: up to a few kilobytes of consecutive entries in one listpack, in Redis' own layout, because
//! RDB files and DUMP payloads carry these bytes.
//!
//! ```text
//! master    count | deleted | fields | field 1 .. field n | 0
//! entry     flags | ms | seq | value 1 .. value n | steps                             SAMEFIELDS
//!           flags | ms | seq | fields | field 1 | value 1 | field 2 | .. | steps      other fields
//! ```
//! The *master* names the fields of the first entry, so that entries with the same fields hold values only. *ms* and
//! *seq* are differences to the block's own id, which is the key it is stored under. *steps* says how many listpack
//! values lie before it in this entry, for walking backwards. A deleted entry keeps its place and has a flag; a block
//! without live entries is removed whole.
//!
//! Everything but [`last_id_checked`] relies on a sound block: foreign ones are checked first.

use super::StreamId;
use crate::types::packed::listpack::{Appender, Builder, Listpack, LpValue, Pos};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;
/// Flags, ms and seq.
const HEAD_VALUES: usize = 3;

/// What the master entry says.
#[derive(Clone, Copy)]
pub(super) struct Master {
    pub(super) live: u64,
    pub(super) deleted: u64,
    fields: u32,
    fields_at: Pos,
}

/// An entry's place and head.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) id: StreamId,
    flags: i64,
    flags_at: Pos,
    /// The first value, or the number of fields when the fields are its own.
    body_at: Pos,
}

/// One live entry of a stream.
#[derive(Clone)]
pub struct Entry<'a> {
    /// Its id.
    pub id: StreamId,
    pack: &'a Listpack,
    fields: usize,
    /// The master's first field, when the fields are the same.
    master_fields: Option<Pos>,
    /// The first value, or the first field of its own.
    at: Pos,
}

impl<'a> Entry<'a> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.fields
    }

    /// True without any field, which only foreign data can be.
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Its fields and values in the order in which they were added.
    pub fn pairs(&self) -> impl Iterator<Item = (LpValue<'a>, LpValue<'a>)> + use<'a> {
        let mut values = self.pack.iter_from(self.at);
        let mut names = self.master_fields.map(|at| self.pack.iter_from(at));
        (0..self.fields).map_while(move |_| {
            let field = match &mut names {
                Some(names) => names.next()?,
                None => values.next()?,
            };
            Some((field, values.next()?))
        })
    }
}

/// A block with one entry. `pairs` alternates fields and values.
pub(super) fn create(pairs: &[&[u8]]) -> Listpack {
    let fields = pairs.len() / 2;
    let mut builder = Builder::new();
    builder.push_int(1);
    builder.push_int(0);
    builder.push_int(fields as i64);
    pairs.iter().step_by(2).for_each(|field| builder.push(field));
    builder.push_int(0);
    for int in [SAME_FIELDS, 0, 0] {
        builder.push_int(int);
    }
    pairs.iter().skip(1).step_by(2).for_each(|value| builder.push(value));
    builder.push_int((fields + HEAD_VALUES) as i64);
    builder.finish()
}

/// Adds an entry behind all others; the block may ask for room ahead up to `room_max` bytes. `master` is that of the
/// block, before and afterwards.
pub(super) fn append(
    pack: &mut Listpack,
    master: &mut Master,
    base: StreamId,
    id: StreamId,
    pairs: &[&[u8]],
    room_max: usize,
) {
    let same = has_fields(pack, master, pairs);
    let flags = if same { SAME_FIELDS } else { 0 };
    let (ms, seq) = (id.ms.wrapping_sub(base.ms) as i64, id.seq.wrapping_sub(base.seq) as i64);
    let fields = pairs.len() / 2;
    let steps = (HEAD_VALUES + if same { fields } else { 1 + pairs.len() }) as i64;
    let ints = [flags, ms, seq, fields as i64, steps];
    let text_bytes: usize = pairs.iter().map(|text| Appender::bytes_max(text)).sum();
    pack.append(ints.map(Appender::int_bytes).iter().sum::<usize>() + text_bytes, room_max, |entry| {
        [flags, ms, seq].into_iter().for_each(|int| entry.push_int(int));
        if same {
            pairs.chunks_exact(2).for_each(|pair| entry.push(pair[1]));
        } else {
            entry.push_int(fields as i64);
            pairs.iter().for_each(|text| entry.push(text));
        }
        entry.push_int(steps);
    });
    set_counts(pack, master.live + 1, None);
    match Appender::int_bytes(master.live as i64) == Appender::int_bytes(master.live as i64 + 1) {
        true => master.live += 1,
        // What lies behind the count has moved.
        false => *master = self::master(pack),
    }
}

fn has_fields(pack: &Listpack, master: &Master, pairs: &[&[u8]]) -> bool {
    master.fields as usize == pairs.len() / 2
        && pack.iter_from(master.fields_at).zip(pairs.iter().step_by(2)).all(|(field, text)| field.eq_bytes(text))
}

/// Marks an entry as deleted. The caller keeps the counts by [`set_counts`].
pub(super) fn mark_deleted(pack: &mut Listpack, place: &Place) {
    pack.replace_int(place.flags_at, place.flags | DELETED);
}

/// Writes the counts of the master entry.
pub(super) fn set_counts(pack: &mut Listpack, live: u64, deleted: Option<u64>) {
    let Some(live_at) = pack.first() else { return };
    pack.replace_int(live_at, live as i64);
    if let (Some(deleted), Some(at)) = (deleted, pack.next(live_at)) {
        pack.replace_int(at, deleted as i64);
    }
}

/// Reads the master entry.
pub(super) fn master(pack: &Listpack) -> Master {
    read_master(pack).expect("blocks are sound since they were made or loaded")
}

fn read_master(pack: &Listpack) -> Option<Master> {
    let live_at = pack.first()?;
    let deleted_at = pack.next(live_at)?;
    let fields_at = pack.next(deleted_at)?;
    Some(Master {
        live: count_at(pack, live_at)?,
        deleted: count_at(pack, deleted_at)?,
        fields: u32::try_from(count_at(pack, fields_at)?).ok()?,
        // Behind the last field stands the 0, so there is always a value here.
        fields_at: pack.next(fields_at)?,
    })
}

fn count_at(pack: &Listpack, at: Pos) -> Option<u64> {
    int_at(pack, at).and_then(|int| u64::try_from(int).ok())
}

fn int_at(pack: &Listpack, at: Pos) -> Option<i64> {
    match pack.get(at) {
        LpValue::Int(int) => Some(int),
        LpValue::Str(_) => None,
    }
}

/// The place `steps` values further on.
fn skip(pack: &Listpack, from: Pos, steps: usize) -> Option<Pos> {
    (0..steps).try_fold(from, |at, _| pack.next(at))
}

impl Master {
    /// Where the first entry begins, deleted or not.
    pub(super) fn first_at(&self, pack: &Listpack) -> Option<Pos> {
        skip(pack, self.fields_at, self.fields as usize + 1)
    }
}

/// Reads the head of the entry that begins at `at`.
pub(super) fn place_at(pack: &Listpack, base: StreamId, at: Pos) -> Place {
    read_place(pack, base, at).expect("blocks are sound since they were made or loaded")
}

fn read_place(pack: &Listpack, base: StreamId, flags_at: Pos) -> Option<Place> {
    let ms_at = pack.next(flags_at)?;
    let seq_at = pack.next(ms_at)?;
    let id = StreamId {
        ms: base.ms.wrapping_add(int_at(pack, ms_at)? as u64),
        seq: base.seq.wrapping_add(int_at(pack, seq_at)? as u64),
    };
    Some(Place { id, flags: int_at(pack, flags_at)?, flags_at, body_at: pack.next(seq_at)? })
}

impl Place {
    /// Whether the entry was deleted.
    pub(super) fn is_deleted(&self) -> bool {
        self.flags & DELETED != 0
    }

    /// Where the next entry begins.
    pub(super) fn next_at(&self, pack: &Listpack, master: &Master) -> Option<Pos> {
        let steps = match self.flags & SAME_FIELDS {
            0 => 1 + count_at(pack, self.body_at)? as usize * 2,
            _ => master.fields as usize,
        };
        skip(pack, self.body_at, steps + 1)
    }

    /// The entry's content.
    pub(super) fn entry<'a>(&self, pack: &'a Listpack, master: &Master) -> Option<Entry<'a>> {
        let (fields, master_fields, at) = match self.flags & SAME_FIELDS {
            0 => (count_at(pack, self.body_at)? as usize, None, pack.next(self.body_at)?),
            _ => (master.fields as usize, Some(master.fields_at), self.body_at),
        };
        Some(Entry { id: self.id, pack, fields, master_fields, at })
    }
}

/// Where the entry begins whose last value (its steps) is at `end`; `None` at the master's 0.
pub(super) fn entry_before(pack: &Listpack, end: Pos) -> Option<Pos> {
    match int_at(pack, end)? {
        0 => None,
        steps => (0..steps).try_fold(end, |at, _| pack.prev(at)),
    }
}

/// The id of the last entry, deleted or not.
pub(super) fn last_id(pack: &Listpack, base: StreamId) -> Option<StreamId> {
    let begin = entry_before(pack, pack.last()?)?;
    Some(place_at(pack, base, begin).id)
}

/// The id of the last entry of a foreign listpack, if it is a block that may be stored under `base`: counts that hold,
/// entries that fit together, ids that ascend.
pub(super) fn last_id_checked(pack: &Listpack, base: StreamId) -> Option<StreamId> {
    let master = read_master(pack)?;
    let end_at = skip(pack, master.fields_at, bounded(pack, master.fields as usize)?)?;
    (int_at(pack, end_at)? == 0).then_some(())?;
    let (mut live, mut deleted, mut newest) = (0, 0, None);
    let mut next = pack.next(end_at);
    while let Some(at) = next {
        let place = read_place(pack, base, at)?;
        let steps = match place.flags & SAME_FIELDS {
            0 => bounded(pack, count_at(pack, place.body_at)? as usize)? * 2 + 1,
            _ => master.fields as usize,
        };
        let steps_at = skip(pack, place.body_at, steps)?;
        (int_at(pack, steps_at)? == (HEAD_VALUES + steps) as i64 && newest < Some(place.id) && place.id >= base)
            .then_some(())?;
        newest = Some(place.id);
        *(if place.is_deleted() { &mut deleted } else { &mut live }) += 1;
        next = pack.next(steps_at);
    }
    if live == master.live && deleted == master.deleted { newest } else { None }
}

/// A number of fields, if the block is long enough to hold so many.
fn bounded(pack: &Listpack, fields: usize) -> Option<usize> {
    (fields <= pack.bytes()).then_some(fields)
}
