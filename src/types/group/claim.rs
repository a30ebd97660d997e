//! Taking pending entries over: XCLAIM by id, XAUTOCLAIM by a walk over those that have been idle.

use super::{ConsumerId, Group, Nack};
use crate::types::stream::id::StreamId;
use crate::types::stream::log::Log;

/// How XCLAIM takes entries over.
#[derive(Clone, Copy, Debug)]
pub struct ClaimOptions {
    /// Only entries that were delivered at least so many milliseconds ago.
    pub min_idle: i64,
    /// When the entry counts as delivered.
    pub delivery_time: i64,
    /// How often it counts as delivered, if given.
    pub retry_count: Option<u64>,
    /// Whether the delivery counts when no number is given; with JUSTID it does not.
    pub counts: bool,
    /// Whether an entry that is not pending becomes so.
    pub force: bool,
    /// The time now.
    pub now: i64,
}

/// What became of an entry that XCLAIM named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It belongs to the claiming consumer now.
    Claimed(Nack),
    /// It was pending and is deleted from the stream: so it is pending no longer.
    Gone(Nack),
    /// It was not pending, or not idle for long enough.
    Left,
}

/// How XAUTOCLAIM walks.
#[derive(Clone, Copy, Debug)]
pub struct AutoClaim {
    /// The first id to look at.
    pub start: StreamId,
    /// The most entries to claim or to find deleted; ten times as many are looked at.
    pub count: u64,
    /// Only entries that were delivered at least so many milliseconds ago.
    pub min_idle: i64,
    /// Whether the delivery counts; with JUSTID it does not.
    pub counts: bool,
    /// The time now.
    pub now: i64,
}

/// What XAUTOCLAIM did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AutoClaimed {
    /// Where to go on; `0-0` at the end.
    pub next: StreamId,
    /// What was claimed or found deleted, in order.
    pub touched: Vec<(StreamId, Claim)>,
}

/// How many pending entries are looked at for each that may be claimed.
const ATTEMPTS_PER_ENTRY: u64 = 10;

impl Group {
    /// Gives one entry to a consumer under the conditions of XCLAIM.
    pub fn claim(&mut self, log: &Log, id: StreamId, consumer: ConsumerId, options: &ClaimOptions) -> Claim {
        let old = self.nack(id).copied();
        if !log.contains(id) {
            return self.ack(id).map_or(Claim::Left, Claim::Gone);
        }
        let delivered = match old {
            Some(nack) if options.min_idle > 0 && options.now.saturating_sub(nack.delivery_time) < options.min_idle => {
                return Claim::Left;
            }
            Some(nack) => nack.delivery_count,
            None if options.force => 1,
            None => return Claim::Left,
        };
        let nack = Nack {
            delivery_time: options.delivery_time,
            delivery_count: options.retry_count.unwrap_or(delivered.wrapping_add(u64::from(options.counts))),
            consumer,
        };
        self.set_nack(id, nack);
        self.mark_active(consumer, options.now);
        Claim::Claimed(nack)
    }

    /// Gives idle entries to a consumer, walking from an id on.
    pub fn autoclaim(&mut self, log: &Log, consumer: ConsumerId, options: &AutoClaim) -> AutoClaimed {
        let claim = ClaimOptions {
            min_idle: options.min_idle,
            delivery_time: options.now,
            retry_count: None,
            counts: options.counts,
            force: false,
            now: options.now,
        };
        let attempts = options.count.saturating_mul(ATTEMPTS_PER_ENTRY);
        let mut done = AutoClaimed::default();
        let mut next = Some(options.start);
        for _ in 0..attempts {
            let Some(id) = next.and_then(|start| self.pending_from(start).next()).map(|(id, _)| id) else {
                return done;
            };
            if done.touched.len() as u64 == options.count {
                break;
            }
            match self.claim(log, id, consumer, &claim) {
                Claim::Left => {}
                touched => done.touched.push((id, touched)),
            }
            next = id.next();
        }
        done.next = next.and_then(|start| self.pending_from(start).next()).map_or(StreamId::MIN, |(id, _)| id);
        done
    }
}
