//! What every test of the running server needs: a server to talk to, a client that talks, sessions written as text.
//!
//! A test starts `larder` (or, as the oracle, the `redis-server` found in `PATH`) as a process of its own in a
//! directory of its own, and speaks RESP to it like any other client. Nothing here uses Larder's own code, so a mistake
//! in its parser cannot hide itself.
//!
//! `LARDER_BIN` names another binary to test instead of ours, `ORACLE_BIN` another original to compare with.

// Every test binary compiles this room and uses a part of it.
#![allow(dead_code)]

pub mod client;
pub mod random;
pub mod server;
pub mod transcript;
