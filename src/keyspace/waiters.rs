//! Who waits for a key, first come first.
