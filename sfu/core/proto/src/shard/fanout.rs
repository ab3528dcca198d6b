//! The hot path: every waiting packet of a track to every subscriber that wants it.
//!
//! The outer loop is over subscribers and the inner one over packets, so that what goes to one
//! subscriber lies side by side in the batch. Nothing here allocates or looks at the other tracks
//! of a subscriber.

use std::time::Instant;

use arrayvec::ArrayVec;
use slab::Slab;

use super::Shard;
use super::catch_up::{CatchUp, split_off_waiting};
use super::feedback::write_compound;
use super::peer::Peer;
use super::reports::write_reports;
use super::subscriber::SubscriptionEntry;
use super::tracks::TrackEntry;
use super::write::{PacketToWrite, Writer, unwrap_red, write_media};
use crate::api::{Codec, Event, Host, Layer, Want};
use crate::forward::{
    MAX_LAYERS, MAX_PENDING, Pending, StoredPacket, Subscription, Track, Verdict,
};
use crate::prefetch::prefetch;
use crate::rtp::payload::vp8;
use crate::stats::DropReason;

/// A waiting packet with what is worked out once for all subscribers.
struct Prepared<'a> {
    packet: StoredPacket<'a>,
    vp8: Option<vp8::Descriptor>,
    /// For subscribers that have not negotiated redundant audio: its primary block.
    unwrapped: Option<&'a [u8]>,
}

/// Whom packets go to, and what their reports are written from.
struct Members<'a> {
    tracks: &'a Slab<TrackEntry>,
    subscriptions: &'a mut Slab<SubscriptionEntry>,
    peers: &'a mut Slab<Peer>,
    rtcp_scratch: &'a mut Vec<u8>,
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
        let late = track.inner.take_late_key_frames();
        let track = &self.tracks[key];
        let catch_up = split_off_waiting(&track.inner, &late, &self.subscriptions);
        let prepared = prepare(&track.inner, &pending);
        let mut writer = Writer {
            batch: &mut self.batch,
            counters: &mut self.counters,
            host,
            now,
        };
        to_neighbours(&track.inner, &prepared, &mut writer);
        let mut members = Members {
            tracks: &self.tracks,
            subscriptions: &mut self.subscriptions,
            peers: &mut self.peers,
            rtcp_scratch: &mut self.rtcp_scratch,
        };
        let everybody = track.inner.subscriptions.as_slice();
        let at_once = catch_up.as_ref().map_or(everybody, CatchUp::others);
        let inner = &track.inner;
        let mut key_frames = to_subscribers(inner, at_once, &prepared, &mut members, &mut writer);
        drop(prepared);
        for group in catch_up.iter().flat_map(CatchUp::groups) {
            let missed = group.missed(inner, &pending);
            let goes_on_waiting = missed.iter().all(|it| it.layer != group.layer());
            key_frames[usize::from(group.layer().0)] |= goes_on_waiting;
            for part in missed.chunks(MAX_PENDING) {
                let prepared = prepare(inner, part);
                to_subscribers(inner, group.waiting(), &prepared, &mut members, &mut writer);
            }
        }
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

