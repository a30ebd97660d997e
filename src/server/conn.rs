//! One connection's loop.
