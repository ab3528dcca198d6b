//! Records when packets of a transport arrive, and feeds that back to the sender's bandwidth
//! estimation (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::{Duration, Instant};

use crate::api::Ssrc;
use crate::rtcp::TransportFeedbackHeader;

/// How many of the latest sequence numbers are remembered.
const WINDOW: usize = 1_024;
/// How long the first unreported packet waits for others.
const INTERVAL: Duration = Duration::from_millis(50);
/// Or until a burst begins after so long: the thread is awake then, and need not wake up for this.
const INTERVAL_WITH_BURST: Duration = Duration::from_millis(30);
/// A packet begins a burst if nothing has come for so long.
const BURST_PAUSE: Duration = Duration::from_millis(10);
/// So many unreported packets do not wait: the window must not overtake them.
const MAX_PENDING: usize = WINDOW / 2;
/// Packets far behind the window after which the sender must have restarted its numbering.
const MAX_OLD: u8 = 3;
/// Marks a sequence number that has not arrived.
const ABSENT: i64 = i64::MIN;

/// Arrival times of one transport's packets.
///
/// A feedback starts where the last one ended, or at an earlier packet that came late; everything
/// the window still holds from there on is then told again.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Arrivals in units of 250 µs since `epoch`, at the sequence number modulo the window.
    /// Allocated by the first packet, as most transports only send.
    arrivals: Box<[i64]>,
    epoch: Option<Instant>,
    /// One above the highest sequence number, with rollovers.
    end: u64,
    /// Where the next feedback starts.
    base: u64,
    pending: usize,
    old: u8,
    due: Option<Instant>,
    last_at: Option<Instant>,
    feedback_count: u8,
}

impl Recorder {
    /// A packet with transport-wide sequence number `sequence`. Duplicates keep the first time.
    pub fn on_packet(&mut self, now: Instant, sequence: u16) {
        let epoch = *self.epoch.get_or_insert(now);
        let Some(extended) = self.place(sequence) else {
            return;
        };
        let Some(arrival) = self.arrivals.get_mut(extended as usize % WINDOW) else {
            return;
        };
        if *arrival != ABSENT {
            return;
        }
        *arrival = (now.saturating_duration_since(epoch).as_micros() / 250) as i64;
        self.base = self.base.min(extended);
        self.pending += 1;
        let due = self.due.unwrap_or(now + INTERVAL);
        let since = |at| now.saturating_duration_since(at);
        let last_at = self.last_at.replace(now);
        let begins_burst = last_at.is_some_and(|at| since(at) >= BURST_PAUSE);
        let is_soon = now + (INTERVAL - INTERVAL_WITH_BURST) >= due;
        self.due = Some(
            if self.pending >= MAX_PENDING || (begins_burst && is_soon) {
                due.min(now)
            } else {
                due
            },
        );
    }

    /// Extends a sequence number and moves the window up to it. `None` if it is behind the window.
    fn place(&mut self, sequence: u16) -> Option<u64> {
        if self.arrivals.is_empty() {
            self.arrivals = vec![ABSENT; WINDOW].into_boxed_slice();
            self.restart(65_536 + u64::from(sequence));
        }
        let ahead = sequence.wrapping_sub(self.end as u16) as i16;
        let mut extended = self.end.saturating_add_signed(i64::from(ahead));
        if extended + (WINDOW as u64) < self.end {
            self.old += 1;
            if self.old < MAX_OLD {
                return None;
            }
            extended += 65_536;
        }
        self.old = 0;
        if extended >= self.end + WINDOW as u64 {
            self.restart(extended);
        }
        while self.end <= extended {
            if let Some(arrival) = self.arrivals.get_mut(self.end as usize % WINDOW) {
                *arrival = ABSENT;
            }
            self.end += 1;
        }
        let oldest = self.end.saturating_sub(WINDOW as u64);
        self.base = self.base.max(oldest);
        Some(extended)
    }

    /// Forgets everything before `extended`, which comes next.
    fn restart(&mut self, extended: u64) {
        self.arrivals.fill(ABSENT);
        self.end = extended;
        self.base = extended;
        self.pending = 0;
    }

    /// When [`Self::poll`] has something to write.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Appends one feedback packet of at most 1.1 kB if one is due. To be called until it returns
    /// `false`: what does not fit one packet takes another.
    pub fn poll(
        &mut self,
        now: Instant,
        sender_ssrc: Ssrc,
        media_ssrc: Ssrc,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        let header = TransportFeedbackHeader {
            sender: sender_ssrc,
            media: media_ssrc,
            base_sequence: self.base,
            feedback_count: self.feedback_count,
        };
        let arrivals = (self.base..self.end).filter_map(|extended| {
            let arrival = *self.arrivals.get(extended as usize % WINDOW)?;
            (arrival != ABSENT).then_some((extended, arrival))
        });
        let next = header.write(out, arrivals);
        let written = next.is_some();
        self.base = next.unwrap_or(self.end);
        self.feedback_count = self.feedback_count.wrapping_add(u8::from(written));
        if self.base >= self.end {
            self.pending = 0;
            self.due = None;
        }
        written
    }
}
