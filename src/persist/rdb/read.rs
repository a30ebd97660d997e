//! Bytes to values, distrustful.
