//! No value is seen half changed: a fault while one is being changed ends the process.

/// Runs a change of a value in the keyspace. A fault there leaves it half changed, and nobody may see that: the process
/// ends. A fault anywhere else only unlocks.
#[inline]
pub(in crate::keyspace) fn to_its_end<R>(change: impl FnOnce() -> R) -> R {
    let half_done = HalfDone;
    let result = change();
    std::mem::forget(half_done);
    result
}

/// Stands while a value is being changed.
struct HalfDone;

impl Drop for HalfDone {
    fn drop(&mut self) {
        eprintln!("A value is left half changed by a fault in a command: the server ends.");
        std::process::abort();
    }
}
