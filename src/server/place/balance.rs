//! Who moves to which worker.
//!
//! A second worker is no gain by itself: each of the two serves fewer requests each time it wakes, and an operation costs
//! up to half as much again. So connections are not moved before a worker is as busy as it can be, and each such step is a
//! trial: it is taken back unless the server gets more done than before, or does the same with time to spare on every
//! worker and a core for each. Where clients take the core themselves that another worker would need, everything is done by
//! one worker.
//!
//! A worker is as busy as it has turns to take; but on a machine that is busy with other things the least turn takes long,
//! so one that uses little CPU time is not.

use super::ways::Workers;
use crate::client::{Client, Marks};
use crate::engine::Engine;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A worker that spends so much of its time in turns, in percent, is busy.
const BUSY: u64 = 90;
/// Below so much CPU time, in percent, the time of its turns does not count.
const AT_WORK: u64 = 15;
/// A step is taken when a worker has been busy for so many ticks. What they have done is compared with as many ticks after
/// the step, but for the first one, in which connections are moving.
const TICKS: usize = 2;
/// A step that is to last makes the server do so much of what it did before, in percent.
const WORTH_WHILE: u64 = 110;
/// So does one that leaves no worker busy, if so much is still done, in percent, and no worker has waited longer for a
/// core, in percent of the time.
const KEPT_UP: u64 = 95;
const WAITS_MAX: u64 = 10;
/// After a step that did not last none is taken for so many ticks.
const PATIENCE: u32 = 50;
/// Connections move home when all workers together have spent less than this, which one does with ease, for so many ticks.
const QUIET: u64 = 70;
const QUIET_TICKS: u32 = 10;
/// Connections that move home at one tick.
const HOMEWARD_MAX: usize = 256;

/// Decides who moves, at every tick of the server.
pub(in crate::server) struct Balance {
    workers: Arc<Workers>,
    /// When it last looked, in monotonic nanoseconds, and what it saw of each worker.
    last_ns: u64,
    seen: Vec<Seen>,
    /// Commands run by then, and commands per second in the last ticks.
    commands: u64,
    rates: [u64; TICKS],
    /// Ticks in which a worker has been busy, without a break, and in which there was little to do.
    busy_ticks: usize,
    quiet_ticks: u32,
    /// Ticks in which no worker has been busy or has waited for a core, without a break.
    easy_ticks: usize,
    /// The step on trial.
    step: Option<Step>,
    /// Ticks until the next step may be taken.
    patience: u32,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    cpu_ns: u64,
    turns_ns: u64,
    waits_ns: u64,
    reads: u64,
}

/// A step on trial.
struct Step {
    /// Who was moved, and from which worker.
    moved: Vec<(Arc<Client>, usize)>,
    /// Commands per second in the ticks before it, added up.
    before: u64,
    ticks: usize,
}

impl Balance {
    /// Of these workers.
    pub(in crate::server) fn new(workers: Arc<Workers>) -> Balance {
        let seen = vec![Seen::default(); workers.count()];
        Balance {
            workers,
            last_ns: 0,
            seen,
            commands: 0,
            rates: [0; TICKS],
            busy_ticks: 0,
            quiet_ticks: 0,
            easy_ticks: 0,
            step: None,
            patience: 0,
        }
    }

    /// Looks at what the workers have done since the last tick.
    pub(in crate::server) fn tick(&mut self, engine: &Engine) {
        if self.workers.count() < 2 {
            return;
        }
        let now_ns = engine.node.clock.monotonic_ns();
        let passed_ns = now_ns.saturating_sub(self.last_ns).max(1);
        let since_ms = self.last_ns / 1_000_000;
        self.last_ns = now_ns;
        let (busy, waits) = self.look(engine, passed_ns);
        self.note_rate(engine, passed_ns);
        self.patience = self.patience.saturating_sub(1);
        self.busy_ticks = if busy.iter().any(|busy| *busy >= BUSY) { self.busy_ticks + 1 } else { 0 };
        self.quiet_ticks = if busy.iter().sum::<u64>() < QUIET { self.quiet_ticks + 1 } else { 0 };
        let is_easy = waits <= WAITS_MAX && busy.iter().all(|busy| *busy < BUSY);
        self.easy_ticks = if is_easy { self.easy_ticks + 1 } else { 0 };
        if let Some(step) = self.step.take() {
            self.weigh(step);
        } else if self.quiet_ticks >= QUIET_TICKS {
            self.quiet_ticks = 0;
            self.go_home(engine);
        } else if self.busy_ticks >= TICKS && self.patience == 0 {
            self.step = self.take_step(engine, &busy, since_ms);
        }
    }

    /// How busy each worker has been, and how long the one that had to has waited for a core, in percent.
    fn look(&mut self, engine: &Engine, passed_ns: u64) -> (Vec<u64>, u64) {
        let (mut busy, mut waits) = (Vec::with_capacity(self.seen.len()), 0);
        for (worker, seen) in self.seen.iter_mut().enumerate() {
            let mut now = Seen { reads: engine.node.stats.worker(worker).reads.get(), ..*seen };
            if let Some(work_ns) = self.workers.work_ns(worker) {
                [now.cpu_ns, now.turns_ns, now.waits_ns] = work_ns;
            }
            waits = waits.max(100 * now.waits_ns.saturating_sub(seen.waits_ns) / passed_ns);
            let cpu = 100 * now.cpu_ns.saturating_sub(seen.cpu_ns) / passed_ns;
            let turns = 100 * now.turns_ns.saturating_sub(seen.turns_ns) / passed_ns;
            busy.push(if cpu < AT_WORK { cpu } else { cpu.max(turns) });
            if worker == 0 {
                // It has begun, has clients, works, and has not come to the end of a turn.
                let in_one_turn = cpu >= AT_WORK && now.reads == seen.reads && now.turns_ns == seen.turns_ns;
                self.workers.set_stuck(in_one_turn && now.turns_ns > 0 && self.workers.load(0) > 0);
            }
            *seen = now;
        }
        (busy, waits)
    }

