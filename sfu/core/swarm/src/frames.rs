//! When a viewer would see new pictures: whole frames in order from a key frame on, and the times
//! in which none came (after the freeze count of W3C webrtc-stats).
//!
//! There is no decoder and no jitter buffer here: a frame is shown when its last packet and all
//! before it have come. Gaps that stay are left behind at the next whole key frame.

use std::time::{Duration, Instant};

/// Packets that are remembered beyond the first one that is missing.
const WINDOW: u64 = 1_024;
/// A gap of this age will not be filled: a key frame is needed.
const GAP_LIFETIME: Duration = Duration::from_millis(700);
/// Frames before intervals say what is usual.
const MIN_FRAMES: u64 = 5;
/// A freeze is an interval of more than three usual ones, and of this more than the usual one.
const FREEZE_MARGIN: Duration = Duration::from_millis(150);

const PRESENT: u8 = 1;
const MARKER: u8 = 2;

/// What has been counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameCounts {
    pub frames: u64,
    pub freezes: u64,
    pub frozen: Duration,
    /// From the first picture on, as long as the viewer looked: `frozen` is a part of it.
    pub watched: Duration,
}

/// Frames of one video stream.
#[derive(Debug)]
pub struct FrameClock {
    /// By number modulo [`WINDOW`]: the flags of packets from `next` to `next + WINDOW`.
    slots: Box<[u8]>,
    /// First packet that is missing; `None` until a key frame starts.
    next: Option<u64>,
    highest: u64,
    /// Start of the latest key frame beyond `next`.
    key_start: Option<u64>,
    gap_since: Option<Instant>,
    shown_at: Option<Instant>,
    usual: Duration,
    is_watched: bool,
    counts: FrameCounts,
}

impl Default for FrameClock {
    fn default() -> Self {
        Self {
            slots: vec![0; WINDOW as usize].into_boxed_slice(),
            next: None,
            highest: 0,
            key_start: None,
            gap_since: None,
            shown_at: None,
            usual: Duration::ZERO,
            is_watched: true,
            counts: FrameCounts::default(),
        }
    }
}

impl FrameClock {
    /// A packet that is new. `starts_key`: a decoder may start with it.
    pub fn on_packet(&mut self, now: Instant, extended: u64, marker: bool, starts_key: bool) {
        if self.next.is_none() && starts_key {
            self.restart(extended);
        }
        let Some(next) = self.next.filter(|next| extended >= *next) else {
            return;
        };
        if extended >= next + WINDOW {
            // Too much is missing for it ever to be made whole.
            self.next = None;
            self.gap_since.get_or_insert(now);
            if starts_key {
                self.on_packet(now, extended, marker, starts_key);
            }
            return;
        }
        self.highest = self.highest.max(extended);
        *self.slot(extended) = if marker { PRESENT | MARKER } else { PRESENT };
        if starts_key && extended > next {
            self.key_start = self.key_start.max(Some(extended));
        }
        self.advance(now);
        self.skip_gap(now);
    }

    fn slot(&mut self, extended: u64) -> &mut u8 {
        &mut self.slots[(extended % WINDOW) as usize]
    }

    fn restart(&mut self, at: u64) {
        self.slots.fill(0);
        self.next = Some(at);
        self.highest = at;
        self.key_start = None;
    }

    /// Takes what is there without a gap.
    fn advance(&mut self, now: Instant) {
        let Some(mut next) = self.next else {
            return;
        };
        while *self.slot(next) & PRESENT != 0 {
            let flags = std::mem::take(self.slot(next));
            next += 1;
            if flags & MARKER != 0 {
                self.show(now);
            }
        }
        self.next = Some(next);
        if self.highest < next {
            self.gap_since = None;
        } else {
            self.gap_since.get_or_insert(now);
        }
    }

    /// Goes on behind a gap if a key frame there is whole.
    fn skip_gap(&mut self, now: Instant) {
        let (Some(next), Some(start)) = (self.next, self.key_start) else {
            return;
        };
        if start < next {
            self.key_start = None;
            return;
        }
        let mut end = start;
        while *self.slot(end) & PRESENT != 0 {
            if *self.slot(end) & MARKER != 0 {
                for skipped in next..start {
                    *self.slot(skipped) = 0;
                }
                self.next = Some(start);
                self.key_start = None;
                self.gap_since = None;
                self.advance(now);
                return;
            }
            end += 1;
        }
    }

    fn show(&mut self, now: Instant) {
        self.counts.frames += 1;
        if let Some(before) = self.shown_at {
            let interval = now.saturating_duration_since(before);
            self.counts.watched += interval;
            if self.is_freeze(interval) {
                self.counts.freezes += 1;
                self.counts.frozen += interval;
            } else if self.usual.is_zero() {
                self.usual = interval;
            } else {
                self.usual = (self.usual * 15 + interval) / 16;
            }
        }
        self.shown_at = self.is_watched.then_some(now);
    }

