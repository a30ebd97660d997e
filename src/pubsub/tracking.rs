//! Client-side caching: who may have cached which key, and the invalidations that tell them.
//!
//! In the default mode the table maps a key to the ids of the clients that have read it; a change of the key tells them
//! and forgets them. A client in broadcasting mode is told of every change of a key with one of its prefixes and is in
//! no such list. Ids of clients that are gone, or track no more, stay until their key changes or is evicted from the
//! table, as in Redis.
//!
//! The order that matters: a read is remembered while the shard of its key is held, and a change tells of it while it
//! holds the same shard, so no change falls between a read and its remembering. Invalidations enter mailboxes, which
//! their owners empty between two commands only: behind the reply that carried the old value. Locks here are leaves but
//! for mailboxes, and a list of clients is taken out of the table before anybody is told.

use crate::base::hash::key_hash;
use crate::client::registry::Registry;
use crate::client::{Client, Marks};
use crate::resp::reply::Proto;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Parts of the table, each behind a lock of its own.
const PARTS: usize = 16;
/// Keys evicted in one go; a table that is still too large makes the next go longer by as many.
const EFFORT: usize = 100;
/// The channel of invalidations sent to RESP2 clients.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// The clients that may have cached a key, sorted, and its place in [`Part::order`].
struct Readers {
    ids: SmallVec<[u64; 2]>,
    place: usize,
}

/// A part of the table. `order` lists the same keys, so that a random one can be had.
#[derive(Default)]
struct Part {
    readers: HashMap<Arc<[u8]>, Readers, ahash::RandomState>,
    order: Vec<Arc<[u8]>>,
}

impl Part {
    /// Adds a reader; returns whether the key is new, and whether the reader is.
    fn add(&mut self, key: &[u8], id: u64) -> (bool, bool) {
        if let Some(readers) = self.readers.get_mut(key) {
            let Err(at) = readers.ids.binary_search(&id) else { return (false, false) };
            readers.ids.insert(at, id);
            return (false, true);
        }
        let key: Arc<[u8]> = key.into();
        let readers = Readers { ids: SmallVec::from_slice(&[id]), place: self.order.len() };
        self.order.push(key.clone());
        self.readers.insert(key, readers);
        (true, true)
    }

    fn remove(&mut self, key: &[u8]) -> Option<SmallVec<[u64; 2]>> {
        let readers = self.readers.remove(key)?;
        self.order.swap_remove(readers.place);
        if let Some(moved) = self.order.get(readers.place)
            && let Some(other) = self.readers.get_mut(moved)
        {
            other.place = readers.place;
        }
        Some(readers.ids)
    }
}

/// A key that changed.
#[derive(Clone, Copy)]
pub struct Changed<'a> {
    /// Its name.
    pub key: &'a [u8],
    /// The client that changed it; 0 when nobody did (it expired).
    pub by: u64,
}

/// Who caches what.
#[derive(Default)]
pub struct TrackingTable {
    parts: [Mutex<Part>; PARTS],
    keys: AtomicUsize,
    items: AtomicUsize,
    clients: AtomicUsize,
    prefixes: RwLock<BTreeMap<Vec<u8>, Vec<Arc<Client>>>>,
    /// Goes that left the table too large.
    behind: AtomicUsize,
    dice: AtomicU64,
    settling: Mutex<()>,
}

/// How a client wants to be told of changes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mode {
    /// The id of the client that is told in its place; 0 for none.
    pub redirect: u64,
    /// [`Marks`] out of BCAST, OPTIN, OPTOUT and NOLOOP.
    pub marks: u32,
}

impl TrackingTable {
    /// The client tracks from now on, in this mode; `prefixes` are added to those it has. Returns the ones that are new.
    pub fn enable(&self, client: &Arc<Client>, mode: Mode, prefixes: &[&[u8]]) -> Vec<Vec<u8>> {
        if !client.marks.any(Marks::TRACKING) {
            self.clients.fetch_add(1, Relaxed);
        }
        client.redirect.store(mode.redirect as i64, Relaxed);
        client.marks.set(Marks::TRACKING_MODES & !mode.marks, false);
        client.marks.set(Marks::TRACKING | mode.marks, true);
        if mode.marks & Marks::TRACKING_BCAST == 0 {
            return Vec::new();
        }
        let everything: &[&[u8]] = &[b""];
        let mut map = self.prefixes.write();
        let mut fresh = Vec::new();
        for prefix in if prefixes.is_empty() { everything } else { prefixes } {
            let clients = map.entry(prefix.to_vec()).or_default();
            if !clients.iter().any(|c| c.id == client.id) {
                clients.push(client.clone());
                fresh.push(prefix.to_vec());
            }
        }
        fresh
    }

