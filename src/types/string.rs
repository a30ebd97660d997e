//! What a string key holds, and the pure operations on it.
//!
//! A string is stored as an integer when its text is exactly what printing that integer gives (`"10"` but not `"010"`),
//! as bytes beside the key while it is short, and as reference-counted [`Bytes`] from [`SHARED_MIN`] on, so that a
//! reply takes it without copying. [`StrRef`] is how it is read, [`NewStr`] how it comes in.

use crate::base::num::{decimal_len, parse_i64};
use bytes::Bytes;

/// Strings of this many bytes and more are reference-counted.
pub const SHARED_MIN: usize = 16 * 1024;

/// Strings up to this many bytes are called `embstr`, longer ones `raw`.
pub const EMBSTR_MAX: usize = 44;

/// Texts up to this length grow to twice their size, longer ones by an eighth.
const DOUBLED_MAX: usize = 1 << 20;

/// Makes room in a text that is about to be `len` bytes long, and some ahead: growing byte by byte costs constant time per
/// byte, and yet a text of many megabytes does not take twice its size.
pub fn make_room(text: &mut Vec<u8>, len: usize) {
    if len <= text.capacity() {
        return;
    }
    let ahead = match text.is_empty() {
        true => 0,
        false if len <= DOUBLED_MAX => len,
        false => len / 8,
    };
    text.reserve_exact(len.saturating_add(ahead) - text.len());
}

/// A string value as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum StrRef<'a> {
    /// An integer; its text is its decimal form.
    Int(i64),
    /// Bytes inside the entry.
    Bytes(&'a [u8]),
    /// Bytes that a reply may share.
    Shared(&'a Bytes),
}

impl<'a> StrRef<'a> {
    /// Length of the text in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            StrRef::Int(n) => decimal_len(*n),
            StrRef::Bytes(b) => b.len(),
            StrRef::Shared(b) => b.len(),
        }
    }
    /// Whether the text is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The text; that of an integer is written into `scratch`.
    #[inline]
    pub fn as_bytes<'b>(&self, scratch: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            StrRef::Int(n) => scratch.format(n).as_bytes(),
            StrRef::Bytes(b) => b,
            StrRef::Shared(b) => b,
        }
    }
    /// The text, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        self.as_bytes(&mut itoa::Buffer::new()).to_vec()
    }
    /// The text as [`Bytes`]: copied, or shared when it is stored so.
    pub fn to_bytes(&self) -> Bytes {
        match *self {
            StrRef::Int(n) => Bytes::copy_from_slice(itoa::Buffer::new().format(n).as_bytes()),
            StrRef::Bytes(b) => Bytes::copy_from_slice(b),
            StrRef::Shared(b) => b.clone(),
        }
    }
    /// Whether the text is this one.
    pub fn is(&self, text: &[u8]) -> bool {
        self.as_bytes(&mut itoa::Buffer::new()) == text
    }
    /// The text as a canonical integer, if it is one.
    #[inline]
    pub fn as_int(&self) -> Option<i64> {
        match *self {
            StrRef::Int(n) => Some(n),
            StrRef::Bytes(b) => parse_i64(b),
            StrRef::Shared(_) => None,
        }
    }
}

impl PartialEq for StrRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (StrRef::Int(a), StrRef::Int(b)) => a == b,
            _ => other.is(self.as_bytes(&mut itoa::Buffer::new())),
        }
    }
}
impl Eq for StrRef<'_> {}

/// A string to store.
#[derive(Clone, Debug)]
pub enum NewStr<'a> {
    /// An integer.
    Int(i64),
    /// Bytes to copy.
    Copy(&'a [u8]),
    /// Bytes to keep a reference to, when they are long enough for that; they should not be a small part of a bigger
    /// buffer, which would live as long.
    Shared(Bytes),
}

impl<'a> NewStr<'a> {
    /// What to store for this text: an integer if it is the text of one.
    #[inline]
    pub fn from_bytes(text: &'a [u8]) -> NewStr<'a> {
        match parse_i64(text) {
            Some(n) => NewStr::Int(n),
            None => NewStr::Copy(text),
        }
    }
    /// Length of the text in bytes.
    pub fn len(&self) -> usize {
        match self {
            NewStr::Int(n) => decimal_len(*n),
            NewStr::Copy(b) => b.len(),
            NewStr::Shared(b) => b.len(),
        }
    }
    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<StrRef<'a>> for NewStr<'a> {
    fn from(s: StrRef<'a>) -> NewStr<'a> {
        match s {
            StrRef::Int(n) => NewStr::Int(n),
            StrRef::Bytes(b) => NewStr::Copy(b),
            StrRef::Shared(b) => NewStr::Shared(b.clone()),
        }
    }
}

/// The name of a string's encoding. `raw` says that it was changed in place since it was set.
pub fn encoding_name(value: StrRef<'_>, raw: bool) -> &'static str {
    match value {
        StrRef::Int(_) => "int",
        StrRef::Bytes(b) if !raw && b.len() <= EMBSTR_MAX => "embstr",
        _ => "raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_grows_by_a_part_of_its_size() {
        let mut text = vec![0; 8 << 20];
        make_room(&mut text, (8 << 20) + 1);
        assert!(text.capacity() <= (9 << 20) + 2, "{}", text.capacity());
        let (mut text, mut moves) = (Vec::new(), 0);
        for len in 1..=4usize << 20 {
            let before = text.capacity();
            make_room(&mut text, len);
            moves += usize::from(text.capacity() != before);
            text.push(0);
        }
        assert!(moves < 40, "{moves}");
    }

    #[test]
    fn lengths_are_those_of_the_text() {
        for n in [0, 1, -1, 9, 10, 99, 100, -100, i64::MAX, i64::MIN] {
            assert_eq!(StrRef::Int(n).len(), n.to_string().len(), "{n}");
            assert!(StrRef::Int(n).is(n.to_string().as_bytes()));
        }
    }

    #[test]
    fn encodings_have_the_names_of_redis() {
        assert_eq!(encoding_name(StrRef::Int(5), false), "int");
        assert_eq!(encoding_name(StrRef::Bytes(&[b'x'; 44]), false), "embstr");
        assert_eq!(encoding_name(StrRef::Bytes(&[b'x'; 45]), false), "raw");
        assert_eq!(encoding_name(StrRef::Bytes(b"x"), true), "raw");
        assert_eq!(encoding_name(StrRef::Shared(&Bytes::from(vec![0; SHARED_MIN])), false), "raw");
    }

    #[test]
    fn equality_is_of_texts() {
        assert_eq!(StrRef::Int(12), StrRef::Bytes(b"12"));
        assert_ne!(StrRef::Int(12), StrRef::Bytes(b"012"));
        assert_eq!(StrRef::Bytes(b"a"), StrRef::Shared(&Bytes::from_static(b"a")));
    }
}
