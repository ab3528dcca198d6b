//! The delay-based rate: up gently while delays are steady, down to 85 % of what arrives when they
//! grow. Close to the capacity that earlier overuse has shown it grows by about a packet a response
//! time, elsewhere by 8 % a second.

use super::trendline::Usage;

/// What is assumed before anything is known.
pub(super) const START_BPS: f64 = 300_000.0;
pub(super) const MIN_BPS: f64 = 10_000.0;
pub(super) const MAX_BPS: f64 = 30_000_000.0;
/// What remains of the arriving rate on overuse.
const BACKOFF: f64 = 0.85;
const GROWTH_PER_S: f64 = 1.08;
/// A packet and a frame rate, for the careful increase.
const PACKET_BITS: f64 = 1_200.0 * 8.0;
const FRAMES_PER_S: f64 = 30.0;
const MIN_GROWTH_BPS_PER_S: f64 = 4_000.0;
/// What arrives for so long without growing delays fits, whatever was thought before.
const PROVEN_AFTER_US: i64 = 1_000_000;
/// Between two decreases.
const REDUCE_INTERVAL_US: (i64, i64) = (10_000, 200_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hold,
    Increase,
    Decrease,
}

/// What the link could carry when it was last overused, with its deviation.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    kbps: f64,
    /// Variance over the estimate.
    deviation: f64,
}

/// Arriving at less than this share of the rate, the sender did not use it.
const UNUSED: f64 = 0.8;
/// Then what remains is this share of what packet trains have shown: the queue that has grown is
/// that of a burst, not of a stream.
const OF_TRAIN: f64 = 0.95;
/// Unless less than this share of what is sent arrives: then the path has become narrower than its
/// trains were.
const CARRIED: f64 = 0.75;

/// What is known of the path when the rate is updated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub arriving_bps: Option<f64>,
    /// Measured like what arrives.
    pub sent_bps: Option<f64>,
    /// Rate at which packets arrive that left together.
    pub train_bps: Option<f64>,
    pub round_trip_us: i64,
    /// Probes can raise the rate; else growth is not bound to what arrives.
    pub probed: bool,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Aimd {
    bitrate_bps: f64,
    state: State,
    changed_at_us: i64,
    increasing_since_us: i64,
    reduced_at_us: Option<i64>,
    capacity: Option<Capacity>,
}

impl Default for Aimd {
    fn default() -> Self {
        Self {
            bitrate_bps: START_BPS,
            state: State::Hold,
            changed_at_us: 0,
            increasing_since_us: 0,
            reduced_at_us: None,
            capacity: None,
        }
    }
}

impl Aimd {
    /// Without any knowledge but that the path has once carried so much.
    pub(super) fn begin_with(bitrate_bps: f64) -> Self {
        Self {
            bitrate_bps: bitrate_bps.clamp(START_BPS, MAX_BPS),
            ..Self::default()
        }
    }

    pub(super) fn bitrate_bps(&self) -> f64 {
        self.bitrate_bps
    }

    /// A probe has measured the path.
    pub(super) fn set(&mut self, bitrate_bps: f64, now_us: i64) {
        self.bitrate_bps = bitrate_bps.clamp(MIN_BPS, MAX_BPS);
        self.changed_at_us = now_us;
        if self.capacity.is_some_and(|c| bitrate_bps > c.upper_bps()) {
            self.capacity = None;
        }
    }

    pub(super) fn update(&mut self, usage: Usage, seen: &Seen, now_us: i64) {
        self.state = match (usage, self.state) {
            (Usage::Over, _) => State::Decrease,
            (Usage::Under, _) => State::Hold,
            (Usage::Normal, State::Hold) => {
                self.changed_at_us = now_us;
                self.increasing_since_us = now_us;
                State::Increase
            }
            (Usage::Normal, state) => state,
        };
        match self.state {
            State::Hold => {}
            State::Increase => self.increase(seen, now_us),
            State::Decrease => self.decrease(seen, now_us),
        }
    }

    fn increase(&mut self, seen: &Seen, now_us: i64) {
        let arriving_bps = seen.arriving_bps;
        if let (Some(arriving), Some(capacity)) = (arriving_bps, self.capacity)
            && arriving > capacity.upper_bps()
        {
            self.capacity = None;
        }
        if let Some(arriving) = arriving_bps
            && arriving > self.bitrate_bps
            && now_us - self.increasing_since_us >= PROVEN_AFTER_US
        {
            self.bitrate_bps = arriving.min(MAX_BPS);
        }
        let elapsed_s = ((now_us - self.changed_at_us) as f64 / 1e6).clamp(0.0, 1.0);
        self.changed_at_us = now_us;
        let limit = match arriving_bps {
            Some(arriving) if seen.probed => arriving * 1.5 + 10_000.0,
            _ => MAX_BPS,
        };
        if self.bitrate_bps >= limit {
            return;
        }
        let grown = match self.capacity {
            Some(_) => self.bitrate_bps + self.careful_growth(seen.round_trip_us) * elapsed_s,
            None => {
                let factor = GROWTH_PER_S.powf(elapsed_s);
                (self.bitrate_bps * factor).max(self.bitrate_bps + 1_000.0 * elapsed_s)
            }
        };
        self.bitrate_bps = grown.min(limit).min(MAX_BPS);
    }

    /// Bits a second, each second.
    fn careful_growth(&self, round_trip_us: i64) -> f64 {
        let frame_bits = self.bitrate_bps / FRAMES_PER_S;
        let packets = (frame_bits / PACKET_BITS).ceil().max(1.0);
        let response_s = (round_trip_us as f64 / 1e6 + 0.1) * 2.0;
        (frame_bits / packets / response_s).max(MIN_GROWTH_BPS_PER_S)
    }

