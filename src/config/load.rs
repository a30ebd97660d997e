//! The configuration file, its includes and the command line.