    fn is_freeze(&self, interval: Duration) -> bool {
        self.counts.frames > MIN_FRAMES
            && interval > (self.usual * 3).max(self.usual + FREEZE_MARGIN)
    }

    /// Whether nothing but a key frame helps.
    pub fn needs_key_frame(&self, now: Instant) -> bool {
        self.gap_since
            .is_some_and(|since| now.saturating_duration_since(since) >= GAP_LIFETIME)
    }

    /// When [`Self::needs_key_frame`] may become true.
    pub fn gap_deadline(&self) -> Option<Instant> {
        self.gap_since.map(|since| since + GAP_LIFETIME)
    }

    /// The viewer looks, or does not: then no picture is no freeze.
    pub fn set_watched(&mut self, is_watched: bool) {
        self.is_watched = is_watched;
        self.shown_at = None;
    }

    /// Counts up to `now`, with a freeze that lasts still.
    pub fn counts(&self, now: Instant) -> FrameCounts {
        let mut counts = self.counts;
        if let Some(before) = self.shown_at {
            let interval = now.saturating_duration_since(before);
            counts.watched += interval;
            if self.is_freeze(interval) {
                counts.freezes += 1;
                counts.frozen += interval;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(40);

    /// Frames of two packets; the first one is a key frame.
    fn feed(
        clock: &mut FrameClock,
        start: Instant,
        frames: std::ops::Range<u64>,
        lost: &[u64],
    ) -> Instant {
        let mut now = start;
        for frame in frames {
            now = start + FRAME * frame as u32;
            for packet in [frame * 2, frame * 2 + 1] {
                if !lost.contains(&packet) {
                    clock.on_packet(now, 100 + packet, packet % 2 == 1, packet == 0);
                }
            }
        }
        now
    }

    #[test]
    fn whole_frames_are_shown_and_steady_ones_do_not_freeze() {
        let (mut clock, start) = (FrameClock::default(), Instant::now());
        let now = feed(&mut clock, start, 0..50, &[]);
        let counts = clock.counts(now);
        assert_eq!((counts.frames, counts.freezes), (50, 0));
    }

    #[test]
    fn nothing_is_shown_before_a_key_frame() {
        let (mut clock, start) = (FrameClock::default(), Instant::now());
        feed(&mut clock, start, 1..10, &[]);
        assert_eq!(clock.counts(start).frames, 0);
    }

    #[test]
    fn a_packet_that_comes_late_releases_what_waited_for_it() {
        let (mut clock, start) = (FrameClock::default(), Instant::now());
        let now = feed(&mut clock, start, 0..30, &[40]);
        assert_eq!(clock.counts(now).frames, 20);
        clock.on_packet(now, 140, false, false);
        let counts = clock.counts(now);
        assert_eq!((counts.frames, counts.freezes), (30, 1));
        // From frame 19 to the moment at which the packet came.
        assert_eq!(counts.frozen, FRAME * 10);
        assert!(!clock.needs_key_frame(now + Duration::from_secs(9)));
    }

    #[test]
    fn a_gap_that_stays_needs_a_key_frame_and_is_left_behind_by_it() {
        let (mut clock, start) = (FrameClock::default(), Instant::now());
        let now = feed(&mut clock, start, 0..40, &[40]);
        assert!(!clock.needs_key_frame(start + FRAME * 20));
        assert!(clock.needs_key_frame(now));
        clock.on_packet(now, 180, false, true);
        assert_eq!(clock.counts(now).frames, 20);
        clock.on_packet(now, 181, true, false);
        assert_eq!(clock.counts(now).frames, 21);
        assert!(!clock.needs_key_frame(now));
    }

    #[test]
    fn a_gap_beyond_the_window_ends_at_a_key_frame() {
        let (mut clock, start) = (FrameClock::default(), Instant::now());
        let now = feed(&mut clock, start, 0..20, &[]);
        clock.on_packet(now, 100 + 40 + WINDOW, false, false);
        assert!(clock.needs_key_frame(now + GAP_LIFETIME));
        clock.on_packet(now, 100 + 41 + WINDOW, true, true);
        assert_eq!(clock.counts(now).frames, 21);
    }

    #[test]
    fn a_freeze_that_lasts_counts_unless_the_viewer_looked_away() {
        let (mut clock, start) = (FrameClock::default(), Instant::now());
        let now = feed(&mut clock, start, 0..20, &[]);
        let later = now + Duration::from_secs(2);
        let counts = clock.counts(later);
        assert_eq!(counts.frozen, Duration::from_secs(2));
        assert_eq!(counts.watched, FRAME * 19 + counts.frozen);
        clock.set_watched(false);
        let away = clock.counts(later + Duration::from_secs(9));
        assert_eq!((away.freezes, away.watched), (0, FRAME * 19));
    }
}
