//! Which packet went out under which number, so that a NACK can be answered (RFC 4585, 4588).
//!
//! Twelve bytes an entry; the payloads are the track's. Answers are limited per packet, or a
//! subscriber could use the node to amplify its requests.

use std::time::{Duration, Instant};

use crate::api::Layer;

/// Most retransmissions of one packet to one subscriber: four requests, all but the first answered
/// twice. At 20 % of loss three packets would leave a picture waiting for a key frame every ten
/// seconds.
const MAX_ANSWERS: u8 = 7;

/// A packet as it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Low half of the source's extended sequence number.
    pub source_low: u32,
    /// As written into the VP8 descriptor; for other codecs the frame number as written into the
    /// dependency descriptor.
    pub picture_id: u16,
    pub tl0_pic_idx: u8,
    pub layer: Layer,
    pub marker: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sent: Sent,
    /// Low bits of the outgoing number, to recognise an overwritten entry.
    out_low: u16,
    /// Milliseconds since the history's start of the last answer, modulo 2^16, plus the count.
    answered_ms: u16,
    answers: u8,
}

/// Ring of the last packets sent by one subscription.
#[derive(Debug)]
pub struct History {
    entries: Box<[Option<Entry>]>,
    started: Instant,
}

impl History {
    /// `packets` must be a power of two of at most 2^15.
    pub fn new(packets: usize, now: Instant) -> Self {
        debug_assert!(packets.is_power_of_two() && packets <= 1 << 15);
        Self {
            entries: vec![None; packets].into_boxed_slice(),
            started: now,
        }
    }

    pub fn record(&mut self, out: u64, sent: Sent) {
        let index = self.index(out as u16);
        self.entries[index] = Some(Entry {
            sent,
            out_low: out as u16,
            answered_ms: 0,
            answers: 0,
        });
    }

    /// The packet that left as `out`, if it may be sent again: at most seven times, and not
    /// within `spacing` of the last time.
    pub fn answer(&mut self, out: u16, now: Instant, spacing: Duration) -> Option<Sent> {
        let at_ms = now.saturating_duration_since(self.started).as_millis() as u16;
        let index = self.index(out);
        let entry = self.entries[index].as_mut().filter(|e| e.out_low == out)?;
        let too_soon = entry.answers > 0
            && u128::from(at_ms.wrapping_sub(entry.answered_ms)) < spacing.as_millis();
        if too_soon || entry.answers >= MAX_ANSWERS {
            return None;
        }
        entry.answers += 1;
        entry.answered_ms = at_ms;
        Some(entry.sent)
    }

    /// Whether the packet that left as `out` has been repeated more than once.
    pub fn is_asked_again(&self, out: u16) -> bool {
        let entry = self.entries[self.index(out)].as_ref();
        entry.is_some_and(|e| e.out_low == out && e.answers > 1)
    }

    fn index(&self, out: u16) -> usize {
        usize::from(out) & (self.entries.len() - 1)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(50);

    #[test]
    fn answers_seven_times_and_spaced() {
        let now = Instant::now();
        let mut history = History::new(64, now);
        history.record(70_001, sent(5));
        let out = 70_001u64 as u16;
        assert_eq!(history.answer(out, now, SPACING), Some(sent(5)));
        assert_eq!(
            history.answer(out, now + SPACING / 2, SPACING),
            None,
            "too soon"
        );
        assert!(!history.is_asked_again(out));
        for n in 1..7 {
            assert!(history.answer(out, now + SPACING * n, SPACING).is_some());
        }
        assert!(history.is_asked_again(out));
        assert_eq!(
            history.answer(out, now + SPACING * 9, SPACING),
            None,
            "enough"
        );
    }

    #[test]
    fn an_overwritten_packet_is_not_confused_with_its_successor() {
        let now = Instant::now();
        let mut history = History::new(64, now);
        history.record(3, sent(1));
        history.record(67, sent(2));
        assert_eq!(history.answer(3, now, SPACING), None);
        assert_eq!(history.answer(67, now, SPACING), Some(sent(2)));
    }

    fn sent(source_low: u32) -> Sent {
        Sent {
            source_low,
            picture_id: 0,
            tl0_pic_idx: 0,
            layer: Layer(0),
            marker: false,
        }
    }
}
