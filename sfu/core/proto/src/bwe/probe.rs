//! Probing: short clusters of padding at a chosen rate, sent when more is wanted than the estimate
//! allows, and measured by how fast they arrive.
//!
//! States: idle → sending (a burst of padding every tick) → awaiting feedback → idle. A probe that
//! gets through is followed at once by one at twice the rate; one that meets the limit waits. Media
//! sent meanwhile belongs to the cluster, so padding only fills up what media leaves.

use super::history::{MAX_CLUSTER, PacketResult};

/// How often padding is sent within a cluster.
pub(super) const TICK_US: i64 = 5_000;
/// How often it is looked for something to do outside of one.
const IDLE_TICK_US: i64 = 20_000;
/// A cluster lasts so long, and until it has so many packets, but not for ever.
const DURATION_US: i64 = 40_000;
const MIN_PACKETS: u32 = 6;
const MAX_DURATION_US: i64 = 120_000;
/// Feedback that takes longer than this, plus the round trip, is not awaited.
const AWAIT_US: i64 = 400_000;
/// Between a probe that met the limit and the next one.
const INTERVAL_US: i64 = 3_000_000;
const MAX_INTERVAL_US: i64 = 5_000_000;
/// Before it is tried whether what flowed until congestion fits again: by then queues are empty.
const RETRY_US: i64 = 1_500_000;
/// A cluster that all arrived, but in which a large frame was sent, says nothing for or against: the next
/// one comes soon. Not for ever, as some paths bundle whatever they carry.
const AGAIN_US: i64 = 150_000;
const MAX_INCONCLUSIVE: u8 = 3;
/// Less than this share of what was missing before, and something has been taken away.
const TAKEN_AWAY: f64 = 0.8;
/// Each probe goes for so much more than the estimate; the very first one for more.
const STEP: f64 = 2.0;
const FIRST_STEP: f64 = 3.0;
const MIN_RATE_BPS: f64 = 80_000.0;
/// Share of a cluster that must arrive for its rate to mean anything.
const MIN_RECEIVED: f64 = 0.8;
/// Received slower than this share of the sending rate, the path is full.
const SATURATED: f64 = 0.9;
/// What to use of the rate of a full path.
const OF_SATURATED: f64 = 0.95;
/// Beyond this the arrival times are of no use.
const MAX_RATIO: f64 = 2.0;
/// A result this close to the probed rate asks for a further probe.
const GOT_THROUGH: f64 = 0.7;
/// Packets that arrive so soon after the first belong to the burst that it began.
const FIRST_BURST_US: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Sending,
    Awaiting { until_us: i64 },
}

/// What a cluster has sent, and what is known of its arrival.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    rate_bps: f64,
    started_us: i64,
    sent_packets: u32,
    sent_bytes: u64,
    /// Packets of nothing but padding.
    padding_sent: u32,
    padding_arrived: u32,
    lost_packets: u32,
    packets: u32,
    bytes: u64,
    sent_us: Span,
    arrived_us: Span,
    /// Bytes of the last burst sent, and of the first one that arrived.
    last_sent_bytes: u64,
    first_arrived_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Span {
    first: i64,
    last: i64,
}

/// What would be of use, in bits a second of all that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// With the next layer.
    pub step_bps: u64,
    /// With everything that is asked for.
    pub all_bps: u64,
    /// Somebody sees nothing until there is more: the path is looked at as often as may be.
    pub is_urgent: bool,
}

/// What a probe has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    pub bitrate_bps: f64,
    /// The path could not carry the probed rate.
    pub saturated: bool,
    /// Nothing of it was lost.
    pub lossless: bool,
}

/// The prober of one transport.
#[derive(Debug)]
pub(super) struct Prober {
    state: State,
    id: u8,
    cluster: Cluster,
    probed: bool,
    next_at_us: i64,
    interval_us: i64,
    /// `None` when the estimate is enough.
    wanted: Option<Wanted>,
    /// The path is known to be full not far above the estimate.
    met_limit: bool,
    /// Feedback has told of padding that has arrived.
    is_answered: bool,
    /// So many of the last clusters.
    inconclusive: u8,
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            state: State::Idle,
            id: 0,
            cluster: Cluster::default(),
            probed: false,
            next_at_us: 0,
            interval_us: INTERVAL_US,
            wanted: None,
            met_limit: false,
            is_answered: true,
            inconclusive: 0,
        }
    }
}

