//! Functions and their libraries.
