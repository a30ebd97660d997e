//! EVAL as a `Caller`.