impl Prober {
    pub(super) fn want(&mut self, now_us: i64, wanted: Option<Wanted>) {
        let steps = [self.wanted, wanted].map(|it| it.map(|it| it.step_bps as f64));
        if let [Some(before), Some(step)] = steps
            && step < before * TAKEN_AWAY
        {
            self.next_at_us = self.next_at_us.min(now_us + RETRY_US);
            self.interval_us = INTERVAL_US;
        }
        if wanted.is_some_and(|wanted| wanted.is_urgent) {
            self.next_at_us = self.next_at_us.min(now_us + INTERVAL_US);
        }
        self.wanted = wanted;
    }

    /// As with a path never seen before.
    pub(super) fn begin_anew(&mut self, now_us: i64) {
        *self = Self {
            id: self.id,
            wanted: self.wanted,
            next_at_us: now_us,
            ..Self::default()
        };
    }

    /// What has held probes up is over.
    pub(super) fn hurry(&mut self, now_us: i64) {
        self.next_at_us = self.next_at_us.min(now_us);
        self.interval_us = INTERVAL_US;
    }

    /// Whether feedback tells of what is sent as padding.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// The cluster that packets sent now belong to; 0 is none.
    pub(super) fn current(&self) -> u8 {
        match self.state {
            State::Sending => self.id,
            _ => 0,
        }
    }

    /// A packet of the current cluster has left.
    pub(super) fn on_sent(&mut self, size: usize, is_padding: bool) {
        if self.state == State::Sending {
            self.cluster.sent_packets += 1;
            self.cluster.sent_bytes += size as u64;
            self.cluster.padding_sent += u32::from(is_padding);
        }
    }

    /// Bytes of padding to send now. `None` when there is no cluster to fill.
    pub(super) fn poll(&mut self, now_us: i64, estimate_bps: f64, free: bool) -> Option<usize> {
        if self.state == State::Idle {
            self.start(now_us, estimate_bps, free);
        }
        if self.state != State::Sending {
            return None;
        }
        let elapsed_us = now_us - self.cluster.started_us;
        let enough = elapsed_us >= DURATION_US && self.cluster.sent_packets >= MIN_PACKETS;
        if enough || elapsed_us >= MAX_DURATION_US {
            let until_us = now_us + AWAIT_US;
            self.state = State::Awaiting { until_us };
            return None;
        }
        let due_bits = self.cluster.rate_bps * (elapsed_us + TICK_US) as f64 / 1e6;
        Some(((due_bits / 8.0) as usize).saturating_sub(self.cluster.sent_bytes as usize))
    }

    fn start(&mut self, now_us: i64, estimate_bps: f64, free: bool) {
        let aim = self.wanted.map(|wanted| self.aim_bps(wanted, estimate_bps));
        let Some(aim_bps) = aim.filter(|aim| *aim > estimate_bps && free) else {
            return;
        };
        if now_us < self.next_at_us {
            return;
        }
        let step = if self.probed { STEP } else { FIRST_STEP };
        self.probed = true;
        self.id = self.id % MAX_CLUSTER + 1;
        self.cluster = Cluster {
            rate_bps: (estimate_bps * step).min(aim_bps).max(MIN_RATE_BPS),
            started_us: now_us,
            ..Cluster::default()
        };
        self.state = State::Sending;
    }

    /// Near the limit no more than what is of use at once: a probe that meets it delays everything
    /// else, and that of others on the same link.
    fn aim_bps(&self, wanted: Wanted, estimate_bps: f64) -> f64 {
        let step_bps = wanted.step_bps as f64;
        if self.met_limit && step_bps > estimate_bps {
            step_bps
        } else {
            wanted.all_bps as f64
        }
    }

    /// Feedback about a packet of a cluster.
    pub(super) fn on_result(&mut self, result: &PacketResult) {
        if result.cluster != self.id || self.state == State::Idle {
            return;
        }
        let Some(arrived_us) = result.arrived_us else {
            self.cluster.lost_packets += 1;
            return;
        };
        self.cluster.padding_arrived += u32::from(result.is_padding);
        self.cluster
            .received(result.sent_us, arrived_us, u64::from(result.size));
    }

