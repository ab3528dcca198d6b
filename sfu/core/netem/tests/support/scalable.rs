//! Streams of three spatial and three temporal layers as libwebrtc sends them, two packets a frame.

use std::time::Duration;

use kinguicall_netem::{AV1, Received, SentPacket, Track, VP9, World};

/// How spatial layers depend on each other outside of key frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// L3T3: each needs the one below.
    Full,
    /// L3T3_KEY: none needs another.
    Key,
}

/// What tells of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// AV1 with the dependency descriptor.
    Av1,
    /// VP9 with its payload descriptor only.
    Vp9,
}

/// A publisher's stream.
pub(crate) struct ScalableSource {
    track: Track,
    format: Format,
    mode: Mode,
    sequence: u64,
    timestamp: u32,
    frame_number: u16,
    /// Since the last key frame.
    picture: usize,
    /// Last frame of each chain.
    chains: [u16; 3],
    started: bool,
}

/// One frame of a picture.
#[derive(Debug, Clone, Copy)]
struct Frame {
    spatial: u8,
    temporal: u8,
    key: bool,
    number: u16,
}

impl ScalableSource {
    pub(crate) fn new(track: &Track, format: Format, mode: Mode) -> Self {
        Self {
            track: track.clone(),
            format,
            mode,
            sequence: 65_300,
            timestamp: 1_000,
            frame_number: 65_400,
            picture: 0,
            chains: [0; 3],
            started: false,
        }
    }

    /// Sends `pictures` pictures in step with simulated time; answers key-frame requests.
    pub(crate) fn run(&mut self, world: &mut World, pictures: usize) {
        let publisher = self.track.published.client.0;
        for _ in 0..pictures {
            let asked = std::mem::take(&mut world.clients[publisher].key_frame_requests) > 0;
            self.send_picture(world, asked || !self.started);
            self.started = true;
            world.run(Duration::from_millis(33));
        }
    }

    fn send_picture(&mut self, world: &mut World, key: bool) {
        if key {
            self.picture = 0;
        }
        let temporal = [0, 2, 1, 2][self.picture % 4];
        self.picture += 1;
        self.timestamp += 3_000;
        for spatial in 0..3 {
            let frame = Frame {
                spatial,
                temporal,
                key,
                number: self.frame_number,
            };
            self.frame_number = self.frame_number.wrapping_add(1);
            self.send_frame(world, &frame);
        }
    }

    fn send_frame(&mut self, world: &mut World, frame: &Frame) {
        for part in 0..2 {
            let (payload_type, descriptor) = match self.format {
                Format::Av1 => (AV1, self.descriptor(frame, part)),
                Format::Vp9 => (VP9, Vec::new()),
            };
            let payload = self.payload(frame, part);
            let packet = SentPacket {
                sequence: self.sequence,
                timestamp: self.timestamp,
                marker: frame.spatial == 2 && part == 1,
                payload: &payload,
                audio_level: None,
            };
            world.send_described(&self.track, 0, &packet, payload_type, &descriptor);
            self.sequence += 1;
        }
        if frame.temporal == 0 {
            for chain in frame.spatial..3 {
                if chain == frame.spatial || frame.key || self.mode == Mode::Full {
                    self.chains[usize::from(chain)] = frame.number;
                }
            }
        }
    }

    fn payload(&self, frame: &Frame, part: u8) -> Vec<u8> {
        let begins_key = frame.key && frame.spatial == 0 && part == 0;
        let mut payload = match self.format {
            Format::Av1 if begins_key => vec![0x18, 0x08, 0],
            Format::Av1 => vec![0x10, 0x30, 0],
            Format::Vp9 => {
                let predicted = u8::from(!frame.key) << 6;
                let edges = if part == 0 { 0x08 } else { 0x04 };
                let [high, low] = ((self.picture as u16) | 0x8000).to_be_bytes();
                let between = u8::from(frame.spatial > 0);
                let layers = frame.temporal << 5 | 0x10 | frame.spatial << 1 | between;
                vec![0xa0 | predicted | edges, high, low, layers, 0]
            }
        };
        payload.resize(300 * (1 + usize::from(frame.spatial)), 0);
        payload.extend([frame.spatial, frame.temporal, u8::from(frame.key), part]);
        payload
    }

    /// The descriptor with this frame's own indications and chains.
    fn descriptor(&self, frame: &Frame, part: u8) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(u32::from(part == 0), 1)
            .put(u32::from(part == 1), 1);
        bits.put(u32::from(frame.spatial * 3 + frame.temporal), 6);
        bits.put(u32::from(frame.number), 16);
        let structure = frame.key && frame.spatial == 0 && part == 0;
        bits.put(u32::from(structure), 1).put(0b0101, 4);
        if structure {
            self.structure(&mut bits);
        }
        for target in 0..9 {
            bits.put(self.indication(frame, target), 2);
        }
        for chain in 0..3 {
            let begins = frame.key && frame.spatial == 0;
            let diff = frame.number.wrapping_sub(self.chains[chain]);
            bits.put(if begins { 0 } else { u32::from(diff) }, 8);
        }
        bits.bytes
    }

    fn structure(&self, bits: &mut Bits) {
        bits.put(0, 6).put(8, 5);
        for step in [1, 1, 2, 1, 1, 2, 1, 1, 3] {
            bits.put(step, 2);
        }
        for template in 0..9u8 {
            let frame = Frame {
                spatial: template / 3,
                temporal: template % 3,
                key: false,
                number: 0,
            };
            for target in 0..9 {
                bits.put(self.indication(&frame, target), 2);
            }
        }
        // No frame differences, then ns(10) of three chains.
        bits.put(0, 9).put(3, 3);
        for chain in [0, 0, 0, 1, 1, 1, 2, 2, 2u32] {
            // ns(3).
            match chain {
                0 => bits.put(0, 1),
                other => bits.put(other + 1, 2),
            };
        }
        for _ in 0..27 {
            bits.put(0, 4);
        }
        bits.put(0, 1);
    }

    /// What libwebrtc says the frame is to a target.
    fn indication(&self, frame: &Frame, target: u8) -> u32 {
        let (s, t) = (target / 3, target % 3);
        let alone = self.mode == Mode::Key && !frame.key;
        if s < frame.spatial || t < frame.temporal || (alone && s != frame.spatial) {
            return 0;
        }
        match (s == frame.spatial, t == frame.temporal && t > 0) {
            (true, true) => 1,
            (true, false) => 2,
            (false, _) if frame.key => 2,
            (false, _) => 3,
        }
    }
}

/// Spatial and temporal layer of a received packet.
pub(crate) fn layers(packet: &Received) -> (u8, u8) {
    let tag = &packet.payload[packet.payload.len() - 4..];
    (tag[0], tag[1])
}

/// Writes from the highest bit on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    fn put(&mut self, value: u32, count: usize) -> &mut Self {
        for shift in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> shift & 1) as u8;
            *self.bytes.last_mut().expect("just pushed") |= bit << (7 - self.used % 8);
            self.used += 1;
        }
        self
    }
}
