//! How fast a peer may send media packets.
//!
//! What a publisher sends is multiplied by its subscribers, so a flood with good keys is bounded
//! where it comes in. The generic cell rate algorithm (ITU-T I.371): one moment of memory, no
//! timer. Policy beyond the bound: the packet is dropped, as on a link of that capacity.

use std::time::{Duration, Instant};

/// 15,000 packets a second: many times what three simulcast layers, a screen and a microphone need.
const INTERVAL: Duration = Duration::from_micros(66);
/// Half a second's worth may come at once: key frames, and what a network has held back.
const BURST: Duration = Duration::from_millis(500);

/// One peer's allowance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// When all packets so far would have come, at the bounded rate.
    expected_at: Option<Instant>,
}

impl Pace {
    /// Whether a packet that arrives at `now` is within bounds.
    pub fn admits(&mut self, now: Instant) -> bool {
        let at = self.expected_at.map_or(now, |at| at.max(now));
        if at > now + BURST {
            return false;
        }
        self.expected_at = Some(at + INTERVAL);
        true
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
}
