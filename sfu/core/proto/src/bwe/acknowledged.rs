//! The rate at which a transport's packets arrive: a Bayesian estimate that trusts a sample less the
//! more it surprises, so that one burst or pause does not move it much. On overuse that is too slow
//! after a large drop: then the best of the last samples is what the path carries. And after a large rise,
//! as when a picture comes back: where no probe tells, what all of the last samples have shown is.

/// Windows of one sample, first and later.
const FIRST_WINDOW_US: i64 = 500_000;
const WINDOW_US: i64 = 150_000;
/// How uncertain a sample is for its distance from the estimate.
const UNCERTAINTY: f64 = 10.0;
/// What the estimate's variance (kbit/s squared) grows by from sample to sample.
const DRIFT: f64 = 5.0;
/// Samples that are looked back on: longer together than a burst is.
const RECENT: usize = 3;
/// All of them above the estimate by this factor, and it is the estimate that is wrong.
const RISEN: f64 = 2.0;
const INITIAL_VARIANCE: f64 = 50.0;

/// The estimator.
#[derive(Debug)]
pub(super) struct Acknowledged {
    window_start_us: Option<i64>,
    bytes: u64,
    estimate_kbps: Option<f64>,
    variance: f64,
    /// The last samples, as a ring.
    recent_kbps: [f64; RECENT],
    at: usize,
    follows_rises: bool,
}

impl Default for Acknowledged {
    fn default() -> Self {
        Self {
            window_start_us: None,
            bytes: 0,
            estimate_kbps: None,
            variance: INITIAL_VARIANCE,
            recent_kbps: [f64::MAX; RECENT],
            at: 0,
            follows_rises: false,
        }
    }
}

impl Acknowledged {
    /// Whether a large rise that lasts is believed at once: probes measure the path with less.
    pub(super) fn follow_rises(&mut self, follows_rises: bool) {
        self.follows_rises = follows_rises;
    }

    /// `None` until the first window has passed.
    pub(super) fn bitrate_bps(&self) -> Option<f64> {
        self.estimate_kbps.map(|kbps| kbps * 1_000.0)
    }

    /// The estimate, but no more than the best recent sample.
    pub(super) fn ceiling_bps(&self) -> Option<f64> {
        let best = self.recent_kbps.iter().copied().fold(0.0, f64::max);
        self.estimate_kbps.map(|kbps| kbps.min(best) * 1_000.0)
    }

    /// A packet has arrived, or several at the same time, by the receiver's clock.
    pub(super) fn on_packet(&mut self, arrived_us: i64, size: u32) {
        let window_us = match self.estimate_kbps {
            None => FIRST_WINDOW_US,
            Some(_) => WINDOW_US,
        };
        let start = *self.window_start_us.get_or_insert(arrived_us);
        let elapsed = arrived_us - start;
        if elapsed < 0 {
            // The receiver's clock has gone back.
            self.window_start_us = Some(arrived_us);
            self.bytes = 0;
        } else if elapsed >= window_us {
            let sample_kbps = self.bytes as f64 * 8_000.0 / elapsed as f64;
            self.sample(sample_kbps);
            self.window_start_us = Some(arrived_us);
            self.bytes = 0;
        }
        self.bytes += u64::from(size);
    }

    fn sample(&mut self, sample_kbps: f64) {
        if let Some(place) = self.recent_kbps.get_mut(self.at) {
            *place = sample_kbps;
        }
        self.at = (self.at + 1) % RECENT;
        let Some(estimate) = self.estimate_kbps else {
            self.estimate_kbps = Some(sample_kbps);
            return;
        };
        let least = self.recent_kbps.iter().copied().fold(f64::MAX, f64::min);
        let is_full = self.recent_kbps.iter().all(|kbps| *kbps < f64::MAX);
        if self.follows_rises && is_full && least > estimate * RISEN {
            self.estimate_kbps = Some(least);
            self.variance = INITIAL_VARIANCE;
            return;
        }
        let uncertainty = UNCERTAINTY * (estimate - sample_kbps).abs() / estimate.max(1.0);
        let sample_variance = uncertainty * uncertainty;
        let predicted = self.variance + DRIFT;
        let sum = sample_variance + predicted;
        let next = (sample_variance * estimate + predicted * sample_kbps) / sum;
        self.estimate_kbps = Some(next.max(0.0));
        self.variance = sample_variance * predicted / sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_picture_that_comes_back_within_a_second_and_no_key_frame() {
        let mut rate = Acknowledged::default();
        rate.follow_rises(true);
        let mut feed = |from_ms: i64, to_ms: i64, kbps: i64| {
            for ms in (from_ms..to_ms).step_by(10) {
                rate.on_packet(ms * 1_000, (kbps * 10 / 8) as u32);
            }
            rate.bitrate_bps().expect("known") / 1_000.0
        };
        assert!((feed(0, 2_000, 30) - 30.0).abs() < 5.0);
        assert!(feed(2_000, 2_200, 700) < 60.0, "a burst");
        assert!(feed(2_200, 4_000, 30) < 60.0);
        assert!(feed(4_000, 5_000, 700) > 500.0);
    }

    #[test]
    fn follows_a_rate_and_its_change_within_two_seconds() {
        let mut rate = Acknowledged::default();
        let mut feed = |from_ms: i64, kbps: i64| {
            for ms in (from_ms..from_ms + 2_000).step_by(10) {
                rate.on_packet(ms * 1_000, (kbps * 10 / 8) as u32);
            }
            rate.bitrate_bps().expect("known") / 1_000.0
        };
        assert!((feed(0, 800) - 800.0).abs() < 40.0);
        assert!((feed(2_000, 150) - 150.0).abs() < 50.0);
    }
}
