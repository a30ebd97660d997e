//! Trees: by rank for sorted sets, by id for streams.

pub mod rank;
