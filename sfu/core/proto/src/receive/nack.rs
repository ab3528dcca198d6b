//! Decides which missing packets of a stream to ask for, and when (RFC 4585, section 6.2.1).
//!
//! A gap may be reordering, so it is asked for a little later; a request or its answer may be
//! lost too, so it is repeated about every round trip. Both the list and the number of tries are
//! bounded: past them a key frame is cheaper, or nobody waits any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::api::MediaKind;

/// Most packets that are missed at a time. One more and the oldest is given up for a key frame.
const MAX_MISSING: usize = 256;
/// How long a gap may be reordering.
const REORDER_TIME: Duration = Duration::from_millis(10);
/// How many packets after the one that showed a gap prove that it is loss.
const REORDER_PACKETS: u64 = 2;
/// Shortest time between two requests for one packet.
const MIN_RETRY: Duration = Duration::from_millis(20);

/// How long it is worth asking.
#[derive(Debug, Clone, Copy)]
struct Patience {
    tries: u8,
    life: Duration,
}

impl Patience {
    fn of(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self {
                tries: 3,
                life: Duration::from_millis(500),
            },
            MediaKind::Video => Self {
                tries: 10,
                life: Duration::from_secs(3),
            },
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    extended: u64,
    since: Instant,
    /// `NackGenerator::advances` when the gap showed.
    advances: u64,
    tries: u8,
    first_asked: Option<Instant>,
    /// When to ask (again) at the latest.
    due: Instant,
}

/// Missing packets of one stream.
#[derive(Debug, Clone)]
pub struct NackGenerator {
    patience: Patience,
    highest: Option<u64>,
    /// Counts packets that were ahead of all before.
    advances: u64,
    /// Ascending, and none above `highest`.
    missing: VecDeque<Missing>,
    /// `advances` at which the oldest gap that was not asked for stops being reordering.
    confirmed_at: Option<u64>,
    next_poll: Option<Instant>,
    key_frame_wanted: bool,
    is_video: bool,
    /// Smoothed time from a first request to the packet.
    answer_time: Option<Duration>,
}

impl NackGenerator {
    pub fn new(kind: MediaKind) -> Self {
        Self {
            patience: Patience::of(kind),
            highest: None,
            advances: 0,
            missing: VecDeque::new(),
            confirmed_at: None,
            next_poll: None,
            key_frame_wanted: false,
            is_video: kind == MediaKind::Video,
            answer_time: None,
        }
    }

    /// A packet that the stream called new, whichever way it came.
    pub fn on_packet(&mut self, now: Instant, extended: u64) {
        let Some(highest) = self.highest else {
            self.highest = Some(extended);
            return;
        };
        if extended <= highest {
            if let Ok(at) = self
                .missing
                .binary_search_by_key(&extended, |missing| missing.extended)
            {
                let asked = self.missing.remove(at).and_then(|found| found.first_asked);
                if let Some(asked) = asked {
                    self.measure(now.saturating_duration_since(asked));
                }
            }
            return;
        }
        self.highest = Some(extended);
        self.advances += 1;
        self.add_gap(now, highest + 1, extended);
        if self.confirmed_at.is_some_and(|at| at <= self.advances) {
            self.wake(now);
        }
    }

    fn measure(&mut self, sample: Duration) {
        self.answer_time = Some(
            self.answer_time
                .map_or(sample, |smoothed| (smoothed * 7 + sample) / 8),
        );
    }

    fn add_gap(&mut self, now: Instant, first: u64, end: u64) {
        if first == end {
            return;
        }
        if end - first > MAX_MISSING as u64 {
            // Nothing before a gap of this size can be made whole.
            self.missing.clear();
            self.confirmed_at = None;
            self.overflow(now);
            return;
        }
        let overflow = (self.missing.len() + (end - first) as usize).saturating_sub(MAX_MISSING);
        if overflow > 0 {
            self.missing.drain(..overflow);
            self.overflow(now);
        }
        self.missing.extend((first..end).map(|extended| Missing {
            extended,
            since: now,
            advances: self.advances,
            tries: 0,
            first_asked: None,
            due: now + REORDER_TIME,
        }));
        self.confirmed_at
            .get_or_insert(self.advances + REORDER_PACKETS);
        self.wake(now + REORDER_TIME);
    }

    fn overflow(&mut self, now: Instant) {
        if self.is_video {
            self.key_frame_wanted = true;
            self.wake(now);
        }
    }

    fn wake(&mut self, at: Instant) {
        self.next_poll = Some(self.next_poll.map_or(at, |next| next.min(at)));
    }

    /// When [`Self::poll`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_poll
    }

    /// Appends the sequence numbers to ask for now, ascending, at most 256. Returns whether a key
    /// frame should be asked for, as more was lost than can be repaired.
    ///
    /// `rtt` may be 0 where it is not known: a receiver that sends nothing has no other measure
    /// than how long the answers take, which counts where it is longer.
    pub fn poll(&mut self, now: Instant, rtt: Duration, out: &mut Vec<u16>) -> bool {
        if self.next_poll.is_none_or(|at| now < at) {
            return false;
        }
        let rtt = rtt.max(self.answer_time.unwrap_or_default());
        let retry = MIN_RETRY.max(rtt.saturating_mul(3) / 2);
        let patience = self.patience;
        let advances = self.advances;
        let mut next_poll: Option<Instant> = None;
        let mut confirmed_at: Option<u64> = None;
        self.missing.retain_mut(|missing| {
            if now.saturating_duration_since(missing.since) >= patience.life {
                return false;
            }
            let confirmed = missing.advances + REORDER_PACKETS;
            if missing.due <= now || (missing.tries == 0 && confirmed <= advances) {
                out.push(missing.extended as u16);
                missing.tries += 1;
                missing.first_asked.get_or_insert(now);
                missing.due = now + retry;
            }
            if missing.tries >= patience.tries {
                return false;
            }
            if missing.tries == 0 {
                confirmed_at.get_or_insert(confirmed);
            }
            next_poll = Some(next_poll.map_or(missing.due, |next| next.min(missing.due)));
            true
        });
        self.next_poll = next_poll;
        self.confirmed_at = confirmed_at;
        std::mem::take(&mut self.key_frame_wanted)
    }
}
