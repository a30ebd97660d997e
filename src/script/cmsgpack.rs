//! The cmsgpack library.
