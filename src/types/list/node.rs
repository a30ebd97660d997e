//! A node of a long list: a listpack, an element too large for one, or either of them compressed.
//!
//! Nodes are immutable while shared; the chain changes them through [`Node::listpack_mut`] after `Arc::make_mut`.

use super::{End, ListLimits};
use crate::base::lzf;
use crate::types::packed::listpack::{Builder, Listpack, LpValue, Needle};
use crate::types::packed::thin::capacity_for;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Nodes smaller than this are not compressed.
const COMPRESS_BYTES_MIN: usize = 48;
/// Compression must save this much to be kept.
const COMPRESS_GAIN_MIN: usize = 8;
/// What one more entry may take in a listpack beside its bytes; an overestimate for all but huge elements.
const ENTRY_OVERHEAD_BYTES: usize = 8;

/// A node as an RDB file stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeBytes<'a> {
    /// The bytes of a listpack.
    Packed(&'a [u8]),
    /// One element.
    Plain(&'a [u8]),
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Packed(Listpack),
    Plain(Box<[u8]>),
    Squeezed(Box<Squeezed>),
}

/// A compressed node.
#[derive(Clone, Debug)]
pub(super) struct Squeezed {
    lzf: Box<[u8]>,
    /// The bytes before compression.
    bytes: usize,
    plain: bool,
}

impl Node {
    /// The number of elements; a walk for more than 65534.
    pub(super) fn len(&self) -> usize {
        match self {
            Node::Packed(lp) => lp.len(),
            Node::Plain(_) => 1,
            Node::Squeezed(_) => self.opened().len(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Node::Packed(lp) => lp.heap_bytes(),
            Node::Plain(bytes) => capacity_for(bytes.len()),
            Node::Squeezed(squeezed) => size_of::<Squeezed>() + capacity_for(squeezed.lzf.len()),
        }
    }

    /// Whether the node is one element and no listpack.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Node::Packed(_) => false,
            Node::Plain(_) => true,
            Node::Squeezed(squeezed) => squeezed.plain,
        }
    }

    /// The node without compression.
    pub(super) fn opened(&self) -> Cow<'_, Node> {
        let Node::Squeezed(squeezed) = self else { return Cow::Borrowed(self) };
        let bytes = lzf::decompress(&squeezed.lzf, squeezed.bytes).expect("we compressed it");
        Cow::Owned(if squeezed.plain {
            Node::Plain(bytes.into())
        } else {
            Node::Packed(Listpack::from_own_bytes(&bytes))
        })
    }

    /// The node compressed, if it can be and that is worth it.
    pub(super) fn squeezed(&self) -> Option<Node> {
        let (bytes, plain) = match self {
            Node::Packed(lp) => (lp.as_bytes(), false),
            Node::Plain(bytes) => (&bytes[..], true),
            Node::Squeezed(_) => return None,
        };
        if bytes.len() < COMPRESS_BYTES_MIN {
            return None;
        }
        let lzf = lzf::compress(bytes, bytes.len() - COMPRESS_GAIN_MIN)?;
        Some(Node::Squeezed(Box::new(Squeezed { lzf: lzf.into(), bytes: bytes.len(), plain })))
    }

    /// The listpack to change, uncompressed; None for a plain node.
    pub(super) fn listpack_mut(&mut self) -> Option<&mut Listpack> {
        if matches!(self, Node::Squeezed(_)) {
            *self = self.opened().into_owned();
        }
        match self {
            Node::Packed(lp) => Some(lp),
            _ => None,
        }
    }

    /// The value at an end of an uncompressed node.
    pub(super) fn peek(&self, end: End) -> Option<LpValue<'_>> {
        match self {
            Node::Plain(bytes) => Some(LpValue::Str(bytes)),
            Node::Packed(lp) => {
                let pos = if end == End::Front { lp.first() } else { lp.last() };
                pos.map(|pos| lp.get(pos))
            }
            Node::Squeezed(_) => None,
        }
    }

    /// Whether an element of `bytes` may be put into this node of `len` elements.
    pub(super) fn admits(&self, bytes: usize, len: usize, limits: &ListLimits) -> bool {
        let taken = match self {
            Node::Packed(lp) => lp.bytes(),
            Node::Squeezed(squeezed) if !squeezed.plain => squeezed.bytes,
            _ => return false,
        };
        !limits.is_large(bytes) && !limits.exceeded_by(taken + bytes + ENTRY_OVERHEAD_BYTES, len + 1)
    }

    /// Gives the node's bytes before compression to `visit`.
    pub(super) fn with_bytes(&self, visit: &mut dyn FnMut(NodeBytes<'_>)) {
        match &*self.opened() {
            Node::Packed(lp) => visit(NodeBytes::Packed(lp.as_bytes())),
            Node::Plain(bytes) => visit(NodeBytes::Plain(bytes)),
            Node::Squeezed(_) => unreachable!("just opened"),
        }
    }

    /// See [`walk`].
    pub(super) fn walk<V: FnMut(LpValue<'_>) -> ControlFlow<()>>(
        &self,
        from: End,
        skip: usize,
        visit: &mut V,
    ) -> ControlFlow<()> {
        match &*self.opened() {
            Node::Packed(lp) => walk(lp, from, skip, visit),
            Node::Plain(bytes) if skip == 0 => visit(LpValue::Str(bytes)),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Walks a listpack from an end, stepping over `skip` values first.
pub(super) fn walk<V: FnMut(LpValue<'_>) -> ControlFlow<()>>(
    lp: &Listpack,
    from: End,
    skip: usize,
    visit: &mut V,
) -> ControlFlow<()> {
    match from {
        End::Front => match lp.seek(skip as i64) {
            Some(pos) => lp.iter_from(pos).try_for_each(visit),
            None => ControlFlow::Continue(()),
        },
        End::Back => {
            let mut at = lp.seek(-1 - skip as i64);
            while let Some(pos) = at {
                visit(lp.get(pos))?;
                at = lp.prev(pos);
            }
            ControlFlow::Continue(())
        }
    }
}

/// Removes up to `max` values equal to `needle`, beginning at an end; returns how many. One pass, whatever the number.
pub(super) fn remove_equal(lp: &mut Listpack, needle: &Needle<'_>, from: End, max: usize) -> usize {
    let matches = lp.iter().filter(|&value| needle.is(value)).count();
    let removed = matches.min(max);
    if removed == 0 {
        return 0;
    }
    let spared_first = if from == End::Front { 0 } else { matches - removed };
    let mut rank = 0;
    let mut kept = Builder::new();
    for value in lp.iter() {
        if needle.is(value) {
            rank += 1;
            if rank > spared_first && rank <= spared_first + removed {
                continue;
            }
        }
        kept.push_value(value);
    }
    *lp = kept.finish();
    removed
}
