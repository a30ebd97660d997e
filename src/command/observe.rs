//! SLOWLOG and LATENCY: what was slow.

use super::Command;
use super::ctx::{Ctx, Outcome, Result};
use super::error::Error;
use crate::base::num::parse_i64;
use crate::spec::{Arg, Arity, CommandSpec, Flags, Group};
use crate::stats::latency::{BUCKETS, Series, edge_nanos};

/// The family.
pub const COMMANDS: &[Command] = &[SLOWLOG, LATENCY];

const ADMIN: Flags = Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE);
const BASE: CommandSpec = CommandSpec { group: Group::Server, flags: ADMIN, ..CommandSpec::BASE };

const fn sub(
    name: &'static str,
    since: &'static str,
    arity: Arity,
    summary: &'static str,
    args: &'static [Arg],
) -> CommandSpec {
    CommandSpec { name, since, arity, summary, args, ..BASE }
}

const HELP: Flags = Flags::LOADING.and(Flags::STALE);

const SLOWLOG: Command = Command::container(
    CommandSpec {
        name: "SLOWLOG",
        summary: "A container for commands on the slow log.",
        since: "2.2.12",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        flags: Flags::NONE,
        ..BASE
    },
    &[
        Command::new(
            slowlog_get,
            CommandSpec {
                history: &[("4.0.0", "Tells the client's address and name.")],
                complexity: "O(N) in the entries returned",
                tips: &["request_policy:all_nodes", "nondeterministic_output"],
                ..sub(
                    "GET",
                    "2.2.12",
                    Arity::at_least(2),
                    "The newest slow commands.",
                    &[Arg::integer("count").optional()],
                )
            },
        ),
        Command::new(
            slowlog_help,
            CommandSpec { flags: HELP, ..sub("HELP", "6.2.0", Arity::exactly(2), "What there is.", &[]) },
        ),
        Command::new(
            slowlog_len,
            CommandSpec {
                tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
                ..sub("LEN", "2.2.12", Arity::exactly(2), "Number of slow commands kept.", &[])
            },
        ),
        Command::new(
            slowlog_reset,
            CommandSpec {
                complexity: "O(N) in the entries kept",
                tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
                ..sub("RESET", "2.2.12", Arity::exactly(2), "Forgets all slow commands.", &[])
            },
        ),
    ],
);

const LATENCY: Command = Command::container(
    CommandSpec {
        name: "LATENCY",
        summary: "A container for commands on latency.",
        since: "2.8.13",
        complexity: "That of the subcommand",
        arity: Arity::at_least(2),
        flags: Flags::NONE,
        ..BASE
    },
    &[
        Command::new(doctor, monitor("DOCTOR", Arity::exactly(2), "Advice on latency.", &[])),
        Command::new(graph, monitor("GRAPH", Arity::exactly(3), "A graph of one event.", EVENT)),
        Command::new(
            latency_help,
            CommandSpec { flags: HELP, ..sub("HELP", "2.8.13", Arity::exactly(2), "What there is.", &[]) },
        ),
        Command::new(
            histogram,
            CommandSpec {
                since: "7.0.0",
                complexity: "O(N) in the commands told of",
                ..monitor(
                    "HISTOGRAM",
                    Arity::at_least(2),
                    "How long commands take.",
                    &[Arg::string("command").optional().multiple()],
                )
            },
        ),
        Command::new(history, monitor("HISTORY", Arity::exactly(3), "The samples of one event.", EVENT)),
        Command::new(latest, monitor("LATEST", Arity::exactly(2), "The newest sample of each event.", &[])),
        Command::new(
            reset,
            CommandSpec {
                tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
                ..monitor("RESET", Arity::at_least(2), "Forgets events.", &[Arg::string("event").optional().multiple()])
            },
        ),
    ],
);

const EVENT: &[Arg] = &[Arg::string("event")];

