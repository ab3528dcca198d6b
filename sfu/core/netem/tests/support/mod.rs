//! Media as the tests send it: frames of VP8 that can be told apart on arrival.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use kinguicall_netem::{SentPacket, Track, World};

/// A VP8 source: 30 frames a second of three packets each.
pub(crate) struct Vp8Source {
    track: Track,
    layer: usize,
    sequence: u64,
    frame: u32,
    temporal_layers: bool,
}

/// Three temporal layers as libwebrtc sends them: temporal id, and whether the frame depends on the
/// base layer only.
const TEMPORAL_PATTERN: [(u8, bool); 8] = [
    (0, false),
    (2, true),
    (1, true),
    (2, false),
    (0, false),
    (2, false),
    (1, false),
    (2, false),
];

pub(crate) mod scalable;

pub(crate) const PACKETS_PER_FRAME: u64 = 3;

impl Vp8Source {
    pub(crate) fn new(track: &Track, layer: usize, first_sequence: u64) -> Self {
        Self {
            track: track.clone(),
            layer,
            sequence: first_sequence,
            frame: 0,
            temporal_layers: false,
        }
    }

    /// With three temporal layers.
    pub(crate) fn with_temporal_layers(mut self) -> Self {
        self.temporal_layers = true;
        self
    }

    /// Sends one frame, a key frame if asked for, due, or the first.
    pub(crate) fn frame(&mut self, world: &mut World, key: bool) {
        let key = key || self.frame == 0;
        for part in 0..PACKETS_PER_FRAME {
            let payload = self.payload(part, key);
            world.send(
                &self.track,
                self.layer,
                &SentPacket {
                    sequence: self.sequence,
                    timestamp: self
                        .frame
                        .wrapping_mul(3_000)
                        .wrapping_add(self.layer as u32 * 777),
                    marker: part == PACKETS_PER_FRAME - 1,
                    payload: &payload,
                    audio_level: None,
                },
            );
            self.sequence += 1;
        }
        self.frame += 1;
    }

    /// Sends `frames` frames in step with simulated time; answers key-frame requests.
    pub(crate) fn run(&mut self, world: &mut World, frames: u32) {
        let publisher = self.track.published.client.0;
        for _ in 0..frames {
            let asked = std::mem::take(&mut world.clients[publisher].key_frame_requests) > 0;
            self.frame(world, asked);
            world.run(Duration::from_millis(33));
        }
    }

    /// Numbers that the packet had at its source, where the decoder would see the frame.
    fn payload(&self, part: u64, key: bool) -> Vec<u8> {
        let start = if part == 0 { 0x10 } else { 0x00 };
        let [high, low] = ((self.frame as u16 & 0x7fff) | 0x8000).to_be_bytes();
        let (temporal_id, sync) = if self.temporal_layers {
            TEMPORAL_PATTERN[self.frame as usize % TEMPORAL_PATTERN.len()]
        } else {
            (0, true)
        };
        let base_frame = if self.temporal_layers {
            self.frame / 4
        } else {
            self.frame
        };
        let temporal = (temporal_id << 6) | (u8::from(sync) << 5);
        let mut payload = vec![0x80 | start, 0xe0, high, low, base_frame as u8, temporal];
        if part == 0 {
            // Frame tag: bit 0 clear for a key frame, then the start code.
            payload.extend_from_slice(if key {
                &[0x10, 0, 0, 0x9d, 0x01, 0x2a]
            } else {
                &[0x11, 0, 0, 1, 2, 3]
            });
        }
        payload.push(self.layer as u8);
        payload.extend_from_slice(&self.frame.to_be_bytes());
        payload.resize(900 + self.layer * 50, part as u8);
        payload
    }
}

/// A packet of VP8's frame number `frame`, in one temporal layer; `start`: the frame's first one.
pub(crate) fn vp8_payload(frame: u16, start: bool, key: bool) -> Vec<u8> {
    let [high, low] = (frame & 0x7fff | 0x8000).to_be_bytes();
    let first = if start { 0x90 } else { 0x80 };
    let mut payload = vec![first, 0xe0, high, low, frame as u8, 0x20];
    if start {
        // Frame tag: bit 0 clear for a key frame, then the start code.
        payload.extend_from_slice(if key {
            &[0x10, 0, 0, 0x9d, 0x01, 0x2a]
        } else {
            &[0x11, 0, 0, 1, 2, 3]
        });
    }
    payload.resize(900, 3);
    payload
}

/// Picture id of a received VP8 payload.
pub(crate) fn picture_id(payload: &[u8]) -> u16 {
    u16::from_be_bytes([payload[2], payload[3]]) & 0x7fff
}

/// Temporal id of a received VP8 payload.
pub(crate) fn temporal_id(payload: &[u8]) -> u8 {
    payload[5] >> 6
}

/// Memory of this process (`/proc/self/statm`, in pages of 4 KiB).
pub(crate) fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|it| it.parse::<u64>().ok());
    pages.expect("the second field is a number") * 4_096
}
