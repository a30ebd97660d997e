//! How much memory is used, and what eviction compares with the limit.
