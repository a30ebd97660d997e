//! What a string key holds, and the pure operations on it.
