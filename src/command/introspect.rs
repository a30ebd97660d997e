//! COMMAND, SLOWLOG, LATENCY.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};

/// The family.
pub const COMMANDS: &[Command] = &[];

/// The reply of a container's HELP: a headline, then each form with what it does, then HELP itself.
pub fn help(ctx: &mut Ctx<'_, '_>, container: &str, forms: &[(&str, &str)]) -> Result {
    let lines = forms.iter().map(|(_, text)| 1 + text.lines().count()).sum::<usize>();
    ctx.reply.array(lines + 3);
    ctx.reply.simple(format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (form, text) in forms {
        ctx.reply.simple(form);
        text.lines().for_each(|line| ctx.reply.simple(format!("    {line}")));
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
    Ok(Outcome::Done)
}
