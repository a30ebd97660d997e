//! A cursor over the arguments.