    /// The finding of a cluster whose packets have all been told of, or that takes too long.
    pub(super) fn conclude(&mut self, now_us: i64, round_trip_us: i64) -> Option<Measured> {
        let State::Awaiting { until_us } = self.state else {
            return None;
        };
        let told = self.cluster.packets + self.cluster.lost_packets;
        if told < self.cluster.sent_packets && now_us < until_us + round_trip_us {
            return None;
        }
        self.state = State::Idle;
        self.is_answered = self.cluster.padding_arrived > 0 || self.cluster.padding_sent == 0;
        let measured = self.cluster.measure();
        match measured {
            Some(found) if found.bitrate_bps >= self.cluster.rate_bps * GOT_THROUGH => {
                self.next_at_us = now_us;
                self.interval_us = INTERVAL_US;
                self.met_limit = false;
                self.inconclusive = 0;
            }
            None if self.cluster.has_all_arrived() && self.inconclusive < MAX_INCONCLUSIVE => {
                self.next_at_us = now_us + AGAIN_US;
                self.inconclusive += 1;
            }
            _ => {
                self.inconclusive = 0;
                self.met_limit = true;
                self.next_at_us = now_us + self.interval_us;
                self.interval_us = (self.interval_us * 3 / 2).min(MAX_INTERVAL_US);
            }
        }
        measured
    }

    /// A probe has failed by leading to congestion, or there is congestion anyway.
    pub(super) fn back_off(&mut self, now_us: i64) {
        self.next_at_us = self.next_at_us.max(now_us + INTERVAL_US / 2);
        self.met_limit = true;
    }

    /// In how many microseconds `poll` or `conclude` is to be called again.
    pub(super) fn poll_wait_us(&self, now_us: i64) -> Option<i64> {
        match self.state {
            State::Sending => Some(TICK_US),
            State::Awaiting { until_us } => Some((until_us - now_us).max(IDLE_TICK_US)),
            // What holds a due probe up is looked at again soon, but not at once.
            State::Idle => self
                .wanted
                .is_some()
                .then_some((self.next_at_us - now_us).max(IDLE_TICK_US)),
        }
    }
}

impl Cluster {
    fn received(&mut self, sent_us: i64, arrived_us: i64, size: u64) {
        if self.packets == 0 {
            self.sent_us = Span {
                first: sent_us,
                last: sent_us,
            };
            self.arrived_us = Span {
                first: arrived_us,
                last: arrived_us,
            };
        }
        if sent_us > self.sent_us.last {
            self.last_sent_bytes = 0;
        }
        self.sent_us.first = self.sent_us.first.min(sent_us);
        self.sent_us.last = self.sent_us.last.max(sent_us);
        self.arrived_us.last = self.arrived_us.last.max(arrived_us);
        if sent_us == self.sent_us.last {
            self.last_sent_bytes += size;
        }
        if arrived_us - self.arrived_us.first <= FIRST_BURST_US {
            self.first_arrived_bytes += size;
        }
        self.packets += 1;
        self.bytes += size;
    }

    fn has_all_arrived(&self) -> bool {
        self.packets > 0 && self.packets == self.sent_packets
    }

    fn measure(&self) -> Option<Measured> {
        if f64::from(self.packets) < f64::from(self.sent_packets) * MIN_RECEIVED {
            return None;
        }
        let sending = rate_bps(self.bytes - self.last_sent_bytes, &self.sent_us)?;
        let arriving = rate_bps(self.bytes - self.first_arrived_bytes, &self.arrived_us)?;
        if arriving > sending * MAX_RATIO {
            return None;
        }
        let saturated = arriving < sending * SATURATED;
        let bitrate_bps = if saturated {
            arriving * OF_SATURATED
        } else {
            arriving.min(sending)
        };
        Some(Measured {
            bitrate_bps,
            saturated,
            lossless: self.lost_packets == 0,
        })
    }
}

