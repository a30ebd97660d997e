//! The slow log.
