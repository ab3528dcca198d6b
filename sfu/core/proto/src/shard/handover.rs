//! Subscriptions that go on with another track: the same picture in another codec.
//!
//! What flows goes on until a key frame of the other track arrives, and the change happens between
//! two packets. Where nothing flows, or the track so far ends, it happens at once. The subscriber
//! sees one stream, whose payload type changes.

use std::time::Instant;

use super::Shard;
use super::flow::Change;
use super::stamps::Stamps;
use crate::api::{ChangeTrack, Event, Host, Layer, SendCodec, SubscriptionSettings};

/// Where a subscription is about to go on.
#[derive(Debug)]
pub(super) struct Handover {
    /// Key of the track on this shard.
    pub(super) track_key: usize,
    codecs: Vec<SendCodec>,
    pub(super) settings: SubscriptionSettings,
    /// The layer whose key frame is waited for.
    pub(super) layer: Option<Layer>,
}

impl Shard {
    pub(super) fn change_track(&mut self, now: Instant, request: ChangeTrack, host: &mut dyn Host) {
        let Some(sub) = self.subscription_ids.get(&request.id).copied() else {
            return;
        };
        let kind = self.subscriptions[sub].inner.kind();
        let clock_rate_hz = request.codecs.first().map_or(90_000, |c| c.clock_rate_hz);
        let track = (request.track, request.via);
        let Some(to) = self.track_or_attach(track, request.settings, kind, clock_rate_hz, host)
        else {
            return;
        };
        if self.tracks[to].inner.kind != kind {
            return;
        }
        self.abandon_handover(now, sub, host);
        let entry = &mut self.subscriptions[sub];
        let (stays, flows) = (entry.track_key == to, entry.inner.current().is_some());
        let at_once = stays || !flows || request.settings.paused;
        entry.next = Some(Box::new(Handover {
            track_key: to,
            codecs: request.codecs,
            settings: request.settings,
            layer: None,
        }));
        if stays {
            self.stay(now, sub, host);
            return;
        }
        self.tracks[to].inner.arriving.push(sub);
        if at_once {
            self.hand_over(now, to, &[sub], host);
        } else {
            self.settle(now, sub, Change::AtKeyFrame, host);
        }
    }

    /// The change that had been asked for is taken back.
    fn stay(&mut self, now: Instant, sub: usize, host: &mut dyn Host) {
        let Some(entry) = self.subscriptions.get_mut(sub) else {
            return;
        };
        let Some(next) = entry.next.take() else {
            return;
        };
        let (id, settings) = (entry.id, next.settings);
        if let Some(track) = self.tracks.get(next.track_key) {
            host.event(Event::TrackChanged {
                subscription: id,
                track: track.inner.id,
            });
        }
        self.update_subscription(now, id, settings, host);
    }

    /// Forgets that a subscription was to go on elsewhere.
    pub(super) fn abandon_handover(&mut self, now: Instant, sub: usize, host: &mut dyn Host) {
        let next = self
            .subscriptions
            .get_mut(sub)
            .and_then(|entry| entry.next.take());
        let Some(next) = next else {
            return;
        };
        if let Some(track) = self.tracks.get_mut(next.track_key) {
            track.inner.arriving.retain(|key| *key != sub);
        }
        self.release_track(next.track_key, host);
        self.schedule_review(now, next.track_key);
    }

    /// Decides anew for those that are to go on with this track.
    pub(super) fn settle_arriving(&mut self, now: Instant, track_key: usize, host: &mut dyn Host) {
        let Some(track) = self.tracks.get_mut(track_key) else {
            return;
        };
        let arriving = std::mem::take(&mut track.inner.arriving);
        for sub in &arriving {
            self.settle(now, *sub, Change::AtKeyFrame, host);
        }
        if let Some(track) = self.tracks.get_mut(track_key) {
            track.inner.arriving = arriving;
        }
    }

    /// Before a fan-out: those for whom a switch point waits in this track go on with it.
    pub(super) fn take_over(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        if track.inner.arriving.is_empty() {
            return;
        }
        let switch_points = track.inner.pending_switch_points();
        let is_ready = |sub: &usize| {
            let next = self.subscriptions.get(*sub).and_then(|it| it.next.as_ref());
            let layer = next.and_then(|next| next.layer);
            layer.is_some_and(|layer| switch_points[usize::from(layer.0)])
        };
        // Allocated once per change of codec.
        let arriving = track.inner.arriving.iter().copied();
        let ready: Vec<usize> = arriving.filter(is_ready).collect();
        self.hand_over(now, key, &ready, host);
    }

    /// A track is about to end: those that were to leave it do so now.
    pub(super) fn leave_track(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        let subscriptions = track.inner.subscriptions.iter().copied();
        let mut leaving: Vec<(usize, usize)> = subscriptions
            .filter_map(|sub| {
                let next = self.subscriptions.get(sub)?.next.as_ref()?;
                Some((next.track_key, sub))
            })
            .collect();
        leaving.sort_unstable();
        for group in leaving.chunk_by(|one, other| one.0 == other.0) {
            let subs: Vec<usize> = group.iter().map(|(_, sub)| *sub).collect();
            self.hand_over(now, group[0].0, &subs, host);
        }
    }

    /// Lets subscriptions that were to go on with track `to` do so.
    fn hand_over(&mut self, now: Instant, to: usize, subs: &[usize], host: &mut dyn Host) {
        let mut left: Vec<usize> = Vec::new();
        for sub in subs {
            let Some(from) = self.move_subscription(*sub, host) else {
                continue;
            };
            if !left.contains(&from) {
                left.push(from);
            }
            if let Some(track) = self.tracks.get_mut(to) {
                track.inner.subscriptions.push(*sub);
            }
        }
        // Whole lists at once: a room of thousands changes over at one key frame.
        let entries = &self.subscriptions;
        if let Some(track) = self.tracks.get_mut(to) {
            let is_waiting = |sub: &usize| entries.get(*sub).is_some_and(|it| it.next.is_some());
            track.inner.arriving.retain(is_waiting);
        }
        for from in &left {
            if let Some(track) = self.tracks.get_mut(*from) {
                let is_here =
                    |sub: &usize| entries.get(*sub).is_some_and(|it| it.track_key == *from);
                track.inner.subscriptions.retain(is_here);
            }
        }
        for from in left {
            self.release_track(from, host);
            self.schedule_review(now, from);
        }
        for sub in subs {
            if let Some(entry) = self.subscriptions.get(*sub) {
                let peer = entry.peer;
                self.allocate(now, peer, host);
                self.settle(now, *sub, Change::AtKeyFrame, host);
            }
        }
    }

    /// Lets one subscription forget its track for the next one; returns the key of the former.
    fn move_subscription(&mut self, sub: usize, host: &mut dyn Host) -> Option<usize> {
        let entry = self.subscriptions.get_mut(sub)?;
        let next = entry.next.take()?;
        let from = std::mem::replace(&mut entry.track_key, next.track_key);
        let clocks = self.tracks.get(from).map(|track| track.inner.clocks);
        let inner = &mut entry.inner;
        inner.change_track(&next.codecs, next.settings, &clocks.unwrap_or_default());
        let repairable = inner.is_repairable().then_some(next.codecs.as_slice());
        // Nothing sent before is repeated, so its stamps are of no use any more.
        entry.stamps = Stamps::new(entry.transport_cc_id, inner.kind(), repairable);
        host.event(Event::TrackChanged {
            subscription: entry.id,
            track: self.tracks.get(next.track_key)?.inner.id,
        });
        Some(from)
    }
}
