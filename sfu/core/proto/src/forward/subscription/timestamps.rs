//! One time line of RTP timestamps over all layers and tracks that a subscription goes through.

use super::Subscription;
use crate::api::{Layer, MAX_LAYERS, MediaMeta};
use crate::forward::LayerClock;

impl Subscription {
    /// Shift that lets the new layer's timestamps continue the time line sent so far: by the
    /// publisher's clock where both layers have reported it, else by the time that has passed.
    pub(super) fn aligned_shift(
        &self,
        meta: &MediaMeta,
        clocks: &[Option<LayerClock>; MAX_LAYERS],
        clock_rate_hz: u32,
    ) -> u32 {
        let Some(last_sent_at) = self.last_sent_at else {
            return 0;
        };
        let clock = |layer: Layer| clocks.get(usize::from(layer.0)).copied().flatten();
        let old = match self.last_layer {
            Some(last) => clock(last).map(|clock| clock.shifted(self.shift_of(last))),
            None => self.clock_before.as_deref().copied(),
        };
        if let (Some(new), Some(old)) = (clock(meta.layer), old) {
            let out = new.convert(meta.timestamp, &old);
            let ahead = out.wrapping_sub(self.last_timestamp) as i32;
            if ahead > 0 && (ahead as u32) < clock_rate_hz.saturating_mul(10) {
                return out.wrapping_sub(meta.timestamp);
            }
        }
        let elapsed = meta.received_at.saturating_duration_since(last_sent_at);
        let ticks = (elapsed.as_secs_f64() * f64::from(clock_rate_hz)).max(1.0) as u64 as u32;
        self.last_timestamp
            .wrapping_add(ticks)
            .wrapping_sub(meta.timestamp)
    }

    pub(super) fn shift_of(&self, layer: Layer) -> u32 {
        self.timestamp_shift
            .get(usize::from(layer.0))
            .copied()
            .flatten()
            .unwrap_or(0)
    }
}
