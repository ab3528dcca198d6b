//! The loss-based bound: how much of the loss is the path's own, and how much comes from sending
//! more than fits?
//!
//! A maximum-likelihood choice over the last observations. Each candidate is a bandwidth with an
//! inherent loss; sending above the bandwidth loses the excess. Loss that does not depend on the
//! rate is so left alone, up to a bound that falls as loss grows.

use super::aimd::{MAX_BPS, MIN_BPS};
use super::history::PacketResult;

/// Observations kept, and how long one is at least.
const WINDOW: usize = 20;
const OBSERVATION_US: i64 = 250_000;
const FACTORS: [f64; 3] = [1.02, 1.0, 0.95];
const AGEING: f64 = 0.9;
const INITIAL_INHERENT: f64 = 0.01;
const MIN_INHERENT: f64 = 1e-3;
/// Inherent loss is at most `OFFSET` + `BALANCE` / bandwidth; the instant bound is its inverse.
const OFFSET: f64 = 0.05;
const BALANCE_BPS: f64 = 75_000.0;
const NEWTON_STEP: f64 = 0.75;
/// How much a higher bandwidth is preferred, by kbit/s and by their logarithm.
const BIAS: f64 = 0.0002;
const LOG_BIAS: f64 = 0.02;
/// Loss from which a lower bandwidth is preferred. Radio links lose a fifth at any rate: libwebrtc's
/// 0.15 would give up on them.
const BIAS_TURNS_AT: f64 = 0.3;
const BIAS_SMOOTHING: f64 = 0.002;
/// While loss limits, growth within one window is bounded.
const GROWTH_WINDOW_US: i64 = 300_000;
const MAX_GROWTH: f64 = 1.3;

#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    packets: f64,
    lost: f64,
    sending_bps: f64,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    bandwidth_bps: f64,
    inherent: f64,
}

/// Packets of an observation that is not long enough yet.
#[derive(Debug, Clone, Copy, Default)]
struct Partial {
    packets: u32,
    lost: u32,
    bytes: u64,
    first_us: i64,
    last_us: i64,
}

/// The estimator.
#[derive(Debug)]
pub(super) struct LossBound {
    observations: [Observation; WINDOW],
    count: usize,
    partial: Partial,
    channel: Channel,
    /// The bandwidth is below the delay-based rate, so that it counts.
    limits: bool,
    grows_from_us: Option<i64>,
    growth_limit_bps: f64,
    /// What the average loss alone allows.
    instant_bps: f64,
}

impl Default for LossBound {
    fn default() -> Self {
        Self {
            observations: [Observation::default(); WINDOW],
            count: 0,
            partial: Partial::default(),
            channel: Channel {
                bandwidth_bps: MAX_BPS,
                inherent: INITIAL_INHERENT,
            },
            limits: false,
            grows_from_us: None,
            growth_limit_bps: MAX_BPS,
            instant_bps: MAX_BPS,
        }
    }
}

impl LossBound {
    /// What loss allows at most.
    pub(super) fn bitrate_bps(&self) -> f64 {
        let bound = if self.limits {
            self.channel.bandwidth_bps
        } else {
            MAX_BPS
        };
        bound.min(self.instant_bps)
    }

