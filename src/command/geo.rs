//! Geo commands.
