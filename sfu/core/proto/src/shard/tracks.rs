//! Tracks on this shard: from their beginning to their end, and the key frames that are asked for.

use std::time::Instant;

use super::feed::{ClockTold, Feed};
use super::flow::Change;
use super::timers::{Due, Timer};
use super::upstream::Upstream;
use super::{LAYER_CHECK_INTERVAL, Shard};
use crate::allocate::LayerRates;
use crate::api::{
    Host, Layer, MAX_LAYERS, MediaKind, MediaMeta, NeighbourId, PeerMessage, Ssrc,
    SubscriptionSettings, Supply, TrackId, Want,
};
use crate::forward::Track;
use crate::rtcp;

/// A track as the shard keeps it.
#[derive(Debug)]
pub(super) struct TrackEntry {
    pub(super) inner: Track,
    pub(super) feed: Feed,
    /// What neighbours know of the clock of each layer.
    pub(super) clocks_told: [ClockTold; MAX_LAYERS],
    pub(super) clock_rate_hz: u32,
    /// What neighbours know of its layers.
    pub(super) supply_told: Supply,
    pub(super) due: Due,
    /// Of a video that a neighbour feeds nothing: that one tells (`Supply`), as it has all layers.
    pub(super) rates: LayerRates,
}

impl TrackEntry {
    /// Notes what a packet tells of the layers that arrive; returns whether they are others now.
    pub(super) fn observe(&mut self, now: Instant, meta: &MediaMeta, payload_bytes: usize) -> bool {
        if let (Feed::Neighbour(upstream), MediaKind::Video) = (&mut self.feed, self.inner.kind) {
            return upstream.observe(meta);
        }
        if meta.is_filler {
            return false;
        }
        self.rates.on_packet(meta, now, payload_bytes);
        self.inner.activity.on_packet(meta.layer, now)
    }

    /// What each layer costs a subscriber.
    pub(super) fn bitrates_bps(&mut self, now: Instant) -> [Option<u64>; MAX_LAYERS] {
        if let (Feed::Neighbour(upstream), MediaKind::Video) = (&self.feed, self.inner.kind) {
            return upstream.supply.bitrates_bps;
        }
        let activity = &self.inner.activity;
        self.rates
            .bitrates_bps(now, |layer| activity.is_active(layer))
    }

    /// It is looked after at regular times, for layers that go silent and bitrates that move.
    fn is_watched(&self) -> bool {
        let has_neighbours = self.inner.kind == MediaKind::Video && !self.inner.sinks.is_empty();
        let is_published = self.feed.publisher().is_some();
        self.inner.activity.is_simulcast() || (is_published && has_neighbours)
    }
}

impl Shard {
    /// The key of a track, which is attached to `via` if it is not here yet. As nothing is known of
    /// it, all of it is wanted by whoever wants to see it.
    pub(super) fn track_or_attach(
        &mut self,
        (id, via): (TrackId, Option<NeighbourId>),
        settings: SubscriptionSettings,
        kind: MediaKind,
        clock_rate_hz: u32,
        host: &mut dyn Host,
    ) -> Option<usize> {
        if let Some(key) = self.track_ids.get(&id) {
            return Some(*key);
        }
        let from = NeighbourId::from(self.config.id);
        let via = via.filter(|via| *via != from)?;
        let want = match settings.paused {
            true => Want::NOTHING,
            false => Want::ALL,
        };
        let track = id;
        host.peer(via, PeerMessage::Attach { track, from, want });
        let feed = Feed::Neighbour(Box::new(Upstream::new(via, want)));
        Some(self.add_track(id, kind, feed, clock_rate_hz))
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
            supply_told: Supply::default(),
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
                    if let Some(publishing) = peer.publishing_mut() {
                        publishing.tracks.retain(|track| *track != key);
                    }
                }
            }
            Feed::Neighbour(upstream) => {
                let from = self.config.id.into();
                host.peer(upstream.via, PeerMessage::Detach { track: id, from });
            }
        }
    }

    /// Removes a subscription; a copied track without subscribers goes with the last one.
    pub(super) fn remove_subscription(&mut self, now: Instant, sub: usize, host: &mut dyn Host) {
        self.abandon_handover(now, sub, host);
        let Some(track_key) = self.forget_subscription(sub) else {
            return;
        };
        let Some(entry) = self.tracks.get_mut(track_key) else {
            return;
        };
        entry.inner.subscriptions.retain(|key| *key != sub);
        self.release_track(track_key, host);
        self.schedule_review(now, track_key);
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
            if entry.is_watched() {
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
                Feed::Neighbour(upstream) => {
                    host.peer(upstream.via, PeerMessage::KeyFrameWanted { track, layer });
                }
            }
        }
        if changed {
            self.settle_all(now, key, host);
        }
        self.tell_supply(now, key, host);
        self.review_if_due(now, key, host);
        let clock_at = self.tell_due_clocks(now, key, host);
        let Some(entry) = self.tracks.get_mut(key) else {
            return;
        };
        let check = entry.is_watched().then_some(now + LAYER_CHECK_INTERVAL);
        let review = entry.feed.upstream_mut().and_then(|it| it.review_at);
        let next = entry
            .inner
            .key_frames
            .poll_timeout(now)
            .into_iter()
            .chain(check)
            .chain(review)
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
}
