//! The estimator as a whole, over a link that is simulated packet by packet.

use super::*;
use crate::api::Ssrc;
use crate::rtcp::{self, Packet, TransportFeedbackHeader};

const RTT: Duration = Duration::from_millis(50);
/// What the queue holds at most; more is lost.
const QUEUE_US: i64 = 500_000;

/// A link with a queue, its feedback every 50 ms, and a sender that fills the estimate.
struct Path {
    now: Instant,
    estimator: Estimator,
    link_bps: f64,
    /// Where the queue ends, in microseconds of simulated time.
    free_at_us: i64,
    now_us: i64,
    arrivals: Vec<(u64, i64)>,
    sequence: u64,
    scratch: Vec<PacketResult>,
    delay_us: i64,
    /// Where the next feedback starts.
    told: u64,
}

impl Path {
    fn new(link_bps: f64) -> Self {
        let now = Instant::now();
        Self {
            now,
            estimator: Estimator::new(now),
            link_bps,
            free_at_us: 0,
            now_us: 0,
            arrivals: Vec::new(),
            sequence: 0,
            scratch: Vec::new(),
            delay_us: 0,
            told: 0,
        }
    }

    fn send(&mut self, size: usize) {
        let transmission_us = (size as f64 * 8e6 / self.link_bps) as i64;
        self.delay_us = (self.free_at_us - self.now_us).max(0);
        if self.delay_us < QUEUE_US {
            self.free_at_us = self.free_at_us.max(self.now_us) + transmission_us;
            self.arrivals
                .push((self.sequence, self.free_at_us + 25_000));
        }
        self.sequence += 1;
        self.estimator.on_sent(self.now, &[size as u16]);
    }

    /// Sends at `media_bps`, or at the estimate if that is less, for so long.
    fn run(&mut self, milliseconds: u32, media_bps: f64) {
        let mut owed = 0.0;
        for ms in 0..milliseconds {
            self.now += Duration::from_millis(1);
            self.now_us += 1_000;
            let estimate = self
                .estimator
                .bitrate_bps(self.now)
                .expect("feedback comes");
            owed += media_bps.min(estimate as f64) / 8_000.0;
            if owed >= 1_000.0 {
                owed -= 1_000.0;
                self.send(1_000);
            }
            if ms % 5 == 0
                && let Some(bytes) = self.estimator.poll_padding(self.now, RTT)
            {
                for _ in 0..bytes.div_ceil(250) {
                    self.send(250);
                }
            }
            if ms % 50 == 0 {
                self.feed_back();
            }
        }
    }

    fn feed_back(&mut self) {
        let now_us = self.now_us;
        let arrived = |(_, at): &&(u64, i64)| *at <= now_us;
        let told: Vec<_> = self
            .arrivals
            .iter()
            .filter(arrived)
            .map(|(sequence, at)| (*sequence, at / 250))
            .collect();
        self.arrivals.retain(|(_, at)| *at > now_us);
        let Some((first, _)) = told.first() else {
            return;
        };
        let header = TransportFeedbackHeader {
            sender: Ssrc(1),
            media: Ssrc(2),
            base_sequence: self.told.min(*first),
            feedback_count: 0,
        };
        self.told = told.last().map_or(0, |(last, _)| last + 1);
        let mut bytes = Vec::new();
        header.write(&mut bytes, told.iter().copied());
        for packet in rtcp::packets(&bytes) {
            if let Ok(Packet::TransportFeedback(feedback)) = packet {
                self.estimator
                    .on_feedback(self.now, &feedback, RTT, &mut self.scratch);
            }
        }
    }

    fn want(&mut self, bitrate_bps: u64) {
        let wanted = Wanted {
            step_bps: bitrate_bps,
            all_bps: bitrate_bps,
            is_urgent: false,
        };
        self.estimator.want(self.now, Some(wanted), true);
    }

    fn estimate(&self) -> f64 {
        self.estimator
            .bitrate_bps(self.now)
            .expect("feedback comes") as f64
    }
}

#[test]
fn probes_find_a_wide_link_within_two_seconds() {
    let mut path = Path::new(5e6);
    path.want(2_500_000);
    path.run(2_000, 200_000.0);
    assert!(path.estimate() > 2_000_000.0, "{}", path.estimate());
}

