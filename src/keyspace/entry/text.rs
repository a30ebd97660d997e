//! Changing a string: replaced, rewritten at another length, or edited in place.

use super::Entry;
use super::layout::*;
use crate::types::string::{NewStr, SHARED_MIN, StrRef, make_room};
use bytes::Bytes;

impl Entry {
    /// Makes the value this string, whatever it was; the deadline, the access word and the epoch bit stay.
    pub fn set_str(&mut self, value: &NewStr<'_>) {
        let text: &[u8] = match value {
            NewStr::Int(n) if matches!(self.shape(), INT | INT_RAW) => {
                // SAFETY: the payload of INT is an i64.
                unsafe { self.payload().cast::<i64>().write(*n) };
                self.set_meta(self.meta() & !RAW);
                return;
            }
            NewStr::Copy(text) => text,
            NewStr::Shared(text) => text,
            NewStr::Int(_) => return self.replace_value(value),
        };
        if text.len() < SHARED_MIN && matches!(self.shape(), INLINE | INLINE_RAW) {
            self.resize_text(text.len());
            self.text_mut().copy_from_slice(text);
            self.set_meta(self.meta() & !RAW);
        } else {
            self.replace_value(value);
        }
    }

    /// A new block with the same key and header for a string of another shape.
    fn replace_value(&mut self, value: &NewStr<'_>) {
        let fresh = Entry::new_str(self.key(), value, self.expiry());
        fresh.set_meta(fresh.meta() | self.meta() & (EPOCH | LATE));
        fresh.set_access(self.access());
        *self = fresh;
    }

    /// Edits the text of a string, which is `raw` afterwards; nothing happens to a collection and the result is `None`.
    /// A short text is copied out and in; where the length is known beforehand,
    /// [`with_slice_mut`](Entry::with_slice_mut) edits in place.
    pub fn with_bytes_mut<R>(&mut self, edit: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        let mut text = match self.str()? {
            StrRef::Shared(_) => Vec::from(std::mem::take(self.shared_mut()?)),
            short => short.to_vec(),
        };
        let result = edit(&mut text);
        match self.shared_mut() {
            Some(shared) if text.len() >= SHARED_MIN => *shared = Bytes::from(text),
            _ if text.len() >= SHARED_MIN => self.replace_value(&NewStr::Shared(Bytes::from(text))),
            _ => self.set_str(&NewStr::Copy(&text)),
        }
        self.mark_raw();
        Some(result)
    }

    /// Makes a string at least `min_len` bytes long, padding with zero bytes, and edits it in place; it is `raw`
    /// afterwards. Growing byte by byte costs amortised constant time per byte. Nothing happens to a collection and the
    /// result is `None`.
    pub fn with_slice_mut<R>(&mut self, min_len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let value = self.str()?;
        let len = value.len().max(min_len);
        let result = match value {
            StrRef::Bytes(_) if len < SHARED_MIN => {
                self.resize_text(len);
                edit(self.text_mut())
            }
            StrRef::Shared(_) => edit_shared(self.shared_mut()?, len, edit),
            short => {
                let mut text = Vec::with_capacity(len);
                text.extend_from_slice(short.as_bytes(&mut itoa::Buffer::new()));
                text.resize(len, 0);
                let result = edit(&mut text);
                self.replace_value(&NewStr::Shared(Bytes::from(text)));
                result
            }
        };
        self.mark_raw();
        Some(result)
    }
}

/// Edits a long string in place when nobody shares it, else a copy.
fn edit_shared<R>(shared: &mut Bytes, len: usize, edit: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut text = Vec::from(std::mem::take(shared));
    make_room(&mut text, len);
    text.resize(len, 0);
    let result = edit(&mut text);
    *shared = Bytes::from(text);
    result
}
