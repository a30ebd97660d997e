//! What big collections are made of: a B+ tree with ranks, a hash table in pages, and the members both share.
//!
//! Everything here is a tree of `Arc`'d nodes of at most ~16 KiB: a clone costs one pointer, and a write after a clone
//! copies the nodes it touches. So a snapshot, a long reply or a deferred free holds a whole value of millions of
//! elements without holding its key.

mod directory;
pub mod member;
pub mod ordered;
pub mod page;
pub mod rank;
pub mod slots;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
