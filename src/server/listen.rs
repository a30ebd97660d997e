//! TCP and Unix listeners.
