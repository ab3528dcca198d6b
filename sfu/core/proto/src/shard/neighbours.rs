//! Neighbours: what they are told and want of tracks that are here, and what is wanted of tracks that
//! they feed.

use std::time::Instant;

use super::handover::Handover;
use super::reports::clock_message;
use super::subscriber::SubscriptionEntry;
use super::timers::Timer;
use super::tracks::TrackEntry;
use super::upstream::REVIEW_INTERVAL;
use super::{LAYER_CHECK_INTERVAL, Shard};
use crate::api::{Host, Layer, LayerSet, MediaKind, PeerMessage, Supply, TrackId, Want};
use crate::forward::Sink;

impl TrackEntry {
    fn supply(&mut self, now: Instant) -> Supply {
        Supply {
            active: self.inner.activity.active().collect(),
            bitrates_bps: self.bitrates_bps(now),
        }
    }

    /// Layers that do not arrive.
    fn silent_layers(&self) -> LayerSet {
        LayerSet::ALL.without(self.inner.activity.active().collect())
    }
}

impl SubscriptionEntry {
    /// What it needs of its track: what flows, what it waits for, and what it may choose once it begins.
    fn needs(&self, silent: LayerSet) -> Want {
        let settings = self.inner.settings();
        if settings.paused || self.is_paused {
            return Want::NOTHING;
        }
        let own = self
            .inner
            .current()
            .into_iter()
            .chain(self.inner.waits_for());
        Want {
            layers: own.collect::<LayerSet>().and(silent),
            max_temporal: settings.max_temporal_layer.min(self.shed.highest_layer()),
        }
    }
}

impl Handover {
    fn needs(&self, silent: LayerSet) -> Want {
        Want {
            layers: self.layer.into_iter().collect::<LayerSet>().and(silent),
            max_temporal: self.settings.max_temporal_layer,
        }
    }
}

