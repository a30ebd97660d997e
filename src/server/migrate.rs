//! Carries migrations to their targets, over connections that are kept for a while.
//!
//! What is said is the business of [`Migration`]; here are the sockets and the time. Each worker keeps its own
//! connections, as many and as long as Redis does. One that was kept may turn out to be closed by the target: as long as
//! no key has been answered, the conversation is begun once more over a new one, unless it was time that ran out.

use crate::command::migrate::conversation::{Failure, Migration, NOT_SELECTED, Target};
use crate::stats::Stats;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Connections kept by a worker.
const KEPT_MAX: usize = 64;
/// How long one is kept unused.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// The longest reply: a line.
const LINE_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// From the one used longest ago to the one used last.
    static KEPT: RefCell<Vec<Link>> = const { RefCell::new(Vec::new()) };
}

/// A connection to a target.
struct Link {
    stream: TcpStream,
    target: Target,
    /// The database that is selected on it.
    selected: i64,
    used: Instant,
    /// Read and not yet taken.
    input: Vec<u8>,
}

/// How a conversation broke.
struct Broken {
    failure: Failure,
    /// Nothing happened for too long.
    is_late: bool,
}

/// Carries a migration out; what came of it is in it.
pub async fn carry(mut migration: Box<Migration>, stats: &Stats) -> Box<Migration> {
    let mut is_second = false;
    loop {
        let mut link = match take_kept(&migration.target, stats) {
            Some(link) => link,
            None => match connect(&migration).await {
                Ok(link) => link,
                Err(failure) => {
                    migration.fail(failure);
                    return migration;
                }
            },
        };
        match link.talk(&mut migration).await {
            Ok(()) => {
                // Whatever is said without being asked belongs to no later conversation.
                if link.input.is_empty() {
                    link.selected = migration.selected();
                    keep(link, stats);
                }
                return migration;
            }
            Err(broken) if broken.is_late || is_second || !migration.is_unanswered() => {
                migration.fail(broken.failure);
                return migration;
            }
            Err(_) => is_second = true,
        }
    }
}

fn take_kept(target: &Target, stats: &Stats) -> Option<Link> {
    KEPT.with_borrow_mut(|kept| {
        let at = kept.iter().position(|link| link.target == *target)?;
        stats.migrate_sockets.fetch_sub(1, Relaxed);
        Some(kept.remove(at))
    })
}

fn keep(mut link: Link, stats: &Stats) {
    link.used = Instant::now();
    KEPT.with_borrow_mut(|kept| {
        if kept.len() == KEPT_MAX {
            kept.remove(0);
            stats.migrate_sockets.fetch_sub(1, Relaxed);
        }
        kept.push(link);
        stats.migrate_sockets.fetch_add(1, Relaxed);
    });
}

/// Closes the connections of this worker that have not been used for long.
pub fn close_unused(stats: &Stats) {
    KEPT.with_borrow_mut(|kept| {
        let old = kept.iter().take_while(|link| link.used.elapsed() > KEPT_FOR).count();
        if old > 0 {
            kept.drain(..old);
            stats.migrate_sockets.fetch_sub(old as u64, Relaxed);
        }
    });
}

async fn connect(migration: &Migration) -> Result<Link, Failure> {
    let target = &migration.target;
    let host = std::str::from_utf8(&target.host).map_err(|_| Failure::Connect)?;
    let connecting = TcpStream::connect((host, port(&target.port)));
    let stream = within(migration.timeout, connecting, Failure::Connect).await.map_err(|broken| broken.failure)?;
    // Only a matter of speed.
    let _ = stream.set_nodelay(true);
    Ok(Link { stream, target: target.clone(), selected: NOT_SELECTED, used: Instant::now(), input: Vec::new() })
}

/// The number that a text begins with, as C reads it.
fn port(text: &[u8]) -> u16 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0u16, |number, digit| number.wrapping_mul(10).wrapping_add(u16::from(digit - b'0')))
}

/// Waits for something no longer than so; `failure` is what it is when that breaks.
async fn within<T>(
    patience: Duration,
    step: impl Future<Output = io::Result<T>>,
    failure: Failure,
) -> Result<T, Broken> {
    match timeout(patience, step).await {
        Ok(Ok(done)) => Ok(done),
        // Redis does not notice before it writes.
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(Broken { failure: Failure::Write, is_late: false })
        }
        Ok(Err(_)) => Err(Broken { failure, is_late: false }),
        Err(_) => Err(Broken { failure, is_late: true }),
    }
}

impl Link {
    async fn talk(&mut self, migration: &mut Migration) -> Result<(), Broken> {
        migration.begin(self.selected);
        for request in migration.requests() {
            self.write(&request, migration.timeout).await?;
        }
        while migration.awaits_reply() {
            let line = self.read_line(migration.timeout).await?;
            migration.take_reply(&line).map_err(|failure| Broken { failure, is_late: false })?;
        }
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8], patience: Duration) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let written = within(patience, self.stream.write(bytes), Failure::Write).await?;
            if written == 0 {
                return Err(Broken { failure: Failure::Write, is_late: false });
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The next line, without its end.
    async fn read_line(&mut self, patience: Duration) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.truncate(end);
                line.pop_if(|byte| *byte == b'\r');
                return Ok(line);
            }
            let read = within(patience, self.stream.read_buf(&mut self.input), Failure::Read).await?;
            if read == 0 || self.input.len() > LINE_BYTES_MAX {
                return Err(Broken { failure: Failure::Read, is_late: false });
            }
        }
    }
}
