//! The hot path: every waiting packet of a track to every subscriber that wants it.
//!
//! The outer loop is over subscribers and the inner one over packets, so that what goes to one
//! subscriber lies side by side in the batch. Nothing here allocates or looks at the other tracks
//! of a subscriber.

use std::hint::black_box;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use slab::Slab;

use super::Shard;
use super::bandwidth::Stamp;
use super::peer::{Peer, Sending};
use super::subscriber::SubscriptionEntry;
use super::timers::{Timer, Timers};
use crate::api::{Codec, Event, Host, Layer, MediaKind};
use crate::egress::{Batch, MAX_DATAGRAM, TrafficClass};
use crate::forward::{
    MAX_LAYERS, MAX_PENDING, Outgoing, Pending, StoredPacket, Subscription, Track, Verdict,
};
use crate::rtp::payload::{red, vp8};
use crate::rtp::{OutHeader, dependency_descriptor, write_header};
use crate::srtp::SrtpError;
use crate::stats::{Counters, DropReason};

/// What a retransmission counts for in the budget, before it is known.
const REPAIR_BYTES: usize = 1_200;
/// Of one padding packet: about what the clients' own senders use.
const PADDING_BYTES: u8 = 224;
const PADDING_BIT: u8 = 0x20;
/// How much longer than the packet itself its retransmission is (RFC 4588, section 4).
const RTX_GROWTH: usize = 2;

/// A waiting packet with what is worked out once for all subscribers.
struct Prepared<'a> {
    packet: StoredPacket<'a>,
    vp8: Option<vp8::Descriptor>,
    /// For subscribers that have not negotiated redundant audio: its primary block.
    unwrapped: Option<&'a [u8]>,
}

/// Where packets are written, and what counts them.
pub(super) struct Writer<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) counters: &'a mut Counters,
    pub(super) host: &'a mut dyn Host,
    pub(super) now: Instant,
}

impl Shard {
    /// Sends everything that waits, whatever its age.
    pub(super) fn fan_out(&mut self, now: Instant, host: &mut dyn Host) {
        let mut dirty = std::mem::take(&mut self.dirty_tracks);
        for key in dirty.drain(..) {
            self.fan_out_track(now, key, host);
        }
        self.dirty_tracks = dirty;
        self.whole_tracks.clear();
        self.flush_at = None;
    }

    /// Sends what waits of tracks whose frame is whole: nothing more is worth waiting for.
    pub(super) fn fan_out_whole(&mut self, now: Instant, host: &mut dyn Host) {
        let mut whole = std::mem::take(&mut self.whole_tracks);
        for key in whole.drain(..) {
            self.fan_out_track(now, key, host);
        }
        self.whole_tracks = whole;
        let tracks = &self.tracks;
        let waits = |key: &usize| tracks.get(*key).is_some_and(|it| it.inner.has_pending());
        self.dirty_tracks.retain(waits);
        if self.dirty_tracks.is_empty() {
            self.flush_at = None;
        }
    }

    fn fan_out_track(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        self.take_over(now, key, host);
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        let mut pending = std::mem::take(&mut self.pending_scratch);
        track.inner.take_pending(&mut pending);
        let prepared = prepare(&track.inner, &pending);
        let mut writer = Writer {
            batch: &mut self.batch,
            counters: &mut self.counters,
            host,
            now,
        };
        to_other_shards(&track.inner, &prepared, &mut writer);
        let key_frames = to_subscribers(
            &track.inner,
            &prepared,
            &mut self.subscriptions,
            &mut self.peers,
            (now, &mut self.timers),
            &mut writer,
        );
        drop(prepared);
        self.pending_scratch = pending;
        for layer in (0..MAX_LAYERS).filter(|layer| key_frames[*layer]) {
            self.want_key_frame(now, key, Layer(layer as u8));
        }
    }
}

fn prepare<'a>(track: &'a Track, pending: &[Pending]) -> ArrayVec<Prepared<'a>, MAX_PENDING> {
    let packets = pending
        .iter()
        .filter_map(|entry| track.packet(entry.layer, entry.sequence));
    packets
        .take(MAX_PENDING)
        .map(|packet| Prepared {
            packet,
            vp8: (packet.meta.codec == Codec::Vp8)
                .then(|| vp8::Descriptor::parse(packet.payload))
                .flatten(),
            unwrapped: unwrap_red(&packet),
        })
        .collect()
}

