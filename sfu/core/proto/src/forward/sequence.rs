//! Sequence numbers towards one subscriber: continuous over switches of the source.
//!
//! Inside one stretch of one layer the numbers are shifted by a constant, so that loss and
//! reordering on the way in look the same on the way out. A switch starts a new stretch right
//! after the highest number that has been used.

/// A larger step ahead is closed up: a receiver guesses the SRTP rollover counter from the distance
/// to the last number it saw (RFC 3711, section 3.3.1) and would lose it.
const MAX_STEP: u64 = 2_000;

/// Extended source numbers to extended outgoing numbers. The outgoing rollover counter starts at 0.
#[derive(Debug, Clone)]
pub struct SequenceMap {
    /// Outgoing minus source number.
    shift: i64,
    /// First source number of this stretch: what comes before belongs to another one.
    first_source: u64,
    /// Next outgoing number that has never been used.
    next: u64,
    started: bool,
}

impl SequenceMap {
    /// `first` is the first outgoing number, below 2^15.
    pub fn new(first: u16) -> Self {
        Self {
            shift: 0,
            first_source: 0,
            next: u64::from(first),
            started: false,
        }
    }

    /// Begins a new stretch at `source`, which goes out right after all that went before.
    pub fn start(&mut self, source: u64) {
        self.first_source = source;
        self.shift = self.next as i64 - source as i64;
        self.started = true;
    }

    /// The outgoing number of `source`, or `None` if it lies before the stretch.
    pub fn map(&mut self, source: u64) -> Option<u64> {
        if !self.started || source < self.first_source {
            return None;
        }
        let mut out = source.checked_add_signed(self.shift)?;
        if out > self.next + MAX_STEP {
            // One number stays unused, so that the receiver still sees a loss.
            self.next += 1;
            self.start(source);
            out = self.next;
        }
        self.next = self.next.max(out + 1);
        Some(out)
    }

    /// The highest number used so far, if any packet has been mapped.
    pub fn highest(&self) -> Option<u64> {
        self.started.then(|| self.next.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_switch_continues_without_a_gap() {
        let mut map = SequenceMap::new(7);
        map.start(70_000);
        assert_eq!(map.map(70_000), Some(7));
        assert_eq!(map.map(70_002), Some(9));
        assert_eq!(map.map(70_001), Some(8));
        map.start(66_000);
        assert_eq!(map.map(66_000), Some(10));
        assert_eq!(map.map(65_999), None, "before the switch");
        assert_eq!(map.map(66_001), Some(11));
    }

    #[test]
    fn a_huge_gap_is_closed_up_but_still_seen() {
        let mut map = SequenceMap::new(0);
        map.start(65_536);
        assert_eq!(map.map(65_536), Some(0));
        assert_eq!(map.map(65_536 + 40_000), Some(2));
        assert_eq!(map.map(65_536 + 40_001), Some(3));
        assert_eq!(map.map(65_537), None, "older than the gap");
    }

    #[test]
    fn nothing_is_mapped_before_the_start() {
        assert_eq!(SequenceMap::new(0).map(5), None);
    }

    proptest! {
        /// No outgoing number is ever used for two different packets.
        #[test]
        fn numbers_are_unique(steps in prop::collection::vec((any::<bool>(), 0u64..40), 1..200)) {
            let mut map = SequenceMap::new(0);
            let mut seen = std::collections::BTreeSet::new();
            let mut source = 100_000;
            let mut sent = std::collections::BTreeSet::new();
            map.start(source);
            for (switch, advance) in steps {
                source += advance + 1;
                if switch {
                    source += 1_000_000;
                    map.start(source);
                }
                if let Some(out) = map.map(source) {
                    prop_assert!(seen.insert(out), "{out} used twice");
                    prop_assert!(sent.insert(source));
                }
            }
        }
    }
}
