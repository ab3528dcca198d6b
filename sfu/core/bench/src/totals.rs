//! The engine's own account of what its media threads have done.

use std::time::Duration;

use kinguicall_net::{Engine, Latency, ThreadStats};

/// Longer than the engine's snapshots are apart.
const STATS_DELAY: Duration = Duration::from_millis(150);

/// Counters of all media threads together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub user_us: u64,
    pub system_us: u64,
    pub forwarded: u64,
    pub datagrams: u64,
    pub messages: u64,
    pub latency: Latency,
}

/// Statistics once the threads have told what they have just done.
pub(crate) fn totals(engine: &Engine) -> Totals {
    std::thread::sleep(STATS_DELAY);
    sum_of(&engine.stats())
}

/// The same of all threads, and of the first one.
pub(crate) fn totals_and_first(engine: &Engine) -> (Totals, Totals) {
    std::thread::sleep(STATS_DELAY);
    let stats = engine.stats();
    (sum_of(&stats), sum_of(&stats[..1]))
}

fn sum_of(threads: &[ThreadStats]) -> Totals {
    let mut totals = Totals::default();
    for thread in threads {
        totals.user_us += thread.cpu_user_us;
        totals.system_us += thread.cpu_system_us;
        totals.forwarded += thread.shard.counters.media_packets_forwarded;
        totals.datagrams += thread.io.sent.datagrams;
        totals.messages += thread.io.sent.messages;
        totals.latency = sum(&totals.latency, &thread.latency);
    }
    totals
}

impl Totals {
    pub(crate) fn cpu_us(&self) -> u64 {
        self.user_us + self.system_us
    }

    /// What a packet has cost since `before`.
    pub(crate) fn us_per_packet_since(&self, before: &Self) -> f64 {
        let packets = self.forwarded - before.forwarded;
        (self.cpu_us() - before.cpu_us()) as f64 / packets.max(1) as f64
    }

    /// Of the packets since `before`.
    pub(crate) fn latency_since(&self, before: &Self) -> Latency {
        difference(&self.latency, &before.latency)
    }
}

pub(crate) fn sum(one: &Latency, other: &Latency) -> Latency {
    let mut counts = one.counts;
    for (count, more) in counts.iter_mut().zip(other.counts) {
        *count += more;
    }
    Latency {
        counts,
        sum_us: one.sum_us + other.sum_us,
    }
}

fn difference(to: &Latency, from: &Latency) -> Latency {
    let mut counts = to.counts;
    for (count, before) in counts.iter_mut().zip(from.counts) {
        *count -= before;
    }
    Latency {
        counts,
        sum_us: to.sum_us - from.sum_us,
    }
}
