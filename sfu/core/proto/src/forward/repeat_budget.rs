//! How many bytes of retransmissions a transport may get.
//!
//! A subscriber that asks for everything again and again would otherwise multiply what it is sent.
//! Media earns the right to be repeated; what has been earned and not used is kept up to a burst
//! that covers a lost key frame. Real loss stays well below: at 30 % on the way and on the way of
//! repeats, they are 43 % of the media.

/// Retransmissions are at most this share of the media, in quarters.
const QUARTERS: i32 = 3;
/// Most that is kept: a large key frame.
const BURST_BYTES: i32 = 128 * 1_024;
/// What a new subscriber may ask for: the first packets of its key frames.
const START_BYTES: i32 = 16 * 1_024;

/// The budget of one transport, in payload bytes.
#[derive(Debug, Clone, Copy)]
pub struct RepeatBudget {
    /// Below zero by at most one packet.
    bytes: i32,
}

impl Default for RepeatBudget {
    fn default() -> Self {
        Self { bytes: START_BYTES }
    }
}

impl RepeatBudget {
    /// Media of `len` bytes has been sent.
    pub fn earn(&mut self, len: usize) {
        self.bytes = (self.bytes + len as i32 * QUARTERS / 4).min(BURST_BYTES);
    }

    /// Whether something may be repeated.
    pub fn is_open(&self) -> bool {
        self.bytes > 0
    }

    /// A packet of `len` bytes has been repeated.
    pub fn spend(&mut self, len: usize) {
        self.bytes = self.bytes.saturating_sub(len as i32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_stay_a_share_of_the_media() {
        let mut budget = RepeatBudget::default();
        let mut repeated = 0;
        for _ in 0..10_000 {
            budget.earn(1_000);
            while budget.is_open() {
                budget.spend(1_000);
                repeated += 1;
            }
        }
        assert!((7_400..=7_520).contains(&repeated), "{repeated}");
    }

    #[test]
    fn what_was_not_used_covers_a_burst_and_no_more() {
        let mut budget = RepeatBudget::default();
        for _ in 0..10_000 {
            budget.earn(1_000);
        }
        let mut burst = 0;
        while budget.is_open() {
            budget.spend(1_000);
            burst += 1;
        }
        assert_eq!(burst, 132);
    }
}
