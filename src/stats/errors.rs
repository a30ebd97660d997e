//! Error replies by their code word: `INFO errorstats`.
//!
//! The words come from commands and from scripts, so their number has a limit. Past it all words are given up, and
//! counting begins anew with CONFIG RESETSTAT.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Code words kept.
const WORDS_MAX: usize = 128;
/// Bytes kept of one word.
const WORD_BYTES_MAX: usize = 64;
/// The word that says that there were too many.
const STOPPED: &str = "ERRORSTATS_DISABLED";

/// Counts by code word.
pub type Counts = BTreeMap<String, u64>;

/// Error replies by their code word.
#[derive(Debug, Default)]
pub struct ErrorCodes(Mutex<(Counts, bool)>);

impl ErrorCodes {
    /// Counts an error reply. When there are too many words, what was counted is handed over to be freed.
    pub fn count(&self, wire: &[u8]) -> Option<Counts> {
        let word = wire.split(|b| *b == b' ').next().unwrap_or(b"ERR");
        let word = String::from_utf8_lossy(&word[..word.len().min(WORD_BYTES_MAX)]);
        let (counts, stopped) = &mut *self.0.lock();
        if *stopped {
            return None;
        }
        if let Some(count) = counts.get_mut(&*word) {
            *count += 1;
            return None;
        }
        if counts.len() < WORDS_MAX {
            counts.insert(word.into_owned(), 1);
            return None;
        }
        *stopped = true;
        let stop = Counts::from([(STOPPED.to_string(), 1)]);
        Some(std::mem::replace(counts, stop))
    }

    /// All counts.
    pub fn all(&self) -> Counts {
        self.0.lock().0.clone()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        *self.0.lock() = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_words_stop_the_count() {
        let codes = ErrorCodes::default();
        for round in 1..=2 {
            (0..WORDS_MAX).for_each(|n| assert_eq!(codes.count(format!("E{n} text").as_bytes()), None));
            assert_eq!(codes.all()["E7"], round);
        }
        let given_up = codes.count(b"ONEMORE text").expect("one too many");
        assert_eq!(given_up.len(), WORDS_MAX);
        assert_eq!(codes.count(b"E7 text"), None);
        assert_eq!(codes.all(), Counts::from([(STOPPED.to_string(), 1)]));
        codes.reset();
        assert_eq!(codes.count(b"E7"), None);
        assert_eq!(codes.all(), Counts::from([("E7".to_string(), 1)]));
    }
}
