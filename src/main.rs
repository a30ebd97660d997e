//! The `larder` binary: argv to configuration to node to server, and nothing else.

use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    larder::server::start::main(std::env::args_os().map(OsStringExt::into_vec).collect())
}