fn rate_bps(bytes: u64, span: &Span) -> Option<f64> {
    let elapsed_us = span.last - span.first;
    (elapsed_us > 0 && bytes > 0).then(|| bytes as f64 * 8e6 / elapsed_us as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(step_bps: u64, all_bps: u64) -> Option<Wanted> {
        Some(Wanted {
            step_bps,
            all_bps,
            is_urgent: false,
        })
    }

    #[test]
    fn a_frame_in_a_cluster_delays_the_next_one_little_and_not_for_ever() {
        let mut prober = Prober::default();
        prober.want(0, wanted(2_000_000, 2_000_000));
        let mut now_us = 0;
        let mut waits = Vec::new();
        for _ in 0..5 {
            let mut sent = 0;
            while prober.poll(now_us, 300_000.0, true).is_some() {
                // A frame of ten packets right at the end; all arrive at once.
                let packets = if sent == 6 { 10 } else { 1 };
                for _ in 0..packets {
                    prober.on_sent(1_000, false);
                    prober.on_result(&PacketResult {
                        sent_us: now_us,
                        arrived_us: Some(now_us / 4 + 50_000),
                        size: 1_000,
                        cluster: prober.id,
                        is_padding: false,
                    });
                }
                sent += 1;
                now_us += TICK_US;
            }
            assert_eq!(prober.conclude(now_us, 0), None);
            waits.push(prober.next_at_us - now_us);
            now_us = prober.next_at_us;
        }
        let again = AGAIN_US;
        assert_eq!(waits, [again, again, again, INTERVAL_US, again]);
    }

    /// Lets a cluster end of which nothing arrives. Returns when.
    fn lose_cluster(prober: &mut Prober, mut now_us: i64, estimate_bps: f64) -> i64 {
        while prober.poll(now_us, estimate_bps, true).is_some() {
            prober.on_sent(250, true);
            now_us += TICK_US;
        }
        now_us += AWAIT_US;
        prober.conclude(now_us, 0);
        now_us
    }

    /// One cluster over a link of `link_bps`: what is measured, and the rate that was probed.
    fn probe(link_bps: f64, estimate_bps: f64) -> (Option<Measured>, f64) {
        let mut prober = Prober::default();
        prober.want(0, wanted(10_000_000, 10_000_000));
        let (mut now_us, mut free_at_us) = (0i64, 0.0f64);
        let mut results = Vec::new();
        while let Some(bytes) = prober.poll(now_us, estimate_bps, true) {
            for _ in 0..bytes.div_ceil(250) {
                prober.on_sent(250, true);
                free_at_us = free_at_us.max(now_us as f64) + 250.0 * 8e6 / link_bps;
                results.push(PacketResult {
                    sent_us: now_us,
                    arrived_us: Some(free_at_us as i64),
                    size: 250,
                    cluster: 1,
                    is_padding: true,
                });
            }
            now_us += TICK_US;
        }
        for result in &results {
            prober.on_result(result);
        }
        let rate_bps = prober.cluster.rate_bps;
        (prober.conclude(now_us, 0), rate_bps)
    }

    #[test]
    fn a_wide_link_shows_the_probed_rate_and_asks_for_more() {
        let (found, rate) = probe(50e6, 300_000.0);
        let found = found.expect("all has arrived");
        assert!(!found.saturated);
        assert!(
            (found.bitrate_bps / rate - 1.0).abs() < 0.15,
            "{found:?} of {rate}"
        );
    }

    #[test]
    fn a_narrow_link_shows_its_capacity() {
        let (found, _) = probe(500_000.0, 600_000.0);
        let found = found.expect("all has arrived");
        assert!(found.saturated);
        assert!(
            (found.bitrate_bps / 500_000.0 - 0.95).abs() < 0.1,
            "{found:?}"
        );
    }

    #[test]
    fn nothing_is_probed_while_the_estimate_is_enough() {
        let mut prober = Prober::default();
        prober.want(0, wanted(250_000, 250_000));
        assert_eq!(prober.poll(0, 300_000.0, true), None);
        prober.want(0, wanted(900_000, 900_000));
        assert_eq!(prober.poll(0, 300_000.0, false), None, "congested");
        assert!(prober.poll(0, 300_000.0, true).is_some());
    }

    #[test]
    fn a_probe_after_one_that_failed_goes_for_the_next_step_only() {
        let mut prober = Prober::default();
        prober.want(0, wanted(450_000, 2_000_000));
        let now_us = lose_cluster(&mut prober, 0, 400_000.0);
        assert!(prober.cluster.rate_bps >= 1_000_000.0);
        let next_us = now_us + INTERVAL_US;
        assert!(prober.poll(next_us, 400_000.0, true).is_some());
        assert!((prober.cluster.rate_bps - 450_000.0).abs() < 1.0);
    }

    #[test]
    fn what_has_been_taken_away_is_probed_for_soon() {
        let mut prober = Prober::default();
        prober.want(0, wanted(1_500_000, 1_500_000));
        let now_us = lose_cluster(&mut prober, 0, 700_000.0);
        prober.want(now_us, wanted(450_000, 1_500_000));
        assert!(prober.poll(now_us, 350_000.0, true).is_none(), "at once");
        let soon_us = now_us + RETRY_US;
        assert!(prober.poll(soon_us, 350_000.0, true).is_some());
    }
}
