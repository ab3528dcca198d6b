//! What a subscriber is sent of all that it watches: demands are collected, allocated within what its
//! path carries, and put in force; when more is wanted than allowed, padding finds out whether it would
//! fit.

use std::time::Instant;

use super::Shard;
use super::flow::Change;
use super::repair;
use super::shedding::Shed;
use super::subscriber::SubscriptionEntry;
use super::tracks::TrackEntry;
use super::write::Writer;
use crate::allocate::{Allowance, Demand};
use crate::api::{Host, MediaKind, SubscriptionSettings};

/// Most subscriptions of one peer that take part in an allocation.
const MAX_DEMANDS: usize = 1_024;

impl SubscriptionEntry {
    /// What it wants to be sent of its track. What load holds back costs nothing, and begins with the
    /// lowest layer when it comes back.
    fn demand(&self, now: Instant, key: usize, track: &mut TrackEntry) -> Demand {
        let SubscriptionSettings {
            priority,
            max_layer,
            ..
        } = self.inner.settings();
        let layers = match self.shed {
            Shed::Video => Default::default(),
            Shed::Nothing | Shed::Enhancement => track.bitrates_bps(now),
        };
        let (max_layer, allowance) = match self.shed {
            Shed::Nothing => (max_layer, self.allowance),
            Shed::Enhancement => (0, self.allowance),
            Shed::Video => (0, Allowance::Layer(0)),
        };
        Demand::new(key, priority, layers, max_layer, allowance)
    }
}

impl Shard {
    /// Decides which layers the peer's subscriptions may send.
    pub(super) fn allocate(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let mut demands = std::mem::take(&mut self.demands_scratch);
        let (audio_bps, can_pad) = self.collect_demands(now, key, &mut demands);
        let Some(peer) = self.peers.get_mut(key) else {
            self.demands_scratch = demands;
            return;
        };
        let bandwidth = &mut peer.bandwidth;
        let outcome = bandwidth.allocate(now, &mut demands, audio_bps, can_pad);
        // What does not fit by far cannot go on until the next key frame.
        let change = match outcome {
            Some(outcome) if outcome.overloaded => Change::AtOnce,
            _ => Change::AtKeyFrame,
        };
        for demand in &demands {
            let allowance = match outcome {
                Some(_) => demand.allowance,
                None => Allowance::Unlimited,
            };
            self.allow(now, demand.key, allowance, change, host);
        }
        demands.clear();
        self.demands_scratch = demands;
    }

    /// Lists what the peer wants of video. Returns the bitrate of its audio, and whether padding
    /// can be sent to it.
    fn collect_demands(
        &mut self,
        now: Instant,
        key: usize,
        demands: &mut Vec<Demand>,
    ) -> (u64, bool) {
        demands.clear();
        let (mut audio_bps, mut can_pad) = (0, false);
        let Some(peer) = self.peers.get(key) else {
            return (0, false);
        };
        for sub in peer.sent.values() {
            let Some(entry) = self.subscriptions.get(*sub) else {
                continue;
            };
            let Some(track) = self.tracks.get_mut(entry.track_key) else {
                continue;
            };
            let settings = entry.inner.settings();
            if settings.paused {
                continue;
            }
            if entry.inner.kind() == MediaKind::Audio {
                audio_bps += track.rates.audio_bps(now);
                continue;
            }
            can_pad |= entry.transport_cc_id.is_some() && entry.inner.can_pad();
            if demands.len() < MAX_DEMANDS {
                demands.push(entry.demand(now, *sub, track));
            }
        }
        (audio_bps, can_pad)
    }

    /// Puts an allowance in force.
    fn allow(
        &mut self,
        now: Instant,
        sub: usize,
        allowance: Allowance,
        change: Change,
        host: &mut dyn Host,
    ) {
        let Some(entry) = self.subscriptions.get_mut(sub) else {
            return;
        };
        if std::mem::replace(&mut entry.allowance, allowance) != allowance {
            self.settle(now, sub, change, host);
        }
    }

    /// Sends the padding of a probe, if one runs or is to begin.
    pub(super) fn probe(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        // Not before there are keys: a cluster that cannot be sent would count as failed.
        let Some(sending) = peer.sending() else {
            return;
        };
        let round_trip = sending.path.round_trip_or_default();
        let padding = sending
            .estimator
            .and_then(|estimator| estimator.poll_padding(now, round_trip));
        let Some(bytes) = padding.filter(|bytes| *bytes > 0) else {
            return;
        };
        let padded = peer.sent.values().copied().find(|sub| {
            let entry = self.subscriptions.get(*sub);
            entry.is_some_and(|e| e.transport_cc_id.is_some() && e.inner.can_pad())
        });
        let Some(entry) = padded.and_then(|sub| self.subscriptions.get_mut(sub)) else {
            return;
        };
        let Some(sending) = peer.sending() else {
            return;
        };
        let mut writer = Writer {
            batch: &mut self.batch,
            counters: &mut self.counters,
            host,
            now,
        };
        let written = repair::pad(entry, bytes, sending, &mut writer);
        self.counters.padding_bytes_sent += written as u64;
    }
}
