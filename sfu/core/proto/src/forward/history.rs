//! Which packet went out under which number, so that a NACK can be answered (RFC 4585, 4588).
//!
//! Twelve bytes an entry; the payloads are the track's. A subscriber has many streams, and most send
//! little: the ring begins small and is doubled, up to its bound, before it loses a packet that may
//! still be asked for, which is a matter of round trips. Answers are limited per packet, or a subscriber could use the node to amplify
//! its requests.

use std::time::{Duration, Instant};

use crate::api::Layer;
use crate::prefetch::prefetch;

/// Most retransmissions of one packet to one subscriber: four requests, all but the first answered
/// twice. At 20 % of loss three packets would leave a picture waiting for a key frame every ten
/// seconds.
const MAX_ANSWERS: u8 = 7;
/// Entries of a new ring.
const FIRST_ENTRIES: usize = 16;
/// Packets younger than this, or repeated so lately, make the ring grow: what it takes to be seen as
/// missing, and six requests that cross. Nobody waits longer than the last of these for one: a picture
/// that late is of no use.
const KEEP_AT_LEAST: Duration = Duration::from_millis(300);
const KEEP_ROUND_TRIPS: u32 = 6;
const KEEP_AT_MOST: Duration = Duration::from_secs(2);
/// Until a round trip is known. On a longer way the first request may find its packet gone if more
/// than the ring holds has been sent since.
const KEEP_AT_FIRST_MS: u16 = 500;

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

/// `Sent` and what has become of it, without the gaps that a struct in a struct would have.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    source_low: u32,
    picture_id: u16,
    /// Low bits of the outgoing number, to recognise an overwritten entry.
    out_low: u16,
    /// Milliseconds since the history's start, modulo 2^16: when it left, or was repeated last.
    at_ms: u16,
    tl0_pic_idx: u8,
    flags: Flags,
}

/// Bit 0: in use, 1: marker, 2 and 3: layer, 4 and up: answers.
#[derive(Debug, Clone, Copy, Default)]
struct Flags(u8);

impl Flags {
    const IN_USE: u8 = 1;
    const MARKER: u8 = 2;
    const LAYER_SHIFT: u8 = 2;
    const ANSWERS_SHIFT: u8 = 4;

    fn new(sent: &Sent) -> Self {
        let marker = if sent.marker { Self::MARKER } else { 0 };
        Self(Self::IN_USE | marker | (sent.layer.0 & 3) << Self::LAYER_SHIFT)
    }

    fn in_use(self) -> bool {
        self.0 & Self::IN_USE != 0
    }

    fn answers(self) -> u8 {
        self.0 >> Self::ANSWERS_SHIFT
    }

    fn add_answer(&mut self) {
        self.0 += 1 << Self::ANSWERS_SHIFT;
    }
}

impl Entry {
    fn sent(&self) -> Sent {
        Sent {
            source_low: self.source_low,
            picture_id: self.picture_id,
            tl0_pic_idx: self.tl0_pic_idx,
            layer: Layer(self.flags.0 >> Flags::LAYER_SHIFT & 3),
            marker: self.flags.0 & Flags::MARKER != 0,
        }
    }
}

/// Ring of the last packets sent by one subscription.
#[derive(Debug)]
pub struct History {
    entries: Box<[Entry]>,
    started: Instant,
    most_entries: u16,
    keep_ms: u16,
}

impl History {
    /// Holds `packets` at most: a power of two of at most 2^15.
    pub fn new(packets: usize, now: Instant) -> Self {
        debug_assert!(packets.is_power_of_two() && packets <= 1 << 15);
        Self {
            entries: vec![Entry::default(); packets.min(FIRST_ENTRIES)].into_boxed_slice(),
            started: now,
            most_entries: packets as u16,
            keep_ms: KEEP_AT_FIRST_MS,
        }
    }

