//! A microphone whose frames tell their numbers, with redundancy (RFC 2198) or without.

use std::time::Duration;

use kinguicall_netem::{OPUS, RED, SentPacket, Track, World};

pub(crate) const FRAME: Duration = Duration::from_millis(20);
const FRAME_TICKS: u32 = 960;

/// A microphone: a frame every 20 ms that tells its number, with a copy of the frame before it.
pub(crate) struct Microphone {
    track: Track,
    pub next: u64,
}

impl Microphone {
    pub(crate) fn new(track: &Track, first: u64) -> Self {
        Self {
            track: track.clone(),
            next: first,
        }
    }

    pub(crate) fn speak(&mut self, world: &mut World, payload_type: u8) {
        self.send(world, payload_type, Some(-20));
    }

    pub(crate) fn send(&mut self, world: &mut World, payload_type: u8, audio_level: Option<i8>) {
        let number = self.next;
        self.next += 1;
        let payload = match payload_type {
            RED => {
                let copy = frame(number - 1);
                let header = 0x8000_0000 | u32::from(OPUS) << 24 | FRAME_TICKS << 10;
                let header = (header | copy.len() as u32).to_be_bytes();
                [&header[..], &[OPUS], &copy, &frame(number)].concat()
            }
            _ => frame(number),
        };
        let packet = SentPacket {
            sequence: number,
            timestamp: timestamp(number),
            marker: false,
            payload: &payload,
            audio_level,
        };
        world.send_as(&self.track, 0, &packet, payload_type);
    }
}

fn frame(number: u64) -> Vec<u8> {
    let mut frame = vec![0x78; 60];
    frame[..8].copy_from_slice(&number.to_be_bytes());
    frame
}

pub(crate) fn timestamp(number: u64) -> u32 {
    (number as u32).wrapping_mul(FRAME_TICKS)
}
