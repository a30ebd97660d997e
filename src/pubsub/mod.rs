//! Channels, patterns, shard channels and invalidation of client-side caches.
//!
//! A registry maps a channel to its subscribers; publishing encodes a push message once per protocol and leaves a note of
//! it in the mailbox of each, whom the postman of its worker will wake. The maps come before rounds and mailboxes in the
//! lock order, and after all else.

pub mod channels;
mod listening;
pub mod patterns;
pub mod tracking;

use crate::base::hash::key_hash;
use crate::client::Client;
use crate::client::rounds::Rounds;
use crate::client::sheet::{self, Note};
use crate::resp::reply::Proto;
use channels::Channels;
use parking_lot::Mutex;
use patterns::Patterns;
use std::sync::Arc;

/// Locks that put the messages of each channel in order; channels share them by hash.
const ORDERS: usize = 64;

/// All subscriptions of the process.
pub struct PubSub {
    /// Held while a message is delivered, so that all who listen to a channel hear its messages in one order, whichever
    /// workers they come from.
    orders: [Mutex<()>; ORDERS],
    /// Ordinary channels.
    pub channels: Channels,
    /// Shard channels.
    pub shard_channels: Channels,
    /// Patterns.
    pub patterns: Patterns,
    /// Client-side caches.
    pub tracking: tracking::TrackingTable,
    /// Subscribers that are to be woken.
    pub rounds: Rounds,
}

impl PubSub {
    /// No subscriptions yet; for so many workers.
    pub fn new(workers: usize) -> Self {
        PubSub {
            rounds: Rounds::new(workers),
            orders: std::array::from_fn(|_| Mutex::default()),
            channels: Channels::default(),
            shard_channels: Channels::default(),
            patterns: Patterns::default(),
            tracking: tracking::TrackingTable::default(),
        }
    }
}

/// A push message, encoded at most once per protocol.
pub struct Message<'a> {
    parts: &'a [&'a [u8]],
    notes: [Option<Note>; 2],
}

impl<'a> Message<'a> {
    /// A message of bulk strings.
    pub fn new(parts: &'a [&'a [u8]]) -> Message<'a> {
        Message { parts, notes: [None, None] }
    }
    /// Puts it in the client's mailbox.
    pub fn deliver(&mut self, client: &Arc<Client>, rounds: &Rounds) {
        let resp3 = client.proto() == Proto::Resp3;
        let note = self.notes[resp3 as usize]
            .get_or_insert_with(|| sheet::print(resp3 as usize, |out| encode(self.parts, resp3, out)));
        if client.mailbox.leave(note) {
            rounds.add(client);
        }
    }
}

fn encode(parts: &[&[u8]], resp3: bool, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    out.push(if resp3 { b'>' } else { b'*' });
    out.extend_from_slice(number.format(parts.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for part in parts {
        out.push(b'$');
        out.extend_from_slice(number.format(part.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

impl PubSub {
    /// Publishes to an ordinary channel and the patterns that match it; returns the number of receivers.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let _order = self.order(channel).lock();
        self.channels.publish(b"message", channel, message, &self.rounds)
            + self.patterns.publish(channel, message, &self.rounds)
    }
    /// Publishes to a shard channel.
    pub fn publish_shard(&self, channel: &[u8], message: &[u8]) -> usize {
        let _order = self.order(channel).lock();
        self.shard_channels.publish(b"smessage", channel, message, &self.rounds)
    }
    /// Of so many receivers of a message from this client, those that listen still: whoever hung up before it was sent is
    /// not counted, even if the worker of that connection has not noticed yet. A crowd is taken as it is.
    pub fn listening(&self, channel: &[u8], receivers: usize, from: &Client) -> usize {
        listening::those_open((channel, false), receivers, from, |look| {
            self.channels.each(channel, &mut *look);
            self.patterns.each(channel, look);
        })
    }
    /// The same for a shard channel.
    pub fn listening_to_shard(&self, channel: &[u8], receivers: usize, from: &Client) -> usize {
        listening::those_open((channel, true), receivers, from, |look| self.shard_channels.each(channel, look))
    }
    /// Calls `f` with every client, each name it listens to, and whether that is a pattern.
    pub fn each_subscription(&self, mut f: impl FnMut(&Arc<Client>, &[u8], bool)) {
        self.channels.each_subscription(|client, name| f(client, name, false));
        self.shard_channels.each_subscription(|client, name| f(client, name, false));
        self.patterns.each_subscription(|client, name| f(client, name, true));
    }
    fn order(&self, channel: &[u8]) -> &Mutex<()> {
        &self.orders[key_hash(channel) as usize % ORDERS]
    }
}
