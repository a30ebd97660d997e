//! Numbers: what parses prints back to something that parses to the same.

#![no_main]

use larder::base::longdouble::LongDouble;
use larder::base::num::{F64Text, parse_f64, parse_i64, parse_u64, parse_u64_loose};
use larder::config::number;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Some(value) = parse_i64(text) {
        assert_eq!(value.to_string().as_bytes(), text);
    }
    if let Some(value) = parse_u64(text) {
        assert_eq!(value.to_string().as_bytes(), text);
        assert_eq!(parse_u64_loose(text), Some(value));
    }
    if let Some(value) = parse_f64(text) {
        let printed = F64Text::new(value);
        assert_eq!(parse_f64(printed.as_bytes()).map(f64::to_bits), Some(value.to_bits()));
    }
    if let Some(value) = LongDouble::parse(text).filter(|value| value.is_finite()) {
        let printed = value.to_text();
        let again = LongDouble::parse(&printed).expect("a printed number parses");
        assert_eq!(again.to_text(), printed);
    }
    let _ = number::memory(text);
});