    fn decrease(&mut self, seen: &Seen, now_us: i64) {
        let interval = seen
            .round_trip_us
            .clamp(REDUCE_INTERVAL_US.0, REDUCE_INTERVAL_US.1);
        let arriving = seen
            .arriving_bps
            .unwrap_or(self.bitrate_bps / 2.0 / BACKOFF);
        let soon = self.reduced_at_us.is_some_and(|at| now_us - at < interval);
        if soon && arriving > self.bitrate_bps / 2.0 {
            return;
        }
        let carried = seen.sent_bps.is_none_or(|sent| arriving >= sent * CARRIED);
        let unused = carried && arriving < self.bitrate_bps * UNUSED;
        let capacity_bps = match seen.train_bps {
            Some(train) if unused => arriving.max(train),
            _ => arriving,
        };
        let mut reduced = match seen.train_bps {
            Some(train) if unused => (train * OF_TRAIN).max(arriving * BACKOFF),
            _ => arriving * BACKOFF,
        };
        if let Some(capacity) = self
            .capacity
            .filter(|_| !unused && reduced > self.bitrate_bps)
        {
            reduced = capacity.kbps * 1_000.0 * BACKOFF;
        }
        self.bitrate_bps = self.bitrate_bps.min(reduced).max(MIN_BPS);
        if seen.arriving_bps.is_some() {
            self.learn_capacity(capacity_bps / 1_000.0);
        }
        self.reduced_at_us = Some(now_us);
        self.changed_at_us = now_us;
        self.state = State::Hold;
    }

    fn learn_capacity(&mut self, kbps: f64) {
        let known = self.capacity.filter(|c| kbps >= c.lower_kbps());
        self.capacity = Some(match known {
            None => Capacity {
                kbps,
                deviation: 0.4,
            },
            Some(capacity) => capacity.smoothed(kbps),
        });
    }
}

impl Capacity {
    fn smoothed(self, sample_kbps: f64) -> Self {
        const WEIGHT: f64 = 0.05;
        let kbps = self.kbps + (sample_kbps - self.kbps) * WEIGHT;
        let error = kbps - sample_kbps;
        let deviation = self.deviation * (1.0 - WEIGHT) + error * error / kbps.max(1.0) * WEIGHT;
        Self {
            kbps,
            deviation: deviation.clamp(0.4, 2.5),
        }
    }

    fn spread_kbps(&self) -> f64 {
        3.0 * (self.deviation * self.kbps).sqrt()
    }

    fn upper_bps(&self) -> f64 {
        (self.kbps + self.spread_kbps()) * 1_000.0
    }

    fn lower_kbps(&self) -> f64 {
        (self.kbps - self.spread_kbps()).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(arriving_bps: f64) -> Seen {
        Seen {
            arriving_bps: Some(arriving_bps),
            sent_bps: Some(arriving_bps),
            train_bps: None,
            round_trip_us: 50_000,
            probed: true,
        }
    }

    #[test]
    fn falls_to_what_arrives_and_recovers_slowly_near_it() {
        let mut rate = Aimd::default();
        rate.set(2_000_000.0, 0);
        rate.update(Usage::Over, &seen(150_000.0), 100_000);
        assert!((rate.bitrate_bps() - 127_500.0).abs() < 1.0);
        for n in 0..10 {
            let now_us = 200_000 + n * 100_000;
            rate.update(Usage::Normal, &seen(125_000.0), now_us);
        }
        let recovered = rate.bitrate_bps();
        assert!((130_000.0..165_000.0).contains(&recovered), "{recovered}");
    }

    #[test]
    fn an_application_that_sends_little_cannot_talk_the_rate_up() {
        let mut rate = Aimd::default();
        for n in 0..600 {
            rate.update(Usage::Normal, &seen(300_000.0), n * 100_000);
        }
        assert!(rate.bitrate_bps() <= 460_000.0, "{}", rate.bitrate_bps());
    }

    #[test]
    fn one_congestion_is_one_decrease() {
        let mut rate = Aimd::default();
        rate.set(1_000_000.0, 0);
        rate.update(Usage::Over, &seen(900_000.0), 10_000);
        let once = rate.bitrate_bps();
        rate.update(Usage::Over, &seen(700_000.0), 30_000);
        assert!((rate.bitrate_bps() - once).abs() < 1.0);
    }

    #[test]
    fn a_key_frame_on_a_quiet_path_is_not_congestion_at_the_quiet_rate() {
        let mut rate = Aimd::default();
        rate.set(450_000.0, 0);
        let burst = Seen {
            train_bps: Some(500_000.0),
            ..seen(110_000.0)
        };
        rate.update(Usage::Over, &burst, 10_000);
        assert!(rate.bitrate_bps() > 400_000.0, "{}", rate.bitrate_bps());
    }

    #[test]
    fn fast_trains_of_the_past_do_not_hide_that_less_arrives_than_is_sent() {
        let mut rate = Aimd::default();
        rate.set(604_000.0, 0);
        let narrowed = Seen {
            train_bps: Some(2_000_000.0),
            sent_bps: Some(490_000.0),
            ..seen(280_000.0)
        };
        rate.update(Usage::Over, &narrowed, 10_000);
        assert!(rate.bitrate_bps() < 280_000.0, "{}", rate.bitrate_bps());
    }
}
