//! Long jobs.
