//! Bytes on disk and in DUMP payloads.

pub mod rdb;
