//! Send-side bandwidth estimation of one transport (congestion control after GoogCC).
//!
//! The behaviour followed is libwebrtc's, with the constants of `trendline_estimator.cc` at
//! 0b51f0288ec1 and `loss_based_bwe_v2.cc` at 14e2779a6ccd: transport feedback → packet groups →
//! trendline with adaptive threshold → AIMD, bounded by a likelihood estimate of loss, raised by
//! probes. Ours differs in this: probe packets are kept out of delay and loss, bursts at a cluster's
//! edges are left out of its rate, probes are made on demand (`want`) rather than by state, and a
//! stream far below the estimate does not pull it down to its own rate (`train`), if it arrives. A probe that
//! passes without loss ends what loss has said before. Loss turns the
//! preference for higher rates later. An estimate ages (`age`).
//!
//! Pure: time is passed in, nothing is allocated after `new`.

mod acknowledged;
mod age;
mod aimd;
mod arrival;
mod history;
mod loss;
mod probe;
mod train;
mod trendline;

use std::mem::offset_of;
use std::time::{Duration, Instant};

use self::acknowledged::Acknowledged;
use self::age::Age;
use self::aimd::{Aimd, MIN_BPS, Seen};
use self::arrival::InterArrival;
use self::history::SendHistory;
use self::loss::LossBound;
use self::probe::Prober;
pub use self::probe::Wanted;
use self::train::Trains;
use self::trendline::{Trendline, Usage};
use crate::prefetch::prefetch;
use crate::rtcp::TransportFeedback;

pub use self::history::PacketResult;

/// What flows for so long without loss, and arrives at this share of its rate, fits, whatever loss and
/// delay say: where no probe tells.
const PROVEN_AFTER_US: i64 = 1_000_000;
const ALL: f64 = 0.97;
/// What the delay said is stale after this.
const USAGE_HOLDS_US: i64 = 500_000;
/// Feedback that takes longer than this is no measure of the round trip.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(2);
/// Retransmissions may come in bursts of this long at the estimated rate, and of this many bytes.
const REPAIR_BURST_US: f64 = 100_000.0;
const REPAIR_BURST_BYTES: f64 = 6_000.0;

/// The estimator of one transport. What every packet needs comes first.
#[derive(Debug)]
#[repr(C)]
pub struct Estimator {
    started: Instant,
    history: SendHistory,
    age: Age,
    prober: Prober,
    /// The rate of packets as they leave.
    sent: Acknowledged,
    /// And as they arrive.
    acknowledged: Acknowledged,
    groups: InterArrival,
    trendline: Trendline,
    trains: Trains,
    aimd: Aimd,
    loss: LossBound,
    usage_at_us: i64,
    lossless_since_us: i64,
    /// Receiver's clock in units of 64 ms, with rollovers.
    reference: Option<i64>,
    /// Padding can be sent, so that probes can raise the estimate.
    can_probe: bool,
    repair_bytes: f64,
    repair_at_us: i64,
}

