//! The lock set of a running command: read, write, insert, remove.