impl Shard {
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
                    self.schedule_review(now, key);
                }
            }
            PeerMessage::Supply { track, supply } => {
                if let Some(key) = self.track_ids.get(track).copied() {
                    self.supplied(now, key, supply, host);
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

    /// A neighbour wants this track, or other layers of it than before. What it needs at once is what
    /// there is of it, and the publisher's clock.
    fn attach(&mut self, now: Instant, track: TrackId, sink: Sink, host: &mut dyn Host) {
        let from = sink.to;
        let Some(key) = self.track_ids.get(&track).copied() else {
            host.peer(from, PeerMessage::TrackGone { track });
            return;
        };
        let sinks = &mut self.tracks[key].inner.sinks;
        match sinks.iter_mut().find(|known| known.to == from) {
            Some(known) => *known = sink,
            None => self.add_sink(now, key, sink, host),
        }
        self.need(now, key, sink.want, host);
    }

    fn add_sink(&mut self, now: Instant, key: usize, sink: Sink, host: &mut dyn Host) {
        // Those that are here already know what it is told.
        self.tell_supply(now, key, host);
        let entry = &mut self.tracks[key];
        let track = entry.inner.id;
        entry.inner.sinks.push(sink);
        if entry.inner.kind == MediaKind::Video {
            let supply = entry.supply(now);
            entry.supply_told = supply;
            host.peer(sink.to, PeerMessage::Supply { track, supply });
            if entry.feed.publisher().is_some() {
                let at = now + LAYER_CHECK_INTERVAL;
                self.timers.schedule(&mut entry.due, at, Timer::Track(key));
            }
        }
        for (layer, clock) in entry.inner.clocks.iter().enumerate() {
            if let Some(clock) = clock {
                let message = clock_message(now, track, Layer(layer as u8), clock);
                host.peer(sink.to, message);
            }
        }
    }

    /// Tells neighbours of a video's layers, if that has changed.
    pub(super) fn tell_supply(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(entry) = self.tracks.get_mut(key) else {
            return;
        };
        if entry.inner.sinks.is_empty() || entry.inner.kind != MediaKind::Video {
            return;
        }
        let supply = entry.supply(now);
        if !supply.differs(&entry.supply_told) {
            return;
        }
        entry.supply_told = supply;
        let track = entry.inner.id;
        for sink in &entry.inner.sinks {
            host.peer(sink.to, PeerMessage::Supply { track, supply });
        }
    }

    /// The neighbour that feeds a track has told what there is of it.
    fn supplied(&mut self, now: Instant, key: usize, supply: &Supply, host: &mut dyn Host) {
        let entry = &mut self.tracks[key];
        let Some(upstream) = entry.feed.upstream_mut() else {
            return;
        };
        let begun = supply.active.without(upstream.supply.active);
        upstream.supply = *supply;
        if entry.inner.activity.set(supply.active) {
            self.settle_all(now, key, host);
            self.review(now, key, begun, host);
        }
        self.tell_supply(now, key, host);
    }

    /// A subscription needs layers of its track, and of the one that it is to go on with.
    pub(super) fn need_of(&mut self, now: Instant, sub: usize, host: &mut dyn Host) {
        let Some(entry) = self.subscriptions.get(sub) else {
            return;
        };
        let tracks = &self.tracks;
        let silent_of = |key: usize| tracks.get(key).map(TrackEntry::silent_layers);
        let own = silent_of(entry.track_key).map(|it| (entry.track_key, entry.needs(it)));
        let next = entry.next.as_ref().and_then(|next| {
            let silent = silent_of(next.track_key)?;
            Some((next.track_key, next.needs(silent)))
        });
        for (key, need) in own.into_iter().chain(next) {
            self.need(now, key, need, host);
        }
    }

    /// Somebody needs so much of a track, and perhaps less than before.
    fn need(&mut self, now: Instant, key: usize, need: Want, host: &mut dyn Host) {
        let Some(upstream) = self.tracks[key].feed.upstream_mut() else {
            return;
        };
        let more = upstream.need(need);
        self.tell_want(key, more, host);
        // What flows until then will be needed no more.
        self.schedule_review(now, key);
    }

    fn tell_want(&mut self, key: usize, want: Option<Want>, host: &mut dyn Host) {
        let (track, from) = (self.tracks[key].inner.id, self.config.id.into());
        if let (Some(want), Some(upstream)) = (want, self.tracks[key].feed.upstream_mut()) {
            host.peer(upstream.via, PeerMessage::Attach { track, from, want });
        }
    }

    /// Somebody may need less of a track than before.
    pub(super) fn schedule_review(&mut self, now: Instant, key: usize) {
        let Some(entry) = self.tracks.get_mut(key) else {
            return;
        };
        if let Some(upstream) = entry.feed.upstream_mut() {
            let at = *upstream.review_at.get_or_insert(now + REVIEW_INTERVAL);
            self.timers.schedule(&mut entry.due, at, Timer::Track(key));
        }
    }

    pub(super) fn review_if_due(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let upstream = self.tracks[key].feed.upstream_mut();
        if upstream.is_some_and(|it| it.review_at.is_some_and(|at| at <= now)) {
            self.review(now, key, LayerSet::NONE, host);
        }
    }

    /// Looks at what all together need of a copied track.
    fn review(&mut self, now: Instant, key: usize, begun: LayerSet, host: &mut dyn Host) {
        let (need, waits) = self.needs(key);
        let Some(upstream) = self.tracks[key].feed.upstream_mut() else {
            return;
        };
        upstream.review_at = None;
        let changed = upstream.review(now, need, begun);
        let is_settled = upstream.wanted() == need && !waits;
        self.tell_want(key, changed, host);
        if !is_settled {
            self.schedule_review(now, key);
        }
    }

    /// What everybody needs of a track, and whether somebody waits for a layer: then another one will
    /// be needed no more.
    fn needs(&self, key: usize) -> (Want, bool) {
        let entry = &self.tracks[key];
        let track = &entry.inner;
        let silent = entry.silent_layers();
        let (mut need, mut waits) = (Want::NOTHING, false);
        for sub in track
            .subscriptions
            .iter()
            .filter_map(|it| self.subscriptions.get(*it))
        {
            need = need.and(sub.needs(silent));
            waits |= sub.inner.waits_for().is_some();
        }
        for sub in track
            .arriving
            .iter()
            .filter_map(|it| self.subscriptions.get(*it))
        {
            need = sub
                .next
                .iter()
                .fold(need, |need, next| need.and(next.needs(silent)));
        }
        let sinks = track.sinks.iter();
        (sinks.fold(need, |need, sink| need.and(sink.want)), waits)
    }
}
