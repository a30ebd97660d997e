//! The list: one listpack while small, a chain of packed nodes beyond.
