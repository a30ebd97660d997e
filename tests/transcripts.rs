//! Plays the sessions of `tests/transcripts/` against Larder and against the original.
//!
//! A transcript is first of all a statement about Redis: the oracle must keep it too, unless a session says since which
//! version it holds.

mod support;

use std::path::{Path, PathBuf};

use support::server::{larder, oracle};
use support::transcript::play;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name).with_extension("resp")
}

/// One test per file and server.
macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        mod ours { $(#[test] fn $name() { super::play(&super::file(stringify!($name)), &super::larder().start()); })* }
        mod original { $(#[test] fn $name() { super::play(&super::file(stringify!($name)), &super::oracle().start()); })* }
    };
}

transcripts! {
    acl, bits, connection, eviction, expire, geo, hash, hll, key, list, pubsub, scan, script, set, sort, stream, string, txn, zset,
}

#[test]
fn every_transcript_is_played() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .expect("the folder of transcripts")
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    found.sort();
    assert_eq!(found, NAMES);
}