fn to_other_shards(track: &Track, prepared: &[Prepared<'_>], writer: &mut Writer<'_>) {
    for shard in &track.sinks {
        for entry in prepared {
            let StoredPacket { meta, bytes, .. } = entry.packet;
            if !writer.host.media(*shard, meta, bytes) {
                writer.counters.drop(DropReason::ShardQueueFull);
            }
        }
    }
}

/// Returns the layers whose key frame somebody needs to get to what they want of a scalable stream.
fn to_subscribers(
    track: &Track,
    prepared: &[Prepared<'_>],
    subscriptions: &mut Slab<SubscriptionEntry>,
    peers: &mut Slab<Peer>,
    (now, timers): (Instant, &mut Timers),
    writer: &mut Writer<'_>,
) -> [bool; MAX_LAYERS] {
    let mut key_frames = [false; MAX_LAYERS];
    for (index, key) in track.subscriptions.iter().enumerate() {
        if let Some(next) = track.subscriptions.get(index + 1) {
            warm(*next, subscriptions, peers);
        }
        let Some(entry) = subscriptions.get_mut(*key) else {
            continue;
        };
        let Some(mut sending) = peers.get_mut(entry.peer).and_then(Peer::sending) else {
            continue;
        };
        let subscription = &mut entry.inner;
        for item in prepared {
            let StoredPacket { meta, payload, .. } = item.packet;
            let verdict = subscription.forward(meta, item.vp8.as_ref(), &track.clocks);
            let Verdict::Send(out) = &verdict else {
                continue;
            };
            let payload = match (out.unwrap_red, item.unwrapped) {
                (false, _) => payload,
                (true, Some(primary)) => primary,
                (true, None) => continue,
            };
            let packet = PacketToWrite {
                out,
                source: StoredPacket {
                    payload,
                    ..item.packet
                },
                vp8: item.vp8.as_ref(),
                subscription,
                stamp: sending.next_stamp(entry.transport_cc_id, subscription.kind()),
                received_at: Some(meta.received_at),
            };
            let stamp = packet.stamp;
            if let Some(len) = write_media(&packet, &mut sending, writer) {
                count(subscription, payload.len());
                sending.path.bytes_sent += payload.len() as u64;
                sending.path.repeats.earn(payload.len());
                writer.counters.media_packets_forwarded += 1;
                entry.stamps.record(out.sequence, stamp);
                if stamp.is_some() {
                    sending.on_stamped(writer.now, len);
                }
            }
        }
        if let Some(at) = entry.begin_reports(now)
            && let Some(peer) = peers.get_mut(entry.peer)
        {
            timers.schedule(&mut peer.reports_due, at, Timer::Reports(entry.peer));
        }
        if !entry.started && entry.inner.packets_sent > 0 {
            entry.started = true;
            writer.host.event(Event::SubscriptionStarted(entry.id));
        }
        let needed = entry.inner.needs_key_frame();
        if let Some(wanted) = needed.and_then(|l| key_frames.get_mut(usize::from(l.0))) {
            *wanted = true;
        }
    }
    key_frames
}

/// Brings what the next subscriber needs nearer while this one's packets are encrypted: with
/// thousands of subscribers it is in no cache, and each line of it would be waited for in turn.
fn warm(key: usize, subscriptions: &Slab<SubscriptionEntry>, peers: &Slab<Peer>) {
    if let Some(entry) = subscriptions.get(key) {
        black_box(entry.inner.ssrc);
        black_box(entry.transport_cc_id);
        if let Some(peer) = peers.get(entry.peer) {
            black_box(peer.path.is_some());
            black_box(peer.bandwidth.estimator.is_some());
        }
    }
}

/// The frame of redundant audio by itself, unless it is malformed.
fn unwrap_red<'a>(packet: &StoredPacket<'a>) -> Option<&'a [u8]> {
    if packet.meta.codec != Codec::Red {
        return None;
    }
    red::Payload::parse(packet.payload).map(|it| it.primary.payload)
}

fn count(subscription: &mut Subscription, payload_len: usize) {
    subscription.packets_sent = subscription.packets_sent.wrapping_add(1);
    subscription.octets_sent = subscription.octets_sent.wrapping_add(payload_len as u32);
}

/// One packet with all that its bytes depend on.
struct PacketToWrite<'a> {
    out: &'a Outgoing,
    source: StoredPacket<'a>,
    vp8: Option<&'a vp8::Descriptor>,
    subscription: &'a Subscription,
    stamp: Option<Stamp>,
    /// For the latency histogram; a repeat says nothing about how long the node holds packets.
    received_at: Option<Instant>,
}

