//! SCAN and KEYS.
