//! Latency of GET while one client runs short scripts without a pause, beside the same GETs without it: scripts run one
//! at a time, but nobody else is to wait for that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Options;
use crate::mix::{Keys, Mix};
use crate::support::client::request;
use crate::support::random::Random;
use crate::target::{Target, fill, median, names};

/// A rate limiter as many write it: three commands on one key.
const SCRIPT: &str = "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
                      return {n, redis.call('PTTL', KEYS[1])}";

/// Prints one row per server: latencies alone, beside scripts, and their ratios.
pub fn run(options: &Options) {
    let keys = Keys::new(options.number("keys", 100_000), false);
    let (connections, rounds) = (options.number("connections", 8), options.number("rounds", 7));
    let duration = Duration::from_secs_f64(options.real("seconds", 1.0));
    println!(
        "GET at pipeline 1 over {connections} connections, latency in us; medians of {rounds} rounds that alternate\n"
    );
    println!("| server | p50 alone | beside scripts | p99 alone | beside scripts | p99 ratio | scripts/s |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for name in names(options, "larder:2,redis") {
        let target = Target::start(&name, &[]);
        fill(&target, Mix::named("get", 64).preparation(&keys));
        let (mut alone, mut beside, mut scripts) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..rounds {
            alone.push(latencies(&target, &keys, connections, duration, seed));
            let (latencies, count) =
                with_scripts(&target, || latencies(&target, &keys, connections, duration, seed + 1000));
            beside.push(latencies);
            scripts.push(count as f64 / duration.as_secs_f64());
        }
        let at = |rounds: &[Latencies], share: f64| median(&rounds.iter().map(|r| r.at(share)).collect::<Vec<_>>());
        let ratios: Vec<f64> =
            alone.iter().zip(&beside).map(|(alone, beside)| beside.at(0.99) / alone.at(0.99)).collect();
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} |",
            at(&alone, 0.5),
            at(&beside, 0.5),
            at(&alone, 0.99),
            at(&beside, 0.99),
            median(&ratios),
            median(&scripts),
        );
    }
}

/// Latencies of one round, sorted, in nanoseconds.
struct Latencies(Vec<u32>);

impl Latencies {
    /// In microseconds.
    fn at(&self, share: f64) -> f64 {
        f64::from(self.0[((self.0.len() - 1) as f64 * share) as usize]) / 1e3
    }
}

/// Loads the target with GETs, each connection one at a time.
fn latencies(target: &Target, keys: &Keys, connections: u64, duration: Duration, seed: u64) -> Latencies {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let mut all = local.block_on(&runtime, async {
        let until = Instant::now() + duration;
        let tasks: Vec<_> = (0..connections)
            .map(|number| tokio::task::spawn_local(get(target.port, keys.clone(), until, seed * 100 + number)))
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("the load does not panic").expect("the server answers"));
        }
        all
    });
    all.sort_unstable();
    Latencies(all)
}

async fn get(port: u16, keys: Keys, until: Instant, seed: u64) -> std::io::Result<Vec<u32>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    socket.set_nodelay(true)?;
    let (mut random, mut latencies) = (Random::new(seed), Vec::new());
    // The values are of 64 bytes.
    let mut reply = [0; b"$64\r\n\r\n".len() + 64];
    while Instant::now() < until {
        let request = request(&[&b"GET"[..], &keys.pick(&mut random)]);
        let start = Instant::now();
        socket.write_all(&request).await?;
        socket.read_exact(&mut reply).await?;
        latencies.push(start.elapsed().as_nanos().min(u128::from(u32::MAX)) as u32);
    }
    Ok(latencies)
}

/// Measures while a client runs one script after another; also says how many it ran.
fn with_scripts<R>(target: &Target, measure: impl FnOnce() -> R) -> (R, u64) {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = target.connect();
            while !stop.load(Relaxed) {
                client.call(&["EVAL", SCRIPT, "1", "limit:one", "1000"]);
                count.fetch_add(1, Relaxed);
            }
        });
        let result = measure();
        stop.store(true, Relaxed);
        // Before the scope waits for the client's last reply.
        (result, count.load(Relaxed))
    })
}
