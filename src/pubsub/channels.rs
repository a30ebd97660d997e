//! Subscribers of exact names and of shard channels.