const fn monitor(name: &'static str, arity: Arity, summary: &'static str, args: &'static [Arg]) -> CommandSpec {
    CommandSpec {
        flags: ADMIN.and(Flags::NOSCRIPT),
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        ..sub(name, "2.8.13", arity, summary, args)
    }
}

fn slowlog_get(ctx: &mut Ctx<'_, '_>) -> Result {
    let count = match ctx.args.len() {
        2 => 10,
        3 => match parse_i64(&ctx.args[2]).filter(|n| *n >= -1) {
            Some(-1) => usize::MAX,
            Some(n) => n as usize,
            None => return Err(Error::Text("ERR count should be greater than or equal to -1")),
        },
        _ => return Err(Error::WrongSubcommand(ctx.args.at(1).to_vec(), "SLOWLOG")),
    };
    let slow = ctx.node.stats.slowlog.newest(count);
    ctx.reply.array(slow.len());
    for entry in &slow {
        ctx.reply.array(6);
        ctx.reply.int(entry.id as i64);
        ctx.reply.int(entry.at_s as i64);
        ctx.reply.int(entry.micros as i64);
        ctx.reply.array(entry.argv.len());
        entry.argv.iter().for_each(|a| ctx.reply.bulk(a));
        ctx.reply.bulk(entry.addr.as_bytes());
        ctx.reply.bulk(&entry.name);
    }
    Ok(Outcome::Done)
}

fn slowlog_len(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.reply.int(ctx.node.stats.slowlog.len() as i64);
    Ok(Outcome::Done)
}

fn slowlog_reset(ctx: &mut Ctx<'_, '_>) -> Result {
    ctx.node.stats.slowlog.clear();
    ctx.reply.ok();
    Ok(Outcome::Done)
}

fn slowlog_help(ctx: &mut Ctx<'_, '_>) -> Result {
    super::introspect::help(
        ctx,
        "SLOWLOG",
        &[
            (
                "GET [<count>]",
                "Return top <count> entries from the slowlog (default: 10, -1 mean all).\nEntries are made of:\nid, timestamp, time in microseconds, arguments array, client IP and port,\nclient name",
            ),
            ("LEN", "Return the length of the slowlog."),
            ("RESET", "Reset the slowlog."),
        ],
    )
}

fn series(ctx: &Ctx<'_, '_>, event: &[u8]) -> Option<Series> {
    let events = ctx.node.stats.latency.events.lock();
    events.iter().find(|(name, _)| name.as_bytes() == event).map(|(_, s)| s.clone())
}

fn history(ctx: &mut Ctx<'_, '_>) -> Result {
    let samples = series(ctx, ctx.args.at(2)).unwrap_or_default().samples;
    ctx.reply.array(samples.len());
    for (at, ms) in samples {
        ctx.reply.array(2);
        ctx.reply.int(at as i64);
        ctx.reply.int(ms as i64);
    }
    Ok(Outcome::Done)
}

