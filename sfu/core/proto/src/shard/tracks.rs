//! Tracks on this shard: which layer each subscriber gets, key-frame requests, and the links to
//! other shards.

use std::time::Instant;

use super::feed::{ClockTold, Feed};
use super::flow::Change;
use super::reports::clock_message;
use super::timers::{Due, Timer};
use super::{LAYER_CHECK_INTERVAL, Shard};
use crate::allocate::LayerRates;
use crate::api::{
    Host, Layer, MAX_LAYERS, MediaKind, NeighbourId, PeerMessage, Ssrc, TrackId, Want,
};
use crate::forward::{Sink, Track};
use crate::rtcp;

/// A track as the shard keeps it.
#[derive(Debug)]
pub(super) struct TrackEntry {
    pub(super) inner: Track,
    pub(super) feed: Feed,
    /// What neighbours know of the clock of each layer.
    pub(super) clocks_told: [ClockTold; MAX_LAYERS],
    pub(super) clock_rate_hz: u32,
    pub(super) due: Due,
    pub(super) rates: LayerRates,
}

impl Shard {
    /// The key of a track, which is attached to `via` if it is not here yet.
    pub(super) fn track_or_attach(
        &mut self,
        (id, via): (TrackId, Option<NeighbourId>),
        kind: MediaKind,
        clock_rate_hz: u32,
        host: &mut dyn Host,
    ) -> Option<usize> {
        if let Some(key) = self.track_ids.get(&id) {
            return Some(*key);
        }
        let from = NeighbourId::from(self.config.id);
        let via = via.filter(|via| *via != from)?;
        let want = Want::ALL;
        let track = id;
        host.peer(via, PeerMessage::Attach { track, from, want });
        Some(self.add_track(id, kind, Feed::Neighbour(via), clock_rate_hz))
    }

    pub(super) fn add_track(
        &mut self,
        id: TrackId,
        kind: MediaKind,
        feed: Feed,
        clock_rate_hz: u32,
    ) -> usize {
        let key = self.tracks.insert(TrackEntry {
            inner: Track::new(id, kind),
            feed,
            clocks_told: [ClockTold::default(); MAX_LAYERS],
            clock_rate_hz,
            due: Due::default(),
            rates: LayerRates::default(),
        });
        self.track_ids.insert(id, key);
        key
    }

    /// Ends a track on this shard with all its subscriptions.
    pub(super) fn remove_track(&mut self, key: usize, host: &mut dyn Host) {
        let Some(mut entry) = self.tracks.try_remove(key) else {
            return;
        };
        let id = entry.inner.id;
        self.track_ids.remove(&id);
        for sub in std::mem::take(&mut entry.inner.subscriptions) {
            self.forget_subscription(sub);
        }
        for sub in std::mem::take(&mut entry.inner.arriving) {
            if let Some(subscription) = self.subscriptions.get_mut(sub) {
                subscription.next = None;
            }
        }
        for sink in entry.inner.sinks {
            host.peer(sink.to, PeerMessage::TrackGone { track: id });
        }
        match entry.feed {
            Feed::Publisher(publisher) => {
                self.microphones.leave(&publisher);
                if let Some(peer) = self.peers.get_mut(publisher.peer) {
                    peer.forget_section(id);
                    peer.publishing.tracks.retain(|track| *track != key);
                }
            }
            Feed::Neighbour(via) => {
                let from = self.config.id.into();
                host.peer(via, PeerMessage::Detach { track: id, from });
            }
        }
    }

    /// Removes a subscription; a copied track without subscribers goes with the last one.
    pub(super) fn remove_subscription(&mut self, sub: usize, host: &mut dyn Host) {
        self.abandon_handover(sub, host);
        let Some(track_key) = self.forget_subscription(sub) else {
            return;
        };
        let Some(entry) = self.tracks.get_mut(track_key) else {
            return;
        };
        entry.inner.subscriptions.retain(|key| *key != sub);
        self.release_track(track_key, host);
    }

