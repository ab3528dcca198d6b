//! Timers of a shard: one heap, each entry with its reason.
//!
//! An owner remembers the one due time it cares about per reason; an entry that no longer matches
//! is stale and skipped. So rescheduling costs one push, and nothing is ever searched.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// What is due, and for whom (slab keys).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// ICE, DTLS or SCTP of a peer.
    Transport(usize),
    /// NACK, receiver report and transport feedback towards a publisher.
    Feedback(usize),
    /// Key-frame requests and silent layers of a track.
    Track(usize),
    /// Allocation and probes of a subscriber.
    Bandwidth(usize),
    /// End of an audio level window.
    Levels,
    /// Which microphones this shard forwards, for the other ones.
    Microphones,
}

/// When an owner wants to be called for one reason.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Due(Option<Instant>);

impl Due {
    /// Takes the due time if `at` is the one that counts.
    pub(super) fn take(&mut self, at: Instant) -> bool {
        let matches = self.0 == Some(at);
        if matches {
            self.0 = None;
        }
        matches
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    /// Calls `timer` at `at`, unless it is due earlier anyway.
    pub(super) fn schedule(&mut self, due: &mut Due, at: Instant, timer: Timer) {
        if due.0.is_none_or(|earlier| at < earlier) {
            due.0 = Some(at);
            self.heap.push(Reverse((at, timer)));
        }
    }

    /// The next entry due at `now`, which may be stale.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Gives room back that is not in use.
    pub(super) fn shrink(&mut self) {
        self.heap.shrink_to_fit();
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_earlier_time_replaces_a_later_one() {
        let now = Instant::now();
        let (soon, later) = (
            now + Duration::from_millis(5),
            now + Duration::from_millis(9),
        );
        let mut timers = Timers::default();
        let mut due = Due::default();
        timers.schedule(&mut due, later, Timer::Feedback(1));
        timers.schedule(&mut due, soon, Timer::Feedback(1));
        timers.schedule(&mut due, later, Timer::Feedback(1));
        assert_eq!(timers.next(), Some(soon));
        assert_eq!(timers.pop(now), None);
        let (at, timer) = timers.pop(later).expect("due");
        assert_eq!(timer, Timer::Feedback(1));
        assert!(due.take(at));
        let (stale, _) = timers.pop(later).expect("the replaced entry");
        assert!(!due.take(stale), "stale");
    }
}
