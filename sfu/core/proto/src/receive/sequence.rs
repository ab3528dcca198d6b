//! Sequence numbers with their rollovers, and which of the latest have been received.

/// How many numbers behind the highest are remembered.
const WINDOW: u64 = 2_048;
/// Largest step forward that is taken for loss (RFC 3550, appendix A.1).
const MAX_DROPOUT: u16 = 3_000;

/// What a sequence number turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The next one, or beyond a gap. `jump`: how many numbers a restart skipped.
    Ahead {
        extended: u64,
        jump: u64,
    },
    /// Behind the highest, and not received before.
    Late {
        extended: u64,
    },
    Duplicate,
    /// Too far from the highest: very late, or the first packet after a restart.
    TooOld,
}

/// Extends 16-bit sequence numbers to 64 bits that never fall below 0 and, over restarts, only
/// grow.
#[derive(Debug, Clone)]
pub(super) struct SequenceWindow {
    highest: u64,
    /// One bit for each of the latest numbers, at the number modulo [`WINDOW`].
    received: [u64; WINDOW as usize / 64],
    /// What must follow for a step out of the window to count as a restart.
    restart: Option<u16>,
}

impl SequenceWindow {
    /// Starts one rollover above 0, so that late packets have a number too.
    pub(super) fn new(sequence: u16) -> Self {
        let mut window = Self {
            highest: 65_536 + u64::from(sequence),
            received: [0; WINDOW as usize / 64],
            restart: None,
        };
        window.mark(window.highest);
        window
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// `may_restart` is false for retransmissions, which say nothing of where the sender is now.
    pub(super) fn accept(&mut self, sequence: u16, may_restart: bool) -> Verdict {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        let behind = u64::from(ahead.wrapping_neg());
        if ahead == 0 {
            return Verdict::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            self.advance(u64::from(ahead));
            return Verdict::Ahead {
                extended: self.highest,
                jump: 0,
            };
        }
        if behind < WINDOW {
            let extended = self.highest - behind;
            return if self.mark(extended) {
                Verdict::Late { extended }
            } else {
                Verdict::Duplicate
            };
        }
        if !may_restart {
            return Verdict::TooOld;
        }
        if self.restart != Some(sequence) {
            self.restart = Some(sequence.wrapping_add(1));
            return Verdict::TooOld;
        }
        self.advance(u64::from(ahead));
        Verdict::Ahead {
            extended: self.highest,
            jump: u64::from(ahead) - 1,
        }
    }

    fn advance(&mut self, by: u64) {
        if by >= WINDOW {
            self.received.fill(0);
        } else {
            for extended in self.highest + 1..self.highest + by {
                let (word, bit) = Self::place(extended);
                self.received[word] &= !bit;
            }
        }
        self.highest += by;
        let (word, bit) = Self::place(self.highest);
        self.received[word] |= bit;
        self.restart = None;
    }

    /// Returns whether the number was not marked before.
    fn mark(&mut self, extended: u64) -> bool {
        let (word, bit) = Self::place(extended);
        let new = self.received[word] & bit == 0;
        self.received[word] |= bit;
        new
    }

    fn place(extended: u64) -> (usize, u64) {
        let at = extended % WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }
}
