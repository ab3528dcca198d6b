//! How much each layer of a track sends: bytes of the last two seconds, so that one key frame does
//! not look like a higher bitrate. Counted once per track and packet, whoever watches.

use std::time::{Duration, Instant};

use crate::api::{Layer, MediaMeta};
use crate::forward::MAX_LAYERS;

/// The window is so many slots of so long.
const SLOTS: usize = 16;
const SLOT: Duration = Duration::from_millis(125);
/// A layer is not judged earlier.
const MIN_MEASURED: Duration = Duration::from_millis(250);
/// What a datagram has besides the payload: RTP header with extensions, and SRTP's tag.
const PACKET_OVERHEAD: u32 = 40;

#[derive(Debug, Clone, Copy)]
struct Window {
    bytes: [u32; SLOTS],
    sum: u64,
    /// When the latest slot began, and where it is.
    slot_at: Instant,
    slot: usize,
    since: Instant,
}

/// The layers of one track.
#[derive(Debug, Default)]
pub struct LayerRates {
    /// By simulcast layer, or by spatial layer of the one stream.
    layers: [Option<Window>; MAX_LAYERS],
    is_scalable: bool,
}

impl LayerRates {
    pub fn on_packet(&mut self, meta: &MediaMeta, now: Instant, payload_len: usize) {
        let layer = match meta.frame {
            Some(frame) if meta.layer == Layer(0) => {
                self.is_scalable |= frame.spatial_id > 0;
                Layer(frame.spatial_id)
            }
            _ => meta.layer,
        };
        self.count(layer, now, payload_len);
    }

    fn count(&mut self, layer: Layer, now: Instant, payload_len: usize) {
        let Some(place) = self.layers.get_mut(usize::from(layer.0)) else {
            return;
        };
        let window = place.get_or_insert_with(|| Window::new(now));
        window.advance(now);
        if let Some(bytes) = window.bytes.get_mut(window.slot) {
            let more = payload_len as u32 + PACKET_OVERHEAD;
            *bytes = bytes.saturating_add(more);
            window.sum += u64::from(more);
        }
    }

    /// What each layer costs a subscriber, in bits a second: a simulcast layer its own stream, a
    /// spatial layer all below it too. `None` for one that does not arrive, or cannot be judged yet.
    pub fn bitrates_bps(
        &mut self,
        now: Instant,
        is_active: impl Fn(Layer) -> bool,
    ) -> [Option<u64>; MAX_LAYERS] {
        let mut below = 0;
        std::array::from_fn(|index| {
            let layer = Layer(index as u8);
            if self.is_scalable {
                let own = self.bitrate_bps(layer, now).filter(|bps| *bps > 0)?;
                below += own;
                return Some(below);
            }
            is_active(layer)
                .then(|| self.bitrate_bps(layer, now))
                .flatten()
        })
    }

    /// Of a track without layers; 0 while there is nothing to judge by.
    pub fn audio_bps(&mut self, now: Instant) -> u64 {
        self.bitrate_bps(Layer(0), now).unwrap_or(0)
    }

    /// `None` while there is nothing to judge by.
    fn bitrate_bps(&mut self, layer: Layer, now: Instant) -> Option<u64> {
        let window = self.layers.get_mut(usize::from(layer.0))?.as_mut()?;
        window.advance(now);
        let full = SLOT * (SLOTS as u32 - 1) + now.saturating_duration_since(window.slot_at);
        let measured = full.min(now.saturating_duration_since(window.since));
        if measured < MIN_MEASURED {
            return None;
        }
        Some((window.sum as f64 * 8.0 / measured.as_secs_f64()) as u64)
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            bytes: [0; SLOTS],
            sum: 0,
            slot_at: now,
            slot: 0,
            since: now,
        }
    }

    fn advance(&mut self, now: Instant) {
        if now.saturating_duration_since(self.slot_at) > SLOT * SLOTS as u32 {
            *self = Self::new(now);
        }
        while now.saturating_duration_since(self.slot_at) >= SLOT {
            self.slot_at += SLOT;
            self.slot = (self.slot + 1) % SLOTS;
            let left = std::mem::take(&mut self.bytes[self.slot]);
            self.sum = self.sum.saturating_sub(u64::from(left));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::api::{Dependencies, ScalableFrame};

    #[test]
    fn measures_the_last_two_seconds_of_each_layer() {
        let start = Instant::now();
        let mut rates = LayerRates::default();
        assert_eq!(rates.bitrate_bps(Layer(0), start), None);
        for ms in (0..3_000).step_by(10) {
            let now = start + Duration::from_millis(ms);
            rates.count(Layer(0), now, 210);
            rates.count(Layer(2), now, if ms < 950 { 2_460 } else { 585 });
        }
        let now = start + Duration::from_millis(3_000);
        let low = rates.bitrate_bps(Layer(0), now).expect("measured") as f64;
        let high = rates.bitrate_bps(Layer(2), now).expect("measured") as f64;
        assert!((low / 200_000.0 - 1.0).abs() < 0.05, "{low}");
        assert!((high / 500_000.0 - 1.0).abs() < 0.05, "{high}");
        assert_eq!(rates.bitrate_bps(Layer(1), now), None);
        rates.count(Layer(7), now, 100);
        let all = rates.bitrates_bps(now, |layer| layer != Layer(2));
        assert_eq!(
            all,
            [Some(low as u64), None, None],
            "not one that is inactive"
        );
    }

    #[test]
    fn a_spatial_layer_costs_what_it_builds_on_too() {
        let start = Instant::now();
        let mut rates = LayerRates::default();
        for ms in (0..3_000).step_by(10) {
            for spatial_id in 0..3 {
                let mut meta = crate::forward::test_meta(ms);
                meta.frame = Some(ScalableFrame {
                    spatial_id,
                    temporal_id: 0,
                    starts: true,
                    ends: true,
                    dependencies: Dependencies::Layered {
                        temporal_switch: false,
                        key: false,
                    },
                });
                rates.on_packet(&meta, start + Duration::from_millis(ms), 210);
            }
        }
        let now = start + Duration::from_millis(3_000);
        let all = rates.bitrates_bps(now, |_| false);
        for (bps, expected) in all.into_iter().zip([200_000.0, 400_000.0, 600_000.0]) {
            let bps = bps.expect("measured") as f64;
            assert!((bps / expected - 1.0).abs() < 0.05, "{bps} of {expected}");
        }
    }
}
