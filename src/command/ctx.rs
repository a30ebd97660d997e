//! What a handler may touch.
