//! What a subscriber's path carries.
//!
//! Estimates come from transport feedback, or from the receiver itself (REMB) where that has not
//! been negotiated. Either grows old: what has not been proven for a while holds nobody back. On them,
//! and every 200 ms or 500 where all that is wanted flows, the layers of the subscriber's video are
//! allocated anew (`allocation`). Nothing of this happens once per media packet.

use std::time::{Duration, Instant};

use super::Shard;
use super::timers::{Due, Timer};
use crate::allocate::{Allocator, Budget, Demand, Evidence, Outcome};
use crate::api::{Host, MediaKind};
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
/// Receivers repeat their own estimate at least once a second while media arrives. An older one is a
/// guess, and a much older one was the last.
const RECEIVER_KNOWS_FOR: Duration = Duration::from_secs(3);
const RECEIVER_FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// What is thought of a path.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    bitrate_bps: u64,
    evidence: Evidence,
}

/// What the receiver itself has estimated (REMB).
#[derive(Debug, Clone, Copy)]
struct ReceiverEstimate {
    bitrate_bps: u64,
    at: Instant,
}

impl ReceiverEstimate {
    fn at(self, now: Instant) -> Option<Estimate> {
        let age = now.saturating_duration_since(self.at);
        let evidence = match age {
            _ if age < RECEIVER_KNOWS_FOR => Evidence::Measured,
            _ if age < RECEIVER_FORGOTTEN_AFTER => Evidence::None,
            _ => return None,
        };
        Some(Estimate {
            bitrate_bps: self.bitrate_bps,
            evidence,
        })
    }
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
    receiver: Option<ReceiverEstimate>,
    limit_bps: Option<u64>,
    allocated_at: Option<Instant>,
    /// All that was wanted at that time has been allowed, and fits.
    satisfied: bool,
    /// What was thought of the path at that time.
    latest: Option<Estimate>,
    pub(super) due: Due,
}

impl Bandwidth {
    fn estimate(&self, now: Instant) -> Option<Estimate> {
        self.own_estimate(now)
            .or_else(|| self.receiver.and_then(|it| it.at(now)))
    }

    fn own_estimate(&self, now: Instant) -> Option<Estimate> {
        let estimator = self.estimator.as_ref()?;
        let evidence = match estimator.is_known(now) {
            false => Evidence::None,
            true if estimator.is_overused(now) => Evidence::Overused,
            true => Evidence::Measured,
        };
        Some(Estimate {
            bitrate_bps: estimator.bitrate_bps(now)?,
            evidence,
        })
    }

    /// What the path carries, if that was known when it was last looked at.
    pub(super) fn latest_bps(&self) -> Option<u64> {
        let known = self.latest.filter(|it| it.evidence != Evidence::None);
        known.map(|it| it.bitrate_bps)
    }

    /// What may be sent, if there is any bound.
    fn budget(&self, now: Instant) -> Option<Budget> {
        let estimate = self.estimate(now);
        let ceiling_bps = self.limit_bps.unwrap_or(u64::MAX);
        let limit = self.limit_bps.map(|bitrate_bps| Estimate {
            bitrate_bps,
            evidence: Evidence::Measured,
        });
        let bounds = limit.into_iter().chain(estimate);
        let lowest = bounds.min_by_key(|it| it.bitrate_bps)?;
        Some(Budget {
            bitrate_bps: lowest.bitrate_bps,
            evidence: lowest.evidence,
            ceiling_bps,
            audio_bps: 0,
            can_probe: self.estimator.as_ref().is_some_and(|it| it.can_learn()),
        })
    }

    /// Allocates. `audio_bps` is what is sent of audio, `can_pad` whether padding can be.
    pub(super) fn allocate(
        &mut self,
        now: Instant,
        demands: &mut [Demand],
        audio_bps: u64,
        can_pad: bool,
    ) -> Option<Outcome> {
        self.wants_video = !demands.is_empty();
        if let Some(estimator) = &mut self.estimator {
            estimator.grow_old(now);
        }
        self.latest = self.estimate(now);
        let budget = Budget {
            audio_bps,
            ..self.budget(now)?
        };
        self.allocated_at = Some(now);
        let outcome = self.allocator.update(now, &budget, demands);
        let limit_bps = self.limit_bps.unwrap_or(u64::MAX);
        let with_headroom = |video_bps| {
            let bps = (audio_bps + video_bps) as f64 * PROBE_HEADROOM;
            (bps as u64).min(limit_bps)
        };
        let wanted = Wanted {
            step_bps: with_headroom(outcome.next_bps),
            all_bps: with_headroom(outcome.wanted_bps),
            is_urgent: outcome.paused,
        };
        // What flows for now without fitting the estimate has to be probed for, too.
        let fits = !outcome.starved;
        self.satisfied = fits && outcome.wanted_bps == outcome.allocated_bps;
        if let Some(estimator) = &mut self.estimator {
            let wanted = (can_pad && !self.satisfied).then_some(wanted);
            estimator.want(now, wanted, can_pad);
        }
        Some(outcome)
    }

    /// Whether the path carries something else than at the last allocation, and it matters.
    fn has_moved(&self, now: Instant) -> bool {
        let bitrate_bps = |it: Estimate| it.bitrate_bps;
        let before = self.latest.map(bitrate_bps);
        let (Some(before), Some(bps)) = (before, self.estimate(now).map(bitrate_bps)) else {
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
            peer.bandwidth.receiver = Some(ReceiverEstimate {
                bitrate_bps,
                at: now,
            });
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

    /// Sets the timer, for a peer whose bandwidth has any bound.
    fn schedule_bandwidth(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let bandwidth = &mut peer.bandwidth;
        if peer.sent.is_empty() || bandwidth.budget(now).is_none() {
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
