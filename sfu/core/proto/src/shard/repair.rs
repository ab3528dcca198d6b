//! What is sent beside the media itself: answers to NACK, and the padding of a probe.

use std::time::{Duration, Instant};

use super::Shard;
use super::peer::Sending;
use super::subscriber::SubscriptionEntry;
use super::write::{PacketToWrite, Writer, unwrap_red, write_packet};
use crate::api::{Codec, Host, MediaKind, Ssrc};
use crate::egress::TrafficClass;
use crate::forward::Track;
use crate::rtp::payload::vp8;
use crate::rtp::{OutHeader, write_header};

/// What a retransmission counts for in the budget, before it is known.
const REPAIR_BYTES: usize = 1_200;
/// Of one padding packet: about what the clients' own senders use.
const PADDING_BYTES: u8 = 224;
const PADDING_BIT: u8 = 0x20;

impl Shard {
    /// A subscriber has lost what it received under `ssrc` as number `lost`.
    pub(super) fn answer_nack(
        &mut self,
        now: Instant,
        key: usize,
        ssrc: Ssrc,
        lost: u16,
        host: &mut dyn Host,
    ) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(entry) = peer
            .sent
            .get(&ssrc.0)
            .and_then(|sub| self.subscriptions.get_mut(*sub))
        else {
            return;
        };
        let Some(track) = self.tracks.get(entry.track_key) else {
            return;
        };
        let is_video = entry.inner.kind() == MediaKind::Video;
        let mut writer = Writer {
            batch: &mut self.batch,
            counters: &mut self.counters,
            host,
            now,
        };
        for is_copy in [false, true] {
            let Some(sending) = peer.sending() else {
                return;
            };
            let spacing = match is_copy {
                false => sending.path.retransmission_spacing(),
                true => Duration::ZERO,
            };
            let sent = retransmit(&track.inner, entry, lost, spacing, sending, &mut writer);
            let (Some(bytes), Some(path)) = (sent, peer.path.as_mut()) else {
                return;
            };
            path.bytes_sent += bytes as u64;
            writer.counters.retransmissions_sent += 1;
            // A picture waits, and a repeat has been lost, too: now two, of which one may be.
            if !is_video || !entry.inner.is_asked_again(lost) {
                return;
            }
        }
    }
}

/// Answers one NACKed number: by RTX where negotiated, else by the same packet again. Video must
/// fit the budget of the subscriber's path. `spacing` is the shortest time since the last answer.
/// Returns the bytes sent.
fn retransmit(
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
    let (payload_type, index, prefix) = match rtx {
        Some((payload_type, index)) => (payload_type, index, Some(lost.to_be_bytes())),
        None => (out.payload_type, subscription.index_of(sequence)?, None),
    };
    let header = OutHeader {
        payload_type,
        marker: out.marker,
        sequence: index.sequence(),
        timestamp: out.timestamp,
        ssrc: index.ssrc(),
    };
    let written = write_packet(&packet, &header, index, prefix, &mut sending, writer);
    sending.path.repeats.spend(source.payload.len());
    let len = written?;
    if rtx.is_some() && stamp.is_some() {
        sending.on_stamped(writer.now, &[len as u16]);
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
        if let Some(estimator) = &mut sending.estimator {
            estimator.on_padding_sent(writer.now, len as u16);
        }
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
    let (payload_type, index, timestamp) = entry.inner.next_padding()?;
    if !writer.batch.has_room() {
        writer.host.flush(writer.batch);
    }
    let header = OutHeader {
        payload_type,
        marker: false,
        sequence: index.sequence(),
        timestamp,
        ssrc: index.ssrc(),
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
    let len = sending.outbound.protect_rtp(space, at, end, index).ok()?;
    let path = &mut sending.path;
    path.pay(len);
    let class = TrafficClass::Video;
    writer.batch.commit(path.socket, path.to, len, class, None);
    Some(len)
}
