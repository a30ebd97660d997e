//! Streams in RDB.
