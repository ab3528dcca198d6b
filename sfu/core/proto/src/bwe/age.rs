//! How old what is known of a path is: it counts for less while nothing that is sent is acknowledged,
//! and for nothing once nothing has been under way for a while.
//!
//! States: unknown (nothing acknowledged yet, or for too long nothing sent) → known, by the first
//! acknowledgement → silent, when acknowledgements fail to come, until the next one.

/// Nothing sent for so long, and nothing is under way any more. Where padding can be sent, probes look
/// at the path more often than that.
const IDLE_US: i64 = 2_500_000;
const IDLE_PROBED_US: i64 = 4_000_000;
/// Acknowledgements that take longer than this, or so many round trips, fail to come.
const SILENT_AFTER_US: i64 = 2_000_000;
const SILENT_ROUND_TRIPS: i64 = 3;
/// From then on so much of the estimate is left after each second.
const LEFT_AFTER_SECOND: f64 = 0.8;

/// The age of one estimate.
#[derive(Debug, Default)]
pub(super) struct Age {
    /// The first packet since the last acknowledgement left then.
    unanswered_since_us: Option<i64>,
    round_trip_us: i64,
    is_known: bool,
    /// There has ever been feedback.
    heard: bool,
}

impl Age {
    pub(super) fn on_sent(&mut self, now_us: i64) {
        self.unanswered_since_us.get_or_insert(now_us);
    }

    pub(super) fn on_feedback(&mut self, round_trip_us: i64) {
        self.heard = true;
        self.round_trip_us = round_trip_us;
    }

    /// A packet has arrived.
    pub(super) fn on_acknowledged(&mut self) {
        self.is_known = true;
        self.unanswered_since_us = None;
    }

    /// What is known no longer counts.
    pub(super) fn begin_anew(&mut self) {
        self.is_known = false;
        self.unanswered_since_us = None;
    }

    /// Whether what is known is to be forgotten.
    pub(super) fn is_idle(&self, now_us: i64, last_sent_us: i64, can_probe: bool) -> bool {
        let idle_us = if can_probe { IDLE_PROBED_US } else { IDLE_US };
        self.is_known && now_us - last_sent_us >= idle_us
    }

    /// Whether anything is known of the path, be it that nothing comes through.
    pub(super) fn is_known(&self, now_us: i64) -> bool {
        self.is_known || self.silent_us(now_us) > 0
    }

    /// A peer that negotiated feedback and has never sent any.
    pub(super) fn is_deaf(&self, now_us: i64) -> bool {
        !self.heard && self.silent_us(now_us) > 0
    }

    /// The share of an estimate that is left.
    pub(super) fn left(&self, now_us: i64) -> f64 {
        match self.silent_us(now_us) {
            ..=0 => 1.0,
            silent_us => LEFT_AFTER_SECOND.powf(silent_us as f64 / 1e6),
        }
    }

    /// By how much acknowledgements are late.
    fn silent_us(&self, now_us: i64) -> i64 {
        let allowed_us = SILENT_AFTER_US.max(SILENT_ROUND_TRIPS * self.round_trip_us);
        self.unanswered_since_us
            .map_or(0, |since_us| now_us - since_us - allowed_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn a_fifth_goes_each_second_from_three_round_trips_without_an_acknowledgement_on() {
        for (round_trip_us, from_us) in [(50_000, 2 * S), (1_500_000, 4_500_000)] {
            let mut age = Age::default();
            age.on_feedback(round_trip_us);
            age.on_acknowledged();
            age.on_sent(10 * S);
            age.on_sent(11 * S);
            let left = |after_us: i64| age.left(10 * S + from_us + after_us);
            assert!(left(-1) >= 1.0);
            assert!((left(S) - 0.8).abs() < 1e-9);
            assert!((left(3 * S) - 0.512).abs() < 1e-9);
            age.on_acknowledged();
            assert!(age.left(60 * S) >= 1.0, "nothing is under way");
        }
    }

    #[test]
    fn unknown_before_the_first_acknowledgement_and_after_nothing_has_been_sent() {
        let mut age = Age::default();
        age.on_sent(0);
        assert!(!age.is_known(S) && !age.is_deaf(S));
        assert!(age.is_deaf(3 * S));
        age.on_feedback(50_000);
        age.on_acknowledged();
        assert!(age.is_known(3 * S));
        for can_probe in [false, true] {
            let after = |us| age.is_idle(3 * S + us, 3 * S, can_probe);
            assert!(!after(2 * S) && after(5 * S));
        }
        age.begin_anew();
        assert!(!age.is_known(8 * S));
        age.on_sent(8 * S);
        assert!(!age.is_known(9 * S) && age.is_known(11 * S));
        assert!(!age.is_deaf(11 * S), "it has sent feedback before");
    }
}
