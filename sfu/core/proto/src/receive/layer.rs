//! One layer of a feed on its way in: what a packet is, and which number it gets.
//!
//! Padding, and payload types that nobody negotiated, take up numbers of the sender and mean nothing
//! to a receiver: they are left out, and what follows closes up. Where what follows has left already,
//! receivers see a hole and ask for it; in video it is filled with an empty packet, as some decoders
//! wait for every number.

use std::time::Instant;

use super::ingest::Packet;
use super::nack::NackGenerator;
use super::scalability::Scalability;
use super::stream::{Arrival, Stream};
use crate::api::{
    Codec, Dependencies, Layer, MediaKind, MediaMeta, ReceiveCodec, ScalableFrame, Ssrc, TrackId,
};
use crate::egress::MAX_MEDIA_PAYLOAD;
use crate::forward::{PlainNumbers, SequenceMap};
use crate::rtp::payload;
use crate::stats::DropReason;

/// How far behind the first packet of a stream others may come.
const LATE_NUMBERS: u64 = 1_024;
/// Numbers between two streams of a layer, so that none is taken twice.
const RESTART_GAP: u64 = 1 << 17;
/// Longest run of numbers that is taken for padding that has been lost.
const MAX_LOST_PADDING: u64 = 256;

/// A decrypted RTP packet as reception takes it. For a retransmission (RFC 4588) number and payload
/// are those of the packet that it repeats.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    pub ssrc: Ssrc,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// `None` for a payload type that is not forwarded.
    pub codec: Option<ReceiveCodec>,
    /// Without RTP padding.
    pub payload: &'a [u8],
    pub has_padding: bool,
    pub is_repeat: bool,
    /// Value of the dependency descriptor.
    pub descriptor: Option<&'a [u8]>,
    pub abs_capture_time: Option<([u8; 16], u8)>,
}

/// Where a packet belongs among those that are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Forwarded(u64),
    /// Of no use, but its number is seen to be missing.
    Filler(u64),
    /// Of no use, and nobody misses it.
    ClosedUp,
}

/// State of one layer.
#[derive(Debug)]
pub(super) struct LayerIngest {
    pub(super) stream: Stream,
    /// From the stream's extended numbers to those that are forwarded.
    numbers: SequenceMap<PlainNumbers>,
    scalability: Scalability,
    /// `None` where the sender does not answer NACK.
    pub(super) nack: Option<NackGenerator>,
    /// Of the last packet that could be forwarded.
    codec: ReceiveCodec,
    newest: Newest,
}

/// The packet with the highest number.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    extended: u64,
    /// Of the frame that ended there, or the padding that followed: more with this timestamp can only
    /// be padding.
    ended: Option<u32>,
}

impl LayerIngest {
    /// `nack`: the sender answers it, for a stream of this kind. `highest`: of the numbers that were
    /// used for this layer before.
    pub(super) fn new(
        first: &Incoming<'_>,
        codec: ReceiveCodec,
        nack: Option<MediaKind>,
        highest: Option<u64>,
    ) -> Self {
        // As `Stream` counts: one rollover above 0.
        let extended = 65_536 + u64::from(first.sequence);
        let first_source = extended - LATE_NUMBERS;
        let first_number = highest.map_or(first_source, |highest| highest + RESTART_GAP);
        let mut numbers = SequenceMap::new(PlainNumbers::from(first_number));
        numbers.start(first_source);
        Self {
            stream: Stream::new(first.ssrc, codec.clock_rate_hz),
            numbers,
            scalability: Scalability::default(),
            nack: nack.map(NackGenerator::new),
            codec,
            newest: Newest::default(),
        }
    }

    /// The highest number that has been forwarded.
    pub(super) fn highest(&self) -> u64 {
        self.numbers.highest().unwrap_or_default()
    }

