//! The intset: a small sorted set of integers in one allocation.
