//! Least recently used, approximated by samples.
