//! A byte buffer behind one 8-byte pointer whose capacity is a function of its length.
