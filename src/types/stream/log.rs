//! The entries of a stream and what the stream remembers about them.

use super::block::{self, Entry, Master};
use super::{Malformed, StreamId};
use crate::types::packed::listpack::{LISTPACK_BYTES_MAX, Listpack};
use crate::types::stream::NewId;
use crate::types::tree::ordered::Ordered;
use std::sync::Arc;

/// How large a block may get, from the directives `stream-node-max-bytes` and `stream-node-max-entries`; 0 is no limit.
#[derive(Clone, Copy, Debug)]
pub struct BlockLimits {
    /// Bytes of the listpack, the new entry's texts included.
    pub bytes_max: usize,
    /// Entries, deleted ones included.
    pub entries_max: u64,
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The id is not above the last one, or there is no id left.
    IdTooSmall,
    /// The texts are longer than a block can hold.
    TooLarge,
}

/// What XTRIM and XADD cut away from the front.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// How far.
    pub until: TrimUntil,
    /// `~`: remove whole blocks only.
    pub approximate: bool,
    /// Stop before the removed entries would exceed this; 0 is no limit.
    pub limit: u64,
}

/// Where trimming ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimUntil {
    /// When at most this many entries are left.
    MaxLen(u64),
    /// When the first entry has at least this id.
    MinId(StreamId),
}

/// The entries by id, in blocks, and the counters that outlive deleted entries.
///
/// The last block, to which entries are added, is beside the tree: adding needs no walk, and its listpack has room ahead.
#[derive(Clone, Default)]
pub struct Log {
    /// Each block but the last under the id of the first entry it ever had.
    pub(super) full: Ordered<StreamId, Arc<Listpack>>,
    /// None without any block.
    pub(super) last: Option<Last>,
    /// The live entries of the first block, if known: approximate trimming asks with every entry added.
    first_live: Option<u64>,
    len: u64,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    /// May come from a payload: at its top it wraps.
    entries_added: u64,
    /// What the full blocks take.
    full_bytes: usize,
}

/// The last block, with what adding to it needs to know.
#[derive(Clone)]
pub(super) struct Last {
    pub(super) base: StreamId,
    pub(super) pack: Arc<Listpack>,
    /// What the master entry of the block says.
    master: Master,
    /// Where the listpack begins and where the next entry will be written, to be fetched ahead.
    start: usize,
    end: usize,
}

/// What the processor fetches at once.
const LINE_BYTES: usize = 64;

impl Last {
    fn new(base: StreamId, pack: Arc<Listpack>) -> Last {
        let (master, start) = (block::master(&pack), pack.address() as usize);
        let end = start + pack.bytes();
        Last { base, pack, master, start, end }
    }
}

/// What a block takes from the allocator, with the counts of its `Arc`.
fn bytes_of(pack: &Listpack) -> usize {
    pack.heap_bytes() + size_of::<Listpack>() + 16
}

/// A last block asks for room ahead up to this.
const ROOM_BYTES_MAX: usize = 4096;

impl Log {
    /// The number of live entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if there is no live entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The id of the first live entry; `0-0` without one.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The largest id ever added or set.
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The largest id that XDEL removed; `0-0` if none.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// The number of blocks.
    pub fn block_count(&self) -> usize {
        self.full.len() + self.last.is_some() as usize
    }

    /// The blocks with the ids they are stored under, in order, as RDB files carry them.
    pub fn blocks(&self) -> impl Iterator<Item = (StreamId, &Listpack)> {
        let full = self.full.iter().map(|(id, pack)| (*id, &**pack));
        full.chain(self.last_block())
    }