    /// The client tracks no more. `prefixes` are those it has.
    pub fn disable(&self, client: &Client, prefixes: &[Vec<u8>]) {
        if !client.marks.any(Marks::TRACKING) {
            return;
        }
        self.clients.fetch_sub(1, Relaxed);
        client.marks.set(Marks::TRACKING | Marks::TRACKING_MODES | Marks::TRACKING_CACHING, false);
        if prefixes.is_empty() {
            return;
        }
        let mut map = self.prefixes.write();
        for prefix in prefixes {
            if let Some(clients) = map.get_mut(prefix) {
                clients.retain(|c| c.id != client.id);
                if clients.is_empty() {
                    map.remove(prefix);
                }
            }
        }
    }

    /// The client has read the key. The key's shard is held.
    pub fn remember(&self, key: &[u8], id: u64) {
        let (new_key, new_item) = self.part(key).lock().add(key, id);
        self.keys.fetch_add(new_key as usize, Relaxed);
        self.items.fetch_add(new_item as usize, Relaxed);
    }

    fn part(&self, key: &[u8]) -> &Mutex<Part> {
        // The low bits of the hash choose the shard of the keyspace.
        &self.parts[(key_hash(key) >> 32) as usize % PARTS]
    }

    /// The key has changed: those who have read it are told. Its shard is held.
    pub fn invalidate(&self, change: Changed<'_>, clients: &Registry) {
        let Some(ids) = self.part(change.key).lock().remove(change.key) else { return };
        self.keys.fetch_sub(1, Relaxed);
        self.items.fetch_sub(ids.len(), Relaxed);
        let tracked = ids.iter().filter_map(|id| clients.find(*id));
        for client in tracked.filter(|c| c.marks.any(Marks::TRACKING) && !c.marks.any(Marks::TRACKING_BCAST)) {
            let own = client.marks.any(Marks::TRACKING_NOLOOP) && client.id == change.by;
            if !own {
                tell(&client, &keys_payload(&[change.key]), clients);
            }
        }
    }

    /// These keys have changed in one unit: those who listen to their prefixes are told. Their shards are held.
    pub fn broadcast(&self, changed: &[Changed<'_>], clients: &Registry) {
        let prefixes = self.prefixes.read();
        for (prefix, listeners) in prefixes.iter() {
            // A key changed by several is nobody's own.
            let mut keys: BTreeMap<&[u8], u64> = BTreeMap::new();
            for change in changed.iter().filter(|change| change.key.starts_with(prefix)) {
                keys.entry(change.key)
                    .and_modify(|by| *by = if *by == change.by { *by } else { 0 })
                    .or_insert(change.by);
            }
            if keys.is_empty() {
                continue;
            }
            let all = keys_payload(&keys.keys().copied().collect::<Vec<_>>());
            for client in listeners {
                if client.marks.any(Marks::TRACKING_NOLOOP) && keys.values().any(|by| *by == client.id) {
                    let others: Vec<&[u8]> = keys.iter().filter(|(_, by)| **by != client.id).map(|(k, _)| *k).collect();
                    if !others.is_empty() {
                        tell(client, &keys_payload(&others), clients);
                    }
                } else {
                    tell(client, &all, clients);
                }
            }
        }
    }

    /// Every key has changed. All shards are held.
    pub fn invalidate_all(&self, clients: &Registry) {
        for client in clients.all().iter().filter(|c| c.marks.any(Marks::TRACKING)) {
            let null: &[u8] = if client.proto() == Proto::Resp3 { b"_\r\n" } else { b"$-1\r\n" };
            tell(client, null, clients);
        }
        for part in &self.parts {
            let part = std::mem::take(&mut *part.lock());
            self.keys.fetch_sub(part.order.len(), Relaxed);
            self.items.fetch_sub(part.readers.values().map(|readers| readers.ids.len()).sum(), Relaxed);
        }
    }

    /// Forgets keys at random until there are at most `keys_max` (0: no limit), telling their readers to forget them
    /// too; at most as many as one go may.
    pub fn evict(&self, keys_max: usize, clients: &Registry) {
        if keys_max == 0 || self.keys.load(Relaxed) <= keys_max {
            return;
        }
        let effort = EFFORT * (self.behind.load(Relaxed) + 1);
        for _ in 0..effort {
            if let Some(key) = self.random_key() {
                self.invalidate(Changed { key: &key, by: 0 }, clients);
            }
            if self.keys.load(Relaxed) <= keys_max {
                self.behind.store(0, Relaxed);
                return;
            }
        }
        self.behind.fetch_add(1, Relaxed);
    }

    fn random_key(&self) -> Option<Arc<[u8]>> {
        let dice = crate::base::rng::Rng::from_seed(self.dice.fetch_add(1, Relaxed)).next_u64();
        let first = dice as usize % PARTS;
        (0..PARTS).find_map(|step| {
            let part = self.parts[(first + step) % PARTS].lock();
            let count = part.order.len();
            (count > 0).then(|| part.order[(dice >> 8) as usize % count].clone())
        })
    }

    /// Says whether changes matter, because somebody tracks or because keys are still remembered, after that may have
    /// changed: the last word is the true one.
    pub fn settle(&self, say: impl FnOnce(bool)) {
        let _one_at_a_time = self.settling.lock();
        say(self.clients.load(Relaxed) > 0 || self.keys.load(Relaxed) > 0);
    }
    /// Clients that track.
    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }
    /// Keys that somebody may have cached.
    pub fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }
    /// Readers of all keys.
    pub fn items(&self) -> usize {
        self.items.load(Relaxed)
    }
    /// Prefixes that somebody listens to.
    pub fn prefixes(&self) -> usize {
        self.prefixes.read().len()
    }
}

