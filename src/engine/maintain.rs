//! Sweep, evict, ticks.
