//! Which packet indices of a source have been accepted (RFC 3711, section 3.3.2).
//!
//! A ring of bits behind the highest index. It is wider than the 64 that the RFC asks for, as a
//! retransmission or a burst on a slow network may come hundreds of packets late.

/// Packets behind the highest one that are still told apart.
pub(super) const WINDOW: u64 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Replay window of one source. It exists from its first accepted packet on.
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    highest: u64,
    /// Bit `index % WINDOW`, for the indices of the window only.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(super) fn starting_with(index: u64) -> Self {
        let mut window = Self {
            highest: index,
            seen: [0; WORDS],
        };
        window.mark(index);
        window
    }

    /// Of a source that was forgotten but for its highest index: nothing up to that is new.
    pub(super) fn behind(highest: u64) -> Self {
        Self {
            highest,
            seen: [u64::MAX; WORDS],
        }
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` is neither a repetition nor too old to tell.
    pub(super) fn is_new(&self, index: u64) -> bool {
        index > self.highest || (self.covers(index) && !self.has_seen(index))
    }

    /// Whether `index` is a repetition for certain.
    pub(super) fn has_seen(&self, index: u64) -> bool {
        let (word, bit) = position(index);
        self.covers(index) && self.seen[word] & bit != 0
    }

    fn covers(&self, index: u64) -> bool {
        index <= self.highest && self.highest - index < WINDOW
    }

    /// Takes note of an index whose packet is authentic. One that is too old changes nothing.
    pub(super) fn accept(&mut self, index: u64) {
        if index + WINDOW <= self.highest {
            return;
        }
        if index > self.highest {
            if index - self.highest >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..index {
                    let (word, bit) = position(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.highest = index;
        }
        self.mark(index);
    }

    fn mark(&mut self, index: u64) {
        let (word, bit) = position(index);
        self.seen[word] |= bit;
    }
}

fn position(index: u64) -> (usize, u64) {
    let slot = index % WINDOW;
    ((slot / 64) as usize, 1 << (slot % 64))
}
