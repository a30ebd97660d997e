//! The load: connections that keep a number of requests in flight, all on one thread of their own.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::mix::{Keys, Mix};
use crate::support::random::Random;
use crate::target::Target;

/// One measurement.
pub struct Load<'a> {
    pub mix: &'a Mix,
    pub keys: &'a Keys,
    pub connections: u64,
    pub depth: u64,
    pub warm_up: Duration,
    pub duration: Duration,
    pub seed: u64,
}

/// What it found.
pub struct Outcome {
    pub cpu_ns_per_operation: f64,
    pub operations_per_second: f64,
}

impl Load<'_> {
    /// Loads the target and measures after the warm-up.
    pub fn run(&self, target: &Target, reply_bytes: Option<usize>) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let done = Rc::new(Cell::new(0_u64));
            for number in 0..self.connections {
                let socket = TcpStream::connect(("127.0.0.1", target.port)).await.expect("the server accepts");
                socket.set_nodelay(true).expect("an option of the socket");
                let connection = Connection {
                    socket,
                    mix: self.mix.clone(),
                    keys: self.keys.clone(),
                    depth: self.depth,
                    random: Random::new(self.seed * 1000 + number),
                    done: Rc::clone(&done),
                    reply_bytes,
                };
                tokio::task::spawn_local(connection.keep_busy());
            }
            tokio::time::sleep(self.warm_up).await;
            let (cpu, operations, start) = (target.cpu_ns(), done.get(), tokio::time::Instant::now());
            tokio::time::sleep(self.duration).await;
            let (cpu, operations, time) = (target.cpu_ns() - cpu, done.get() - operations, start.elapsed());
            Outcome {
                cpu_ns_per_operation: cpu as f64 / operations.max(1) as f64,
                operations_per_second: operations as f64 / time.as_secs_f64(),
            }
        })
    }
}

struct Connection {
    socket: TcpStream,
    mix: Mix,
    keys: Keys,
    depth: u64,
    random: Random,
    done: Rc<Cell<u64>>,
    /// The echo server's replies are counted by their size: bytes per operation.
    reply_bytes: Option<usize>,
}

impl Connection {
    /// Sends a batch, waits for all its replies, and again, until the runtime ends.
    async fn keep_busy(mut self) {
        let mut batch = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            batch.clear();
            (0..self.depth).for_each(|_| self.mix.write(&mut batch, &self.keys, &mut self.random));
            if self.socket.write_all(&batch).await.is_err() {
                return;
            }
            let bytes = self.reply_bytes.map(|bytes| bytes * self.depth as usize);
            let mut replies = Replies::new(self.depth * self.mix.replies(), bytes);
            while replies.missing() {
                match self.socket.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => replies.take(&buffer[..count]),
                }
            }
            self.done.set(self.done.get() + self.depth);
        }
    }
}

/// Counts replies in a stream without building them.
struct Replies {
    /// Replies and elements of arrays still to come.
    left: u64,
    /// Bytes of a bulk still to be skipped, with its CR LF.
    skip: usize,
    /// A header line cut by the end of a read.
    line: Vec<u8>,
    fixed: bool,
}

impl Replies {
    /// So many replies, or so many bytes.
    fn new(left: u64, bytes: Option<usize>) -> Self {
        Replies { left, skip: bytes.unwrap_or(0), line: Vec::new(), fixed: bytes.is_some() }
    }

    fn missing(&self) -> bool {
        if self.fixed { self.skip > 0 } else { self.left > 0 || self.skip > 0 }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend_from_slice(bytes);
                return;
            };
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.header();
        }
    }

    /// One header line: what follows it.
    fn header(&mut self) {
        let number = || std::str::from_utf8(&self.line[1..]).ok()?.trim_end().parse::<i64>().ok();
        match self.line.first() {
            Some(b'$') => {
                self.skip = usize::try_from(number().expect("a length")).map_or(0, |length| length + 2);
                self.left -= 1;
            }
            Some(b'*') => self.left = self.left + number().expect("a count").max(0) as u64 - 1,
            Some(b'-') => panic!("the server answers {}", self.line.escape_ascii()),
            _ => self.left -= 1,
        }
        self.line.clear();
    }
}