impl Estimator {
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            history: SendHistory::default(),
            groups: InterArrival::default(),
            trendline: Trendline::default(),
            acknowledged: Acknowledged::default(),
            sent: Acknowledged::default(),
            trains: Trains::default(),
            aimd: Aimd::default(),
            loss: LossBound::default(),
            prober: Prober::default(),
            age: Age::default(),
            usage_at_us: 0,
            lossless_since_us: 0,
            reference: None,
            can_probe: false,
            repair_bytes: REPAIR_BURST_BYTES,
            repair_at_us: 0,
        }
    }

    /// What the path can carry, in datagram bytes. `None` for a peer that sends no feedback.
    pub fn bitrate_bps(&self, now: Instant) -> Option<u64> {
        let now_us = self.us(now);
        let deaf = self.age.is_deaf(now_us);
        (!deaf).then_some(self.estimate_bps(now_us) as u64)
    }

    /// Whether the estimate rests on anything: not before the first acknowledgement, and not once
    /// nothing has been under way for some seconds.
    pub fn is_known(&self, now: Instant) -> bool {
        self.age.is_known(self.us(now))
    }

    /// Whether queues on the way grow.
    pub fn is_overused(&self, now: Instant) -> bool {
        self.usage(self.us(now)) == Usage::Over
    }

    /// Whether probes tell anything: padding can be sent, and arrives or is reported as lost.
    pub fn can_learn(&self) -> bool {
        self.can_probe && self.prober.is_answered()
    }

    /// To be called on every tick: forgets what has become too old to count.
    pub fn grow_old(&mut self, now: Instant) {
        let now_us = self.us(now);
        let last_us = self.history.last_sent_us(now_us);
        let is_idle = |last_us| self.age.is_idle(now_us, last_us, self.can_probe);
        if last_us.is_some_and(is_idle) {
            self.begin_anew(now_us);
        }
    }

    /// As with a path never seen before; that it once carried more than is assumed of those is still
    /// the best guess.
    fn begin_anew(&mut self, now_us: i64) {
        self.aimd = Aimd::begin_with(self.estimate_bps(now_us));
        self.age.begin_anew();
        self.sent = Acknowledged::default();
        self.acknowledged = Acknowledged::default();
        self.groups = InterArrival::default();
        self.trendline = Trendline::default();
        self.trains = Trains::default();
        self.loss = LossBound::default();
        self.prober.begin_anew(now_us);
    }

    /// The transport-wide sequence number for the next packet.
    pub fn next_sequence(&self) -> u16 {
        self.history.next_sequence()
    }

    /// Brings what the next packet needs nearer.
    pub fn prefetch_for_packet(&self) {
        prefetch(self, offset_of!(Self, acknowledged));
    }

    /// Brings what a feedback packet needs nearer.
    pub fn prefetch_for_feedback(&self) {
        prefetch(self, size_of::<Self>());
    }

    /// Brings the places nearer where so many packets will be remembered.
    pub fn prefetch_for_sending(&self, packets: usize) {
        self.history.prefetch_next(packets);
    }

    /// Packets numbered from `next_sequence` on have left together, each of so many bytes of
    /// datagram.
    pub fn on_sent(&mut self, now: Instant, sizes: &[u16]) {
        self.record(now, sizes, false);
    }

    /// A packet of nothing but padding has left.
    pub fn on_padding_sent(&mut self, now: Instant, size: u16) {
        self.record(now, &[size], true);
    }

    #[inline]
    fn record(&mut self, now: Instant, sizes: &[u16], is_padding: bool) {
        let now_us = self.us(now);
        self.age.on_sent(now_us);
        let cluster = self.prober.current();
        let mut bytes = 0;
        for size in sizes {
            self.history.record(now_us, *size, cluster, is_padding);
            bytes += u32::from(*size);
            if cluster != 0 {
                self.prober.on_sent(usize::from(*size), is_padding);
            }
        }
        self.sent.on_packet(now_us, bytes);
    }

    /// Whether a retransmission of about `size` bytes fits the budget, which it then takes from.
    pub fn allow_repair(&mut self, now: Instant, size: usize) -> bool {
        let now_us = self.us(now);
        let bytes_per_us = self.estimate_bps(now_us) / 8e6;
        let most = (bytes_per_us * REPAIR_BURST_US).max(REPAIR_BURST_BYTES);
        let refill = bytes_per_us * (now_us - self.repair_at_us) as f64;
        self.repair_bytes = (self.repair_bytes + refill).min(most);
        self.repair_at_us = now_us;
        if self.repair_bytes < size as f64 {
            return false;
        }
        self.repair_bytes -= size as f64;
        true
    }

    /// Takes in a feedback packet. `scratch` is emptied; it spares an allocation.
    pub fn on_feedback(
        &mut self,
        now: Instant,
        feedback: &TransportFeedback<'_>,
        round_trip: Duration,
        scratch: &mut Vec<PacketResult>,
    ) {
        let told = usize::from(feedback.packet_count);
        self.history.prefetch_sent(feedback.base_sequence, told);
        let now_us = self.us(now);
        let round_trip_us = round_trip.min(MAX_ROUND_TRIP).as_micros() as i64;
        self.collect(now_us, feedback, scratch);
        if scratch.is_empty() {
            return;
        }
        self.age.on_feedback(round_trip_us);
        let can_learn = self.can_learn();
        self.acknowledged.follow_rises(!can_learn);
        self.sent.follow_rises(!can_learn);
        if scratch.iter().any(|result| result.arrived_us.is_some()) {
            self.end_silence(now_us);
        }
        scratch.sort_unstable_by_key(|result| (result.arrived_us, result.sent_us));
        for result in scratch.iter() {
            if result.cluster != 0 {
                self.prober.on_result(result);
            }
            let Some(arrived_us) = result.arrived_us else {
                continue;
            };
            self.acknowledged
                .on_packet(arrived_us, u32::from(result.size));
            self.trains
                .on_packet(result.sent_us, arrived_us, result.size);
            if result.cluster == 0
                && let Some(delta) = self.groups.on_packet(result.sent_us, arrived_us)
            {
                self.trendline.update(delta, arrived_us);
                self.usage_at_us = now_us;
            }
        }
        scratch.retain(|result| result.cluster == 0);
        let usage = self.usage(now_us);
        let arriving_bps = match usage {
            Usage::Over => self.acknowledged.ceiling_bps(),
            _ => self.acknowledged.bitrate_bps(),
        };
        let seen = Seen {
            arriving_bps,
            sent_bps: self.sent.ceiling_bps(),
            train_bps: self.trains.bitrate_bps(),
            round_trip_us,
            probed: self.can_probe,
        };
        self.aimd.update(usage, &seen, now_us);
        if usage == Usage::Over {
            self.prober.back_off(now_us);
        }
        self.conclude_probe(now_us, round_trip_us);
        self.loss
            .update(scratch, self.aimd.bitrate_bps(), arriving_bps);
        if scratch.iter().any(|result| result.arrived_us.is_none()) {
            self.lossless_since_us = now_us;
        }
        if !can_learn {
            self.believe_what_arrives(now_us);
        }
    }

    /// The delays of a busy receiver, or those that a path makes by itself, look like a queue that grows.
    /// While all that is sent arrives there is none, and nobody's picture must go for it.
    fn believe_what_arrives(&mut self, now_us: i64) {
        let rates = (self.sent.bitrate_bps(), self.acknowledged.ceiling_bps());
        let (Some(sent_bps), Some(arriving_bps)) = rates else {
            return;
        };
        let is_proven = now_us - self.lossless_since_us >= PROVEN_AFTER_US;
        if is_proven && arriving_bps >= sent_bps * ALL {
            self.loss.carried(arriving_bps);
            if arriving_bps > self.aimd.bitrate_bps() {
                self.aimd.set(arriving_bps, now_us);
            }
        }
    }

    /// Something has been acknowledged. What silence has taken from the estimate is not given back: the
    /// path may be another one by now, and a probe finds out.
    fn end_silence(&mut self, now_us: i64) {
        let left = self.age.left(now_us);
        if left < 1.0 {
            self.aimd.set(self.aimd.bitrate_bps() * left, now_us);
            self.prober.hurry(now_us);
        }
        self.age.on_acknowledged();
    }

    /// Tells what would be of use beyond what flows, if anything, and whether padding can be sent to
    /// find out what fits.
    pub fn want(&mut self, now: Instant, wanted: Option<Wanted>, can_probe: bool) {
        self.can_probe = can_probe;
        self.prober.want(self.us(now), wanted);
    }

    /// Bytes of padding to send now, 0 or more while a probe runs.
    pub fn poll_padding(&mut self, now: Instant, round_trip: Duration) -> Option<usize> {
        let now_us = self.us(now);
        self.conclude_probe(now_us, round_trip.as_micros() as i64);
        let free = self.usage(now_us) != Usage::Over;
        self.prober.poll(now_us, self.estimate_bps(now_us), free)
    }

    /// When `poll_padding` is to be called next.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let wait = self.prober.poll_wait_us(self.us(now))?;
        Some(now + Duration::from_micros(wait.max(0) as u64))
    }

    fn conclude_probe(&mut self, now_us: i64, round_trip_us: i64) {
        let Some(found) = self.prober.conclude(now_us, round_trip_us) else {
            return;
        };
        if found.lossless && !found.saturated {
            self.loss.carried(found.bitrate_bps);
        }
        let current = self.aimd.bitrate_bps();
        if found.bitrate_bps > current {
            self.aimd.set(found.bitrate_bps, now_us);
        } else if found.saturated {
            let arriving = self.acknowledged.bitrate_bps().unwrap_or(0.0);
            self.aimd
                .set(found.bitrate_bps.max(arriving).min(current), now_us);
        }
    }

    fn collect(
        &mut self,
        now_us: i64,
        feedback: &TransportFeedback<'_>,
        results: &mut Vec<PacketResult>,
    ) {
        results.clear();
        let mut clock_us = self.unwrap_reference(feedback.reference_time) * 64_000;
        let (first, packets) = self.history.remembered();
        for (sequence, delta) in feedback.statuses_of(first, packets) {
            let arrived_us = delta.map(|delta| {
                clock_us += i64::from(delta) * 250;
                clock_us
            });
            if let Some(result) = self.history.settle(sequence, arrived_us, now_us) {
                results.push(result);
            }
        }
    }

    /// The 24-bit time of a feedback, continued over its rollovers.
    fn unwrap_reference(&mut self, reference: i32) -> i64 {
        let last = self.reference.unwrap_or_else(|| i64::from(reference));
        let ahead = reference.wrapping_sub(last as i32) << 8 >> 8;
        let unwrapped = last + i64::from(ahead);
        self.reference = Some(unwrapped);
        unwrapped
    }

    fn usage(&self, now_us: i64) -> Usage {
        if now_us - self.usage_at_us > USAGE_HOLDS_US {
            return Usage::Normal;
        }
        self.trendline.usage()
    }

    fn estimate_bps(&self, now_us: i64) -> f64 {
        let bitrate_bps = self.aimd.bitrate_bps().min(self.loss.bitrate_bps());
        (bitrate_bps * self.age.left(now_us)).max(MIN_BPS)
    }

    fn us(&self, now: Instant) -> i64 {
        now.saturating_duration_since(self.started).as_micros() as i64
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
