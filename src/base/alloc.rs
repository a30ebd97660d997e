//! The global allocator: jemalloc, with every usable byte counted.
