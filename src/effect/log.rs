//! The log: one order, one offset, append and read.
