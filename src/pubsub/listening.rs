//! Which receivers of a message have hung up, though the workers that they live on have not noticed yet.
//!
//! To ask the kernel costs as much as to deliver a message. What was read of a publisher together was sent before it was
//! read, so one look serves all its messages to one channel that came together.

use crate::base::hash::key_hash;
use crate::base::system::closed_by_peer;
use crate::client::Client;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;

/// Receivers of a message up to which they are looked at.
const LOOKED_AT_MAX: usize = 16;

/// Where nobody had hung up.
#[derive(Default)]
struct Looked {
    /// Who was publishing, and how much had been read of that client.
    read: (u64, u64),
    /// Its channels so far.
    channels: SmallVec<[u64; 16]>,
}

thread_local! {
    static LOOKED: RefCell<Looked> = RefCell::default();
}

impl Looked {
    /// Whether that is known of a channel, for a message that this client has sent.
    fn knows(&mut self, channel: u64, from: &Client) -> bool {
        let read = (from.id, from.totals[0].load(Relaxed));
        if self.read != read {
            self.read = read;
            self.channels.clear();
        }
        self.channels.contains(&channel)
    }

    fn note(&mut self, channel: u64, from: &Client) {
        // What has no connection is not read, so nothing tells one time from another.
        if from.id != 0 && self.channels.len() < self.channels.inline_size() {
            self.channels.push(channel);
        }
    }
}

/// How many of so many receivers of a message to a channel, or a shard channel, have not hung up; `each` names them one by
/// one.
pub(super) fn those_open(
    (channel, is_shard): (&[u8], bool),
    receivers: usize,
    from: &Client,
    each: impl FnOnce(&mut dyn FnMut(&Client)),
) -> usize {
    if receivers == 0 || receivers > LOOKED_AT_MAX {
        return receivers;
    }
    let channel = key_hash(channel) ^ u64::from(is_shard);
    LOOKED.with_borrow_mut(|looked| {
        if looked.knows(channel, from) {
            return receivers;
        }
        let mut sockets = SmallVec::<[i32; LOOKED_AT_MAX]>::new();
        each(&mut |client| sockets.push(client.fd));
        let closed = closed_by_peer(sockets.into_iter());
        if closed == 0 {
            looked.note(channel, from);
        }
        receivers.saturating_sub(closed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Peer;
    use crate::client::registry::Registry;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    #[test]
    fn one_look_serves_what_was_read_together() {
        let clients = Registry::default();
        let (here, there) = UnixStream::pair().expect("a pair");
        let listener = clients.add(0, Peer { fd: here.as_raw_fd(), ..Peer::default() }, 0);
        let (one, other) = (clients.add(0, Peer::default(), 0), clients.add(0, Peer::default(), 0));
        let nobody = clients.unlisted();
        let open = |channel: &[u8], from: &Client| those_open((channel, false), 1, from, |look| look(&listener));
        let read = |from: &Arc<Client>| from.totals[0].fetch_add(10, Relaxed);
        let _ = [&one, &other].map(read);
        assert_eq!([open(b"a", &one), open(b"a", &nobody)], [1, 1]);
        assert_eq!(open(b"a", &one), 1);
        drop(there);
        assert_eq!(open(b"a", &one), 1, "sent before the listener hung up");
        assert_eq!(open(b"b", &one), 0, "another channel, at which nobody has looked");
        assert_eq!(those_open((b"a", true), 1, &one, |look| look(&listener)), 0);
        read(&one);
        assert_eq!(open(b"a", &one), 0, "sent later");
        assert_eq!([open(b"a", &other), open(b"a", &one), open(b"a", &nobody)], [0, 0, 0]);
    }
}
