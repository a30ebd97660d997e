//! A frozen unit, a script or a MIGRATE that takes long: it runs slice by slice, and its worker serves others meanwhile.

use super::Conn;
use super::late;
use super::requests::guarded;
use super::wait::After;
use crate::client::Marks;
use crate::engine::Flow;
use crate::server::migrate;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncRead, AsyncWrite};

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
            match late::take_migration() {
                None => tokio::task::yield_now().await,
                Some(migration) => {
                    let unfreeze = Unfreeze;
                    let migration = migrate::carry(migration, &self.engine.node.stats).await;
                    std::mem::forget(unfreeze);
                    late::give_back(migration);
                }
            }
            let Some(frozen) = late::take() else { return Flow::Next };
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

/// Lets go of the frozen unit when its task ends while it waits: a fault, or the end of the server.
struct Unfreeze;

impl Drop for Unfreeze {
    fn drop(&mut self) {
        drop(late::take());
    }
}
