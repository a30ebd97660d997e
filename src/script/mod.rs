//! The script host. It calls a `Caller` and knows no keyspace.

pub mod bitlib;
pub mod cache;
pub mod cjson;
pub mod cmsgpack;
pub mod library;
pub mod lua;
pub mod structs;
pub mod value;