#[test]
fn an_estimate_settles_near_a_narrow_link_without_filling_its_queue() {
    let mut path = Path::new(500_000.0);
    path.want(2_500_000);
    path.run(10_000, 2_000_000.0);
    let mut lowest = f64::MAX;
    let mut worst_delay_us = 0;
    for _ in 0..100 {
        path.run(100, 2_000_000.0);
        lowest = lowest.min(path.estimate());
        worst_delay_us = worst_delay_us.max(path.delay_us);
    }
    assert!(lowest > 350_000.0, "{lowest}");
    assert!(path.estimate() < 600_000.0, "{}", path.estimate());
    assert!(worst_delay_us < 400_000, "{worst_delay_us} us of queue");
}

#[test]
fn a_drop_is_followed_within_three_seconds_and_its_end_within_six() {
    // Whatever the time since the last probe.
    for phase in (0..5_000).step_by(250) {
        drop_and_recover(phase);
    }
}

fn drop_and_recover(phase: u32) {
    let mut path = Path::new(3e6);
    path.want(2_500_000);
    path.run(5_000, 1_500_000.0);
    assert!(path.estimate() > 1_500_000.0, "{}", path.estimate());
    path.link_bps = 150_000.0;
    path.run(3_000, 1_500_000.0);
    assert!(path.estimate() < 250_000.0, "{}", path.estimate());
    path.run(20_000 + phase, 1_500_000.0);
    path.link_bps = 3e6;
    let began_us = path.now_us;
    while path.estimate() < 1_500_000.0 {
        path.run(50, 1_500_000.0);
        assert!(path.now_us - began_us < 6_000_000, "{}", path.estimate());
    }
}

#[test]
fn a_peer_without_feedback_has_no_estimate() {
    let now = Instant::now();
    let mut estimator = Estimator::new(now);
    estimator.on_sent(now, &[1_000]);
    assert!(estimator.bitrate_bps(now).is_some());
    assert!(
        estimator
            .bitrate_bps(now + Duration::from_secs(3))
            .is_none()
    );
}

#[test]
fn retransmissions_keep_to_the_estimate() {
    let now = Instant::now();
    let mut estimator = Estimator::new(now);
    let mut allowed = 0;
    for ms in 0..1_000 {
        for _ in 0..10 {
            let at = now + Duration::from_millis(ms);
            allowed += 1_000 * usize::from(estimator.allow_repair(at, 1_000));
        }
    }
    // 300 kbit/s for a second, and the burst.
    assert!((30_000..=50_000).contains(&allowed), "{allowed}");
}

#[test]
fn the_receivers_clock_may_wrap() {
    let mut estimator = Estimator::new(Instant::now());
    assert_eq!(estimator.unwrap_reference(0x7f_ffff), 0x7f_ffff);
    assert_eq!(estimator.unwrap_reference(-0x80_0000), 0x80_0000);
    assert_eq!(estimator.unwrap_reference(-0x7f_ffff), 0x80_0001);
}

#[test]
fn what_flows_without_delay_is_believed_where_padding_cannot_be_sent() {
    let mut path = Path::new(5e6);
    path.estimator.want(path.now, None, false);
    // The sender does not heed the estimate: pausing waits for longer than this.
    for _ in 0..1_800 {
        path.now += Duration::from_millis(1);
        path.now_us += 1_000;
        if path.now_us % 5_000 == 0 {
            path.send(1_000);
        }
        if path.now_us % 50_000 == 0 {
            path.feed_back();
        }
    }
    let found = path.estimate();
    assert!((1_500_000.0..2_500_000.0).contains(&found), "{found}");
}

#[test]
fn a_receiver_that_is_late_at_times_takes_nobodys_picture_where_padding_cannot_be_sent() {
    let mut path = Path::new(5e6);
    path.estimator.want(path.now, None, false);
    let mut last_us = 0;
    for _ in 0..8_000 {
        path.now += Duration::from_millis(1);
        path.now_us += 1_000;
        if path.now_us % 5_000 == 0 {
            path.send(1_000);
            // It looks later and later, then catches up.
            let late_us = path.now_us % 600_000 / 10;
            if let Some((_, at_us)) = path.arrivals.last_mut() {
                last_us = last_us.max(*at_us + late_us);
                *at_us = last_us;
            }
        }
        if path.now_us % 50_000 == 0 {
            path.feed_back();
        }
        if path.now_us > 2_500_000 {
            let found = path.estimate();
            assert!(found > 1_000_000.0, "{found} at {} us", path.now_us);
        }
    }
}
