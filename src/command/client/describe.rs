//! The line of CLIENT LIST: one client in words.

use crate::client::{Client, ClientType, Marks};
use crate::command::CommandTable;
use crate::command::ctx::Ctx;
use crate::node::Node;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The letters of CLIENT LIST's `flags`.
fn flags_of(client: &Client) -> String {
    let m = &client.marks;
    let table: [(u32, char); 11] = [
        (Marks::MONITOR, 'O'),
        (Marks::MULTI, 'x'),
        (Marks::BLOCKED, 'b'),
        (Marks::TRACKING, 't'),
        (Marks::TRACKING_BROKEN, 'R'),
        (Marks::TRACKING_BCAST, 'B'),
        (Marks::DIRTY, 'd'),
        (Marks::CLOSE_AFTER_REPLY, 'c'),
        (Marks::KILLED, 'A'),
        (Marks::UNIX, 'U'),
        (Marks::NO_EVICT, 'e'),
    ];
    let mut flags = String::new();
    match client.client_type() {
        ClientType::Replica => flags.push('S'),
        ClientType::Primary => flags.push('M'),
        ClientType::Pubsub => flags.push('P'),
        ClientType::Normal => {}
    }
    flags.extend(table.iter().filter(|(mark, _)| m.any(*mark)).map(|(_, c)| *c));
    if m.any(Marks::NO_TOUCH) {
        flags.push('T');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// The line of CLIENT LIST for a client, as a command sees it.
pub(in crate::command) fn describe_in(ctx: &Ctx<'_, '_>, client: &Client, out: &mut String) {
    let is_me = client.id == ctx.session.client.id;
    let args = is_me.then(|| ctx.args.all().iter().map(|arg| arg.len() as u64).sum());
    describe(ctx.node, ctx.commands, client, args, out);
}

/// The line of CLIENT LIST for a client, without its end. `args` are the bytes of its request where that is at hand.
pub fn describe(node: &Node, commands: &CommandTable, c: &Client, args: Option<u64>, out: &mut String) {
    let now_ms = node.clock.monotonic_us() / 1000;
    let labels = c.labels.read().clone();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let command = match c.last_command.load(Relaxed) {
        u16::MAX => "NULL",
        index => &commands.get(index).name,
    };
    let [query, query_free] = [c.query[0].load(Relaxed), c.query[1].load(Relaxed)];
    let out_bytes = c.out_bytes.load(Relaxed) + c.mailbox.bytes();
    let args = args.unwrap_or_else(|| c.arg_bytes[0].load(Relaxed));
    let queued = c.arg_bytes[1].load(Relaxed);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} omem={} tot-mem={} events={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={}",
        c.id,
        c.addr,
        c.laddr,
        c.fd,
        text(&labels.name),
        now_ms.saturating_sub(c.created_ms) / 1000,
        now_ms.saturating_sub(c.last_ms.load(Relaxed)) / 1000,
        flags_of(c),
        c.db.load(Relaxed),
        c.subscriptions[0].load(Relaxed),
        c.subscriptions[1].load(Relaxed),
        c.subscriptions[2].load(Relaxed),
        c.multi.load(Relaxed),
        c.watching.load(Relaxed),
        query,
        query_free,
        args,
        queued,
        0,
        0,
        0,
        (out_bytes > 0) as u8,
        out_bytes,
        c.memory_bytes(),
        if out_bytes > 0 { "rw" } else { "r" },
        command,
        text(&labels.user),
        c.redirection(),
        c.proto.load(Relaxed),
        text(&labels.lib_name),
        text(&labels.lib_ver),
    );
}