    /// The subscriber's round trip takes so long.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        let keep = KEEP_AT_LEAST + round_trip.min(KEEP_AT_MOST) * KEEP_ROUND_TRIPS;
        self.keep_ms = keep.min(KEEP_AT_MOST).as_millis() as u16;
    }

    /// Packet numbers modulo this have a place of their own.
    pub fn places(&self) -> usize {
        self.entries.len()
    }

    /// Brings the place of the packet that will leave as `out` nearer.
    pub fn prefetch(&self, out: u64) {
        prefetch(&self.entries[self.index(out as u16)], size_of::<Entry>());
    }

    pub fn record(&mut self, now: Instant, out: u64, sent: Sent) {
        let at_ms = self.ms(now);
        let out_low = out as u16;
        while self.entries.len() < usize::from(self.most_entries) {
            let old = self.entries[self.index(out_low)];
            let is_wanted = old.flags.in_use() && at_ms.wrapping_sub(old.at_ms) < self.keep_ms;
            if !is_wanted || old.out_low == out_low {
                break;
            }
            self.grow();
        }
        let index = self.index(out_low);
        self.entries[index] = Entry {
            source_low: sent.source_low,
            picture_id: sent.picture_id,
            out_low,
            at_ms,
            tl0_pic_idx: sent.tl0_pic_idx,
            flags: Flags::new(&sent),
        };
    }

    /// The packet that left as `out`, if it may be sent again: at most seven times, and not
    /// within `spacing` of the last time.
    pub fn answer(&mut self, out: u16, now: Instant, spacing: Duration) -> Option<Sent> {
        let at_ms = self.ms(now);
        let index = self.index(out);
        let entry = &mut self.entries[index];
        if !entry.flags.in_use() || entry.out_low != out {
            return None;
        }
        let answers = entry.flags.answers();
        let since_ms = u128::from(at_ms.wrapping_sub(entry.at_ms));
        if answers > 0 && since_ms < spacing.as_millis() || answers >= MAX_ANSWERS {
            return None;
        }
        entry.flags.add_answer();
        entry.at_ms = at_ms;
        Some(entry.sent())
    }

    /// Whether the packet that left as `out` has been repeated more than once.
    pub fn is_asked_again(&self, out: u16) -> bool {
        let entry = &self.entries[self.index(out)];
        entry.flags.in_use() && entry.out_low == out && entry.flags.answers() > 1
    }

    /// Twice the entries, each at the place where it is looked for from now on.
    fn grow(&mut self) {
        let entries = vec![Entry::default(); self.entries.len() * 2].into_boxed_slice();
        for entry in std::mem::replace(&mut self.entries, entries) {
            if entry.flags.in_use() {
                self.entries[self.index(entry.out_low)] = entry;
            }
        }
    }

    fn ms(&self, now: Instant) -> u16 {
        now.saturating_duration_since(self.started).as_millis() as u16
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
        history.record(now, 70_001, sent(5));
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
        history.record(now, 3, sent(1));
        history.record(now, 67, sent(2));
        assert_eq!(history.answer(3, now, SPACING), None);
        assert_eq!(history.answer(67, now, SPACING), Some(sent(2)));
    }

    #[test]
    fn holds_what_may_be_asked_for_and_is_no_larger_than_that_takes() {
        let start = Instant::now();
        // Packets a second, round trip, how long they are kept, and the entries that this takes.
        for (rate, round_trip_ms, kept_ms, entries) in [
            (7u64, None, 500, 16),
            (50, None, 500, 32),
            (200, Some(20), 420, 128),
            (200, Some(200), 1_500, 512),
            (120, Some(900), 2_000, 256),
            (1_000, Some(900), 2_000, 512),
        ] {
            let mut history = History::new(512, start);
            if let Some(ms) = round_trip_ms {
                history.set_round_trip(Duration::from_millis(ms));
            }
            let at = |n: u64| start + Duration::from_micros(n * 1_000_000 / rate);
            for n in 0..10 * rate {
                history.record(at(n), n, sent(n as u32));
            }
            assert_eq!(history.places(), entries, "at {rate} packets a second");
            let now = at(10 * rate);
            let kept = (kept_ms * rate / 1_000).saturating_sub(2).min(512);
            for n in 10 * rate - kept..10 * rate {
                let answer = history.answer(n as u16, now, SPACING);
                assert_eq!(
                    answer,
                    Some(sent(n as u32)),
                    "packet {n} of {rate} a second"
                );
            }
        }
        assert_eq!(size_of::<Entry>(), 12);
    }

    #[test]
    fn a_burst_after_silence_is_held_whole() {
        let start = Instant::now();
        let mut history = History::new(512, start);
        for n in 0..16 {
            history.record(start + Duration::from_millis(n * 200), n, sent(n as u32));
        }
        let now = start + Duration::from_secs(4);
        for n in 16..216 {
            history.record(now, n, sent(n as u32));
        }
        for n in 16..216 {
            assert_eq!(history.answer(n, now, SPACING), Some(sent(u32::from(n))));
        }
    }

    #[test]
    fn tells_what_it_was_told() {
        let now = Instant::now();
        let mut history = History::new(64, now);
        let all = Sent {
            source_low: u32::MAX,
            picture_id: 0x7fff,
            tl0_pic_idx: 0xff,
            layer: Layer(2),
            marker: true,
        };
        history.record(now, 9, all);
        for n in 0..7 {
            assert_eq!(history.answer(9, now + SPACING * n, SPACING), Some(all));
        }
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