fn to_neighbours(track: &Track, prepared: &[Prepared<'_>], writer: &mut Writer<'_>) {
    for sink in &track.sinks {
        let Want {
            layers,
            max_temporal,
        } = sink.want;
        for entry in prepared
            .iter()
            .filter(|it| layers.contains(it.packet.meta.layer))
        {
            let StoredPacket { meta, bytes, .. } = entry.packet;
            let is_spared = meta.frame.is_some_and(|it| it.temporal_id > max_temporal);
            let taken = if is_spared {
                writer.host.media(sink.to, &meta.emptied(), &[])
            } else {
                writer.host.media(sink.to, meta, bytes)
            };
            if !taken {
                writer.counters.drop(DropReason::ShardQueueFull);
            }
        }
    }
}

/// Returns the layers whose key frame somebody needs to get to what they want of a scalable stream.
fn to_subscribers(
    track: &Track,
    whom: &[usize],
    prepared: &[Prepared<'_>],
    members: &mut Members<'_>,
    writer: &mut Writer<'_>,
) -> [bool; MAX_LAYERS] {
    let mut key_frames = [false; MAX_LAYERS];
    for (index, key) in whom.iter().enumerate() {
        let following = whom.get(index + 1..).unwrap_or_default();
        prefetch_ahead(following, members.subscriptions, members.peers);
        let Some(entry) = members.subscriptions.get_mut(*key) else {
            continue;
        };
        let Some(mut sending) = members.peers.get_mut(entry.peer).and_then(Peer::sending) else {
            continue;
        };
        if writer.batch.would_split(prepared.len()) {
            // What goes to one subscriber leaves in as few messages as can be.
            writer.host.flush(writer.batch);
        }
        let subscription = &mut entry.inner;
        let first_stamp = sending.next_stamp(entry.transport_cc_id, subscription.kind());
        if let (Some(estimator), Some(_)) = (&sending.estimator, &first_stamp) {
            // Needed once the packets are encrypted.
            estimator.prefetch_for_sending(prepared.len());
        }
        let mut stamped: ArrayVec<u16, MAX_PENDING> = ArrayVec::new();
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
                stamp: first_stamp.map(|stamp| stamp.after(stamped.len())),
                received_at: Some(meta.received_at),
            };
            let stamp = packet.stamp;
            if let Some(len) = write_media(&packet, &mut sending, writer) {
                count(subscription, payload.len());
                sending.path.bytes_sent += payload.len() as u64;
                sending.path.repeats.earn(payload.len());
                writer.counters.media_packets_forwarded += 1;
                let places = subscription.history_places();
                entry.stamps.record(out.sequence, stamp, places);
                if stamp.is_some() {
                    stamped.push(len as u16);
                }
            }
        }
        sending.on_stamped(writer.now, &stamped);
        if !entry.started && entry.inner.packets_sent > 0 {
            entry.started = true;
            writer.host.event(Event::SubscriptionStarted(entry.id));
        }
        let needed = entry.inner.needs_key_frame();
        if let Some(wanted) = needed.and_then(|l| key_frames.get_mut(usize::from(l.0))) {
            *wanted = true;
        }
        members.take_reports_along(*key, writer);
    }
    key_frames
}

impl Members<'_> {
    /// Lets the subscriber's reports leave with its media, if they are due.
    fn take_reports_along(&mut self, subscription: usize, writer: &mut Writer<'_>) {
        let now = writer.now;
        let Some(entry) = self.subscriptions.get_mut(subscription) else {
            return;
        };
        let (key, begins_at) = (entry.peer, entry.begin_reports(now));
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        if let Some(at) = begins_at {
            peer.expect_report(at);
        }
        if peer.reports_at.is_none_or(|at| now < at) {
            return;
        }
        let out = &mut *self.rtcp_scratch;
        out.clear();
        peer.reports_at = write_reports(now, peer, self.tracks, self.subscriptions, out);
        if let Some(mut sending) = peer.sending() {
            write_compound(out, &mut sending, writer.batch, writer.host);
        }
    }
}

/// Brings what the next subscribers need nearer while this one's packets are encrypted, step by step:
/// what the third one ahead is, then what it refers to, then what that refers to.
fn prefetch_ahead(
    following: &[usize],
    subscriptions: &Slab<SubscriptionEntry>,
    peers: &Slab<Peer>,
) {
    let entry_of = |ahead: usize| subscriptions.get(*following.get(ahead)?);
    let peer_of = |entry: &SubscriptionEntry| peers.get(entry.peer);
    if let Some(entry) = entry_of(2) {
        prefetch(entry, SubscriptionEntry::HOT_BYTES);
    }
    if let Some(entry) = entry_of(1) {
        entry.inner.prefetch_next();
        if let Some(peer) = peer_of(entry) {
            prefetch(peer, Peer::HOT_BYTES);
        }
    }
    if let Some(peer) = entry_of(0).and_then(peer_of) {
        peer.prefetch_estimator();
    }
}

fn count(subscription: &mut Subscription, payload_len: usize) {
    subscription.packets_sent = subscription.packets_sent.wrapping_add(1);
    subscription.octets_sent = subscription.octets_sent.wrapping_add(payload_len as u32);
}
