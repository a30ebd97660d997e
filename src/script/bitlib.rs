//! The bit library.