fn latest(ctx: &mut Ctx<'_, '_>) -> Result {
    let events = ctx.node.stats.latency.events.lock().clone();
    ctx.reply.array(events.len());
    for (name, series) in &events {
        let (at, ms) = series.samples.back().copied().unwrap_or_default();
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(at as i64);
        ctx.reply.int(ms as i64);
        ctx.reply.int(series.max_ms as i64);
    }
    Ok(Outcome::Done)
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Result {
    let mut events = ctx.node.stats.latency.events.lock();
    let before = events.len();
    match ctx.args.rest(2) {
        [] => events.clear(),
        names => events.retain(|name, _| !names.iter().any(|n| n.eq_ignore_ascii_case(name.as_bytes()))),
    }
    ctx.reply.int((before - events.len()) as i64);
    Ok(Outcome::Done)
}

/// The samples of an event as bars, newest right, scaled between the lowest and the highest.
fn graph(ctx: &mut Ctx<'_, '_>) -> Result {
    const ROWS: u64 = 4;
    let event = ctx.args.at(2);
    let Some(series) = series(ctx, event) else {
        return Err(Error::of(&[b"ERR No samples available for event '", event, b"'"]));
    };
    let values: Vec<u64> = series.samples.iter().map(|(_, ms)| *ms).collect();
    let (low, high) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let mut text = format!(
        "{} - high {high} ms, low {low} ms (all time high {} ms)\n",
        String::from_utf8_lossy(event),
        series.max_ms
    );
    text.push_str(&"-".repeat(80));
    text.push('\n');
    for row in (0..ROWS).rev() {
        for ms in &values {
            let level = (ms - low) * ROWS / (high - low + 1);
            text.push(match level.cmp(&row) {
                std::cmp::Ordering::Greater => '|',
                std::cmp::Ordering::Equal => '#',
                std::cmp::Ordering::Less => ' ',
            });
        }
        text.push('\n');
    }
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn doctor(ctx: &mut Ctx<'_, '_>) -> Result {
    let events = ctx.node.stats.latency.events.lock().clone();
    let threshold_ms = ctx.node.config.latency_monitor_threshold.get();
    let mut text = String::new();
    if threshold_ms <= 0 {
        text.push_str("I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this server. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n");
    } else if events.is_empty() {
        text.push_str("No latency spike was observed since the server is up.\n");
    } else {
        for (name, series) in &events {
            let n = series.samples.len() as u64;
            let sum: u64 = series.samples.iter().map(|(_, ms)| ms).sum();
            text.push_str(&format!(
                "{name}: {n} latency spikes (average {} ms), worst {} ms.\n",
                sum / n.max(1),
                series.max_ms
            ));
        }
        text.push_str("Look at SLOWLOG GET for the commands that took long.\n");
    }
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(Outcome::Done)
}

fn histogram(ctx: &mut Ctx<'_, '_>) -> Result {
    let wanted = ctx.args.rest(2);
    let mut shown: Vec<(&str, u64, [u64; BUCKETS])> = Vec::new();
    for known in ctx.commands.all() {
        let name = known.name.as_bytes();
        let asked = wanted.is_empty()
            || wanted.iter().any(|w| {
                let container = name.split(|b| *b == b'|').next().unwrap_or(name);
                w.eq_ignore_ascii_case(name) || w.eq_ignore_ascii_case(container)
            });
        if !asked {
            continue;
        }
        let mut counts = [0; BUCKETS];
        for worker in ctx.node.stats.workers() {
            worker.by_command[known.index as usize].histogram.add_to(&mut counts);
        }
        let calls: u64 = counts.iter().sum();
        if calls > 0 {
            shown.push((&known.name, calls, counts));
        }
    }
    ctx.reply.map(shown.len());
    for (name, calls, counts) in shown {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.int(calls as i64);
        ctx.reply.bulk(b"histogram_usec");
        let filled: Vec<usize> = (0..BUCKETS).filter(|b| counts[*b] > 0).collect();
        ctx.reply.map(filled.len());
        for bucket in filled {
            ctx.reply.int((edge_nanos(bucket) / 1000) as i64);
            ctx.reply.int(counts[..=bucket].iter().sum::<u64>() as i64);
        }
    }
    Ok(Outcome::Done)
}

fn latency_help(ctx: &mut Ctx<'_, '_>) -> Result {
    super::introspect::help(
        ctx,
        "LATENCY",
        &[
            ("DOCTOR", "Return a human readable latency analysis report."),
            ("GRAPH <event>", "Return an ASCII latency graph for the <event> class."),
            ("HISTORY <event>", "Return time-latency samples for the <event> class."),
            ("LATEST", "Return the latest latency samples for all events."),
            (
                "RESET [<event> ...]",
                "Reset latency data of one or more <event> classes.\n(default: reset all data for all event classes)",
            ),
            ("HISTOGRAM [COMMAND ...]", "Return a cumulative distribution of commands in histogram format."),
        ],
    )
}
