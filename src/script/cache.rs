//! Scripts by SHA1.
