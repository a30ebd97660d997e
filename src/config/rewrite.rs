//! CONFIG REWRITE: changed lines replaced, comments kept.
