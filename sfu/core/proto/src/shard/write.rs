//! One media packet on its way out: its header with the subscriber's numbers and extensions, its
//! payload from where all subscribers share it, encrypted into the batch.

use std::time::Instant;

use arrayvec::ArrayVec;

use super::peer::Sending;
use super::stamps::Stamp;
use crate::api::{Codec, Host, MediaKind};
use crate::egress::{Batch, MAX_DATAGRAM, TrafficClass};
use crate::forward::{Outgoing, StoredPacket, Subscription};
use crate::rtp::payload::{red, vp8};
use crate::rtp::{OutHeader, dependency_descriptor, write_header};
use crate::srtp::{PacketIndex, SrtpError};
use crate::stats::{Counters, DropReason};

/// How much longer than the packet itself its retransmission is (RFC 4588, section 4).
const RTX_GROWTH: usize = 2;

/// Where packets are written, and what counts them.
pub(super) struct Writer<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) counters: &'a mut Counters,
    pub(super) host: &'a mut dyn Host,
    pub(super) now: Instant,
}

/// One packet with all that its bytes depend on.
pub(super) struct PacketToWrite<'a> {
    pub(super) out: &'a Outgoing,
    pub(super) source: StoredPacket<'a>,
    pub(super) vp8: Option<&'a vp8::Descriptor>,
    pub(super) subscription: &'a Subscription,
    pub(super) stamp: Option<Stamp>,
    /// For the latency histogram; a repeat says nothing about how long the node holds packets.
    pub(super) received_at: Option<Instant>,
}

/// Writes, encrypts and queues one packet; returns the datagram's length, if it could be done.
#[inline]
pub(super) fn write_media(
    packet: &PacketToWrite<'_>,
    sending: &mut Sending<'_>,
    writer: &mut Writer<'_>,
) -> Option<usize> {
    let index = packet.subscription.index_of(packet.out.sequence)?;
    let header = OutHeader {
        payload_type: packet.out.payload_type,
        marker: packet.out.marker,
        sequence: index.sequence(),
        timestamp: packet.out.timestamp,
        ssrc: index.ssrc(),
    };
    write_packet(packet, &header, index, None, sending, writer)
}

/// Writes the header with the extensions that the subscriber has negotiated; returns its length, or
/// 0 if there is no room.
fn write_extended_header(
    space: &mut [u8],
    header: &OutHeader,
    packet: &PacketToWrite<'_>,
) -> usize {
    let StoredPacket {
        meta, descriptor, ..
    } = packet.source;
    let mut buffer: [u8; u8::MAX as usize];
    let mut extensions: ArrayVec<(u8, &[u8]), 3> = ArrayVec::new();
    let capture_time = &meta.abs_capture_time[..usize::from(meta.abs_capture_time_len.min(16))];
    if let (Some(id), false) = (
        packet.subscription.abs_capture_time_id,
        capture_time.is_empty(),
    ) {
        extensions.push((id, capture_time));
    }
    if let Some(stamp) = &packet.stamp {
        extensions.push((stamp.id, &stamp.sequence));
    }
    let (Some(id), false) = (packet.subscription.descriptor_id, descriptor.is_empty()) else {
        return write_header(space, header, &extensions);
    };
    buffer = [0; u8::MAX as usize];
    let value = &mut buffer[..descriptor.len()];
    value.copy_from_slice(descriptor);
    dependency_descriptor::set_frame_number(value, packet.out.frame_number);
    extensions.push((id, value));
    write_header(space, header, &extensions)
}

/// `prefix` is the original sequence number of a retransmission (RFC 4588).
pub(super) fn write_packet(
    packet: &PacketToWrite<'_>,
    header: &OutHeader,
    index: PacketIndex,
    prefix: Option<[u8; 2]>,
    sending: &mut Sending<'_>,
    writer: &mut Writer<'_>,
) -> Option<usize> {
    if !writer.batch.has_room() {
        writer.host.flush(writer.batch);
    }
    // What is sent must fit when it has to be repeated, too.
    let limit = MAX_DATAGRAM - prefix.map_or(RTX_GROWTH, |_| 0);
    let space = &mut writer.batch.space()[..limit];
    let mut at = write_extended_header(space, header, packet);
    let prefix_len = prefix.map_or(0, |p| p.len());
    let payload = packet.source.payload;
    let end = at + prefix_len + payload.len();
    if at == 0 || end > space.len() {
        writer.counters.drop(DropReason::Oversized);
        return None;
    }
    let header_len = at;
    if let Some(prefix) = prefix {
        space[at..at + prefix.len()].copy_from_slice(&prefix);
        at += prefix.len();
    }
    space[at..end].copy_from_slice(payload);
    if let (Some(descriptor), Some(numbers)) = (packet.vp8, packet.out.vp8) {
        descriptor.patch(
            &mut space[at..end],
            Some(numbers.picture_id),
            Some(numbers.tl0_pic_idx),
        );
    }
    match sending.outbound.protect_rtp(space, header_len, end, index) {
        Ok(len) => {
            let path = &mut sending.path;
            path.pay(len);
            let class = match packet.subscription.kind() {
                MediaKind::Audio => TrafficClass::Audio,
                MediaKind::Video => TrafficClass::Video,
            };
            let received_at = packet.received_at;
            writer
                .batch
                .commit(path.socket, path.to, len, class, received_at);
            Some(len)
        }
        Err(SrtpError::NoRoom) => {
            writer.counters.drop(DropReason::Oversized);
            None
        }
        Err(_) => {
            writer.counters.drop(DropReason::Srtp);
            None
        }
    }
}

/// The frame of redundant audio by itself, unless it is malformed.
pub(super) fn unwrap_red<'a>(packet: &StoredPacket<'a>) -> Option<&'a [u8]> {
    if packet.meta.codec != Codec::Red {
        return None;
    }
    red::Payload::parse(packet.payload).map(|it| it.primary.payload)
}
