//! The `larder` binary: argv to configuration to node to server, and nothing else.

fn main() {}