    /// Takes in what one feedback has told. `delay_bps` is the delay-based rate.
    pub(super) fn update(
        &mut self,
        results: &[PacketResult],
        delay_bps: f64,
        arriving_bps: Option<f64>,
    ) {
        for result in results {
            self.partial.add(result);
        }
        if !self.observe() {
            return;
        }
        let now_us = self.partial.last_us;
        self.partial = Partial::default();
        let average = self.average_loss();
        self.instant_bps = instant_bound_bps(average);
        let current = self.channel.bandwidth_bps.min(delay_bps);
        let limited = self.channel.bandwidth_bps < delay_bps;
        let by_factor = FACTORS.map(|factor| Some(current * factor));
        let others = [arriving_bps.filter(|bps| *bps < current), Some(delay_bps)];
        let upper = if limited {
            self.growth_limit_bps
        } else {
            MAX_BPS
        };
        let candidates = by_factor.into_iter().chain(others).flatten();
        let candidates =
            candidates.map(|bandwidth| bandwidth.min(upper.max(current)).clamp(MIN_BPS, MAX_BPS));
        let mut best = if average > 0.0 {
            self.likeliest(candidates, average)
        } else {
            // The same, found at once: without any loss more is likelier than less.
            Channel {
                bandwidth_bps: candidates.fold(MIN_BPS, f64::max),
                inherent: MIN_INHERENT,
            }
        };
        if average > best.inherent {
            best.bandwidth_bps = best.bandwidth_bps.min(current);
        }
        self.channel = best;
        let limited = best.bandwidth_bps < delay_bps;
        self.limits = limited;
        let over = |at: i64| now_us - at > GROWTH_WINDOW_US;
        if limited && self.grows_from_us.is_none_or(over) {
            self.growth_limit_bps = (best.bandwidth_bps * MAX_GROWTH).max(MIN_BPS);
            self.grows_from_us = Some(now_us);
        }
    }

    /// The channel by which what has been observed is the likeliest.
    fn likeliest(&self, bandwidths_bps: impl Iterator<Item = f64>, average_loss: f64) -> Channel {
        let (mut best, mut best_objective) = (self.channel, f64::NEG_INFINITY);
        for bandwidth_bps in bandwidths_bps {
            let mut candidate = Channel {
                bandwidth_bps,
                inherent: self.channel.inherent,
            };
            self.newton(&mut candidate);
            let objective = self.objective(&candidate, average_loss);
            if objective > best_objective {
                best_objective = objective;
                best = candidate;
            }
        }
        best
    }

    /// The path has just carried so much without loss: what it lost before no longer tells.
    pub(super) fn carried(&mut self, bitrate_bps: f64) {
        if self.limits && bitrate_bps > self.channel.bandwidth_bps {
            *self = Self::default();
        }
    }

    /// Makes the collected packets an observation, if they are enough.
    fn observe(&mut self) -> bool {
        let partial = &self.partial;
        let elapsed_us = partial.last_us - partial.first_us;
        if partial.packets == 0 || elapsed_us < OBSERVATION_US {
            return false;
        }
        self.observations.rotate_right(1);
        self.observations[0] = Observation {
            packets: f64::from(partial.packets),
            lost: f64::from(partial.lost),
            sending_bps: partial.bytes as f64 * 8e6 / elapsed_us as f64,
        };
        self.count = (self.count + 1).min(WINDOW);
        true
    }

    /// Observations with their weight, the latest first.
    fn weighted(&self) -> impl Iterator<Item = (f64, &Observation)> {
        let weights = std::iter::successors(Some(1.0), |weight| Some(weight * AGEING));
        weights.zip(&self.observations[..self.count])
    }

    fn average_loss(&self) -> f64 {
        let (lost, packets) = self
            .weighted()
            .fold((0.0, 0.0), |(lost, packets), (w, seen)| {
                (lost + w * seen.lost, packets + w * seen.packets)
            });
        if packets > 0.0 { lost / packets } else { 0.0 }
    }

    /// One step towards the likeliest inherent loss for the candidate's bandwidth.
    fn newton(&self, candidate: &mut Channel) {
        candidate.bound();
        let (mut first, mut second) = (0.0, 0.0);
        for (weight, seen) in self.weighted() {
            let loss = candidate.loss_at(seen.sending_bps);
            let received = seen.packets - seen.lost;
            first += weight * (seen.lost / loss - received / (1.0 - loss));
            let curvature = seen.lost / (loss * loss) + received / ((1.0 - loss) * (1.0 - loss));
            second -= weight * curvature;
        }
        if second < -1e-9 {
            candidate.inherent -= NEWTON_STEP * first / second;
        }
        candidate.bound();
    }

