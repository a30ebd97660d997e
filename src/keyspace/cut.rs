//! A point-in-time walk over all shards while writers go on (D9).
