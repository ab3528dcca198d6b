//! The publisher's clock, learnt from its sender reports (RFC 3550, section 6.4.1).
//!
//! Reports to subscribers speak the publisher's NTP time, so that its audio and video stay in
//! step, and timestamps stay continuous over a switch between layers.

use std::time::Instant;

/// RTP time `rtp` was NTP time `ntp` (32.32), learnt at `received_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerClock {
    pub ntp: u64,
    pub rtp: u32,
    pub received_at: Instant,
    pub clock_rate_hz: u32,
}

impl LayerClock {
    /// The publisher's NTP and RTP time at `now`, as far as its last report tells.
    pub fn at(&self, now: Instant) -> (u64, u32) {
        let elapsed = now
            .saturating_duration_since(self.received_at)
            .as_secs_f64();
        let ntp = self.ntp.wrapping_add((elapsed * 4_294_967_296.0) as u64);
        let ticks = (elapsed * f64::from(self.clock_rate_hz)) as u64;
        (ntp, self.rtp.wrapping_add(ticks as u32))
    }

    /// The same clock in a time line that runs `ticks` ahead.
    pub fn shifted(mut self, ticks: u32) -> Self {
        self.rtp = self.rtp.wrapping_add(ticks);
        self
    }

    /// What `timestamp` of this layer would have been in the time line of `other`.
    pub fn convert(&self, timestamp: u32, other: &LayerClock) -> u32 {
        let rate = f64::from(self.clock_rate_hz.max(1));
        let since_report = f64::from(timestamp.wrapping_sub(self.rtp) as i32) / rate;
        let between_reports = self.ntp.wrapping_sub(other.ntp) as i64 as f64 / 4_294_967_296.0;
        let ticks = (since_report + between_reports) * f64::from(other.clock_rate_hz);
        other.rtp.wrapping_add(ticks.round() as i64 as u32)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn runs_on_between_reports() {
        let now = Instant::now();
        let (ntp, rtp) = clock(now, 5 << 32, 1_000).at(now + Duration::from_millis(500));
        assert_eq!(ntp >> 31, 11, "half a second later");
        assert_eq!(rtp, 46_000);
    }

    #[test]
    fn converts_between_layers_that_started_apart() {
        let now = Instant::now();
        let low = clock(now, 100 << 32, 0xffff_ff00);
        let high = clock(now, (100 << 32) + (1 << 31), 77);
        // One second after the report of `high` is 1.5 s after that of `low`.
        let converted = high.convert(77 + 90_000, &low);
        assert_eq!(converted, 0xffff_ff00u32.wrapping_add(135_000));
        assert_eq!(low.convert(converted, &high), 77 + 90_000);
    }

    fn clock(received_at: Instant, ntp: u64, rtp: u32) -> LayerClock {
        LayerClock {
            ntp,
            rtp,
            received_at,
            clock_rate_hz: 90_000,
        }
    }
}
