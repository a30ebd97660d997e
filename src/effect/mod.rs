//! Effects: changes as replicas and the AOF replay them. The only way out (D8).
//!
//! An [`Effect`] is a command in a database; a unit of several (a MULTI, a script, a command that also expired a key)
//! enters the log between MULTI and EXEC. See `log.rs`.

pub mod log;

pub use log::Log;

/// One change as a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The database it happened in.
    pub db: u32,
    /// The command and its arguments.
    pub argv: Vec<Vec<u8>>,
}

impl Effect {
    /// A change in database `db`.
    pub fn new(db: u32, argv: &[&[u8]]) -> Effect {
        Effect { db, argv: argv.iter().map(|a| a.to_vec()).collect() }
    }
    /// As RESP, appended to `out`.
    pub fn encode(argv: &[impl AsRef<[u8]>], out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        out.push(b'*');
        out.extend_from_slice(number.format(argv.len()).as_bytes());
        out.extend_from_slice(b"\r\n");
        for arg in argv {
            let arg = arg.as_ref();
            out.push(b'$');
            out.extend_from_slice(number.format(arg.len()).as_bytes());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(arg);
            out.extend_from_slice(b"\r\n");
        }
    }
}