/// An array of keys in RESP.
fn keys_payload(keys: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + keys.iter().map(|key| key.len() + 16).sum::<usize>());
    head(&mut out, b'*', keys.len());
    keys.iter().for_each(|key| bulk(&mut out, key));
    out
}

/// Tells one client, or the one it redirects to; `payload` is the RESP of the keys, or of a null for all.
fn tell(client: &Client, payload: &[u8], clients: &Registry) {
    let redirect = client.redirect.load(Relaxed);
    if redirect <= 0 {
        return deliver(client, false, payload);
    }
    match clients.find(redirect as u64) {
        Some(target) => deliver(&target, true, payload),
        None => {
            client.marks.set(Marks::TRACKING_BROKEN, true);
            if client.proto() == Proto::Resp3 {
                client.push(format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{redirect}\r\n").as_bytes());
            }
        }
    }
}

fn deliver(client: &Client, redirected: bool, payload: &[u8]) {
    let mut message = Vec::with_capacity(payload.len() + 64);
    if client.proto() == Proto::Resp3 {
        head(&mut message, b'>', 2);
        bulk(&mut message, b"invalidate");
    } else if redirected && client.subscriptions.iter().any(|count| count.load(Relaxed) > 0) {
        head(&mut message, b'*', 3);
        bulk(&mut message, b"message");
        bulk(&mut message, CHANNEL);
    } else {
        // RESP2 has no way to tell it.
        return;
    }
    message.extend_from_slice(payload);
    client.push(&message);
}

fn head(out: &mut Vec<u8>, mark: u8, count: usize) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Peer;
    use std::collections::BTreeSet;

    struct World {
        clients: Registry,
        table: TrackingTable,
    }

    impl World {
        fn new() -> World {
            World { clients: Registry::default(), table: TrackingTable::default() }
        }
        fn client(&self, proto: u8) -> Arc<Client> {
            let client = self.clients.add(0, Peer::default(), 0);
            client.proto.store(proto, Relaxed);
            client
        }
        fn tracking(&self, marks: u32, redirect: u64, prefixes: &[&[u8]]) -> Arc<Client> {
            let client = self.client(3);
            self.table.enable(&client, Mode { redirect, marks }, prefixes);
            client
        }
        fn change(&self, key: &str, by: u64) {
            self.changed(&[Changed { key: key.as_bytes(), by }]);
        }
        fn changed(&self, changed: &[Changed<'_>]) {
            changed.iter().for_each(|change| self.table.invalidate(*change, &self.clients));
            self.table.broadcast(changed, &self.clients);
        }
    }

    /// What is in a client's mailbox, as text without line ends.
    fn mail(client: &Client) -> String {
        let mut out = Vec::new();
        client.mailbox.take(&mut out);
        String::from_utf8(out).expect("text").replace("\r\n", " ")
    }

    const FOO: &str = ">2 $10 invalidate *1 $3 foo ";

    #[test]
    fn a_reader_is_told_once() {
        let world = World::new();
        let reader = world.tracking(0, 0, &[]);
        world.table.remember(b"foo", reader.id);
        world.table.remember(b"foo", reader.id);
        assert_eq!((world.table.keys(), world.table.items()), (1, 1));
        world.change("bar", 0);
        assert_eq!(mail(&reader), "");
        world.change("foo", 0);
        world.change("foo", 0);
        assert_eq!(mail(&reader), FOO);
        assert_eq!((world.table.keys(), world.table.items()), (0, 0));
    }

    #[test]
    fn who_changed_it_may_not_want_to_know() {
        let world = World::new();
        let [quiet, loud] = [Marks::TRACKING_NOLOOP, 0].map(|marks| world.tracking(marks, 0, &[]));
        let [quiet_all, loud_all] =
            [Marks::TRACKING_NOLOOP, 0].map(|marks| world.tracking(marks | Marks::TRACKING_BCAST, 0, &[]));
        for (by, told) in [(&quiet, [false, true, true, true]), (&quiet_all, [true, true, false, true])] {
            [&quiet, &loud].iter().for_each(|c| world.table.remember(b"foo", c.id));
            world.change("foo", by.id);
            let got = [&quiet, &loud, &quiet_all, &loud_all].map(|c| mail(c) == FOO);
            assert_eq!(got, told, "changed by {}", by.id);
        }
        // Changed by itself and then expired: not only its own doing.
        let changed = [quiet_all.id, 0].map(|by| Changed { key: b"foo", by });
        world.changed(&changed);
        assert_eq!(mail(&quiet_all), FOO);
    }

    #[test]
    fn broadcasts_have_one_message_per_prefix() {
        let world = World::new();
        let client = world.tracking(Marks::TRACKING_BCAST, 0, &[b"a:", b"b:"]);
        let changed = ["a:1", "c:1", "b:1", "a:2", "a:1"].map(|key| Changed { key: key.as_bytes(), by: 9 });
        world.changed(&changed);
        assert_eq!(mail(&client), ">2 $10 invalidate *2 $3 a:1 $3 a:2 >2 $10 invalidate *1 $3 b:1 ");
        assert_eq!(world.table.prefixes(), 2);
        world.table.disable(&client, &[b"a:".to_vec(), b"b:".to_vec()]);
        assert_eq!((world.table.prefixes(), world.table.clients()), (0, 0));
        world.changed(&changed);
        assert_eq!(mail(&client), "");
    }

    #[test]
    fn another_connection_is_told_instead() {
        let world = World::new();
        let target = world.client(2);
        let reader = world.tracking(0, target.id, &[]);
        let read_and_change = || {
            world.table.remember(b"foo", reader.id);
            world.change("foo", 0);
        };
        read_and_change();
        assert_eq!(mail(&target), "", "RESP2 without a subscription");
        target.subscriptions[0].store(1, Relaxed);
        read_and_change();
        assert_eq!(mail(&target), "*3 $7 message $20 __redis__:invalidate *1 $3 foo ");
        target.proto.store(3, Relaxed);
        read_and_change();
        assert_eq!(mail(&target), FOO);
        assert_eq!(mail(&reader), "");
        world.clients.remove(target.id);
        read_and_change();
        assert_eq!(mail(&reader), format!(">2 $21 tracking-redir-broken :{} ", target.id));
        assert!(reader.marks.any(Marks::TRACKING_BROKEN));
    }

    #[test]
    fn everything_is_forgotten_at_once() {
        let world = World::new();
        let reader = world.tracking(0, 0, &[]);
        let old = world.tracking(0, 0, &[]);
        old.proto.store(2, Relaxed);
        (0..100).for_each(|n| world.table.remember(format!("key{n}").as_bytes(), reader.id));
        world.table.invalidate_all(&world.clients);
        assert_eq!(mail(&reader), ">2 $10 invalidate _ ");
        assert_eq!(mail(&old), "");
        assert_eq!((world.table.keys(), world.table.items()), (0, 0));
    }

    #[test]
    fn a_full_table_forgets_keys_and_says_so() {
        let world = World::new();
        let reader = world.tracking(0, 0, &[]);
        let names: BTreeSet<String> = (0..1000).map(|n| format!("key{n}")).collect();
        names.iter().for_each(|key| world.table.remember(key.as_bytes(), reader.id));
        world.table.evict(0, &world.clients);
        assert_eq!(world.table.keys(), 1000, "no limit");
        world.table.evict(950, &world.clients);
        assert_eq!(world.table.keys(), 950);
        world.table.evict(1, &world.clients);
        assert_eq!(world.table.keys(), 850, "one go has its limit");
        while world.table.keys() > 1 {
            world.table.evict(1, &world.clients);
        }
        let mail = mail(&reader);
        let told: BTreeSet<String> =
            mail.split(' ').filter(|word| word.starts_with("key")).map(str::to_string).collect();
        assert_eq!(told.len(), 999);
        assert!(told.is_subset(&names));
    }

    #[test]
    fn those_who_left_are_not_told() {
        let world = World::new();
        let [off, bcast] = [0, 0].map(|marks| world.tracking(marks, 0, &[]));
        [&off, &bcast].iter().for_each(|c| world.table.remember(b"foo", c.id));
        world.table.disable(&off, &[]);
        world.table.disable(&bcast, &[]);
        world.table.enable(&bcast, Mode { redirect: 0, marks: Marks::TRACKING_BCAST }, &[b"other"]);
        world.table.remember(b"foo", 99);
        world.change("foo", 0);
        assert_eq!((mail(&off), mail(&bcast)), (String::new(), String::new()));
    }
}
