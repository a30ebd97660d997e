//! Replies of many short strings: the members, fields and elements of a range.
//!
//! Finding a string its place in a growing reply costs more than its few bytes. Here strings are put one behind another
//! into a small room of known size, which goes into the reply when it is full, and when this writer is dropped.

use crate::resp::reply::Reply;
use crate::types::packed::listpack::LpValue;
use crate::types::string::StrRef;

/// Writes strings into a reply.
pub struct Bulks<'r> {
    reply: &'r mut Reply,
    room: [u8; ROOM_BYTES],
    len: usize,
}

const ROOM_BYTES: usize = 256;
/// Longer strings go straight into the reply.
const TEXT_BYTES_MAX: usize = 64;
/// `$64`, the text, and a line break behind each.
const BULK_BYTES_MAX: usize = 5 + TEXT_BYTES_MAX + 2;

/// What stands before a string of each length, in the first bytes of a word that is stored whole.
const HEADS: [[u8; 8]; TEXT_BYTES_MAX + 1] = {
    let mut heads = [[0; 8]; TEXT_BYTES_MAX + 1];
    let mut len = 0;
    while len < heads.len() {
        let (tens, ones) = (b'0' + len as u8 / 10, b'0' + len as u8 % 10);
        heads[len] = match len {
            0..10 => [b'$', ones, b'\r', b'\n', 0, 0, 0, 0],
            _ => [b'$', tens, ones, b'\r', b'\n', 0, 0, 0],
        };
        len += 1;
    }
    heads
};

impl<'r> Bulks<'r> {
    /// Writes behind what is in the reply.
    pub fn new(reply: &'r mut Reply) -> Self {
        Bulks { reply, room: [0; ROOM_BYTES], len: 0 }
    }

    /// A string.
    #[inline]
    pub fn bulk(&mut self, text: &[u8]) {
        if text.len() > TEXT_BYTES_MAX {
            return self.long(text);
        }
        if self.len > ROOM_BYTES - BULK_BYTES_MAX {
            self.flush();
        }
        let Some(room) = self.room[self.len..].first_chunk_mut::<BULK_BYTES_MAX>() else { return };
        room[..8].copy_from_slice(&HEADS[text.len()]);
        let start = if text.len() < 10 { 4 } else { 5 };
        let end = start + text.len();
        room[start..end].copy_from_slice(text);
        room[end..end + 2].copy_from_slice(b"\r\n");
        self.len += end + 2;
    }

    /// An element of a collection.
    #[inline]
    pub fn value(&mut self, value: LpValue<'_>) {
        match value {
            LpValue::Str(text) => self.bulk(text),
            LpValue::Int(int) => self.bulk(itoa::Buffer::new().format(int).as_bytes()),
        }
    }

    /// What a key holds as a string: a big one goes by reference.
    #[inline]
    pub fn text(&mut self, text: StrRef<'_>) {
        match text {
            StrRef::Bytes(bytes) => self.bulk(bytes),
            StrRef::Int(int) => self.value(LpValue::Int(int)),
            StrRef::Shared(bytes) => {
                self.flush();
                self.reply.bulk_shared(bytes);
            }
        }
    }

    /// No value.
    pub fn null(&mut self) {
        self.flush();
        self.reply.null();
    }

    #[inline(never)]
    fn long(&mut self, text: &[u8]) {
        self.flush();
        self.reply.bulk(text);
    }

    fn flush(&mut self) {
        self.reply.raw(&self.room[..self.len]);
        self.len = 0;
    }
}

impl Drop for Bulks<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::reply::Proto;

    #[test]
    fn strings_of_every_length_come_out_as_from_the_reply_itself() {
        let text = b"abcdefghij".repeat(8);
        let (mut reply, mut plain) = (Reply::new(Proto::Resp2), Reply::new(Proto::Resp2));
        let mut bulks = Bulks::new(&mut reply);
        for turn in 0..2000 {
            let text = &text[..turn * 31 % 81];
            bulks.bulk(text);
            plain.bulk(text);
            bulks.text(StrRef::Int(turn as i64 - 1000));
            plain.bulk_int(turn as i64 - 1000);
            if turn % 7 == 0 {
                bulks.null();
                plain.null();
            }
        }
        drop(bulks);
        assert!(reply.take() == plain.take());
    }
}
