//! Which simulcast layers of a track are arriving at the moment.
//!
//! A publisher on a weak uplink stops its upper layers without a word; whoever watches one of them
//! must then get the best that still comes.

use std::time::{Duration, Instant};

use crate::api::{Layer, LayerSet, MAX_LAYERS};

/// A layer that has been silent for so long while another one flows has been switched off. Longer
/// than the pause between two frames of a slow screen share.
const SILENT_AFTER: Duration = Duration::from_millis(1_200);

/// Last arrivals per layer, and what follows from them.
#[derive(Debug, Clone, Default)]
pub struct LayerActivity {
    last_packet: [Option<Instant>; MAX_LAYERS],
    active: [bool; MAX_LAYERS],
}

impl LayerActivity {
    /// Returns whether the set of active layers has changed.
    pub fn on_packet(&mut self, layer: Layer, now: Instant) -> bool {
        let index = usize::from(layer.0);
        if index >= MAX_LAYERS {
            return false;
        }
        self.last_packet[index] = Some(now);
        !std::mem::replace(&mut self.active[index], true)
    }

    /// Another shard tells which layers arrive. Returns whether they are others than before.
    pub fn set(&mut self, arriving: LayerSet) -> bool {
        let before = self.active;
        for (layer, active) in (0..).map(Layer).zip(&mut self.active) {
            *active = arriving.contains(layer);
        }
        before != self.active
    }

    /// Looks for layers that have gone silent; returns whether the set has changed.
    pub fn check(&mut self, now: Instant) -> bool {
        let silent = |at: Option<Instant>| {
            at.is_none_or(|at| now.saturating_duration_since(at) > SILENT_AFTER)
        };
        if self.last_packet.iter().all(|at| silent(*at)) {
            // Muted or paused as a whole: nothing to choose between.
            return false;
        }
        let mut changed = false;
        for (active, at) in self.active.iter_mut().zip(self.last_packet) {
            if *active && silent(at) {
                *active = false;
                changed = true;
            }
        }
        changed
    }

    /// Those that arrive.
    pub fn active(&self) -> impl Iterator<Item = Layer> {
        let layers = (0..MAX_LAYERS).filter(|index| self.active[*index]);
        layers.map(|index| Layer(index as u8))
    }

    /// The highest active layer up to `max`, or the lowest one above it.
    pub fn best(&self, max: u8) -> Option<Layer> {
        let below = (0..MAX_LAYERS)
            .rev()
            .find(|i| self.active[*i] && *i <= usize::from(max));
        let above = || (0..MAX_LAYERS).find(|i| self.active[*i]);
        below.or_else(above).map(|index| Layer(index as u8))
    }

    pub fn is_active(&self, layer: Layer) -> bool {
        self.active
            .get(usize::from(layer.0))
            .copied()
            .unwrap_or(false)
    }

    /// More than one layer has ever arrived, so that `check` is worth calling.
    pub fn is_simulcast(&self) -> bool {
        self.last_packet.iter().flatten().count() > 1
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn falls_back_when_the_top_layer_stops_and_returns_with_it() {
        let start = Instant::now();
        let mut layers = LayerActivity::default();
        assert_eq!(layers.best(2), None);
        for layer in 0..3 {
            assert!(layers.on_packet(Layer(layer), start));
        }
        assert_eq!(layers.best(2), Some(Layer(2)));
        assert_eq!(layers.best(0), Some(Layer(0)));
        let later = start + Duration::from_secs(2);
        layers.on_packet(Layer(0), later);
        layers.on_packet(Layer(1), later);
        assert!(layers.check(later));
        assert_eq!(layers.best(2), Some(Layer(1)));
        assert!(layers.on_packet(Layer(2), later));
        assert_eq!(layers.best(2), Some(Layer(2)));
    }

    #[test]
    fn a_mute_changes_nothing() {
        let start = Instant::now();
        let mut layers = LayerActivity::default();
        layers.on_packet(Layer(0), start);
        layers.on_packet(Layer(1), start);
        assert!(!layers.check(start + Duration::from_secs(60)));
        assert_eq!(layers.best(2), Some(Layer(1)));
    }

    #[test]
    fn asks_above_the_limit_rather_than_nothing() {
        let mut layers = LayerActivity::default();
        layers.on_packet(Layer(2), Instant::now());
        assert_eq!(layers.best(0), Some(Layer(2)));
        assert!(
            !layers.on_packet(Layer(200), Instant::now()),
            "out of range"
        );
    }
}
