//! A frozen unit, a script or a MIGRATE that takes long: it runs slice by slice, and its worker serves others meanwhile.

use super::Conn;
use super::requests::guarded;
use super::wait::After;
use crate::client::Marks;
use crate::command::migrate::Migration;
use crate::engine::Flow;
use crate::engine::script::frozen::Frozen;
use crate::server::migrate;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncWrite};

thread_local! {
    /// The frozen unit, if it is one of this worker's clients that runs it. It must not leave the thread,
    /// while the task of its client might as far as the compiler knows.
    static LATE: Cell<Option<Box<Frozen<'static>>>> = const { Cell::new(None) };
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Runs a frozen unit slice by slice, and carries its migrations out; meanwhile the worker serves others. A client
    /// that goes away does not end it.
    pub(super) async fn run_frozen(&mut self) -> After {
        let client = self.session.client.clone();
        client.marks.set(Marks::FROZEN, true);
        let flow = self.run_slices().await;
        // It has not been idle.
        client.last_ms.store(self.engine.node.clock.monotonic_us() / 1000, Relaxed);
        client.marks.set(Marks::FROZEN, false);
        Box::pin(self.follow(flow)).await
    }

    async fn run_slices(&mut self) -> Flow<()> {
        loop {
            match take_migration() {
                None => tokio::task::yield_now().await,
                Some(migration) => {
                    let unfreeze = Unfreeze;
                    let migration = migrate::carry(migration, &self.engine.node.stats).await;
                    std::mem::forget(unfreeze);
                    give_back(migration);
                }
            }
            let Some(frozen) = LATE.take() else { return Flow::Next };
            let mut out = std::mem::take(&mut self.unsent);
            out.set_proto(self.session.proto);
            let engine = self.engine;
            let flow = guarded(
                || b"a frozen unit".to_vec(),
                &mut self.session,
                &mut out,
                |session, out, _| engine.resume(frozen, session, out),
            );
            self.unsent = out;
            match flow {
                Flow::Frozen(()) => {}
                flow => return flow,
            }
        }
    }
}

/// Keeps the unit that a client of this worker has just begun.
pub(super) fn keep(frozen: Box<Frozen<'static>>) {
    LATE.set(Some(frozen));
}

/// Takes out what the frozen unit waits for.
fn take_migration() -> Option<Box<Migration>> {
    let mut frozen = LATE.take()?;
    let migration = frozen.migration().take();
    LATE.set(Some(frozen));
    migration
}

/// Gives the frozen unit what it waited for.
fn give_back(migration: Box<Migration>) {
    if let Some(mut frozen) = LATE.take() {
        *frozen.migration() = Some(migration);
        LATE.set(Some(frozen));
    }
}

/// Lets go of the frozen unit when its task ends while it waits: a fault, or the end of the server.
struct Unfreeze;

impl Drop for Unfreeze {
    fn drop(&mut self) {
        drop(LATE.take());
    }
}
