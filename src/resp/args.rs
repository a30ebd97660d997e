//! The arguments of one request, wherever their bytes lie.
//!
//! [`Args`] is a view a command reads: its arguments are slices of a connection's read buffer, words of an inline
//! command, or big strings in buffers of their own. [`ArgsBuf`] owns arguments and gives the same view: what MULTI
//! queues, a blocked command keeps and a script calls with.

use bytes::Bytes;

/// Arguments of this size and more come in buffers of their own, so that they can be kept without copying.
pub const OWNED_MIN: usize = 32 * 1024;

/// Where one argument lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arg {
    /// Offset in its source; for [`Source::Owned`] the index among the owned.
    pub(super) at: usize,
    /// Length in bytes; not used for [`Source::Owned`], whose buffer knows.
    pub(super) len: u32,
    pub(super) source: Source,
}

const _: () = assert!(size_of::<Arg>() == 16, "a request of many arguments should stay in few cache lines");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The connection's read buffer, or the data of an [`ArgsBuf`].
    Buffer,
    /// The unquoted words of inline commands.
    Inline,
    /// A buffer of its own.
    Owned,
}

/// A request as a command sees it: the name and what follows. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    pub(super) args: &'a [Arg],
    pub(super) buffer: &'a [u8],
    pub(super) inline: &'a [u8],
    pub(super) owned: &'a [Bytes],
}

impl<'a> Args<'a> {
    /// How many, the name of the command included.
    #[inline]
    pub fn len(self) -> usize {
        self.args.len()
    }

    /// Are there none?
    #[inline]
    pub fn is_empty(self) -> bool {
        self.args.is_empty()
    }

    /// Argument `index`; 0 is the name of the command.
    ///
    /// # Panics
    /// If there is no such argument: the arity of a command promises those it reads without asking.
    #[inline]
    pub fn get(self, index: usize) -> &'a [u8] {
        let arg = self.args[index];
        let from = match arg.source {
            Source::Buffer => self.buffer,
            Source::Inline => self.inline,
            Source::Owned => return &self.owned[arg.at],
        };
        &from[arg.at..arg.at + arg.len as usize]
    }

    /// Argument `index`, if there is one.
    #[inline]
    pub fn try_get(self, index: usize) -> Option<&'a [u8]> {
        (index < self.args.len()).then(|| self.get(index))
    }

    /// Whether any argument has a buffer of its own.
    #[inline]
    pub fn has_shared(self) -> bool {
        !self.owned.is_empty() && self.args.iter().any(|arg| arg.source == Source::Owned)
    }

    /// The buffer of argument `index`, if it has one of its own: a big value that can be kept without copying.
    pub fn shared(self, index: usize) -> Option<&'a Bytes> {
        let arg = self.args.get(index)?;
        (arg.source == Source::Owned).then(|| &self.owned[arg.at])
    }

    /// Argument `index` as a buffer of its own, copied if it is not one yet.
    pub fn to_bytes(self, index: usize) -> Bytes {
        self.shared(index).cloned().unwrap_or_else(|| Bytes::copy_from_slice(self.get(index)))
    }

    /// The arguments from `first` on; none if there are fewer.
    pub fn skip(self, first: usize) -> Args<'a> {
        Args { args: &self.args[first.min(self.args.len())..], ..self }
    }

    /// All arguments in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        (0..self.len()).map(move |index| self.get(index))
    }
}

/// Arguments with their bytes.
#[derive(Clone, Debug, Default)]
pub struct ArgsBuf {
    args: Vec<Arg>,
    data: Vec<u8>,
    owned: Vec<Bytes>,
}

impl ArgsBuf {
    /// None.
    pub fn new() -> Self {
        ArgsBuf::default()
    }

    /// A copy of `args`; big ones are shared.
    pub fn copy_of(args: Args<'_>) -> Self {
        let mut copy = ArgsBuf::new();
        copy.args.reserve_exact(args.len());
        for index in 0..args.len() {
            match args.shared(index) {
                Some(big) => copy.push_shared(big.clone()),
                None => copy.push(args.get(index)),
            }
        }
        copy.data.shrink_to_fit();
        copy
    }

    /// Adds an argument, copied.
    pub fn push(&mut self, arg: &[u8]) {
        if arg.len() >= OWNED_MIN {
            return self.push_shared(Bytes::copy_from_slice(arg));
        }
        // Below OWNED_MIN, so it fits.
        self.args.push(Arg { at: self.data.len(), len: arg.len() as u32, source: Source::Buffer });
        self.data.extend_from_slice(arg);
    }

    /// Adds an argument by reference.
    pub fn push_shared(&mut self, arg: Bytes) {
        self.args.push(Arg { at: self.owned.len(), len: 0, source: Source::Owned });
        self.owned.push(arg);
    }

    /// The arguments as a command sees them.
    pub fn view(&self) -> Args<'_> {
        Args { args: &self.args, buffer: &self.data, inline: &[], owned: &self.owned }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// Forgets all; keeps the room.
    pub fn clear(&mut self) {
        self.args.clear();
        self.data.clear();
        self.owned.clear();
    }

    /// Bytes of memory held.
    pub fn memory_bytes(&self) -> usize {
        self.args.capacity() * size_of::<Arg>()
            + self.data.capacity()
            + self.owned.capacity() * size_of::<Bytes>()
            + self.owned.iter().map(Bytes::len).sum::<usize>()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ArgsBuf {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut args = ArgsBuf::new();
        for item in items {
            args.push(item.as_ref());
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_arguments_read_like_any_other() {
        let big = vec![b'x'; OWNED_MIN];
        let mut args: ArgsBuf = [&b"SET"[..], b"k", &big].into_iter().collect();
        assert_eq!((args.len(), args.view().get(0), args.view().try_get(3)), (3, &b"SET"[..], None));
        assert!(args.view().shared(1).is_none());
        let kept = args.view().to_bytes(2);
        assert_eq!(kept.as_ptr(), args.view().get(2).as_ptr(), "a big argument is kept without copying");
        let copy = ArgsBuf::copy_of(args.view().skip(1));
        assert_eq!(copy.view().iter().collect::<Vec<_>>(), [&b"k"[..], &big]);
        assert_eq!(copy.view().get(1).as_ptr(), kept.as_ptr());
        assert!(args.memory_bytes() > OWNED_MIN);
        args.clear();
        assert!(args.is_empty() && args.view().is_empty() && args.view().skip(5).is_empty());
    }
}
