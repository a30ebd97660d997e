//! Seeded randomness: xoshiro256++, one per worker or shard, so that a seed replays a run.
