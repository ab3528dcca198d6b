//! A neighbour that feeds a track: what it has of it, and what of that is wanted here.
//!
//! More is wanted as soon as somebody needs it, so nobody waits for more than the key frame. Less is
//! wanted once nobody has needed it for a while, so that layers that change to and fro do not go
//! to and fro over the link. A layer that does not arrive anywhere costs nothing and is wanted by
//! everybody who watches: whoever would choose it gets its first packet.

use std::time::{Duration, Instant};

use crate::api::{Layer, LayerSet, MAX_LAYERS, MediaMeta, NeighbourId, Supply, Want};

/// Between two looks at what is needed. What two looks in a row find idle is wanted no more.
pub(super) const REVIEW_INTERVAL: Duration = Duration::from_secs(1);

/// The feed of a copied track.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) via: NeighbourId,
    pub(super) supply: Supply,
    /// As the neighbour has been told.
    wanted: Want,
    /// Since when nobody has been seen to need a layer that is wanted, or temporal layers so high.
    idle_since: [Option<Instant>; MAX_LAYERS],
    temporal_idle_since: Option<Instant>,
    /// Higher temporal layers have been seen to be spared us.
    highest_temporal: u8,
    pub(super) review_at: Option<Instant>,
}

impl Upstream {
    pub(super) fn new(via: NeighbourId, wanted: Want) -> Self {
        Self {
            via,
            supply: Supply::default(),
            wanted,
            idle_since: [None; MAX_LAYERS],
            temporal_idle_since: None,
            highest_temporal: u8::MAX,
            review_at: None,
        }
    }

    pub(super) fn wanted(&self) -> Want {
        self.wanted
    }

    /// Somebody needs so much. Returns what to tell the neighbour, if it is more than before.
    pub(super) fn need(&mut self, need: Want) -> Option<Want> {
        for (layer, since) in (0..).map(Layer).zip(&mut self.idle_since) {
            if need.layers.contains(layer) {
                *since = None;
            }
        }
        if need.max_temporal >= self.wanted.max_temporal {
            self.temporal_idle_since = None;
        }
        self.adopt(self.wanted.and(need))
    }

    /// All together need so much. Returns what to tell the neighbour, if that has changed. Layers that
    /// have just `begun` to arrive were wanted in case somebody would choose them.
    pub(super) fn review(&mut self, now: Instant, need: Want, begun: LayerSet) -> Option<Want> {
        let is_over = |since: &mut Option<Instant>| {
            let since = *since.get_or_insert(now);
            now.saturating_duration_since(since) >= REVIEW_INTERVAL
        };
        let mut want = self.wanted.and(need);
        for (layer, since) in (0..).map(Layer).zip(&mut self.idle_since) {
            if need.layers.contains(layer) || !want.layers.contains(layer) {
                *since = None;
            } else if begun.contains(layer) || is_over(since) {
                want.layers.remove(layer);
            }
        }
        if need.max_temporal >= want.max_temporal {
            self.temporal_idle_since = None;
        } else if is_over(&mut self.temporal_idle_since) {
            want.max_temporal = need.max_temporal;
        }
        self.adopt(want)
    }

    fn adopt(&mut self, want: Want) -> Option<Want> {
        (std::mem::replace(&mut self.wanted, want) != want).then_some(want)
    }

    /// The highest temporal layer that comes, as packets tell.
    pub(super) fn highest_temporal(&self) -> u8 {
        self.highest_temporal
    }

    /// Returns whether a packet shows that other temporal layers come than before. After a rise
    /// whole frames must have come, as subscribers go on to a layer by its frames.
    pub(super) fn observe(&mut self, meta: &MediaMeta) -> bool {
        let Some(frame) = meta.frame else {
            return false;
        };
        let is_above = frame.temporal_id > self.highest_temporal;
        let highest = match meta.is_filler {
            true if !is_above => frame.temporal_id.saturating_sub(1),
            false if is_above && frame.starts => u8::MAX,
            _ => return false,
        };
        std::mem::replace(&mut self.highest_temporal, highest) != highest
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::api::{Dependencies, ScalableFrame};

    const NONE: LayerSet = LayerSet::NONE;

    fn want(layers: &[u8]) -> Want {
        Want {
            layers: layers.iter().map(|it| Layer(*it)).collect(),
            max_temporal: 2,
        }
    }

    #[test]
    fn more_is_wanted_at_once_and_less_after_two_looks() {
        let start = Instant::now();
        let mut upstream = Upstream::new(NeighbourId(1), want(&[0]));
        assert_eq!(upstream.need(want(&[2])), Some(want(&[0, 2])));
        assert_eq!(upstream.need(want(&[0])), None);
        assert_eq!(upstream.review(start, want(&[2]), NONE), None);
        // Needed again in between: counts anew.
        assert_eq!(upstream.need(want(&[0])), None);
        let next = start + REVIEW_INTERVAL;
        assert_eq!(upstream.review(next, want(&[2]), NONE), None);
        let last = next + REVIEW_INTERVAL;
        assert_eq!(upstream.review(last, want(&[2]), NONE), Some(want(&[2])));
        assert_eq!(upstream.review(last, want(&[2]), NONE), None);
    }

    #[test]
    fn what_was_wanted_in_case_it_begins_goes_at_once_if_nobody_chooses_it() {
        let mut upstream = Upstream::new(NeighbourId(1), Want::ALL);
        let all = want(&[0, 1, 2]).layers;
        let told = upstream.review(Instant::now(), want(&[1]), all);
        assert_eq!(told.map(|it| it.layers), Some(want(&[1]).layers));
    }

    #[test]
    fn temporal_layers_fall_after_two_looks_and_rise_at_once() {
        let start = Instant::now();
        let mut upstream = Upstream::new(NeighbourId(1), want(&[0]));
        let mut low = want(&[0]);
        low.max_temporal = 0;
        assert_eq!(upstream.review(start, low, NONE), None);
        let later = start + REVIEW_INTERVAL;
        assert_eq!(upstream.review(later, low, NONE), Some(low));
        assert_eq!(upstream.need(want(&[0])), Some(want(&[0])));
    }

    #[test]
    fn a_spared_layer_counts_as_coming_again_from_the_start_of_a_frame_on() {
        let mut upstream = Upstream::new(NeighbourId(1), Want::ALL);
        let mut seen = |temporal_id, starts, is_filler| {
            let mut meta = crate::forward::test_meta(1);
            meta.is_filler = is_filler;
            meta.frame = Some(ScalableFrame {
                spatial_id: 0,
                temporal_id,
                starts,
                ends: true,
                dependencies: Dependencies::Layered {
                    temporal_switch: true,
                    key: false,
                },
            });
            let changed = upstream.observe(&meta);
            (changed, upstream.highest_temporal())
        };
        assert_eq!(seen(2, true, false), (false, u8::MAX));
        assert_eq!(seen(2, true, true), (true, 1));
        assert_eq!(seen(1, true, true), (true, 0));
        assert_eq!(seen(2, true, true), (false, 0), "above it anyway");
        assert_eq!(seen(1, false, false), (false, 0), "half a frame");
        assert_eq!(seen(1, true, false), (true, u8::MAX));
    }
}
