//! Subscribers of glob patterns.
