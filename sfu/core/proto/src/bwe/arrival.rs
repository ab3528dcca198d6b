//! Packets sent within 5 ms of each other form a group; what counts is how the gap between two
//! groups has changed on the way. Packets that the network released in one burst are one group too.

/// Span of send times that makes a group.
const GROUP_US: i64 = 5_000;
/// Packets that arrive so close together, sooner than they were sent, were held up by something.
const BURST_GAP_US: i64 = 5_000;
const BURST_MAX_US: i64 = 100_000;
/// After so many groups out of order the receiver's clock must have jumped.
const MAX_REORDERED: u8 = 3;
/// A gap like this says nothing about queues.
const MAX_GAP_US: i64 = 3_000_000;

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent_us: i64,
    last_sent_us: i64,
    first_arrived_us: i64,
    last_arrived_us: i64,
}

/// Distance between two neighbouring groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delta {
    pub sent_us: i64,
    pub arrived_us: i64,
}

/// Groups packets, which must come in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct InterArrival {
    current: Option<Group>,
    previous: Option<Group>,
    reordered: u8,
}

impl InterArrival {
    /// The distance between the last two groups, when this packet begins a third one.
    pub(super) fn on_packet(&mut self, sent_us: i64, arrived_us: i64) -> Option<Delta> {
        let fresh = Group {
            first_sent_us: sent_us,
            last_sent_us: sent_us,
            first_arrived_us: arrived_us,
            last_arrived_us: arrived_us,
        };
        let Some(current) = self.current.as_mut() else {
            self.current = Some(fresh);
            return None;
        };
        if sent_us < current.first_sent_us {
            return None;
        }
        if !current.starts_another(sent_us, arrived_us) {
            current.last_sent_us = current.last_sent_us.max(sent_us);
            current.last_arrived_us = current.last_arrived_us.max(arrived_us);
            return None;
        }
        let finished = *current;
        self.current = Some(fresh);
        let before = self.previous.replace(finished)?;
        let delta = Delta {
            sent_us: finished.last_sent_us - before.last_sent_us,
            arrived_us: finished.last_arrived_us - before.last_arrived_us,
        };
        if delta.arrived_us < 0 {
            self.reordered += 1;
            if self.reordered >= MAX_REORDERED {
                *self = Self::default();
            }
            return None;
        }
        self.reordered = 0;
        if delta.arrived_us - delta.sent_us > MAX_GAP_US {
            *self = Self::default();
            return None;
        }
        Some(delta)
    }
}

impl Group {
    fn starts_another(&self, sent_us: i64, arrived_us: i64) -> bool {
        let arrived_later = arrived_us - self.last_arrived_us;
        let sent_later = sent_us - self.last_sent_us;
        let burst = sent_later == 0
            || (arrived_later < sent_later
                && arrived_later <= BURST_GAP_US
                && arrived_us - self.first_arrived_us < BURST_MAX_US);
        !burst && sent_us - self.first_sent_us > GROUP_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_by_send_time_and_measures_their_distance() {
        let mut groups = InterArrival::default();
        for (sent, arrived) in [(0, 50_000), (2_000, 52_000), (20_000, 71_000)] {
            assert_eq!(groups.on_packet(sent, arrived), None);
        }
        let delta = groups
            .on_packet(40_000, 95_000)
            .expect("two groups are done");
        assert_eq!((delta.sent_us, delta.arrived_us), (18_000, 19_000));
    }

    #[test]
    fn a_burst_out_of_a_held_up_queue_is_one_group() {
        let mut groups = InterArrival::default();
        let held_up = [
            (0, 100_000),
            (20_000, 100_500),
            (40_000, 101_000),
            (60_000, 101_500),
        ];
        for (sent, arrived) in held_up {
            assert_eq!(groups.on_packet(sent, arrived), None);
        }
    }
}
