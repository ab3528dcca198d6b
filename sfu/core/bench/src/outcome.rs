//! What a run has shown, put together from its slices: the engine's cost and the floor's.

use kinguicall_net::Latency;
use kinguicall_proto::srtp::Profile;

use crate::floor::Cost;
use crate::scenario::Plan;
use crate::totals::{Totals, sum};

/// What a run has shown.
pub(crate) struct Outcome {
    pub cost: Cost,
    /// Of the same number of subscribers on the same schedule.
    pub floor: Cost,
    ratios: Vec<f64>,
    subscribers: u64,
    pub expected_packets: u64,
    datagrams: u64,
    messages: u64,
    /// Packets that one subscriber has received and decrypted, and those that it could not.
    pub witnessed: u64,
    pub rejected: u64,
    pub latency: Latency,
    pub bytes_per_subscriber: f64,
    pub profile: Profile,
}

/// What one slice of a run has shown.
pub(crate) struct Slice {
    /// By publishers.
    pub sent: u64,
    pub before: Totals,
    pub after: Totals,
    pub witnessed: u64,
}

impl Outcome {
    pub(crate) fn new(plan: &Plan, profile: Profile, memory: u64) -> Self {
        Self {
            subscribers: plan.subscribers as u64,
            expected_packets: 0,
            cost: Cost::default(),
            floor: Cost::default(),
            ratios: Vec::new(),
            datagrams: 0,
            messages: 0,
            witnessed: 0,
            rejected: 0,
            latency: Latency::default(),
            bytes_per_subscriber: memory as f64 / plan.subscribers as f64,
            profile,
        }
    }

    pub(crate) fn add(&mut self, slice: &Slice, floor: &Cost) {
        let Slice { before, after, .. } = slice;
        let cost = Cost {
            user_us: after.user_us - before.user_us,
            system_us: after.system_us - before.system_us,
            packets: after.forwarded - before.forwarded,
        };
        self.expected_packets += slice.sent * self.subscribers;
        self.ratios.push(cost.per_packet().2 / floor.per_packet().2);
        self.cost.add(&cost);
        self.floor.add(floor);
        self.datagrams += after.datagrams - before.datagrams;
        self.messages += after.messages - before.messages;
        self.latency = sum(&self.latency, &after.latency_since(before));
        self.witnessed += slice.witnessed;
    }

    /// Datagrams per kernel message.
    pub(crate) fn run_length(&self) -> f64 {
        self.datagrams as f64 / self.messages.max(1) as f64
    }

    /// CPU of a packet over that of the floor right after: lowest, median and highest of the slices.
    pub(crate) fn ratios(&self) -> (f64, f64, f64) {
        let mut ratios = self.ratios.clone();
        ratios.sort_by(f64::total_cmp);
        let (first, last) = (ratios.first(), ratios.last());
        let or_none = |ratio: Option<&f64>| ratio.copied().unwrap_or(f64::NAN);
        (
            or_none(first),
            or_none(ratios.get(ratios.len() / 2)),
            or_none(last),
        )
    }
}
