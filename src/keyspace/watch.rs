//! Dirty marks for WATCH.
