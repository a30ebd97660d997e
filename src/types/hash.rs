//! The hash: fields to values, each field with an optional deadline.
