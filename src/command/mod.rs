//! The table of all commands and the look-up.

pub mod acl;
pub mod args;
pub mod bits;
pub mod config;
pub mod connection;
pub mod ctx;
pub mod dump;
pub mod error;
pub mod expire;
pub mod geo;
pub mod hash;
pub mod hll;
pub mod info;
pub mod introspect;
pub mod key;
pub mod list;
pub mod pubsub;
pub mod scan;
pub mod script;
pub mod server;
pub mod set;
pub mod sort;
pub mod stream;
pub mod string;
pub mod txn;
pub mod zset;
