//! Splitting a line into words: never more bytes than the line had, and what is quoted splits back.

#![no_main]

use larder::base::bytes::{push_quoted, split_args};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(words) = split_args(line) {
        assert!(words.iter().map(Vec::len).sum::<usize>() <= line.len());
        let mut quoted = Vec::new();
        for word in &words {
            push_quoted(&mut quoted, word);
            quoted.push(b' ');
        }
        assert_eq!(split_args(&quoted), Ok(words));
    }
});
