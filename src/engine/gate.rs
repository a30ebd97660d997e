//! The ordered list of small checks before a command runs.
