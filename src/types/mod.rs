//! Pure data structures: what a key can hold. This room knows no network, no lock, no expiry of keys and no RESP.
//!
//! What a key can hold is a closed set: a string ([`string`]) or one of five collections. [`Value`] owns a collection on
//! its way into or out of a key, [`ValueRef`] and [`ValueMut`] look at what a key holds.

pub mod bits;
pub mod geo;
pub mod group;
pub mod hash;
pub mod hll;
pub mod lcs;
pub mod list;
pub mod packed;
pub mod set;
pub mod stream;
pub mod string;
pub mod tree;
mod view;
pub mod zset;

use hash::Hash;
use list::List;
use packed::thin::Lent;
use set::Set;
use stream::Stream;
use string::StrRef;
pub use view::View;
use zset::ZSet;

/// The type of a value, as `TYPE` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A string.
    Str,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    ZSet,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] = [Kind::Str, Kind::List, Kind::Set, Kind::ZSet, Kind::Hash, Kind::Stream];

    /// The name that `TYPE` answers.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Str => "string",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::ZSet => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
        }
    }
    /// The kind of this name, in any case.
    pub fn from_name(name: &[u8]) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// How the bytes of a small collection are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A listpack.
    Listpack,
    /// The listpack of a hash whose fields have deadlines.
    ListpackEx,
    /// An intset.
    Intset,
}

/// A collection, owned. Strings travel as [`string::NewStr`].
#[derive(Clone)]
pub enum Value {
    /// A list.
    List(List),
    /// A hash.
    Hash(Hash),
    /// A set.
    Set(Set),
    /// A sorted set.
    ZSet(ZSet),
    /// A stream.
    Stream(Stream),
}

impl Value {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Value::List(_) => Kind::List,
            Value::Hash(_) => Kind::Hash,
            Value::Set(_) => Kind::Set,
            Value::ZSet(_) => Kind::ZSet,
            Value::Stream(_) => Kind::Stream,
        }
    }

    /// The bytes of a small collection and their layout; `None` for any other.
    pub fn packed(&self) -> Option<(Packing, &[u8])> {
        match self {
            Value::List(v) => v.packed(),
            Value::Hash(v) => v.packed(),
            Value::Set(v) => v.packed(),
            Value::ZSet(v) => v.packed(),
            Value::Stream(_) => None,
        }
    }

    /// The loan back and how what is in it is packed, if it is a small collection that is still in the block it was made
    /// in.
    #[inline]
    pub fn into_lent(self) -> Result<(Packing, Lent), Self> {
        match self {
            Value::List(v) => v.into_lent().map_err(Value::List),
            Value::Hash(v) => v.into_lent().map_err(Value::Hash),
            Value::Set(v) => v.into_lent().map_err(Value::Set),
            Value::ZSet(v) => v.into_lent().map_err(Value::ZSet),
            stream @ Value::Stream(_) => Err(stream),
        }
    }

    /// The value, for change.
    pub fn as_mut(&mut self) -> ValueMut<'_> {
        match self {
            Value::List(v) => ValueMut::List(v),
            Value::Hash(v) => ValueMut::Hash(v),
            Value::Set(v) => ValueMut::Set(v),
            Value::ZSet(v) => ValueMut::ZSet(v),
            Value::Stream(v) => ValueMut::Stream(v),
        }
    }
}

/// What a key holds.
#[derive(Clone)]
pub enum ValueRef<'a> {
    /// A string.
    Str(StrRef<'a>),
    /// A list.
    List(View<'a, List>),
    /// A hash.
    Hash(View<'a, Hash>),
    /// A set.
    Set(View<'a, Set>),
    /// A sorted set.
    ZSet(View<'a, ZSet>),
    /// A stream.
    Stream(&'a Stream),
}

impl ValueRef<'_> {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            ValueRef::Str(_) => Kind::Str,
            ValueRef::List(_) => Kind::List,
            ValueRef::Hash(_) => Kind::Hash,
            ValueRef::Set(_) => Kind::Set,
            ValueRef::ZSet(_) => Kind::ZSet,
            ValueRef::Stream(_) => Kind::Stream,
        }
    }
    /// Where the memory of a collection begins, without looking at it.
    #[inline]
    pub fn address(&self) -> Option<*const u8> {
        Some(match self {
            ValueRef::Str(_) => return None,
            ValueRef::List(v) => v.address(),
            ValueRef::Hash(v) => v.address(),
            ValueRef::Set(v) => v.address(),
            ValueRef::ZSet(v) => v.address(),
            ValueRef::Stream(v) => v.address(),
        })
    }
    /// About how many allocations there are to free, in the units in which Redis decides whether a value is worth its
    /// background thread.
    pub fn free_effort(&self) -> usize {
        match self {
            ValueRef::Str(_) => 1,
            ValueRef::List(v) => v.node_count(),
            ValueRef::Hash(v) => {
                if matches!(**v, Hash::Table(_)) {
                    v.len()
                } else {
                    1
                }
            }
            ValueRef::Set(v) => {
                if matches!(**v, Set::Table(_)) {
                    v.len()
                } else {
                    1
                }
            }
            ValueRef::ZSet(v) => {
                if matches!(**v, ZSet::Big(_)) {
                    v.len()
                } else {
                    1
                }
            }
            ValueRef::Stream(v) => v.free_effort(),
        }
    }
    /// Bytes on the heap beyond the value itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            ValueRef::Str(StrRef::Shared(bytes)) => bytes.len(),
            ValueRef::Str(_) => 0,
            ValueRef::List(v) => v.heap_bytes(),
            ValueRef::Hash(v) => v.heap_bytes(),
            ValueRef::Set(v) => v.heap_bytes(),
            ValueRef::ZSet(v) => v.heap_bytes(),
            ValueRef::Stream(v) => v.heap_bytes(),
        }
    }
}

/// A collection that a key holds, for change.
pub enum ValueMut<'a> {
    /// A list.
    List(&'a mut List),
    /// A hash.
    Hash(&'a mut Hash),
    /// A set.
    Set(&'a mut Set),
    /// A sorted set.
    ZSet(&'a mut ZSet),
    /// A stream.
    Stream(&'a mut Stream),
}
