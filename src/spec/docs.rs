//! Argument trees for COMMAND DOCS.
