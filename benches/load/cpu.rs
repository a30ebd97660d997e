//! Server CPU per operation, by command and pipeline depth.

use std::time::Duration;

use crate::Options;
use crate::generator::{Load, Outcome};
use crate::mix::{Keys, Mix};
use crate::target::{Target, fill, median, names};

/// Measures and prints one row per command and depth.
pub fn run(options: &Options) {
    let keys = Keys::new(options.number("keys", 1_000_000), options.has("zipf"));
    let value_bytes = options.number("value", 64) as usize;
    let names = names(options, "larder:1,redis,echo");
    let distribution = if options.has("zipf") { "Zipf 0.99" } else { "uniform" };
    let connections = options.number("connections", 50);
    println!("{} keys of 16 B, values of {value_bytes} B, {distribution}, {connections} connections", keys.count);
    println!(
        "server CPU in us per operation, median of {} rounds; thousands of operations per second\n",
        options.number("rounds", 5)
    );
    header(&names);
    for command in options.list("commands", "get,set") {
        let mix = Mix::named(&command, value_bytes);
        let targets = targets(&names, &mix, &keys);
        if mix.name == "publish" {
            let subscribers = options.number("subscribers", 100);
            targets.iter().flatten().for_each(|target| gather_audience(target, subscribers));
        }
        for depth in options.list("depths", "1,16,64") {
            let depth = depth.parse().expect("a depth is a number");
            row(options, &mix, &keys, &targets, depth, connections);
        }
    }
}

/// Starts and fills the servers a command is measured on; no floor where sizes vary.
fn targets(names: &[String], mix: &Mix, keys: &Keys) -> Vec<Option<Target>> {
    let start = |name: &String| match (name.as_str(), mix.fixed_sizes()) {
        (name, sizes) if name == "echo" || name.starts_with("echo:") => {
            sizes.map(|(request, reply)| Target::echo(name, request, reply))
        }
        _ => {
            let target = Target::start(name, &[]);
            fill(&target, mix.preparation(keys));
            Some(target)
        }
    };
    names.iter().map(start).collect()
}

/// Subscribers for `publish`, each read by a thread of its own until the server is gone.
fn gather_audience(target: &Target, subscribers: u64) {
    for _ in 0..subscribers {
        let mut client = target.connect();
        client.run("SUBSCRIBE channel");
        std::thread::spawn(move || while client.receive().is_ok() {});
    }
}

fn header(names: &[String]) {
    let columns: String = names.iter().map(|name| format!(" {name} us | kop/s |")).collect();
    let ratios: String = names[1..].iter().map(|name| format!(" {}/{name} |", names[0])).collect();
    println!("| command | depth |{columns}{ratios}");
    println!("|---|--:|{}", "--:|".repeat(names.len() * 2 + names.len() - 1));
}

/// Rounds that alternate between the targets, and their medians.
fn row(options: &Options, mix: &Mix, keys: &Keys, targets: &[Option<Target>], depth: u64, connections: u64) {
    let rounds = options.number("rounds", 5);
    let mut outcomes: Vec<Vec<Outcome>> = targets.iter().map(|_| Vec::new()).collect();
    for seed in 0..rounds {
        let load = Load {
            mix,
            keys,
            connections,
            depth,
            warm_up: Duration::from_millis(300),
            duration: Duration::from_secs_f64(options.real("seconds", 1.5)),
            seed,
        };
        for (target, outcomes) in targets.iter().zip(&mut outcomes) {
            let Some(target) = target else { continue };
            let reply_bytes = mix.fixed_sizes().map(|(_, reply)| reply).filter(|_| target.is_echo());
            outcomes.push(load.run(target, reply_bytes));
        }
    }
    let columns: String = outcomes.iter().map(|rounds| cells(rounds)).collect();
    let ratios: String = outcomes[1..].iter().map(|other| ratio(&outcomes[0], other)).collect();
    println!("| {} | {depth} |{columns}{ratios}", mix.name);
}

fn cells(rounds: &[Outcome]) -> String {
    if std::env::var("EACH").is_ok() {
        let all: Vec<String> = rounds
            .iter()
            .map(|r| format!("{:.2}@{:.0}k", r.cpu_ns_per_operation / 1e3, r.operations_per_second / 1e3))
            .collect();
        eprintln!("  {}", all.join(" "));
    }
    if rounds.is_empty() {
        return " | |".to_owned();
    }
    let cpu = median(&rounds.iter().map(|round| round.cpu_ns_per_operation).collect::<Vec<_>>());
    let rate = median(&rounds.iter().map(|round| round.operations_per_second).collect::<Vec<_>>());
    format!(" {:.3} | {:.0} |", cpu / 1e3, rate / 1e3)
}

/// The median of the rounds' own ratios: what disturbs the machine disturbs both sides of a round.
fn ratio(ours: &[Outcome], theirs: &[Outcome]) -> String {
    if theirs.is_empty() {
        return " |".to_owned();
    }
    let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours.cpu_ns_per_operation / theirs.cpu_ns_per_operation);
    format!(" {:.2} |", median(&ratios.collect::<Vec<_>>()))
}
