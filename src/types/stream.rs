//! The stream: entries by id in packed blocks.
