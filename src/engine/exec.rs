//! Lock, run, commit.
