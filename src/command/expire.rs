//! The TTL family.
