//! Any key.
