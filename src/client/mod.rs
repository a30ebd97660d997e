//! What the server keeps of one client.

pub mod outbox;
pub mod registry;
