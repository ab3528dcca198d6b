//! What publishers send: bursts of packets on a schedule, and the bytes of each packet.

use std::time::{Duration, Instant};

use kinguicall_proto::api::{Codec, MediaKind, Ssrc};
use kinguicall_proto::rtp::{OutHeader, write_header};

pub(crate) const MID_EXTENSION: u8 = 1;
pub(crate) const TRANSPORT_CC_EXTENSION: u8 = 3;

/// One kind of stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub kind: MediaKind,
    pub codec: Codec,
    pub payload_type: u8,
    pub clock_rate_hz: u32,
    pub frames_per_s: u32,
    pub packets_per_s: u32,
    pub payload_bytes: usize,
    /// Every other frame can be left out.
    pub temporal_layers: bool,
}

pub(crate) const VIDEO: Stream = Stream {
    kind: MediaKind::Video,
    codec: Codec::Vp8,
    payload_type: 96,
    clock_rate_hz: 90_000,
    frames_per_s: 30,
    packets_per_s: 200,
    payload_bytes: 1_100,
    temporal_layers: false,
};

pub(crate) const AUDIO: Stream = Stream {
    kind: MediaKind::Audio,
    codec: Codec::Opus,
    payload_type: 111,
    clock_rate_hz: 48_000,
    frames_per_s: 50,
    packets_per_s: 50,
    payload_bytes: 120,
    temporal_layers: false,
};

/// One packet a frame: what a stream costs where nothing is saved by sending many at once.
pub(crate) const SINGLES: Stream = Stream {
    frames_per_s: 210,
    packets_per_s: 210,
    ..VIDEO
};

/// A thirtieth of that.
pub(crate) const SLOW_SINGLES: Stream = Stream {
    frames_per_s: 7,
    packets_per_s: 7,
    ..VIDEO
};

/// When the frames of several publishers are due: evenly spread over a frame's time.
pub(crate) struct Schedule {
    start: Instant,
    stream: Stream,
    publishers: u32,
    slot: u64,
}

/// A publisher's frame that is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Burst {
    pub at: Instant,
    pub publisher: usize,
    pub frame: u32,
    pub packets: u32,
}

impl Schedule {
    pub(crate) fn new(start: Instant, stream: Stream, publishers: usize) -> Self {
        Self {
            start,
            stream,
            publishers: publishers as u32,
            slot: 0,
        }
    }

    /// The next burst; time goes on from call to call.
    pub(crate) fn next_burst(&mut self) -> Burst {
        let publishers = u64::from(self.publishers);
        let frame = (self.slot / publishers) as u32;
        let burst = Burst {
            at: self.due_at(),
            publisher: (self.slot % publishers) as usize,
            frame,
            packets: self.packets_until(frame + 1) - self.packets_until(frame),
        };
        self.slot += 1;
        burst
    }

    /// After a pause: the next burst is due at `now`, and the others follow from there.
    pub(crate) fn resume_at(&mut self, now: Instant) {
        self.start += now.saturating_duration_since(self.due_at());
    }

    /// From the next burst on frames are so much larger or smaller.
    pub(crate) fn set_packets_per_s(&mut self, packets_per_s: u32) {
        self.stream.packets_per_s = packets_per_s;
    }

    /// When the next burst is due.
    pub(crate) fn due_at(&self) -> Instant {
        let slots_per_s = u64::from(self.publishers) * u64::from(self.stream.frames_per_s);
        self.start + Duration::from_nanos(self.slot * 1_000_000_000 / slots_per_s)
    }

    fn packets_until(&self, frame: u32) -> u32 {
        let packets = u64::from(frame) * u64::from(self.stream.packets_per_s);
        (packets / u64::from(self.stream.frames_per_s)) as u32
    }
}

/// Numbers the packets of one publisher.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    sequence: u32,
}

/// Where a packet stands in its frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub frame: u32,
    pub index: u32,
    pub is_last: bool,
    pub is_key_frame: bool,
}

/// A plain RTP packet in the front of a buffer.
pub(crate) struct Plain {
    pub header_len: usize,
    pub len: usize,
    pub rollover: u32,
}

impl Numbering {
    /// Writes the next packet of a stream. `buffer` has room for header, payload and tag.
    pub(crate) fn write(
        &mut self,
        buffer: &mut [u8],
        stream: &Stream,
        ssrc: Ssrc,
        mid: &[u8],
        position: Position,
    ) -> Plain {
        let sequence = self.sequence;
        self.sequence += 1;
        let transport_wide = (sequence as u16).to_be_bytes();
        let extensions: [(u8, &[u8]); 2] = [
            (MID_EXTENSION, mid),
            (TRANSPORT_CC_EXTENSION, &transport_wide),
        ];
        let fields = OutHeader {
            payload_type: stream.payload_type,
            marker: position.is_last,
            sequence: sequence as u16,
            timestamp: position
                .frame
                .wrapping_mul(stream.clock_rate_hz / stream.frames_per_s),
            ssrc,
        };
        let header_len = write_header(buffer, &fields, &extensions);
        let len = header_len + stream.payload_bytes;
        // Where a receiver finds it that is not sent all.
        buffer[len - 1] = position.index as u8;
        if stream.codec == Codec::Vp8 {
            write_vp8(&mut buffer[header_len..], stream, position);
        }
        Plain {
            header_len,
            len,
            rollover: sequence >> 16,
        }
    }
}

/// Payload descriptor with a 15-bit picture identifier, TL0PICIDX and the temporal layer, then the
/// first bytes of a frame (RFC 7741, sections 4.2 and 4.3).
fn write_vp8(payload: &mut [u8], stream: &Stream, position: Position) {
    let is_first = position.index == 0;
    let picture = (position.frame as u16 & 0x7fff | 0x8000).to_be_bytes();
    let (base_frame, temporal) = match stream.temporal_layers {
        // The higher layer, whose frames depend on the one below only.
        true if position.frame % 2 == 1 => (position.frame / 2, 0x60),
        true => (position.frame / 2, 0),
        false => (position.frame, 0),
    };
    payload[..6].copy_from_slice(&[
        0x80 | (u8::from(is_first) << 4),
        0xe0,
        picture[0],
        picture[1],
        base_frame as u8,
        temporal,
    ]);
    if is_first {
        payload[6] = u8::from(!position.is_key_frame);
        payload[9..12].copy_from_slice(&[0x9d, 0x01, 0x2a]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_video_holds_its_packets_in_its_frames() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, VIDEO, 2);
        let bursts: Vec<Burst> = (0..60).map(|_| schedule.next_burst()).collect();
        for publisher in 0..2 {
            let own = bursts.iter().filter(|b| b.publisher == publisher);
            assert_eq!(own.map(|b| b.packets).sum::<u32>(), 200);
        }
        assert!(bursts.iter().all(|b| (6..=7).contains(&b.packets)));
        assert!(bursts.is_sorted_by_key(|b| b.at));
        assert!(bursts[59].at < start + Duration::from_secs(1));
    }
}
