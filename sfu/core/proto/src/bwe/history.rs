//! What has been sent on a transport, by transport-wide sequence number.
//!
//! Eight bytes an entry. A packet is answered for once: later mention of it is passed over. So its place
//! may be taken as soon as it has been, and the ring holds what is under way: what is sent within a round
//! trip and the time between two feedbacks. Up to its bound it grows before it loses anything else.

use crate::prefetch::prefetch;

/// Most packets remembered; a power of two.
pub(super) const PACKETS: usize = 1_024;
/// Of a new ring.
const FIRST_PACKETS: usize = 64;
/// Feedback about what left longer ago is not waited for: until then the ring grows.
const KEEP_US: u32 = 2_000_000;
/// What was told of as missing turns up in the feedback after that, or not at all.
const KEEP_MISSING_US: u32 = 500_000;
/// Probe clusters are numbered from 1 up to this; the bit above tells of padding.
pub(super) const MAX_CLUSTER: u8 = 0x7f;
const PADDING: u8 = 0x80;
/// Entries that a cache line holds.
const PER_LINE: usize = 64 / size_of::<Entry>();
/// Most entries that are brought nearer at a time: more hints than that have to wait themselves.
const PREFETCHED_PACKETS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Never sent, or told of.
    #[default]
    Settled,
    InFlight,
    /// Told of as missing. It may still turn up.
    Missing,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Low half of the microseconds since the estimator's start.
    sent_us: u32,
    size: u16,
    state: State,
    /// 0 is no probe; and whether it was only padding.
    cluster: u8,
}

impl Entry {
    /// Whether feedback may still have something to say about it.
    fn is_awaited(&self, now_us: i64) -> bool {
        let age_us = (now_us as u32).wrapping_sub(self.sent_us);
        match self.state {
            State::Settled => false,
            State::InFlight => age_us < KEEP_US,
            State::Missing => age_us < KEEP_MISSING_US,
        }
    }
}

/// A packet that feedback speaks of for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketResult {
    pub sent_us: i64,
    /// On the receiver's clock; `None` for a packet that is missing.
    pub arrived_us: Option<i64>,
    pub size: u16,
    /// Probe cluster that it belongs to; 0 is none.
    pub cluster: u8,
    pub is_padding: bool,
}

/// The ring. Times are microseconds since the estimator's start.
#[derive(Debug)]
pub(super) struct SendHistory {
    entries: Box<[Entry]>,
    /// Transport-wide sequence number of the next packet, with rollovers.
    next: u64,
}

impl Default for SendHistory {
    fn default() -> Self {
        Self {
            entries: vec![Entry::default(); FIRST_PACKETS].into_boxed_slice(),
            next: 0,
        }
    }
}

impl SendHistory {
    /// The number that the next packet is to carry.
    pub(super) fn next_sequence(&self) -> u16 {
        self.next as u16
    }

    /// The packets that are remembered: number of the first one, and how many.
    pub(super) fn remembered(&self) -> (u16, u16) {
        let packets = self.next.min(self.entries.len() as u64) as u16;
        (self.next_sequence().wrapping_sub(packets), packets)
    }

    /// When the last packet left, unless none has.
    pub(super) fn last_sent_us(&self, now_us: i64) -> Option<i64> {
        let last = (self.next as usize).checked_sub(1)?;
        let ago = (now_us as u32).wrapping_sub(self.entries[self.index(last)].sent_us);
        Some(now_us - i64::from(ago))
    }

    /// Brings the places of the next packets nearer.
    pub(super) fn prefetch_next(&self, packets: usize) {
        self.prefetch(self.next as usize, packets);
    }

    /// Brings what there is to say about packets from `sequence` on nearer.
    pub(super) fn prefetch_sent(&self, sequence: u16, packets: usize) {
        let back = (self.next as u16).wrapping_sub(sequence);
        self.prefetch(
            (self.next as usize).wrapping_sub(usize::from(back)),
            packets,
        );
    }

    fn prefetch(&self, first: usize, packets: usize) {
        let packets = packets.min(PREFETCHED_PACKETS);
        let step = PER_LINE.min(packets.max(1));
        for number in (0..packets).step_by(step).chain(packets.checked_sub(1)) {
            let index = self.index(first.wrapping_add(number));
            prefetch(&self.entries[index], size_of::<Entry>());
        }
    }

    /// The packet numbered `next_sequence` has left.
    pub(super) fn record(&mut self, sent_us: i64, size: u16, cluster: u8, is_padding: bool) {
        let mut index = self.index(self.next as usize);
        if self.entries.len() < PACKETS && self.entries[index].is_awaited(sent_us) {
            self.grow();
            index = self.index(self.next as usize);
        }
        self.entries[index] = Entry {
            sent_us: sent_us as u32,
            size,
            state: State::InFlight,
            cluster: cluster | if is_padding { PADDING } else { 0 },
        };
        self.next += 1;
    }

