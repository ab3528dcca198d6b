//! How fast a peer may send media, and have its feedback looked at.
//!
//! What a publisher sends is multiplied by its subscribers, so a flood with good keys is bounded
//! where it comes in: all packets of a peer by their number, and those of each audio track by their
//! size, as audio is never held back later. The generic cell rate algorithm (ITU-T I.371): one
//! moment of memory, no timer. Policy beyond the bound: the packet is dropped, as on a link of that
//! capacity.

use std::time::{Duration, Instant};

/// 15,000 packets a second: many times what three simulcast layers, a screen and a microphone need.
const INTERVAL: Duration = Duration::from_micros(66);
/// Of what a datagram with feedback asks to be done, in [`FeedbackPace`]: 40,000 units a second.
const UNIT: Duration = Duration::from_micros(25);
/// What any such datagram counts for: 4,000 a second, where a browser that loses packets of fifty
/// streams sends 2,500.
const DATAGRAM_UNITS: u32 = 10;
/// Half a second's worth may come at once: key frames, and what a network has held back.
const BURST: Duration = Duration::from_millis(500);
/// Opus at its highest bitrate (510 kbit/s, RFC 6716) with a redundant copy, in short frames.
const AUDIO_BPS: u64 = 2_000_000;
/// Counted for each packet, so that empty ones do not come for nothing either.
const AUDIO_PACKET_BYTES: usize = 200;

/// One peer's allowance of packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace(Cells);

impl Pace {
    /// Whether a packet that arrives at `now` is within bounds.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.0.admits(now, INTERVAL)
    }
}

/// One peer's allowance of RTCP. A datagram can ask for very different amounts of work, so what is in it
/// counts: packets, and the numbers and sources that they name.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeedbackPace(Cells);

impl FeedbackPace {
    /// Whether a datagram is looked at: if all before it has been paid for but for a burst.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.0.admits(now, UNIT * DATAGRAM_UNITS)
    }

    /// Something in the datagram names so many things.
    pub fn spend(&mut self, units: u32) {
        self.0.spend(UNIT * units);
    }
}

/// One audio track's allowance of bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct AudioPace(Cells);

impl AudioPace {
    /// Whether a packet with so large a payload that arrives at `now` is within bounds.
    pub fn admits(&mut self, now: Instant, payload_bytes: usize) -> bool {
        let bits = (payload_bytes + AUDIO_PACKET_BYTES) as u64 * 8;
        let takes = Duration::from_nanos(bits * 1_000_000_000 / AUDIO_BPS);
        self.0.admits(now, takes)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cells {
    /// When everything so far would have come, at the bounded rate.
    expected_at: Option<Instant>,
}

impl Cells {
    fn admits(&mut self, now: Instant, takes: Duration) -> bool {
        let at = self.expected_at.map_or(now, |at| at.max(now));
        if at > now + BURST {
            return false;
        }
        self.expected_at = Some(at + takes);
        true
    }

    /// What has been admitted last takes so much more.
    fn spend(&mut self, takes: Duration) {
        self.expected_at = self.expected_at.map(|at| at + takes);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    fn admitted(pace: &mut Pace, from: Instant, packets: u32, apart: Duration) -> u32 {
        let at = (0..packets).map(|n| from + apart * n);
        at.filter(|at| pace.admits(*at)).count() as u32
    }

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(admitted(&mut pace, start, 7_500, Duration::ZERO), 7_500);
        let later = start + Duration::from_secs(10);
        let flood = admitted(&mut pace, later, 100_000, Duration::from_micros(20));
        assert!((37_500..=38_500).contains(&flood), "{flood} of two seconds");
    }

    #[test]
    fn what_people_send_passes_for_ever() {
        let mut pace = Pace::default();
        let apart = Duration::from_micros(70);
        let packets = 100_000;
        assert_eq!(admitted(&mut pace, Instant::now(), packets, apart), packets);
    }

    #[test]
    fn feedback_is_paced_by_what_it_asks_for() {
        for units in [0, 10, 90] {
            let mut pace = FeedbackPace::default();
            let start = Instant::now();
            let at = (0..100_000).map(|n| start + Duration::from_micros(100) * n);
            let admitted = at.filter(|at| {
                let admits = pace.admits(*at);
                pace.spend(if admits { units } else { 0 });
                admits
            });
            let admitted = admitted.count();
            let each_s = admitted as u32 * (DATAGRAM_UNITS + units) / 10;
            assert!((40_000..=42_200).contains(&each_s), "{each_s} units");
        }
    }

    #[test]
    fn no_microphone_sends_what_is_taken_for_a_flood() {
        let mut pace = AudioPace::default();
        let start = Instant::now();
        // 510 kbit/s with a copy, in frames of 5 ms.
        let takes = |n: u32| pace.admits(start + Duration::from_millis(5) * n, 640);
        assert!((0..20_000).all(takes));
    }

    #[test]
    fn a_flood_of_audio_is_cut_to_two_megabits() {
        for payload_bytes in [0, 100, 1_200] {
            let mut pace = AudioPace::default();
            let start = Instant::now();
            let at = (0..100_000).map(|n| start + Duration::from_micros(100) * n);
            let admitted = at.filter(|at| pace.admits(*at, payload_bytes)).count();
            let bps = admitted * (payload_bytes + AUDIO_PACKET_BYTES) * 8 / 10;
            assert!((2_000_000..=2_120_000).contains(&bps), "{bps}");
        }
    }
}
