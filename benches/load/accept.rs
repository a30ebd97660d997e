//! Server CPU per connection that comes, sends one PING and goes.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::Options;
use crate::target::{Target, median, names};

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

/// Measures and prints one row per server.
pub fn run(options: &Options) {
    let connections = options.number("connections", 2000);
    let rounds = options.number("rounds", 5);
    println!("server CPU in us per connection with one PING, median of {rounds} rounds of {connections}\n");
    println!("| server | us |");
    println!("|---|--:|");
    let targets: Vec<Target> = names(options, "larder:1,redis,echo").iter().map(|name| start(name)).collect();
    let mut costs = vec![Vec::new(); targets.len()];
    for _ in 0..rounds {
        for (target, costs) in targets.iter().zip(&mut costs) {
            let before = target.cpu_ns();
            (0..connections).for_each(|_| ping(target.port));
            costs.push((target.cpu_ns() - before) as f64 / connections as f64);
        }
    }
    for (target, costs) in targets.iter().zip(&costs) {
        println!("| {} | {:.1} |", target.name, median(costs) / 1e3);
    }
}

fn start(name: &str) -> Target {
    match name {
        "echo" => Target::echo(name, PING.len(), PONG.len()),
        _ => Target::start(name, &[]),
    }
}

fn ping(port: u16) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
    socket.write_all(PING).expect("the server reads");
    let mut reply = [0; PONG.len()];
    socket.read_exact(&mut reply).expect("the server answers");
}
