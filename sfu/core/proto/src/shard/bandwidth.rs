//! What a subscriber's path carries, and what it is therefore sent.
//!
//! Estimates come from transport feedback, or from the receiver itself (REMB) where that has not
//! been negotiated. On them, and every 200 ms or 500 where all that is wanted flows, the layers of the
//! subscriber's video are allocated anew; when more is wanted than allowed, padding finds out whether
//! it would fit.
//! Nothing of this happens once per media packet.

use std::time::{Duration, Instant};

use super::Shard;
use super::flow::Change;
use super::repair;
use super::shedding::Shed;
use super::subscriber::SubscriptionEntry;
use super::timers::{Due, Timer};
use super::tracks::TrackEntry;
use super::write::Writer;
use crate::allocate::{Allocator, Allowance, Demand};
use crate::api::{ExtensionKind, Host, MediaKind, SendCodec, Subscribe, SubscriptionSettings};
use crate::bwe::{Estimator, Wanted};
use crate::rtcp::TransportFeedback;

/// The latest time for the next allocation; where all that is wanted flows, little can change.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
const SATISFIED_INTERVAL: Duration = Duration::from_millis(500);
/// And of the timer, for a peer whose feedback brings that about: a wake-up for each would cost more
/// than the allocation.
const WITH_FEEDBACK_INTERVAL: Duration = Duration::from_secs(2);
/// An estimate that has moved by less than this part waits for that.
const MOVED: u64 = 50;
/// Feedback that comes faster than this does not allocate again.
const MIN_INTERVAL: Duration = Duration::from_millis(40);
/// Probing aims this much above what is wanted, so that rising has its headroom.
const PROBE_HEADROOM: f64 = 1.2;
/// Most subscriptions of one peer that take part in an allocation.
const MAX_DEMANDS: usize = 1_024;
/// Packets of a stream without retransmission stream whose stamps are remembered: its history.
const VIDEO_STAMPS: usize = 512;
const AUDIO_STAMPS: usize = 64;

/// A transport-wide sequence number as an RTP header extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) id: u8,
    pub(super) sequence: [u8; 2],
}

/// Stamps of the last packets, for streams whose packets are repeated under their own number: the
/// repeated packet must not differ from the first.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// By the packet's own sequence number; `None` for one that left without. Empty where there is a
    /// retransmission stream.
    sequences: Box<[Option<[u8; 2]>]>,
    id: u8,
}

impl Stamp {
    /// That of the packet `count` packets later.
    pub(super) fn after(self, count: usize) -> Self {
        let sequence = u16::from_be_bytes(self.sequence).wrapping_add(count as u16);
        Self {
            sequence: sequence.to_be_bytes(),
            ..self
        }
    }
}

impl Stamps {
    /// `repairable` are the codecs, if there is a retransmission stream.
    pub(super) fn new(
        transport_cc_id: Option<u8>,
        kind: MediaKind,
        repairable: Option<&[SendCodec]>,
    ) -> Self {
        let has_payload_type = |codec: &SendCodec| codec.rtx_payload_type.is_some();
        let repaired = repairable.is_some_and(|codecs| codecs.iter().all(has_payload_type));
        match (transport_cc_id, kind) {
            (Some(id), MediaKind::Audio) => Self::with(AUDIO_STAMPS, id),
            (Some(id), MediaKind::Video) if !repaired => Self::with(VIDEO_STAMPS, id),
            _ => Self::default(),
        }
    }

    fn with(packets: usize, id: u8) -> Self {
        Self {
            sequences: vec![None; packets].into_boxed_slice(),
            id,
        }
    }

    pub(super) fn record(&mut self, packet: u64, stamp: Option<Stamp>) {
        let packets = self.sequences.len().max(1);
        if let Some(place) = self.sequences.get_mut(packet as usize % packets) {
            *place = stamp.map(|stamp| stamp.sequence);
        }
    }

    /// The stamp that the packet left with, if it had one.
    pub(super) fn of(&self, packet: u64) -> Option<Stamp> {
        let packets = self.sequences.len().max(1);
        let sequence = (*self.sequences.get(packet as usize % packets)?)?;
        Some(Stamp {
            id: self.id,
            sequence,
        })
    }
}

/// Identifier that the subscriber negotiated for transport-wide sequence numbers.
pub(super) fn transport_cc_id(request: &Subscribe) -> Option<u8> {
    let mut extensions = request.extensions.iter();
    extensions
        .find(|extension| extension.kind == ExtensionKind::TransportCc)
        .map(|extension| extension.id)
}

