//! Key-frame requests towards a publisher: merged over all who ask, and throttled per layer.
//!
//! A join storm or a hostile subscriber must not turn into a storm of requests: at most two a
//! second leave per layer, and a wish that comes too early is kept until it may be sent. A request
//! whose key frame does not come is repeated, because the request itself can be lost.

use std::time::{Duration, Instant};

use crate::api::{Layer, MAX_LAYERS};

/// Shortest time between two requests for one layer.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// After so many requests without a key frame the publisher is taken not to answer any more.
const MAX_UNANSWERED: u8 = 20;

#[derive(Debug, Clone, Copy, Default)]
struct LayerRequests {
    wanted: bool,
    last_sent: Option<Instant>,
    unanswered: u8,
}

/// The wishes of one track.
#[derive(Debug, Clone, Default)]
pub struct KeyFrameRequests {
    layers: [LayerRequests; MAX_LAYERS],
}

impl KeyFrameRequests {
    /// Somebody needs a key frame of `layer`.
    pub fn want(&mut self, layer: Layer) {
        if let Some(requests) = self.layers.get_mut(usize::from(layer.0)) {
            requests.wanted = true;
            requests.unanswered = 0;
        }
    }

    /// A key frame of `layer` has begun to arrive.
    pub fn arrived(&mut self, layer: Layer) {
        if let Some(requests) = self.layers.get_mut(usize::from(layer.0)) {
            requests.wanted = false;
            requests.unanswered = 0;
        }
    }

    /// The next layer whose request is to be sent at `now`; counts it as sent.
    pub fn poll(&mut self, now: Instant) -> Option<Layer> {
        for (index, requests) in self.layers.iter_mut().enumerate() {
            if requests
                .due()
                .is_some_and(|due| due.is_none_or(|at| at <= now))
            {
                requests.last_sent = Some(now);
                requests.unanswered += 1;
                if requests.unanswered >= MAX_UNANSWERED {
                    requests.wanted = false;
                }
                return Some(Layer(index as u8));
            }
        }
        None
    }

    /// When `poll` will have something, given that it has nothing at `now`.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.layers
            .iter()
            .filter_map(|requests| requests.due())
            .map(|due| due.unwrap_or(now))
            .min()
    }
}

impl LayerRequests {
    /// `None`: nothing to send. `Some(None)`: at once. `Some(Some(t))`: at `t`.
    fn due(&self) -> Option<Option<Instant>> {
        self.wanted
            .then(|| self.last_sent.map(|sent| sent + MIN_INTERVAL))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_wishes_a_second_become_two_requests() {
        let start = Instant::now();
        let mut requests = KeyFrameRequests::default();
        let mut sent = 0;
        for ms in 0..2_000 {
            requests.want(Layer(1));
            sent += usize::from(requests.poll(start + Duration::from_millis(ms)).is_some());
        }
        assert_eq!(sent, 4, "over two seconds");
    }

    #[test]
    fn repeats_until_the_key_frame_comes_and_not_for_ever() {
        let start = Instant::now();
        let mut requests = KeyFrameRequests::default();
        requests.want(Layer(0));
        assert_eq!(requests.poll(start), Some(Layer(0)));
        assert_eq!(requests.poll(start), None);
        let again = requests.poll_timeout(start).expect("still wanted");
        assert_eq!(again, start + MIN_INTERVAL);
        assert_eq!(requests.poll(again), Some(Layer(0)));
        requests.arrived(Layer(0));
        assert_eq!(requests.poll_timeout(again), None);

        requests.want(Layer(0));
        let polls = (1..1_000)
            .filter(|s| requests.poll(start + Duration::from_secs(*s)).is_some())
            .count();
        assert_eq!(polls, usize::from(MAX_UNANSWERED));
    }

    #[test]
    fn layers_are_independent_and_unknown_ones_ignored() {
        let now = Instant::now();
        let mut requests = KeyFrameRequests::default();
        requests.want(Layer(0));
        requests.want(Layer(2));
        requests.want(Layer(9));
        assert_eq!(requests.poll(now), Some(Layer(0)));
        assert_eq!(requests.poll(now), Some(Layer(2)));
        assert_eq!(requests.poll(now), None);
    }
}
