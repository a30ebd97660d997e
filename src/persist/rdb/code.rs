//! Opcodes and lengths.