/// A peer's bandwidth. What every packet needs comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Bandwidth {
    /// From the first video subscription with transport feedback on.
    pub(super) estimator: Option<Box<Estimator>>,
    /// Some video is wanted, paused by bandwidth or not, so that audio is measured, too. For audio
    /// alone there is nothing to decide, and on a slow link its stamps and the feedback to them would
    /// be a good part of what is sent.
    pub(super) wants_video: bool,
    allocator: Allocator,
    /// What the receiver itself has estimated.
    receiver_bps: Option<u64>,
    limit_bps: Option<u64>,
    allocated_at: Option<Instant>,
    /// All that was wanted at that time has been allowed, and fits.
    satisfied: bool,
    /// The estimate at that time.
    pub(super) latest_bps: Option<u64>,
    pub(super) due: Due,
}

impl Bandwidth {
    /// What the path carries, if that is known.
    fn estimate_bps(&self, now: Instant) -> Option<u64> {
        let own = self.estimator.as_ref().and_then(|e| e.bitrate_bps(now));
        own.or(self.receiver_bps)
    }

    /// What may be sent, if there is any bound.
    fn bound_bps(&self, now: Instant) -> Option<u64> {
        let bounds = [self.estimate_bps(now), self.limit_bps];
        bounds.into_iter().flatten().min()
    }

    /// Whether the path carries something else than at the last allocation, and it matters.
    fn has_moved(&self, now: Instant) -> bool {
        let (Some(before), Some(bps)) = (self.latest_bps, self.estimate_bps(now)) else {
            return true;
        };
        let matters = bps < before || !self.satisfied;
        matters && bps.abs_diff(before) > before / MOVED
    }

    /// Whether the last allocation is too old to hold, whatever has moved.
    fn is_stale(&self, now: Instant) -> bool {
        let interval = if self.satisfied {
            SATISFIED_INTERVAL
        } else {
            CHECK_INTERVAL
        };
        let since = |at| now.saturating_duration_since(at);
        self.allocated_at.is_none_or(|at| since(at) >= interval)
    }

    fn timer_interval(&self) -> Duration {
        match (self.satisfied, &self.estimator) {
            (true, Some(_)) => WITH_FEEDBACK_INTERVAL,
            (true, None) => SATISFIED_INTERVAL,
            (false, _) => CHECK_INTERVAL,
        }
    }
}

