//! Drops big values on a background thread.
