//! Which temporal layers of a VP8 stream a subscriber gets (RFC 7741, section 4.2).
//!
//! A lower limit counts from the next frame on. A higher one waits for a frame that depends on
//! nothing that has been left out: a key frame, or the synchronisation frame of the next layer.
//! Packets that come late belong to a frame that has been decided on already, so the last decisions
//! are remembered by sequence number.

use crate::rtp::payload::vp8;

/// Decisions that are remembered. What is older than all of them is sent on the base layer only.
const REMEMBERED: usize = 4;

/// From this packet on, these layers.
#[derive(Debug, Clone, Copy)]
struct Decision {
    from: u64,
    highest: u8,
}

/// The choice of one subscription.
#[derive(Debug, Clone)]
pub(super) struct TemporalLayers {
    max: u8,
    /// Newest first.
    decisions: [Decision; REMEMBERED],
    newest_timestamp: Option<u32>,
}

impl TemporalLayers {
    /// Sends all layers up to `max`.
    pub(super) fn new(max: u8) -> Self {
        let unused = Decision {
            from: u64::MAX,
            highest: 0,
        };
        Self {
            max,
            decisions: [unused; REMEMBERED],
            newest_timestamp: None,
        }
    }

    pub(super) fn set_max(&mut self, max: u8) {
        self.max = max;
    }

    /// A key frame of another stream begins at `sequence`.
    pub(super) fn start(&mut self, sequence: u64) {
        *self = Self::new(self.max);
        self.decisions[0] = Decision {
            from: sequence,
            highest: self.max,
        };
    }

    /// Whether the packet is to be sent.
    pub(super) fn admits(
        &mut self,
        sequence: u64,
        timestamp: u32,
        packet: &vp8::Descriptor,
    ) -> bool {
        let begins_frame = self
            .newest_timestamp
            .is_none_or(|newest| (timestamp.wrapping_sub(newest) as i32) > 0);
        if begins_frame {
            self.newest_timestamp = Some(timestamp);
            self.decide(sequence, packet);
        }
        let temporal_id = packet.temporal_id.unwrap_or(0);
        let decided = self.decisions.iter().find(|d| d.from <= sequence);
        temporal_id <= decided.map_or(0, |decision| decision.highest)
    }

    /// The first packet of a new frame has come, which may not be the frame's first one.
    fn decide(&mut self, sequence: u64, packet: &vp8::Descriptor) {
        let now = self.decisions[0].highest;
        let next_synchronises = packet.layer_sync
            && packet.starts_partition_0
            && packet.temporal_id == now.checked_add(1);
        let highest = if self.max <= now || packet.key_frame {
            self.max
        } else if next_synchronises {
            now + 1
        } else {
            now
        };
        if highest != now {
            self.decisions.rotate_right(1);
            self.decisions[0] = Decision {
                from: sequence,
                highest,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three layers in the pattern of libwebrtc: temporal id, and whether the frame synchronises.
    const PATTERN: [(u8, bool); 8] = [
        (0, false),
        (2, true),
        (1, true),
        (2, false),
        (0, false),
        (2, false),
        (1, false),
        (2, false),
    ];

    #[test]
    fn a_limit_leaves_out_the_layers_above_it() {
        for (max, expected) in [(0, 2), (1, 4), (2, 8), (255, 8)] {
            let mut layers = TemporalLayers::new(max);
            layers.start(100);
            let sent = (0..8).filter(|n| admits(&mut layers, *n)).count();
            assert_eq!(sent, expected, "up to {max}");
        }
    }

    #[test]
    fn a_higher_limit_waits_for_the_next_layers_synchronisation_frame() {
        let mut layers = TemporalLayers::new(0);
        layers.start(100);
        for n in 0..4 {
            admits(&mut layers, n);
        }
        layers.set_max(2);
        let sent: Vec<u64> = (4..24).filter(|n| admits(&mut layers, *n)).collect();
        // Frame 10 synchronises layer 1; layer 2 follows with frame 17.
        assert_eq!(sent[..6], [4, 8, 10, 12, 14, 16]);
        assert_eq!(sent[6..], [17, 18, 19, 20, 21, 22, 23]);
    }

    #[test]
    fn a_key_frame_takes_every_layer_up_at_once() {
        let mut layers = TemporalLayers::new(0);
        layers.start(100);
        admits(&mut layers, 0);
        layers.set_max(2);
        let key = descriptor(0, false, true);
        assert!(layers.admits(101, 3_000, &key));
        assert!(layers.admits(102, 6_000, &descriptor(2, false, false)));
    }

    #[test]
    fn late_packets_share_their_frames_fate() {
        let mut layers = TemporalLayers::new(2);
        layers.start(100);
        assert!(layers.admits(100, 0, &descriptor(0, false, true)));
        layers.set_max(0);
        assert!(layers.admits(104, 6_000, &descriptor(0, false, false)));
        let late = descriptor(2, false, false);
        assert!(layers.admits(102, 3_000, &late), "decided before");
        assert!(!layers.admits(106, 9_000, &late));
        layers.set_max(1);
        assert!(layers.admits(108, 12_000, &descriptor(1, true, false)));
        let late = descriptor(1, false, false);
        assert!(!layers.admits(107, 9_000, &late), "its frame was left out");
    }

    #[test]
    fn frames_without_a_temporal_id_are_always_sent() {
        let mut layers = TemporalLayers::new(0);
        layers.start(100);
        let plain = vp8::Descriptor::parse(&[0x10, 1, 2, 3]).expect("well formed");
        assert!(layers.admits(100, 0, &plain));
    }

    fn admits(layers: &mut TemporalLayers, n: u64) -> bool {
        let (temporal_id, sync) = PATTERN[n as usize % 8];
        let packet = descriptor(temporal_id, sync, n == 0);
        layers.admits(100 + n, n as u32 * 3_000, &packet)
    }

    fn descriptor(temporal_id: u8, sync: bool, key: bool) -> vp8::Descriptor {
        // X and T set; start of partition 0.
        let temporal = (temporal_id << 6) | (u8::from(sync) << 5);
        let tag = u8::from(!key);
        vp8::Descriptor::parse(&[0x90, 0x20, temporal, tag, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0])
            .expect("well formed")
    }
}
