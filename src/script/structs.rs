//! The struct library.
