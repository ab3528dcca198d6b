//! One clock for what is sent and what is received: NTP time that follows the monotonic clock.
//!
//! Latency is the difference of two of its readings in one process, so it needs no synchronised
//! machines, and a wall clock that is set during a run does not matter.

use std::time::{Duration, Instant};

/// Seconds between the epochs of NTP (1900) and Unix (1970).
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// NTP time in 32.32 fixed point for any monotonic time.
#[derive(Debug, Clone, Copy)]
pub struct NtpClock {
    epoch: Instant,
    ntp_at_epoch: u64,
}

impl NtpClock {
    /// `since_unix_epoch` is the wall clock at `epoch`.
    pub fn new(epoch: Instant, since_unix_epoch: Duration) -> Self {
        let seconds = since_unix_epoch.as_secs().wrapping_add(NTP_OFFSET_S);
        Self {
            epoch,
            ntp_at_epoch: (seconds << 32) | fraction(since_unix_epoch),
        }
    }

    pub fn ntp(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.epoch);
        let fixed = (elapsed.as_secs() << 32) | fraction(elapsed);
        self.ntp_at_epoch.wrapping_add(fixed)
    }

    /// Time from `ntp` to `at`: zero when that is in the future, `None` when it is not of this
    /// clock, more than an hour away.
    pub fn since(&self, ntp: u64, at: Instant) -> Option<Duration> {
        const LIMIT: u64 = 3_600 << 32;
        let ahead = self.ntp(at).wrapping_sub(ntp);
        if ahead.wrapping_neg() <= LIMIT {
            return Some(Duration::ZERO);
        }
        (ahead <= LIMIT).then(|| {
            let nanos = ((ahead & 0xffff_ffff) * 1_000_000_000) >> 32;
            Duration::new(ahead >> 32, nanos as u32)
        })
    }
}

fn fraction(duration: Duration) -> u64 {
    (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_two_readings_is_what_passed() {
        let epoch = Instant::now();
        let clock = NtpClock::new(epoch, Duration::from_millis(1_700_000_000_250));
        let sent = epoch + Duration::from_millis(1_900);
        let received = sent + Duration::from_micros(3_141);
        let latency = clock.since(clock.ntp(sent), received).unwrap();
        let error = latency.abs_diff(received - sent);
        assert!(error < Duration::from_nanos(10), "{latency:?}");
        assert_eq!(clock.since(clock.ntp(received), sent), Some(Duration::ZERO));
        assert_eq!(clock.since(17, received), None);
    }
}
