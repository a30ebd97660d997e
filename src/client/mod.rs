//! What the server keeps of one client.
//!
//! A [`Session`] is what only the client's own task touches: its database, its queue of a MULTI, what it watches. A
//! [`Client`] is the part that others may see: CLIENT LIST reads it, CLIENT KILL marks it, publishers put messages in
//! its mailbox. Lock order: a client's mailbox and labels are leaves, taken last and held for a few lines; only a sheet's
//! lock comes after a mailbox's.

pub mod eviction;
pub mod outbox;
pub mod queue;
pub mod registry;
pub mod rounds;
pub mod sheet;
pub mod transit;

use crate::acl::user::User;
use crate::base::time::Moment;
use crate::resp::reply::Proto;
use outbox::Mailbox;
use parking_lot::{Mutex, RwLock};
use queue::Multi;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What kind of client it is: CLIENT LIST TYPE and the class of its output limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientType {
    /// An ordinary client.
    Normal = 0,
    /// A replica of ours.
    Replica = 1,
    /// A client with subscriptions.
    Pubsub = 2,
    /// Our primary.
    Primary = 3,
}

impl ClientType {
    /// The name in CLIENT LIST TYPE and CLIENT KILL TYPE.
    pub fn from_name(name: &[u8]) -> Option<ClientType> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Some(ClientType::Normal),
            b"slave" | b"replica" => Some(ClientType::Replica),
            b"pubsub" => Some(ClientType::Pubsub),
            b"master" | b"primary" => Some(ClientType::Primary),
            _ => None,
        }
    }
}

/// Marks of a client, one bit each.
#[derive(Debug, Default)]
pub struct Marks(AtomicU32);

