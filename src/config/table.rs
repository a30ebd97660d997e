//! Every directive, one row: kind, range, default, live or start-only.
