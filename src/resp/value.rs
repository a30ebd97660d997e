//! An owned reply tree, for scripts and tests.