impl SubscriptionEntry {
    /// What it wants to be sent of its track. What load holds back costs nothing, and begins with the
    /// lowest layer when it comes back.
    fn demand(&self, now: Instant, key: usize, track: &mut TrackEntry) -> Demand {
        let SubscriptionSettings {
            priority,
            max_layer,
            ..
        } = self.inner.settings();
        let activity = &track.inner.activity;
        let is_active = |layer| activity.is_active(layer);
        let layers = match self.shed {
            Shed::Video => Default::default(),
            Shed::Nothing | Shed::Enhancement => track.rates.bitrates_bps(now, is_active),
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
    /// A subscription has been added: its transport is measured if that has been negotiated.
    pub(super) fn watch_bandwidth(&mut self, now: Instant, key: usize, sub: usize) {
        let stamped = self.subscriptions.get(sub).is_some_and(|entry| {
            entry.transport_cc_id.is_some() && entry.inner.kind() == MediaKind::Video
        });
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        if stamped {
            let bandwidth = &mut peer.bandwidth;
            bandwidth
                .estimator
                .get_or_insert_with(|| Box::new(Estimator::new(now)));
        }
        self.schedule_bandwidth(now, key);
    }

    pub(super) fn transport_feedback(
        &mut self,
        now: Instant,
        key: usize,
        feedback: &TransportFeedback<'_>,
        host: &mut dyn Host,
    ) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let Some(estimator) = &mut peer.bandwidth.estimator else {
            return;
        };
        let round_trip = peer.path.as_ref().map(|path| path.round_trip_or_default());
        let mut scratch = std::mem::take(&mut self.feedback_scratch);
        estimator.on_feedback(now, feedback, round_trip.unwrap_or_default(), &mut scratch);
        self.feedback_scratch = scratch;
        // Feedback comes ten times a second, and each allocation looks at all that the peer gets.
        if peer.bandwidth.has_moved(now) || peer.bandwidth.is_stale(now) {
            self.reconsider(now, key, host);
        }
    }

    /// The receiver's own estimate (REMB): for those that send no transport feedback.
    pub(super) fn receiver_estimate(
        &mut self,
        now: Instant,
        key: usize,
        bitrate_bps: u64,
        host: &mut dyn Host,
    ) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.bandwidth.receiver_bps = Some(bitrate_bps);
            self.reconsider(now, key, host);
        }
    }

    pub(super) fn limit_bitrate(
        &mut self,
        now: Instant,
        key: usize,
        limit_bps: Option<u64>,
        host: &mut dyn Host,
    ) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.bandwidth.limit_bps = limit_bps;
            self.allocate(now, key, host);
            self.schedule_bandwidth(now, key);
        }
    }

    pub(super) fn bandwidth_timer(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        self.reconsider(now, key, host);
        self.probe(now, key, host);
        self.schedule_bandwidth(now, key);
    }

    /// Allocates, unless that has just been done.
    fn reconsider(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let last = self.peers.get(key).and_then(|p| p.bandwidth.allocated_at);
        if last.is_none_or(|at| now.saturating_duration_since(at) >= MIN_INTERVAL) {
            self.allocate(now, key, host);
            self.schedule_bandwidth(now, key);
        }
    }

    /// Decides which layers the peer's subscriptions may send.
    pub(super) fn allocate(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        peer.bandwidth.latest_bps = peer.bandwidth.estimate_bps(now);
        let bound = peer.bandwidth.bound_bps(now);
        let mut demands = std::mem::take(&mut self.demands_scratch);
        let (audio_bps, can_probe) = self.collect_demands(now, key, &mut demands);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.bandwidth.wants_video = !demands.is_empty();
        }
        match bound {
            Some(bound_bps) => {
                let budget = bound_bps.saturating_sub(audio_bps);
                let Some(peer) = self.peers.get_mut(key) else {
                    return;
                };
                let bandwidth = &mut peer.bandwidth;
                bandwidth.allocated_at = Some(now);
                let outcome = bandwidth.allocator.update(now, budget, &mut demands);
                let limit_bps = bandwidth.limit_bps.unwrap_or(u64::MAX);
                let with_headroom = |video_bps| {
                    let bps = (audio_bps + video_bps) as f64 * PROBE_HEADROOM;
                    (bps as u64).min(limit_bps)
                };
                let wanted = Wanted {
                    step_bps: with_headroom(outcome.next_bps),
                    all_bps: with_headroom(outcome.wanted_bps),
                };
                // What flows for now without fitting the estimate has to be probed for, too.
                let fits = !outcome.starved;
                let satisfied = fits && outcome.wanted_bps == outcome.allocated_bps;
                bandwidth.satisfied = satisfied;
                if let Some(estimator) = &mut bandwidth.estimator {
                    estimator.want(now, (can_probe && !satisfied).then_some(wanted), can_probe);
                }
                // What does not fit by far cannot go on until the next key frame.
                let change = match outcome.overloaded {
                    true => Change::AtOnce,
                    false => Change::AtKeyFrame,
                };
                for demand in &demands {
                    self.allow(now, demand.key, demand.allowance, change, host);
                }
            }
            None => {
                for demand in &demands {
                    self.allow(
                        now,
                        demand.key,
                        Allowance::Unlimited,
                        Change::AtKeyFrame,
                        host,
                    );
                }
            }
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
        let (mut audio_bps, mut can_probe) = (0, false);
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
            can_probe |= entry.transport_cc_id.is_some() && entry.inner.can_pad();
            if demands.len() < MAX_DEMANDS {
                demands.push(entry.demand(now, *sub, track));
            }
        }
        (audio_bps, can_probe)
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
    fn probe(&mut self, now: Instant, key: usize, host: &mut dyn Host) {
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

    /// Sets the timer, for a peer whose bandwidth has any bound.
    fn schedule_bandwidth(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let bandwidth = &mut peer.bandwidth;
        if peer.sent.is_empty() || bandwidth.bound_bps(now).is_none() {
            return;
        }
        let check = now + bandwidth.timer_interval();
        let probe = bandwidth
            .estimator
            .as_ref()
            .and_then(|estimator| estimator.poll_timeout(now));
        let at = probe.map_or(check, |at| at.min(check));
        self.timers
            .schedule(&mut bandwidth.due, at, Timer::Bandwidth(key));
    }
}
