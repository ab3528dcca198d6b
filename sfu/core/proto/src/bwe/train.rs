//! How fast packets that left together arrive: each video frame is a small packet train, and its
//! spread shows what the bottleneck carries, however little is sent in all.
//!
//! This keeps one key frame on a quiet path from being taken for congestion at the quiet rate.

/// Packets sent within this time of each other are one train.
const SENT_TOGETHER_US: i64 = 1_000;
/// How much an older pair counts when a new one comes.
const AGEING: f64 = 0.95;
/// A packet that comes so long after its predecessor waited for something else.
const MAX_GAP_US: i64 = 200_000;

/// Sums over the last trains, the newest counting most.
#[derive(Debug, Default)]
pub(super) struct Trains {
    last: Option<(i64, i64, u16)>,
    bytes: f64,
    elapsed_us: f64,
}

impl Trains {
    /// A packet has arrived. To be called in the order of arrival.
    pub(super) fn on_packet(&mut self, sent_us: i64, arrived_us: i64, size: u16) {
        let last = self.last.replace((sent_us, arrived_us, size));
        let Some((before_sent, before_arrived, before_size)) = last else {
            return;
        };
        let sent_later = sent_us - before_sent;
        let arrived_later = arrived_us - before_arrived;
        let together = (0..=SENT_TOGETHER_US).contains(&sent_later);
        if together && (0..=MAX_GAP_US).contains(&arrived_later) {
            // Between two arrivals lies the end of one packet and the beginning of the other.
            let bytes = (f64::from(size) + f64::from(before_size)) / 2.0;
            self.bytes = self.bytes * AGEING + bytes;
            self.elapsed_us = self.elapsed_us * AGEING + arrived_later as f64;
        }
    }

    /// `None` until there has been a train.
    pub(super) fn bitrate_bps(&self) -> Option<f64> {
        (self.bytes > 0.0).then(|| self.bytes * 8e6 / self.elapsed_us.max(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_capacity_behind_a_slow_stream() {
        let mut trains = Trains::default();
        for frame in 0..30i64 {
            for packet in 0..3 {
                // A link of 500 kbit/s takes 16 ms for each packet of 1,000 bytes.
                let arrived_us = frame * 100_000 + packet * 16_000;
                trains.on_packet(frame * 100_000, arrived_us, 1_000);
            }
        }
        let bitrate = trains.bitrate_bps().expect("trains have come");
        assert!((bitrate / 500_000.0 - 1.0).abs() < 0.05, "{bitrate}");
    }
}
