//! The log: one order, one offset, append and read.
//!
//! Appending happens while the shards of the change are still held, under one short lock, so that the order of the log
//! agrees with the order of every key. Readers keep an offset of their own and pin it; what every pin has passed is
//! dropped. Without a reader nothing is written at all (`Interest::log` is false then).

use super::Effect;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};

/// The log of effects.
#[derive(Default)]
pub struct Log {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bytes from `first` on.
    bytes: VecDeque<u8>,
    /// Offset of the first byte kept.
    first: u64,
    /// The database the last effect was in.
    db: Option<u32>,
    pins: BTreeMap<u64, u64>,
    next_pin: u64,
    scratch: Vec<u8>,
}

/// A reader's place in the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Pin(u64);

impl Log {
    /// Appends one unit; returns the offset after it. Several effects go in as one MULTI .. EXEC.
    pub fn append(&self, unit: &[Effect]) -> u64 {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let out = &mut inner.scratch;
        out.clear();
        if unit.len() > 1 {
            Effect::encode(&[b"MULTI"], out);
        }
        for effect in unit {
            if inner.db != Some(effect.db) {
                inner.db = Some(effect.db);
                Effect::encode(&[&b"SELECT"[..], itoa::Buffer::new().format(effect.db).as_bytes()], out);
            }
            Effect::encode(&effect.argv, out);
        }
        if unit.len() > 1 {
            Effect::encode(&[b"EXEC"], out);
        }
        inner.bytes.extend(out.iter());
        inner.first + inner.bytes.len() as u64
    }

    /// A new reader that begins at the end; its first effect is preceded by a SELECT.
    pub fn attach(&self) -> Pin {
        let mut inner = self.inner.lock();
        let at = inner.first + inner.bytes.len() as u64;
        let pin = inner.next_pin;
        inner.next_pin += 1;
        inner.pins.insert(pin, at);
        inner.db = None;
        Pin(pin)
    }

    /// Takes what the reader has not read yet, moving its pin.
    pub fn read(&self, pin: &Pin, out: &mut Vec<u8>) {
        let mut inner = self.inner.lock();
        let Some(&at) = inner.pins.get(&pin.0) else { return };
        let end = inner.first + inner.bytes.len() as u64;
        let skip = (at - inner.first) as usize;
        out.extend(inner.bytes.iter().skip(skip));
        inner.pins.insert(pin.0, end);
        inner.trim();
    }

    /// The reader goes away; true when it was the last.
    pub fn detach(&self, pin: Pin) -> bool {
        let mut inner = self.inner.lock();
        inner.pins.remove(&pin.0);
        inner.trim();
        inner.pins.is_empty()
    }

    /// The offset after the last effect.
    pub fn offset(&self) -> u64 {
        let inner = self.inner.lock();
        inner.first + inner.bytes.len() as u64
    }
}

impl Inner {
    fn trim(&mut self) {
        let end = self.first + self.bytes.len() as u64;
        let keep = self.pins.values().min().copied().unwrap_or(end);
        self.bytes.drain(..(keep - self.first) as usize);
        self.first = keep;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_units_in_order_with_their_database() {
        let log = Log::default();
        log.append(&[Effect::new(0, &[b"SET", b"before", b"1"])]);
        let pin = log.attach();
        log.append(&[Effect::new(3, &[b"SET", b"a", b"1"])]);
        log.append(&[Effect::new(3, &[b"DEL", b"a"]), Effect::new(3, &[b"SET", b"b", b"2"])]);
        let mut got = Vec::new();
        log.read(&pin, &mut got);
        let want = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n\
                    *1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n\
                    *1\r\n$4\r\nEXEC\r\n";
        assert_eq!(String::from_utf8(got).unwrap(), want);
        let mut more = Vec::new();
        log.read(&pin, &mut more);
        assert!(more.is_empty());
        assert!(log.detach(pin));
    }
}
