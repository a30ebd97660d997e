//! The incremental request parser: multibulk and inline, without I/O; arguments are slices of the read buffer.