    /// A copied track goes when nobody has any more use for it.
    pub(super) fn release_track(&mut self, key: usize, host: &mut dyn Host) {
        let unused = |entry: &TrackEntry| {
            entry.feed.publisher().is_none()
                && entry.inner.sinks.is_empty()
                && entry.inner.subscriptions.is_empty()
                && entry.inner.arriving.is_empty()
        };
        if self.tracks.get(key).is_some_and(unused) {
            self.remove_track(key, host);
        }
    }

    fn forget_subscription(&mut self, sub: usize) -> Option<usize> {
        let entry = self.subscriptions.try_remove(sub)?;
        if let Some(track) = entry.next.and_then(|it| self.tracks.get_mut(it.track_key)) {
            track.inner.arriving.retain(|key| *key != sub);
        }
        self.subscription_ids.remove(&entry.id);
        if let Some(peer) = self.peers.get_mut(entry.peer) {
            peer.sent.remove(&entry.inner.ssrc().0);
        }
        Some(entry.track_key)
    }

    /// The layers that arrive have changed: decides anew for everybody who watches, or is about to.
    pub(super) fn settle_all(&mut self, now: Instant, track_key: usize, host: &mut dyn Host) {
        let Some(entry) = self.tracks.get_mut(track_key) else {
            return;
        };
        let subscriptions = std::mem::take(&mut entry.inner.subscriptions);
        for sub in &subscriptions {
            self.settle(now, *sub, Change::AtKeyFrame, host);
        }
        self.settle_arriving(now, track_key, host);
        if let Some(entry) = self.tracks.get_mut(track_key) {
            entry.inner.subscriptions = subscriptions;
            if entry.inner.activity.is_simulcast() {
                let at = now + LAYER_CHECK_INTERVAL;
                self.timers
                    .schedule(&mut entry.due, at, Timer::Track(track_key));
            }
        }
    }

    /// Somebody needs a key frame: it is asked for as soon as the throttle allows.
    pub(super) fn want_key_frame(&mut self, now: Instant, track_key: usize, layer: Layer) {
        if let Some(entry) = self.tracks.get_mut(track_key) {
            entry.inner.key_frames.want(layer);
            if let Some(at) = entry.inner.key_frames.poll_timeout(now) {
                self.timers
                    .schedule(&mut entry.due, at.max(now), Timer::Track(track_key));
            }
        }
    }

    /// The track timer: sends key-frame requests that are due and looks for silent layers.
    pub(super) fn track_timer(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(entry) = self.tracks.get_mut(key) else {
            return;
        };
        let track = entry.inner.id;
        let changed = entry.inner.activity.check(now);
        while let Some(layer) = self.tracks[key].inner.key_frames.poll(now) {
            match &self.tracks[key].feed {
                Feed::Publisher(publisher) => {
                    self.request_key_frame(publisher.peer, key, layer, host);
                }
                Feed::Neighbour(via) => {
                    host.peer(*via, PeerMessage::KeyFrameWanted { track, layer });
                }
            }
        }
        if changed {
            self.settle_all(now, key, host);
        }
        let clock_at = self.tell_due_clocks(now, key, host);
        let Some(entry) = self.tracks.get_mut(key) else {
            return;
        };
        let check = entry
            .inner
            .activity
            .is_simulcast()
            .then_some(now + LAYER_CHECK_INTERVAL);
        let next = entry
            .inner
            .key_frames
            .poll_timeout(now)
            .into_iter()
            .chain(check)
            .chain(clock_at)
            .min();
        if let Some(at) = next {
            self.timers.schedule(&mut entry.due, at, Timer::Track(key));
        }
    }

    fn request_key_frame(&mut self, peer: usize, track: usize, layer: Layer, host: &mut dyn Host) {
        let Some(entry) = self.peers.get(peer) else {
            return;
        };
        let source = self.tracks.get(track).and_then(|it| it.feed.publisher());
        let Some(ssrc) = source.and_then(|it| it.ingest.ssrc(layer)) else {
            return;
        };
        let mut out = std::mem::take(&mut self.rtcp_scratch);
        out.clear();
        rtcp::write::pli(&mut out, Ssrc(entry.feedback_ssrc()), ssrc);
        self.counters.key_frame_requests_sent += 1;
        self.send_rtcp(peer, &out, host);
        self.rtcp_scratch = out;
    }

