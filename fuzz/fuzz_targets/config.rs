//! The configuration parser takes any bytes for a file.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = larder::config::load::parse(text);
});
