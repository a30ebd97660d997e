//! Consumer groups of a stream: pending entries and consumers.
