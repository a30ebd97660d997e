//! Log lines in Redis' format.
