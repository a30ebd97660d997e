//! The frozen unit of a worker, between its slices.

use crate::command::migrate::conversation::Migration;
use crate::engine::script::frozen::Frozen;
use std::cell::Cell;

thread_local! {
    /// The frozen unit, if it is one of this worker's clients that runs it. It must not leave the thread,
    /// while the task of its client might as far as the compiler knows.
    static LATE: Cell<Option<Box<Frozen<'static>>>> = const { Cell::new(None) };
}

/// Keeps the unit that a client of this worker has just begun.
pub(super) fn keep(frozen: Box<Frozen<'static>>) {
    LATE.set(Some(frozen));
}

/// Takes the frozen unit, if there is one.
pub(super) fn take() -> Option<Box<Frozen<'static>>> {
    LATE.take()
}

/// Takes out what the frozen unit waits for.
pub(super) fn take_migration() -> Option<Box<Migration>> {
    let mut frozen = LATE.take()?;
    let migration = frozen.migration().take();
    LATE.set(Some(frozen));
    migration
}

/// Gives the frozen unit what it waited for.
pub(super) fn give_back(migration: Box<Migration>) {
    if let Some(mut frozen) = LATE.take() {
        *frozen.migration() = Some(migration);
        LATE.set(Some(frozen));
    }
}
