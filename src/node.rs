//! Everything one process owns, built once, passed by reference; no globals.