    fn note_rate(&mut self, engine: &Engine, passed_ns: u64) {
        let commands = engine.node.stats.sum(|worker| worker.commands.get());
        let run = commands.saturating_sub(self.commands);
        self.commands = commands;
        self.rates.rotate_left(1);
        self.rates[TICKS - 1] = (u128::from(run) * 1_000_000_000 / u128::from(passed_ns)) as u64;
    }

    /// The busiest worker shares with the idlest, the next with the next, as far as that evens anything out.
    fn take_step(&self, engine: &Engine, busy: &[u64], since_ms: u64) -> Option<Step> {
        let mut order: Vec<usize> = (0..busy.len()).collect();
        order.sort_unstable_by_key(|worker| busy[*worker]);
        let mut moved = Vec::new();
        for pair in 0..order.len() / 2 {
            let (idle, worked) = (order[pair], order[order.len() - 1 - pair]);
            if busy[worked] < BUSY || busy[idle] > busy[worked] / 2 {
                break;
            }
            let mut at_work =
                movable(engine, |client| client.worker() == worked && client.last_ms.load(Relaxed) >= since_ms);
            let share = at_work.len() as u64 * (busy[worked] - busy[idle]) / (2 * busy[worked]);
            // One that has a worker for itself has nothing to gain.
            at_work.truncate(if at_work.len() < 2 { 0 } else { share.max(1) as usize });
            at_work.iter().for_each(|client| client.send_to(idle));
            moved.extend(at_work.into_iter().map(|client| (client, worked)));
        }
        (!moved.is_empty()).then(|| Step { moved, before: self.rates.iter().sum(), ticks: 0 })
    }

    /// When the step on trial has had its time, it lasts or is taken back.
    fn weigh(&mut self, mut step: Step) {
        step.ticks += 1;
        if step.ticks <= TICKS {
            self.step = Some(step);
        } else if self.is_worth_while(&step) {
            self.workers.set_spread(true);
            self.busy_ticks = 0;
        } else {
            let back = step.moved.iter().filter(|(client, _)| !client.marks.any(KEPT));
            back.for_each(|(client, from)| client.send_to(*from));
            self.patience = PATIENCE;
        }
    }

    fn is_worth_while(&self, step: &Step) -> bool {
        let rate = 100 * self.rates.iter().sum::<u64>();
        rate >= step.before * WORTH_WHILE || (self.easy_ticks >= TICKS && rate >= step.before * KEPT_UP)
    }

    fn go_home(&mut self, engine: &Engine) {
        self.workers.set_spread(false);
        if (1..self.workers.count()).any(|worker| self.workers.load(worker) > 0) {
            let abroad = movable(engine, |client| client.worker() != 0);
            abroad.iter().take(HOMEWARD_MAX).for_each(|client| client.send_to(0));
        }
    }
}

/// Clients with these marks stay where they are.
const KEPT: u32 = Marks::PINNED | Marks::BLOCKED | Marks::FROZEN | Marks::KILLED;

/// The clients of which this is true and which can move.
fn movable(engine: &Engine, is: impl Fn(&Client) -> bool) -> Vec<Arc<Client>> {
    engine.node.clients.those(|client| !client.marks.any(KEPT) && is(client))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Peer;
    use crate::client::registry::Registry;

    /// Where a client goes that was moved from the first worker to the second, if the server does so much per tick before
    /// the step and in each tick after it, with ease or without.
    fn where_to(before: u64, after: [u64; TICKS + 1], with_ease: bool) -> usize {
        let (workers, _arrivals) = Workers::new(2);
        let mut balance = Balance::new(workers);
        let client = Registry::default().add(0, Peer::default(), 0);
        client.send_to(1);
        client.leave();
        balance.step = Some(Step { moved: vec![(client.clone(), 0)], before: before * TICKS as u64, ticks: 0 });
        for rate in after {
            balance.rates.rotate_left(1);
            balance.rates[TICKS - 1] = rate;
            balance.easy_ticks += with_ease as usize;
            let step = balance.step.take().expect("the trial is not over");
            balance.weigh(step);
        }
        assert!(balance.step.is_none(), "the trial is over");
        assert_eq!(balance.patience, if client.marks.any(Marks::MOVING) { PATIENCE } else { 0 });
        client.leave()
    }

    #[test]
    fn a_step_lasts_when_more_is_done() {
        assert_eq!(where_to(100, [100, 150, 160], false), 1);
        assert_eq!(where_to(100, [20, 110, 110], false), 1, "the tick in which they move does not count");
        assert_eq!(where_to(100, [200, 110, 109], false), 0);
        assert_eq!(where_to(100, [100, 70, 70], false), 0);
    }

    #[test]
    fn a_step_lasts_when_as_much_is_done_with_ease() {
        assert_eq!(where_to(100, [20, 103, 98], true), 1);
        assert_eq!(where_to(100, [100, 90, 90], true), 0);
    }
}