/// Writes, encrypts and queues one packet; returns the datagram's length, if it could be done.
fn write_media(
    packet: &PacketToWrite<'_>,
    sending: &mut Sending<'_>,
    writer: &mut Writer<'_>,
) -> Option<usize> {
    let header = OutHeader {
        payload_type: packet.out.payload_type,
        marker: packet.out.marker,
        sequence: packet.out.sequence as u16,
        timestamp: packet.out.timestamp,
        ssrc: packet.subscription.ssrc,
    };
    write_packet(packet, &header, packet.out.sequence, None, sending, writer)
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
fn write_packet(
    packet: &PacketToWrite<'_>,
    header: &OutHeader,
    sequence: u64,
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
    let rollover = (sequence >> 16) as u32;
    match sending
        .outbound
        .protect_rtp(space, header_len, end, rollover)
    {
        Ok(len) => {
            let path = &sending.path;
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

/// Answers one NACKed number: by RTX where negotiated, else by the same packet again. Video must
/// fit the budget of the subscriber's path. `spacing` is the shortest time since the last answer.
/// Returns the bytes sent.
pub(super) fn retransmit(
    track: &Track,
    entry: &mut SubscriptionEntry,
    lost: u16,
    spacing: Duration,
    mut sending: Sending<'_>,
    writer: &mut Writer<'_>,
) -> Option<usize> {
    if !sending.path.repeats.is_open() {
        return None;
    }
    let subscription = &mut entry.inner;
    if subscription.kind() == MediaKind::Video
        && let Some(estimator) = &mut sending.estimator
        && !estimator.allow_repair(writer.now, REPAIR_BYTES)
    {
        return None;
    }
    let (sequence, sent) = subscription.answer_nack(lost, writer.now, spacing)?;
    let mut source = track.packet_by_low(sent.layer, sent.source_low)?;
    let out = subscription.repeat(source.meta, sequence, &sent)?;
    if out.unwrap_red {
        source.payload = unwrap_red(&source)?;
    }
    let vp8 = (source.meta.codec == Codec::Vp8)
        .then(|| vp8::Descriptor::parse(source.payload))
        .flatten();
    let rtx = match subscription.kind() {
        MediaKind::Video => subscription.next_rtx(source.meta.payload_type),
        MediaKind::Audio => None,
    };
    let stamp = match rtx {
        Some(_) => sending.next_stamp(entry.transport_cc_id, subscription.kind()),
        // The same packet is encrypted with the same nonce: it must be the same to the bit.
        None => entry.stamps.of(sequence),
    };
    let packet = PacketToWrite {
        out: &out,
        source,
        vp8: vp8.as_ref(),
        subscription,
        stamp,
        received_at: None,
    };
    let (ssrc, payload_type, number, prefix) = match rtx {
        Some((ssrc, payload_type, number)) => {
            (ssrc, payload_type, number, Some(lost.to_be_bytes()))
        }
        None => (subscription.ssrc, out.payload_type, sequence, None),
    };
    let header = OutHeader {
        payload_type,
        marker: out.marker,
        sequence: number as u16,
        timestamp: out.timestamp,
        ssrc,
    };
    let written = write_packet(&packet, &header, number, prefix, &mut sending, writer);
    sending.path.repeats.spend(source.payload.len());
    let len = written?;
    if rtx.is_some() && stamp.is_some() {
        sending.on_stamped(writer.now, len);
    }
    Some(source.payload.len())
}

/// Sends padding on the retransmission stream until about `bytes` have left. Returns their number.
pub(super) fn pad(
    entry: &mut SubscriptionEntry,
    bytes: usize,
    mut sending: Sending<'_>,
    writer: &mut Writer<'_>,
) -> usize {
    let mut written = 0;
    while written < bytes {
        let Some(len) = write_padding(entry, &mut sending, writer) else {
            break;
        };
        sending.on_stamped(writer.now, len);
        written += len;
    }
    sending.path.bytes_sent += written as u64;
    written
}

/// A packet of nothing but padding (RFC 3550, section 5.1).
fn write_padding(
    entry: &mut SubscriptionEntry,
    sending: &mut Sending<'_>,
    writer: &mut Writer<'_>,
) -> Option<usize> {
    let stamp = sending.next_stamp(entry.transport_cc_id, MediaKind::Video)?;
    let (ssrc, payload_type, number, timestamp) = entry.inner.next_padding()?;
    if !writer.batch.has_room() {
        writer.host.flush(writer.batch);
    }
    let header = OutHeader {
        payload_type,
        marker: false,
        sequence: number as u16,
        timestamp,
        ssrc,
    };
    let space = writer.batch.space();
    let at = write_header(space, &header, &[(stamp.id, &stamp.sequence)]);
    let end = at + usize::from(PADDING_BYTES);
    if at == 0 || end > space.len() {
        return None;
    }
    space[0] |= PADDING_BIT;
    space[at..end].fill(0);
    space[end - 1] = PADDING_BYTES;
    let rollover = (number >> 16) as u32;
    let len = sending
        .outbound
        .protect_rtp(space, at, end, rollover)
        .ok()?;
    let path = &sending.path;
    let class = TrafficClass::Video;
    writer.batch.commit(path.socket, path.to, len, class, None);
    Some(len)
}
