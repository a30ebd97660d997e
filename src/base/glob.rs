//! KEYS-style glob patterns, in bounded time.
