//! Larder against the original: generated command sequences with odd arguments, replies compared byte for byte.
//!
//! Each family of commands is a file that lists them in a small grammar ([`grammar`]). A seed makes a sequence out of
//! it; [`driver`] plays the sequence to both servers, in RESP2 and in RESP3, and shrinks a sequence whose replies differ
//! to the few commands that are needed. What may differ stands in [`compare`] (order of a hash table, clocks, chance)
//! and in [`differences`] (versions), each with its reason.
//!
//! ```text
//! cargo test --test differential                      all families
//! cargo test --test differential hash                 one family
//! DIFF_SEED=7 DIFF_SEQUENCES=2000 cargo test ...      other sequences, more of them
//! LARDER_BIN=/usr/bin/redis-server cargo test ...     the original against itself: must find nothing
//! ORACLE_BIN=redis-server-8 cargo test ...            another original, and the families that only later ones know
//! ```
//! A new command is one line in its family's file; a new family is a file and a line below.

#[path = "../support/mod.rs"]
mod support;

mod acl;
mod audit;
mod bits;
mod compare;
mod connection;
mod described;
mod differences;
mod driver;
mod dump;
mod geo;
mod grammar;
mod hash;
mod hexpire;
mod hll;
mod key;
mod lapsed;
mod list;
mod multi;
mod newcomers;
mod pubsub;
mod scan;
mod script;
mod set;
mod sort;
mod stream;
mod string;
mod valkey;
mod words;
mod zset;

use support::random::Random;

/// One family of commands, as data.
pub struct Family {
    /// What reports call it.
    pub name: &'static str,
    /// What every sequence starts with, as one types it.
    pub setup: &'static [&'static str],
    /// The commands in the language of [`grammar`].
    pub commands: &'static [&'static str],
    /// Asked of every key now and then; `key` stands for it.
    pub probes: &'static [&'static str],
    /// Whether what commands leave behind is compared too ([`audit`]).
    pub audited: bool,
    /// The family's own words; what it does not know is looked up in [`words::common`].
    pub words: fn(&str, &mut Random) -> Option<Vec<u8>>,
}

/// One test per family and protocol.
macro_rules! families {
    ($($family:ident),* $(,)?) => {$(
        mod $family {
            #[test]
            fn resp2() { super::super::driver::run(&super::super::$family::FAMILY, 2); }
            #[test]
            fn resp3() { super::super::driver::run(&super::super::$family::FAMILY, 3); }
        }
    )*};
}

/// The same for families that later originals have: what each is known by.
macro_rules! later {
    ($($family:ident $command:literal),* $(,)?) => {$(
        mod $family {
            #[test]
            fn resp2() { super::super::driver::run_where($command, &super::super::$family::FAMILY, 2); }
            #[test]
            fn resp3() { super::super::driver::run_where($command, &super::super::$family::FAMILY, 3); }
        }
    )*};
}

/// Commands of all types on the same keys.
const MIXED: Family = Family {
    name: "mixed",
    setup: words::SETUP,
    commands: &[],
    probes: &["TYPE key", "OBJECT ENCODING key", "PTTL key"],
    audited: true,
    words: |_, _| None,
};
const TYPES: &[&Family] = &[
    &bits::FAMILY,
    &dump::FAMILY,
    &geo::FAMILY,
    &hash::FAMILY,
    &hll::FAMILY,
    &list::FAMILY,
    &set::FAMILY,
    &stream::FAMILY,
    &string::FAMILY,
    &zset::FAMILY,
];

mod family {
    mod mixed {
        use crate::{MIXED, TYPES, driver};
        #[test]
        fn resp2() {
            driver::run_together(&MIXED, TYPES, 2);
        }
        #[test]
        fn resp3() {
            driver::run_together(&MIXED, TYPES, 3);
        }
    }
    families! { acl, bits, connection, dump, geo, hash, hll, key, list, multi, pubsub, scan, script, set, sort, stream, string, zset }
    later! { hexpire "HEXPIRE", newcomers "DELEX", valkey "DELIFEQ" }
}
