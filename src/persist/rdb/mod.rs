//! The RDB value format: what DUMP answers, RESTORE takes and files hold per key.
//!
//! ```text
//!   DUMP payload:  type byte | value | version u16 LE | CRC64 of all before, LE
//! ```
//! [`code`] is the alphabet (type bytes, lengths, strings, numbers) with a sink and a source; [`write`] and [`read`] are
//! values in it; [`legacy`] reads the packed layouts that servers before 7.0 wrote; [`stream`] has the streams, the one
//! type whose value is a small format of its own; [`dump`] is the payload with its footer; [`file`] is a whole keyspace.
//!
//! We write the lowest version that can hold the data, so that older servers load our files and follow us, and read
//! every version through [`code::VERSION_MAX`]. All input is hostile: sizes are believed only as far as bytes are there,
//! packed layouts are walked whole, duplicates and empty collections are refused.

pub mod code;
pub mod dump;
pub mod file;
pub mod legacy;
pub mod read;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod write;
