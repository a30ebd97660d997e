//! Bit operations over the bytes of a string.
