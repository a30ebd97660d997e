//! The shortest time to live first.