    /// The publisher has begun a new stream on a layer.
    pub(super) fn source_restarted(
        &mut self,
        now: Instant,
        track_key: usize,
        layer: Layer,
        host: &mut dyn Host,
    ) {
        let Some(entry) = self.tracks.get_mut(track_key) else {
            return;
        };
        if let Some(clock) = entry.inner.clocks.get_mut(usize::from(layer.0)) {
            *clock = None;
        }
        if let Some(told) = entry.clocks_told.get_mut(usize::from(layer.0)) {
            *told = ClockTold::default();
        }
        let track = entry.inner.id;
        for sink in &entry.inner.sinks {
            host.peer(sink.to, PeerMessage::SourceRestarted { track, layer });
        }
        for sub in &entry.inner.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*sub) {
                subscription.inner.source_restarted(layer);
            }
        }
        self.settle_all(now, track_key, host);
    }

    /// Messages from other shards about tracks.
    pub(super) fn track_message(
        &mut self,
        now: Instant,
        message: &PeerMessage,
        host: &mut dyn Host,
    ) {
        match message {
            PeerMessage::Attach { track, from, want } => {
                let (to, want) = (*from, *want);
                self.attach(now, *track, Sink { to, want }, host);
            }
            PeerMessage::Detach { track, from } => {
                if let Some(key) = self.track_ids.get(track).copied() {
                    let sinks = &mut self.tracks[key].inner.sinks;
                    sinks.retain(|sink| sink.to != *from);
                    self.release_track(key, host);
                }
            }
            PeerMessage::KeyFrameWanted { track, layer } => {
                if let Some(key) = self.track_ids.get(track).copied() {
                    self.want_key_frame(now, key, *layer);
                }
            }
            PeerMessage::SenderReport {
                track,
                layer,
                ntp,
                rtp,
                age,
            } => {
                if let Some(key) = self.track_ids.get(track).copied() {
                    let reported_at = now.checked_sub(*age).unwrap_or(now);
                    self.set_clock(key, *layer, *ntp, *rtp, reported_at);
                    self.tell_clock(now, key, *layer, host);
                }
            }
            PeerMessage::SourceRestarted { track, layer } => {
                if let Some(key) = self.track_ids.get(track).copied() {
                    self.source_restarted(now, key, *layer, host);
                }
            }
            PeerMessage::TrackGone { track } => {
                if let Some(key) = self.track_ids.get(track).copied() {
                    self.leave_track(now, key, host);
                    self.remove_track(key, host);
                }
            }
            PeerMessage::Data(_)
            | PeerMessage::DataTaken { .. }
            | PeerMessage::MicrophoneRanks { .. }
            | PeerMessage::AddressTaken { .. } => {}
        }
    }

    /// A neighbour wants this track, or other layers of it than before. What it needs at once is the
    /// publisher's clock.
    fn attach(&mut self, now: Instant, track: TrackId, sink: Sink, host: &mut dyn Host) {
        let from = sink.to;
        let Some(entry) = self.track_entry(track) else {
            host.peer(from, PeerMessage::TrackGone { track });
            return;
        };
        let sinks = &mut entry.inner.sinks;
        if let Some(known) = sinks.iter_mut().find(|known| known.to == from) {
            *known = sink;
            return;
        }
        sinks.push(sink);
        for (layer, clock) in entry.inner.clocks.iter().enumerate() {
            if let Some(clock) = clock {
                let message = clock_message(now, track, Layer(layer as u8), clock);
                host.peer(from, message);
            }
        }
    }

    fn track_entry(&mut self, track: TrackId) -> Option<&mut TrackEntry> {
        let key = self.track_ids.get(&track)?;
        self.tracks.get_mut(*key)
    }
}