    /// What the entries take from the allocator, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.full_bytes + self.full.heap_bytes() + self.last.as_ref().map_or(0, |last| bytes_of(&last.pack))
    }

    /// What adding an entry looks at, to be fetched ahead: the last block's listpack, its counts, and its end, where an
    /// entry often takes two lines.
    #[inline]
    pub fn end_addresses(&self) -> Option<[*const u8; 4]> {
        let Last { pack, start, end, .. } = self.last.as_ref()?;
        Some([Arc::as_ptr(pack).cast(), *start as *const u8, *end as *const u8, (*end + LINE_BYTES) as *const u8])
    }

    // Reading.

    /// The entry with this id.
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// Whether there is a live entry with this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The id of the last live entry.
    pub fn last_live_id(&self) -> Option<StreamId> {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id)
    }

    // Adding.

    /// The id that a new entry would get at `now_ms`; `None` when it is not above the last one.
    pub fn next_id(&self, new: NewId, now_ms: u64) -> Option<StreamId> {
        let id = match new {
            NewId::Auto if now_ms > self.last_id.ms => StreamId { ms: now_ms, seq: 0 },
            NewId::Auto => self.last_id.next()?,
            NewId::AutoSeq(ms) if ms == self.last_id.ms => StreamId { ms, seq: self.last_id.seq.checked_add(1)? },
            NewId::AutoSeq(ms) => StreamId { ms, seq: 0 },
            NewId::Exact(id) => id,
        };
        (id > self.last_id).then_some(id)
    }

    /// Adds an entry; returns its id. `pairs` alternates fields and values and holds at least one of each.
    pub fn add(&mut self, new: NewId, now_ms: u64, pairs: &[&[u8]], limits: BlockLimits) -> Result<StreamId, AddError> {
        debug_assert!(pairs.len() >= 2 && pairs.len().is_multiple_of(2));
        let id = self.next_id(new, now_ms).ok_or(AddError::IdTooSmall)?;
        let text_bytes: usize = pairs.iter().map(|text| text.len()).sum();
        if text_bytes > LISTPACK_BYTES_MAX {
            return Err(AddError::TooLarge);
        }
        if !self.append(id, pairs, text_bytes, limits) {
            self.add_block(id, block::create(pairs));
        }
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(id)
    }

    /// Adds an entry to the last block; false if there is none or it is full.
    fn append(&mut self, id: StreamId, pairs: &[&[u8]], text_bytes: usize, limits: BlockLimits) -> bool {
        let Some(Last { base, pack, master, start, end }) = &mut self.last else { return false };
        let bytes_max = match limits.bytes_max {
            1..=LISTPACK_BYTES_MAX => limits.bytes_max,
            _ => LISTPACK_BYTES_MAX,
        };
        if pack.bytes() + text_bytes >= bytes_max {
            return false;
        }
        if limits.entries_max > 0 && master.live + master.deleted >= limits.entries_max {
            return false;
        }
        let pack = Arc::make_mut(pack);
        block::append(pack, master, *base, id, pairs, bytes_max.min(ROOM_BYTES_MAX));
        *start = pack.address() as usize;
        *end = *start + pack.bytes();
        if self.full.is_empty() {
            self.first_live = None;
        }
        true
    }

    /// Adds a block behind the last one, which is full from now on.
    fn add_block(&mut self, base: StreamId, pack: Listpack) {
        if let Some(Last { base, pack: mut full, .. }) = self.last.replace(Last::new(base, Arc::new(pack))) {
            if let Some(pack) = Arc::get_mut(&mut full) {
                pack.release();
            }
            self.full_bytes += bytes_of(&full);
            self.full.insert(base, full);
        }
    }

    /// The first block and its id.
    fn first_block(&self) -> Option<(StreamId, &Listpack)> {
        let full = self.full.first().map(|(id, pack)| (*id, &**pack));
        full.or(self.last_block())
    }

    /// The last block and its id.
    pub(super) fn last_block(&self) -> Option<(StreamId, &Listpack)> {
        self.last.as_ref().map(|last| (last.base, &*last.pack))
    }

    // Removing.

    /// Removes entries by their ids; returns how many there were.
    pub fn delete(&mut self, ids: &[StreamId]) -> u64 {
        let (mut deleted, mut first_gone) = (0, false);
        for &id in ids {
            if self.delete_one(id) {
                deleted += 1;
                first_gone |= id == self.first_id;
                self.max_deleted_id = self.max_deleted_id.max(id);
            }
        }
        if first_gone || (deleted > 0 && self.len == 0) {
            self.find_first();
        }
        deleted
    }

    fn delete_one(&mut self, id: StreamId) -> bool {
        let Some((base, place)) = self.range(id, id).next_place() else { return false };
        self.len -= 1;
        self.change_block(base, |pack| {
            let master = block::master(pack);
            block::mark_deleted(pack, &place);
            block::set_counts(pack, master.live - 1, Some(master.deleted + 1));
            master.live > 1
        });
        true
    }

    /// Changes a block, which is removed when `change` says that nothing in it is left.
    fn change_block(&mut self, base: StreamId, change: impl FnOnce(&mut Listpack) -> bool) {
        self.first_live = None;
        if let Some(mut last) = self.last.take_if(|last| last.base == base) {
            if change(Arc::make_mut(&mut last.pack)) {
                self.last = Some(Last::new(base, last.pack));
            } else if let Some((base, pack)) = self.full.pop_last() {
                self.full_bytes -= bytes_of(&pack);
                self.last = Some(Last::new(base, pack));
            }
            return;
        }
        let Some(pack) = self.full.get_mut(&base) else { return };
        let before = bytes_of(pack);
        let pack = Arc::make_mut(pack);
        if change(pack) {
            self.full_bytes = self.full_bytes + bytes_of(pack) - before;
        } else {
            self.full.remove(&base);
            self.full_bytes -= before;
        }
    }

    /// Drops the first block, which has so many live entries.
    fn drop_first_block(&mut self, live: u64) {
        match self.full.pop_first() {
            Some((_, pack)) => self.full_bytes -= bytes_of(&pack),
            None => self.last = None,
        }
        self.len -= live;
        self.first_live = None;
    }

    fn find_first(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id);
        self.first_id = first.unwrap_or(StreamId::MIN);
    }

    /// Cuts entries away from the front; returns how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut removed = 0;
        while !self.is_trimmed(trim.until)
            && let Some(live) = self.first_live()
        {
            if trim.limit > 0 && removed + live > trim.limit {
                break;
            }
            if self.goes_whole(live, trim.until) {
                self.drop_first_block(live);
                removed += live;
                continue;
            }
            if !trim.approximate {
                removed += self.trim_within(trim.until);
            }
            break;
        }
        if removed > 0 {
            self.find_first();
        }
        removed
    }

    fn first_live(&mut self) -> Option<u64> {
        if self.first_live.is_none() {
            self.first_live = self.first_block().map(|(_, pack)| block::master(pack).live);
        }
        self.first_live
    }

    fn is_trimmed(&self, until: TrimUntil) -> bool {
        matches!(until, TrimUntil::MaxLen(len) if self.len <= len)
    }

    fn goes_whole(&self, live: u64, until: TrimUntil) -> bool {
        match until {
            TrimUntil::MaxLen(len) => self.len - live >= len,
            TrimUntil::MinId(id) => {
                let last = self.first_block().and_then(|(base, pack)| block::last_id(pack, base));
                last.is_none_or(|last| last < id)
            }
        }
    }

    /// Marks the first entries of a block as deleted. None may be left when the last one was deleted before: the
    /// original then keeps an empty block, here it goes.
    fn trim_within(&mut self, until: TrimUntil) -> u64 {
        let Some((base, _)) = self.first_block() else { return 0 };
        let mut len = self.len;
        let mut removed = 0;
        self.change_block(base, |pack| {
            let master = block::master(pack);
            let mut next = master.first_at(pack);
            while let Some(at) = next {
                let place = block::place_at(pack, base, at);
                let stop = match until {
                    TrimUntil::MaxLen(max) => len <= max,
                    TrimUntil::MinId(id) => place.id >= id,
                };
                if stop {
                    break;
                }
                if !place.is_deleted() {
                    block::mark_deleted(pack, &place);
                    len -= 1;
                    removed += 1;
                }
                next = place.next_at(pack, &master);
            }
            block::set_counts(pack, master.live - removed, Some(master.deleted + removed));
            master.live > removed
        });
        self.len = len;
        removed
    }

    // Setting.

    /// Sets the counters, as XSETID does after its checks, and a loader.
    pub fn set_counters(&mut self, last_id: StreamId, entries_added: Option<u64>, max_deleted_id: Option<StreamId>) {
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }

    /// Adds a foreign block behind all others after checking it. The id of its last entry becomes the last id, and all
    /// its live entries count as added; a loader that knows better says so by [`Log::set_counters`]. A block without live
    /// entries, which the original may leave behind, is not stored.
    pub fn load_block(&mut self, base: StreamId, pack: Listpack) -> Result<(), Malformed> {
        let newest = block::last_id_checked(&pack, base).ok_or(Malformed)?;
        if self.last.is_some() && base <= self.last_id {
            return Err(Malformed);
        }
        let live = block::master(&pack).live;
        self.last_id = newest;
        if live > 0 {
            self.add_block(base, pack);
            self.len += live;
            self.entries_added = self.entries_added.wrapping_add(live);
            if self.block_count() == 1 {
                self.find_first();
            }
        }
        Ok(())
    }

    // Counting for consumer groups.

    /// Whether XDEL removed an entry from `start` on that was not the first of the stream: then no arithmetic tells how
    /// many entries lie behind `start`.
    pub fn has_gap_from(&self, start: StreamId) -> bool {
        self.len > 0
            && self.max_deleted_id != StreamId::MIN
            && self.first_id <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    /// How many entries were added up to and including `id`, counting from the first that ever was; `None` when deleted
    /// entries make it unknowable.
    pub fn entries_until(&self, id: StreamId) -> Option<u64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if (self.len == 0 && id <= self.last_id) || id == self.last_id {
            return Some(self.entries_added);
        }
        if id > self.last_id {
            return None;
        }
        let whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        let before_first = self.entries_added.wrapping_sub(self.len);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if whole => Some(before_first),
            std::cmp::Ordering::Equal if whole => Some(before_first.wrapping_add(1)),
            _ => None,
        }
    }
}