macro_rules! marks {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => { impl Marks { $($(#[$doc])* pub const $name: u32 = 1 << $bit;)* } };
}
marks! {
    /// Runs MONITOR.
    MONITOR = 0;
    /// Is inside MULTI.
    MULTI = 1;
    /// Waits in a blocking command.
    BLOCKED = 2;
    /// Is to be closed as soon as possible.
    KILLED = 3;
    /// Is closed after what is in its outbox.
    CLOSE_AFTER_REPLY = 4;
    /// Connected by a Unix socket.
    UNIX = 5;
    /// CLIENT NO-EVICT.
    NO_EVICT = 6;
    /// CLIENT NO-TOUCH.
    NO_TOUCH = 7;
    /// CLIENT TRACKING.
    TRACKING = 8;
    /// Its redirection target is gone.
    TRACKING_BROKEN = 9;
    /// CLIENT TRACKING BCAST.
    TRACKING_BCAST = 10;
    /// Something it watches has changed.
    DIRTY = 11;
    /// READONLY in cluster mode.
    READONLY = 12;
    /// It is to move to another worker.
    MOVING = 13;
    /// CLIENT TRACKING OPTIN.
    TRACKING_OPTIN = 14;
    /// CLIENT TRACKING OPTOUT.
    TRACKING_OPTOUT = 15;
    /// CLIENT TRACKING NOLOOP.
    TRACKING_NOLOOP = 16;
    /// CLIENT CACHING, for the next command or transaction.
    TRACKING_CACHING = 17;
    /// Its user has been changed or deleted: it is to be looked up before the next request.
    USER_CHANGED = 18;
    /// Its user may not do everything.
    RESTRICTED = 19;
    /// Its connection is closed: what it held counts no more.
    GONE = 20;
    /// Its unit is frozen: a script or a MIGRATE that takes long.
    FROZEN = 21;
    /// It stays on the worker that it was sent to.
    PINNED = 22;
}

impl Marks {
    /// What a CLIENT TRACKING ON sets anew.
    pub const TRACKING_MODES: u32 = Marks::TRACKING_BROKEN
        | Marks::TRACKING_BCAST
        | Marks::TRACKING_OPTIN
        | Marks::TRACKING_OPTOUT
        | Marks::TRACKING_NOLOOP;

    /// A request has to be judged by the rules of its user.
    pub const JUDGED: u32 = Marks::USER_CHANGED | Marks::RESTRICTED;

    /// Sets or clears marks.
    pub fn set(&self, marks: u32, on: bool) {
        if on {
            self.0.fetch_or(marks, Relaxed);
        } else {
            self.0.fetch_and(!marks, Relaxed);
        }
    }
    /// Whether any of `marks` is set.
    #[inline]
    pub fn any(&self, marks: u32) -> bool {
        self.0.load(Relaxed) & marks != 0
    }
}

/// Names a client has given itself, and its user.
#[derive(Debug, Default, Clone)]
pub struct Labels {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
    /// The user it is authenticated as.
    pub user: Vec<u8>,
}

/// The part of a client that others may see. Numbers are written by its own task, relaxed, and read by anybody.
#[derive(Debug)]
pub struct Client {
    /// Its id, never used twice.
    pub id: u64,
    /// The worker it lives on, and the one that it is to live on.
    workers: [AtomicU32; 2],
    /// Peer address, as CLIENT LIST shows it.
    pub addr: String,
    /// Local address.
    pub laddr: String,
    /// The socket's file descriptor, for CLIENT LIST.
    pub fd: i32,
    /// When it connected, in monotonic milliseconds.
    pub created_ms: u64,
    /// When it last sent something, in monotonic milliseconds.
    pub last_ms: AtomicU64,
    /// Marks.
    pub marks: Marks,
    /// Database.
    pub db: AtomicU32,
    /// Protocol, 2 or 3.
    pub proto: AtomicU8,
    /// Kind, a [`ClientType`].
    pub kind: AtomicU8,
    /// Index of the last command, or `u16::MAX`.
    pub last_command: AtomicU16,
    /// Channels, patterns and shard channels subscribed to.
    pub subscriptions: [AtomicU32; 3],
    /// Commands queued in MULTI, or -1.
    pub multi: AtomicI64,
    /// Keys watched.
    pub watching: AtomicU32,
    /// Bytes waiting in the query buffer, and its capacity.
    pub query: [AtomicU64; 2],
    /// Bytes of arguments of the current command, and of a queued MULTI.
    pub arg_bytes: [AtomicU64; 2],
    /// Bytes of replies that wait to be sent.
    pub out_bytes: AtomicU64,
    /// Memory of its own input and output buffers, in bytes.
    pub buffers: [AtomicU64; 2],
    /// Memory of what it watches, subscribes to and tracks, in bytes.
    pub kept_bytes: AtomicU64,
    /// What `maxmemory-clients` has counted of it, in bytes.
    pub counted_bytes: AtomicU64,
    /// Network input and output, and commands run.
    pub totals: [AtomicU64; 3],
    /// Target of tracking redirection, 0 for none; of no meaning to a client that does not track.
    pub redirect: AtomicI64,
    /// Names.
    pub labels: RwLock<Labels>,
    /// Messages from elsewhere.
    pub mailbox: Mailbox,
    /// What it does while blocked: how CLIENT UNBLOCK gets at it.
    pub sleeping: Mutex<Option<Arc<crate::client::Sleep>>>,
}

/// A blocked client's handle: whoever wins the ticket leaves the reply here and rings the mailbox.
#[derive(Debug, Default)]
pub struct Sleep {
    /// The reply, once there is one.
    pub reply: Mutex<Option<Vec<u8>>>,
    /// CLIENT UNBLOCK was called: 1 timeout, 2 error.
    pub unblock: AtomicU8,
    /// Its reply is an error.
    pub failed: AtomicBool,
    /// Its user may no longer run it, so it did not run.
    pub refused: AtomicBool,
}

/// How a client's address and origin are known at its start.
#[derive(Debug, Default)]
pub struct Peer {
    /// Peer address.
    pub addr: String,
    /// Local address.
    pub laddr: String,
    /// File descriptor.
    pub fd: i32,
    /// By a Unix socket.
    pub unix: bool,
}

impl Client {
    /// A new client.
    pub fn new(id: u64, worker: usize, peer: Peer, now_ms: u64, proto: Proto) -> Client {
        let marks = Marks::default();
        marks.set(Marks::UNIX, peer.unix);
        Client {
            id,
            workers: [AtomicU32::new(worker as u32), AtomicU32::new(worker as u32)],
            addr: peer.addr,
            laddr: peer.laddr,
            fd: peer.fd,
            created_ms: now_ms,
            last_ms: AtomicU64::new(now_ms),
            marks,
            db: AtomicU32::new(0),
            proto: AtomicU8::new(proto.number()),
            kind: AtomicU8::new(ClientType::Normal as u8),
            last_command: AtomicU16::new(u16::MAX),
            subscriptions: Default::default(),
            multi: AtomicI64::new(-1),
            watching: AtomicU32::new(0),
            query: Default::default(),
            arg_bytes: Default::default(),
            out_bytes: AtomicU64::new(0),
            buffers: Default::default(),
            kept_bytes: AtomicU64::new(0),
            counted_bytes: AtomicU64::new(0),
            totals: Default::default(),
            redirect: AtomicI64::new(0),
            labels: RwLock::new(Labels { user: b"default".to_vec(), ..Labels::default() }),
            mailbox: Mailbox::default(),
            sleeping: Mutex::new(None),
        }
    }
    /// The number of the worker it lives on.
    #[inline]
    pub fn worker(&self) -> usize {
        self.workers[0].load(Relaxed) as usize
    }
    /// It is to live on this worker, and moves there when it is next at rest.
    pub fn send_to(&self, worker: usize) {
        self.workers[1].store(worker as u32, Relaxed);
        self.marks.set(Marks::MOVING, worker != self.worker());
        self.mailbox.ring();
    }
    /// It has left its worker, whose task does not hear its bell any more, for the one that it is to live on.
    pub fn leave(&self) -> usize {
        self.marks.set(Marks::MOVING, false);
        let worker = self.workers[1].load(Relaxed);
        self.workers[0].store(worker, Relaxed);
        self.mailbox.forget_listener();
        worker as usize
    }
    /// The user it is authenticated as.
    pub fn user_name(&self) -> Vec<u8> {
        self.labels.read().user.clone()
    }
    /// Its kind.
    pub fn client_type(&self) -> ClientType {
        match self.kind.load(Relaxed) {
            1 => ClientType::Replica,
            2 => ClientType::Pubsub,
            3 => ClientType::Primary,
            _ => ClientType::Normal,
        }
    }
    /// Its protocol.
    pub fn proto(&self) -> Proto {
        if self.proto.load(Relaxed) == 3 { Proto::Resp3 } else { Proto::Resp2 }
    }
    /// The client that is told of invalidations in its place: 0 for none, -1 when it does not track.
    pub fn redirection(&self) -> i64 {
        if self.marks.any(Marks::TRACKING) { self.redirect.load(Relaxed) } else { -1 }
    }
    /// Bytes of memory that it takes: `tot-mem` of CLIENT LIST, and what client eviction adds up.
    pub fn memory_bytes(&self) -> u64 {
        let own = size_of::<Client>() + size_of::<Session>();
        let parts = [&self.buffers[0], &self.buffers[1], &self.arg_bytes[0], &self.arg_bytes[1], &self.kept_bytes];
        own as u64 + self.mailbox.bytes() + parts.iter().map(|bytes| bytes.load(Relaxed)).sum::<u64>()
    }
    /// It watches a key, subscribes to a channel or tracks a prefix of so many bytes from now on.
    pub fn keep(&self, name_bytes: usize) {
        self.kept_bytes.fetch_add(kept_bytes(name_bytes), Relaxed);
    }
    /// It does so no more.
    pub fn let_go(&self, name_bytes: usize) {
        self.kept_bytes.fetch_sub(kept_bytes(name_bytes), Relaxed);
    }
    /// Marks it to be closed and wakes its task.
    pub fn kill(&self) {
        self.marks.set(Marks::KILLED, true);
        self.mailbox.ring();
    }
    /// Puts a push message in its mailbox and wakes its task.
    pub fn push(&self, message: &[u8]) {
        self.mailbox.put(message);
    }
}

/// What a name costs: it stands in the session and in a registry that points back.
fn kept_bytes(name_bytes: usize) -> u64 {
    2 * (name_bytes + size_of::<Vec<u8>>() + size_of::<usize>()) as u64
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// No replies.
    Off,
    /// No reply to the next command.
    SkipNext,
    /// No reply to this command.
    Skip,
}

/// What only the client's own task touches.
pub struct Session {
    /// The part others may see.
    pub client: Arc<Client>,
    /// Database.
    pub db: usize,
    /// Protocol of replies.
    pub proto: Proto,
    /// The user it is authenticated as; `None` before AUTH.
    pub user: Option<Arc<User>>,
    /// The queue of a MULTI.
    pub multi: Option<Box<Multi>>,
    /// Keys watched.
    pub watched: Vec<(u32, Box<[u8]>)>,
    /// Set by whoever changes a watched key.
    pub dirty: Option<crate::client::DirtyFlag>,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// Channels, patterns and shard channels subscribed to.
    pub subscribed: [BTreeSet<Vec<u8>>; 3],
    /// Prefixes of CLIENT TRACKING BCAST.
    pub prefixes: Vec<Vec<u8>>,
    /// The reply to the current command is a push, which CLIENT REPLY does not silence.
    pub pushed: bool,
    /// Close after the replies so far.
    pub closing: bool,
    /// ASKING was the last command.
    pub asking: bool,
    /// The gate found memory over its limit, and nothing to evict, before the current request.
    pub no_room: bool,
    /// It is in the middle of a script.
    pub in_script: bool,
    /// It has run a script: its replies are sent when others have had their turn.
    pub patient: bool,
    /// When the script began whose commands run in this session, in Unix microseconds.
    pub frozen_us: Option<u64>,
    /// When the current request began: the end of the one before it in the same batch.
    pub moment: Moment,
    /// The name of the last command as it was sent, its length, and the command's number: most requests repeat it.
    pub last_name: ([u8; 16], u8, u16),
}

/// The length of the name while there is none. It is not 0: a request may name the empty word.
pub const NO_NAME: u8 = u8::MAX;

/// The flag of a session that WATCHes; `keyspace::watch` has the same shape.
pub type DirtyFlag = Arc<AtomicBool>;

impl Session {
    /// A session of a client that has just connected.
    pub fn new(client: Arc<Client>, user: Option<Arc<User>>) -> Session {
        let mut session = Session::guest(client, None);
        session.set_user(user);
        session
    }
    /// A session in which something runs for a client besides its own: a script, a command it has waited for.
    pub fn guest(client: Arc<Client>, user: Option<Arc<User>>) -> Session {
        Session {
            proto: client.proto(),
            client,
            db: 0,
            user,
            multi: None,
            watched: Vec::new(),
            dirty: None,
            reply_mode: ReplyMode::On,
            subscribed: Default::default(),
            prefixes: Vec::new(),
            pushed: false,
            closing: false,
            asking: false,
            no_room: false,
            in_script: false,
            patient: false,
            frozen_us: None,
            moment: Moment::default(),
            last_name: ([0; 16], NO_NAME, 0),
        }
    }
    /// It is this user from now on. What others see of that is in the client's labels.
    pub fn set_user(&mut self, user: Option<Arc<User>>) {
        let is_restricted = user.as_ref().is_some_and(|user| user.is_restricted());
        self.client.marks.set(Marks::RESTRICTED, is_restricted);
        self.user = user;
    }
    /// Number of channels and patterns subscribed to, shard channels apart.
    pub fn subscription_count(&self) -> usize {
        self.subscribed[0].len() + self.subscribed[1].len()
    }
    /// In RESP2 a client with subscriptions may only run the subscribe family.
    pub fn is_subscriber(&self) -> bool {
        self.subscribed.iter().any(|s| !s.is_empty())
    }
    /// Whether something watched has changed.
    pub fn is_dirty(&self) -> bool {
        self.dirty.as_ref().is_some_and(|d| d.load(std::sync::atomic::Ordering::Acquire))
    }
    /// Changes the database.
    pub fn select(&mut self, db: usize) {
        self.db = db;
        self.client.db.store(db as u32, Relaxed);
    }
    /// Changes the protocol.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
        self.client.proto.store(proto.number(), Relaxed);
    }
}