    /// Where a packet is: the number of entries is a power of two.
    fn index(&self, number: usize) -> usize {
        number & (self.entries.len() - 1)
    }

    /// Twice the entries, each at the place where it is looked for from now on.
    fn grow(&mut self) {
        let before = self.entries.len();
        let mut entries = vec![Entry::default(); before * 2].into_boxed_slice();
        for back in 1..=before {
            let number = (self.next as usize).wrapping_sub(back);
            entries[number % (before * 2)] = self.entries[number % before];
        }
        self.entries = entries;
    }

    /// What there is to say about a packet: nothing if it has been settled, or is unknown.
    pub(super) fn settle(
        &mut self,
        sequence: u16,
        arrived_us: Option<i64>,
        now_us: i64,
    ) -> Option<PacketResult> {
        let back = (self.next as u16).wrapping_sub(sequence);
        let back = usize::from(back);
        let packets = self.entries.len();
        if back == 0 || back > packets || back as u64 > self.next {
            return None;
        }
        let index = self.index((self.next as usize).wrapping_sub(back));
        let entry = self.entries.get_mut(index)?;
        entry.state = match (entry.state, arrived_us) {
            (State::Settled, _) | (State::Missing, None) => return None,
            (State::InFlight, None) => State::Missing,
            (State::InFlight | State::Missing, Some(_)) => State::Settled,
        };
        let ago = (now_us as u32).wrapping_sub(entry.sent_us);
        Some(PacketResult {
            sent_us: now_us - i64::from(ago),
            arrived_us,
            size: entry.size,
            cluster: entry.cluster & !PADDING,
            is_padding: entry.cluster & PADDING != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_settled_once_and_a_missing_one_may_turn_up() {
        let mut history = SendHistory::default();
        history.record(1_000, 500, 0, false);
        history.record(2_000, 600, 3, false);
        let first = history.settle(0, Some(77), 9_000).expect("known");
        assert_eq!((first.sent_us, first.size, first.cluster), (1_000, 500, 0));
        assert_eq!(history.settle(0, Some(77), 9_000), None);
        assert!(
            history
                .settle(1, None, 9_000)
                .expect("known")
                .arrived_us
                .is_none()
        );
        assert_eq!(history.settle(1, None, 9_000), None);
        assert_eq!(history.settle(1, Some(80), 9_000).expect("late").cluster, 3);
        assert_eq!(history.settle(2, Some(80), 9_000), None, "never sent");
        assert_eq!(history.settle(65_535, Some(80), 9_000), None, "never sent");
    }

    #[test]
    fn holds_what_is_under_way_and_no_more() {
        // Packets a second, milliseconds until they are told of, and places.
        for (rate, after_ms, packets) in [(200, 150, 64), (200, 600, 128), (1_000, 300, 512)] {
            let mut history = SendHistory::default();
            let (apart_us, behind) = (1_000_000 / rate, rate * after_ms / 1_000);
            for n in 0..10 * rate {
                history.record(n * apart_us, 900, 0, false);
                if let Ok(told) = u16::try_from(n - behind) {
                    // Every tenth is missing.
                    let arrived_us = (told % 10 != 0).then_some(1);
                    let packet = history.settle(told, arrived_us, n * apart_us);
                    assert!(packet.is_some(), "{told} of {rate} a second");
                }
            }
            let held = history.entries.len();
            // Those may turn up for half a second.
            assert!(
                held <= packets.max(rate as usize),
                "{held} at {rate} a second"
            );
        }
    }

    #[test]
    fn grows_with_what_is_sent_and_forgets_nothing_by_that() {
        for (rate, packets) in [(20i64, 64), (60, 128), (300, 1_024), (3_000, 1_024)] {
            let mut history = SendHistory::default();
            for n in 0..10 * rate {
                history.record(n * 1_000_000 / rate, (n % 1_000) as u16, 0, false);
            }
            assert_eq!(history.entries.len(), packets, "{rate} a second");
            for n in 10 * rate - (2 * rate - 2).min(1_024)..10 * rate {
                let packet = history.settle(n as u16, Some(1), 10_000_000);
                let packet = packet.expect("remembered");
                assert_eq!(packet.size, n as u16 % 1_000);
                assert_eq!(packet.sent_us, n * 1_000_000 / rate);
            }
        }
    }

    #[test]
    fn survives_rollover_of_numbers_and_of_time() {
        let mut history = SendHistory::default();
        let start = i64::from(u32::MAX) - 5_000_000;
        for n in 0..70_000i64 {
            history.record(start + n * 100, 100, 0, false);
        }
        let last = 69_999i64;
        let now_us = start + last * 100 + 7;
        let packet = history.settle(last as u16, Some(1), now_us).expect("sent");
        assert_eq!(packet.sent_us, start + last * 100);
        let old = last - PACKETS as i64;
        assert_eq!(
            history.settle(old as u16, Some(1), now_us),
            None,
            "overwritten"
        );
    }
}
