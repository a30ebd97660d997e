//! Signals: SIGTERM and SIGINT stop gracefully, SIGHUP and SIGPIPE are ignored.

use tokio::signal::unix::{SignalKind, signal};

/// Which signal asked the server to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
}

/// Waits for a signal that stops the server. SIGHUP is caught and ignored.
///
/// # Errors
/// The handlers cannot be installed.
pub async fn stop() -> std::io::Result<Stop> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(Stop::Term),
            _ = int.recv() => return Ok(Stop::Int),
            _ = hup.recv() => {}
        }
    }
}
