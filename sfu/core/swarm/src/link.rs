//! A simulated last mile in front of a receiver: random loss, and a bottleneck with a queue.
//!
//! It works on what the machine has received, before anything else looks at it, so that the server
//! and every other receiver see a peer behind a bad network, and nothing has to be set up outside.
//! What the peer sends is not touched.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::random::Random;

/// IPv4 and UDP headers, which take their share of a bottleneck.
const HEADERS_BYTES: u64 = 28;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkConfig {
    /// Probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// Rate of the bottleneck; `None` for none.
    pub rate_bps: Option<u64>,
    /// Longest wait at the bottleneck: what would wait longer is dropped.
    pub queue: Duration,
    /// Added to every datagram.
    pub delay: Duration,
}

/// What is to become of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Now,
    /// It has been kept and comes out of [`Link::next_due`] later.
    Later,
    Lost,
}

struct Waiting {
    due: Instant,
    from: SocketAddr,
    datagram: Vec<u8>,
}

/// One receiver's link.
pub struct Link {
    config: LinkConfig,
    random: Random,
    /// When the bottleneck has sent what it holds.
    idle_at: Option<Instant>,
    waiting: VecDeque<Waiting>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
    pub dropped: u64,
}

impl Link {
    pub fn new(config: LinkConfig, random: Random) -> Self {
        Self {
            config,
            random,
            idle_at: None,
            waiting: VecDeque::new(),
            spare: Vec::new(),
            dropped: 0,
        }
    }

    /// Puts a datagram that arrived at `now` on the link.
    pub fn enter(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Passage {
        if self.config.loss > 0.0 && self.random.fraction() < self.config.loss {
            self.dropped += 1;
            return Passage::Lost;
        }
        let mut due = now;
        if let Some(rate_bps) = self.config.rate_bps {
            let bits = (datagram.len() as u64 + HEADERS_BYTES) * 8;
            let takes = Duration::from_nanos(bits * 1_000_000_000 / rate_bps.max(1));
            let starts = self.idle_at.map_or(now, |at| at.max(now));
            if starts.saturating_duration_since(now) > self.config.queue {
                self.dropped += 1;
                return Passage::Lost;
            }
            due = starts + takes;
            self.idle_at = Some(due);
        }
        due += self.config.delay;
        if due <= now {
            return Passage::Now;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(datagram);
        self.waiting.push_back(Waiting {
            due,
            from,
            datagram: buffer,
        });
        Passage::Later
    }

    /// The next datagram whose time has come: when it is out, from where, and its bytes. Give the
    /// buffer back with [`Self::recycle`].
    pub fn next_due(&mut self, now: Instant) -> Option<(Instant, SocketAddr, Vec<u8>)> {
        self.waiting.front().filter(|first| first.due <= now)?;
        let first = self.waiting.pop_front()?;
        Some((first.due, first.from, first.datagram))
    }

    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.spare.push(buffer);
    }

    /// When [`Self::next_due`] has something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(loss: f64, rate_bps: Option<u64>) -> Link {
        let config = LinkConfig {
            loss,
            rate_bps,
            queue: Duration::from_millis(100),
            delay: Duration::ZERO,
        };
        Link::new(config, Random::new(7))
    }

    fn from() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    #[test]
    fn a_tenth_is_lost_when_a_tenth_is_wanted() {
        let mut link = link(0.1, None);
        let now = Instant::now();
        for _ in 0..10_000 {
            link.enter(now, from(), &[0; 100]);
        }
        assert!((900..1_100).contains(&link.dropped), "{}", link.dropped);
    }

    #[test]
    fn a_bottleneck_passes_its_rate_and_drops_what_would_wait_too_long() {
        let mut link = link(0.0, Some(1_000_000));
        let start = Instant::now();
        let mut passed = 0;
        // 2 Mbit/s for a second.
        for tick in 0..1_000 {
            let now = start + Duration::from_millis(tick);
            assert_ne!(link.enter(now, from(), &[7; 222]), Passage::Now);
            while let Some((_, _, buffer)) = link.next_due(now) {
                assert_eq!(buffer, [7; 222]);
                passed += 250 * 8;
                link.recycle(buffer);
            }
        }
        assert!((970_000..=1_000_000).contains(&passed), "{passed}");
        let wait = link.waiting.back().unwrap().due - (start + Duration::from_millis(999));
        assert!(wait <= Duration::from_millis(102), "{wait:?}");
    }
}