    fn objective(&self, candidate: &Channel, average_loss: f64) -> f64 {
        let distance = BIAS_TURNS_AT - average_loss;
        let turn = distance / (BIAS_SMOOTHING + distance.abs());
        let kbps = candidate.bandwidth_bps / 1_000.0;
        let bias = turn * (BIAS * kbps + LOG_BIAS * kbps.ln_1p());
        self.weighted()
            .map(|(weight, seen)| {
                let loss = candidate.loss_at(seen.sending_bps);
                let received = seen.packets - seen.lost;
                weight * (seen.lost * loss.ln() + received * (1.0 - loss).ln())
                    + weight * bias * seen.packets
            })
            .sum()
    }
}

fn instant_bound_bps(loss: f64) -> f64 {
    if loss > OFFSET {
        BALANCE_BPS / (loss - OFFSET)
    } else {
        MAX_BPS
    }
}

impl Channel {
    fn loss_at(&self, sending_bps: f64) -> f64 {
        let excess = (sending_bps - self.bandwidth_bps).max(0.0) / sending_bps.max(1.0);
        (self.inherent + (1.0 - self.inherent) * excess).clamp(1e-6, 1.0 - 1e-6)
    }

    fn bound(&mut self) {
        let upper = (OFFSET + BALANCE_BPS / self.bandwidth_bps.max(1.0)).min(1.0);
        self.inherent = self.inherent.max(MIN_INHERENT).min(upper);
    }
}

impl Partial {
    fn add(&mut self, result: &PacketResult) {
        if self.packets == 0 {
            (self.first_us, self.last_us) = (result.sent_us, result.sent_us);
        }
        self.first_us = self.first_us.min(result.sent_us);
        self.last_us = self.last_us.max(result.sent_us);
        self.packets += 1;
        self.lost += u32::from(result.arrived_us.is_none());
        self.bytes += u64::from(result.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_loss_the_short_way_finds_what_the_long_one_does() {
        let mut bound = LossBound::default();
        let average = 0.0;
        for (sending_bps, inherent) in [(90e3, 0.001), (800e3, 0.01), (4e6, 0.4)] {
            bound.observations[0] = Observation {
                packets: 30.0,
                lost: 0.0,
                sending_bps,
            };
            bound.count = 1;
            bound.channel.inherent = inherent;
            let candidates = [1e6, 2e6, 1.1e6];
            let found = bound.likeliest(candidates.into_iter(), average);
            assert_eq!((found.bandwidth_bps, found.inherent), (2e6, MIN_INHERENT));
        }
    }

    /// Ten seconds at `sending_bps` in packets of 1,000 bytes of which every `lost_every`th is lost.
    fn after(sending_bps: f64, lost_every: usize, delay_bps: f64) -> f64 {
        let mut bound = LossBound::default();
        let gap_us = (8_000.0 * 1e6 / sending_bps) as i64;
        let mut n = 0usize;
        for _ in 0..100 {
            let packets = (100_000 / gap_us).max(1);
            let results: Vec<_> = (0..packets)
                .map(|_| {
                    n += 1;
                    let sent_us = n as i64 * gap_us;
                    PacketResult {
                        sent_us,
                        arrived_us: (!n.is_multiple_of(lost_every)).then_some(sent_us),
                        size: 1_000,
                        cluster: 0,
                        is_padding: false,
                    }
                })
                .collect();
            bound.update(&results, delay_bps, Some(sending_bps * 0.9));
        }
        bound.bitrate_bps()
    }

    #[test]
    fn little_loss_bounds_nothing() {
        let bound = after(1_000_000.0, 50, 1_200_000.0);
        assert!(bound >= 1_200_000.0, "{bound}");
    }

    #[test]
    fn random_loss_of_a_tenth_leaves_a_slow_stream_alone() {
        let bound = after(300_000.0, 10, 450_000.0);
        assert!(bound >= 300_000.0, "{bound}");
    }

    #[test]
    fn heavy_loss_bounds_a_fast_stream() {
        let bound = after(2_000_000.0, 3, 3_000_000.0);
        assert!(bound < 500_000.0, "{bound}");
    }
}
