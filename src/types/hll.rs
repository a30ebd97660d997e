//! HyperLogLog over the bytes of a string, in Redis' own sparse and dense layouts.
