//! What a script may do: its flags, the form of the call, and the state of the server before it.
//!
//! A script without a shebang line says nothing about itself, so each of its commands is judged on its own. One that
//! has such a line is judged whole, by the gate and before it starts.

use super::Engine;
use crate::client::Session;
use crate::command::error::Error;
use crate::command::{EngineOp, Known, Run, ScriptBy, ScriptCall};
use crate::script::Flags as ScriptFlags;
use crate::script::flags::eval_shebang;
use crate::spec::Flags;

/// What the commands of one script may do.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Rules {
    /// Writes are refused.
    pub read_only: bool,
    /// Commands that need memory are refused, until the script has written.
    pub no_room: bool,
}

impl Engine {
    /// The flags of a request: those of its command, unless it runs a script that declares its own.
    #[inline]
    pub(in crate::engine) fn flags_of(&self, known: &Known, argv: &[&[u8]]) -> Flags {
        let flags = known.command.spec.flags;
        match known.command.run {
            Run::Engine(EngineOp::Script(call)) => self.declared(call.by, argv).map_or(flags, |own| merge(flags, own)),
            _ => flags,
        }
    }

    /// What the script of a request declares, if it declares anything.
    fn declared(&self, by: ScriptBy, argv: &[&[u8]]) -> Option<ScriptFlags> {
        let name = argv.get(1)?;
        let declared = match by {
            ScriptBy::Body => eval_shebang(name).ok().map(|(flags, _)| flags),
            ScriptBy::Sha => self.node.board.script_flags(name),
            ScriptBy::Function => self.node.board.function_flags(name),
        };
        declared.filter(|flags| !flags.contains(ScriptFlags::EVAL_COMPAT))
    }

    /// Judges a script about to start.
    pub(super) fn rules(&self, session: &Session, flags: ScriptFlags, call: ScriptCall) -> Result<Rules, Error> {
        let no_room = session.no_room && self.node.keyspace.namespace.maxmemory_bytes() > 0;
        if flags.contains(ScriptFlags::EVAL_COMPAT) {
            return Ok(Rules { read_only: call.read_only, no_room });
        }
        let no_writes = flags.contains(ScriptFlags::NO_WRITES);
        if call.read_only && !no_writes {
            return Err(Error::Text("ERR Can not execute a script with write flag using *_ro command."));
        }
        let allow_oom = no_writes || flags.contains(ScriptFlags::ALLOW_OOM);
        if no_room && !allow_oom {
            return Err(Error::Text(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            ));
        }
        Ok(Rules { read_only: no_writes, no_room: no_room && !flags.contains(ScriptFlags::ALLOW_OOM) })
    }
}

/// The flags of a command that runs a script which declares its own.
fn merge(flags: Flags, own: ScriptFlags) -> Flags {
    let mut flags = flags.without(Flags::STALE.and(Flags::DENYOOM).and(Flags::WRITE).and(Flags::MAY_REPLICATE));
    if !own.contains(ScriptFlags::NO_WRITES) {
        flags = flags.and(Flags::WRITE);
        if !own.contains(ScriptFlags::ALLOW_OOM) {
            flags = flags.and(Flags::DENYOOM);
        }
    }
    if own.contains(ScriptFlags::ALLOW_STALE) {
        flags = flags.and(Flags::STALE);
    }
    flags
}