    /// Counts a packet and finds its place.
    pub(super) fn number(
        &mut self,
        now: Instant,
        packet: &Incoming<'_>,
    ) -> Result<Number, DropReason> {
        let len = packet.payload.len();
        let (sequence, timestamp) = (packet.sequence, packet.timestamp);
        let stream = &mut self.stream;
        let arrival = stream.on_packet(now, sequence, timestamp, len, packet.is_repeat);
        let Arrival::New { extended } = arrival else {
            return Err(DropReason::Duplicate);
        };
        let is_useful = packet
            .codec
            .is_some_and(|codec| is_whole(codec, packet.payload))
            && !self.is_padding(packet);
        if !is_useful && packet.codec.is_some() && self.newest.ended == Some(timestamp) {
            self.give_up_padding_before(now, extended);
        }
        if let Some(nack) = &mut self.nack {
            nack.on_packet(now, extended);
        }
        if extended > self.newest.extended {
            let ends = packet.marker && is_useful || self.newest.ended == Some(timestamp);
            self.newest = Newest {
                extended,
                ended: ends.then_some(timestamp),
            };
        }
        if len > MAX_MEDIA_PAYLOAD {
            return Err(DropReason::Oversized);
        }
        if is_useful {
            self.codec = packet.codec.unwrap_or(self.codec);
            let mapped = self.numbers.map(extended).ok_or(DropReason::Duplicate)?;
            return Ok(Number::Forwarded(mapped.out));
        }
        if self.numbers.exclude(extended, false) || !self.codec.codec.is_video() {
            return Ok(Number::ClosedUp);
        }
        let mapped = self.numbers.map(extended);
        Ok(mapped.map_or(Number::ClosedUp, |mapped| Number::Filler(mapped.out)))
    }

    /// Audio without payload and without padding may mean something to a decoder.
    fn is_padding(&self, packet: &Incoming<'_>) -> bool {
        packet.payload.is_empty() && (packet.has_padding || self.codec.codec.is_video())
    }

    /// Padding of a frame that has ended has come as number `extended`: what is missing between the two
    /// is padding that has been lost. Senders do not keep it, so nobody is to ask for it.
    fn give_up_padding_before(&mut self, now: Instant, extended: u64) {
        let lost = self.newest.extended + 1..extended;
        if lost.start >= lost.end || lost.end - lost.start > MAX_LOST_PADDING {
            return;
        }
        for number in lost {
            self.numbers.exclude(number, false);
            if let Some(nack) = &mut self.nack {
                nack.on_packet(now, number);
            }
        }
    }

    /// The packet of that number has been recovered from another one.
    pub(super) fn on_recovered(&mut self, now: Instant, sequence: u64) {
        let extended = self.numbers.source_of(sequence);
        if let (Some(nack), Some(extended)) = (&mut self.nack, extended) {
            nack.on_packet(now, extended);
        }
    }

    /// What the packet, whose place is `number`, is for those who get it: nothing if that is closed up.
    pub(super) fn describe<'a>(
        &mut self,
        now: Instant,
        (track, layer): (TrackId, Layer),
        packet: &Incoming<'a>,
        number: Number,
    ) -> Option<Packet<'a>> {
        let (sequence, is_filler) = match number {
            Number::Forwarded(sequence) => (sequence, false),
            Number::Filler(sequence) => (sequence, true),
            Number::ClosedUp => return None,
        };
        let codec = self.codec;
        let payload = if is_filler { &[] } else { packet.payload };
        let scalable = matches!(codec.codec, Codec::Vp9 | Codec::Av1 | Codec::H264);
        let descriptor = packet.descriptor.filter(|_| scalable && !is_filler);
        let frame = self.scalability.read(codec.codec, descriptor, payload);
        let descriptor = descriptor.filter(|_| frame.is_some_and(|it| is_described(&it)));
        let (capture_time, capture_time_len) = packet.abs_capture_time.unwrap_or_default();
        let meta = MediaMeta {
            track,
            layer,
            payload_type: codec.payload_type,
            codec: codec.codec,
            marker: packet.marker && !is_filler,
            switch_point: !payload.is_empty() && payload::is_switch_point(codec.codec, payload),
            sequence,
            timestamp: packet.timestamp,
            abs_capture_time: capture_time,
            abs_capture_time_len: capture_time_len,
            stretch: 0,
            descriptor_len: 0,
            is_filler,
            frame,
            received_at: now,
        };
        Some(Packet {
            meta,
            payload,
            descriptor,
        })
    }
}

/// Redundant audio that does not parse is of no use to anybody.
fn is_whole(codec: ReceiveCodec, payload: &[u8]) -> bool {
    codec.codec != Codec::Red || payload::red::Payload::parse(payload).is_some()
}

fn is_described(frame: &ScalableFrame) -> bool {
    matches!(frame.dependencies, Dependencies::Described(_))
}
