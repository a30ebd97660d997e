//! Cursors that survive growth and shrinking, and walks over all keys.
//!
//! A walk goes shard by shard and within a shard in the order of hashes ([`Table::scan`](super::table::Table::scan)),
//! so a key that is there from the beginning to the end is seen, whatever grows or shrinks meanwhile. A [`Place`] is
//! where it stands: the cursor that a client carries is the place in the table above the number of the shard, below
//! 2^53 because clients keep cursors in doubles.

use super::entry::Entry;
use super::{Held, Keyspace};

/// Entries visited under one lock by [`Keyspace::each_key`].
const SLICE: usize = 1024;

/// Where a walk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: u32,
    /// The place in its table; 0 is the beginning.
    pub cursor: u64,
}

impl Place {
    /// The place a client's cursor means; 0 is the beginning. One that was never given out means some place or other.
    pub fn decode(cursor: u64, shards: usize) -> Place {
        let bits = shards.trailing_zeros();
        Place { shard: (cursor & (shards as u64 - 1)) as u32, cursor: (cursor >> bits) & ((1 << 44) - 1) }
    }
    /// The cursor for a client.
    pub fn encode(self, shards: usize) -> u64 {
        self.cursor << shards.trailing_zeros() | u64::from(self.shard)
    }
    /// The beginning of the next shard; `None` behind the last.
    pub fn next_shard(self, shards: usize) -> Option<Place> {
        let shard = self.shard + 1;
        ((shard as usize) < shards).then_some(Place { shard, cursor: 0 })
    }
}

impl Keyspace {
    /// Visits every entry of a database, holding one shard at a time and that only for a slice. The caller holds none.
    /// What changes meanwhile may or may not be seen, and a key that moves to another name may be missed:
    /// `names_moved` tells.
    pub fn each_key(&self, db: usize, mut each: impl FnMut(&Entry)) -> Result<(), Held> {
        for shard in 0..self.shard_count() {
            let mut cursor = 0;
            loop {
                let guard = self.wait(shard)?;
                let mut visited = 0;
                while visited < SLICE {
                    cursor = guard.dbs[db].table.scan(cursor, |entry| {
                        visited += 1;
                        each(entry);
                    });
                    if cursor == 0 {
                        break;
                    }
                }
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_name_places_below_2_to_the_53() {
        for shards in [1usize, 16, 512] {
            for place in [Place { shard: 0, cursor: 0 }, Place { shard: shards as u32 - 1, cursor: (1 << 44) - 1 }] {
                let cursor = place.encode(shards);
                assert_eq!(Place::decode(cursor, shards), place);
                assert!(cursor < 1 << 53);
            }
            assert!((Place::decode(u64::MAX, shards).shard as usize) < shards);
        }
        assert_eq!(Place { shard: 15, cursor: 7 }.next_shard(16), None);
        assert_eq!(Place { shard: 14, cursor: 7 }.next_shard(16), Some(Place { shard: 15, cursor: 0 }));
    }
}
