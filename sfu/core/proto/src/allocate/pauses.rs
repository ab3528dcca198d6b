//! When pictures that do not fit are paused, and when they are tried again.
//!
//! States: everybody's lowest layer fits → starved → some are paused → on trial → all fit, or some are
//! paused again. What paused a picture is an estimate, and an estimate that nothing flows to prove may be
//! wrong for ever: so where no padding can find out, the picture itself does, every few seconds. A trial
//! ends at the first sign that it does harm.

use std::time::{Duration, Instant};

use super::{Allowance, Demand, TOLERANCE, sum};

/// What does not fit is paused after so long: an estimate that has just begun, or wavers, must not
/// take a picture away.
const PAUSE_AFTER: Duration = Duration::from_millis(2_000);
/// With a key frame's way a picture is so back within five seconds of the path's being good again.
const RETRY_AFTER: Duration = Duration::from_millis(3_000);
/// A budget that has changed by such a share during a trial tells of its outcome.
const FALLEN: f64 = 0.95;
const RISEN: f64 = 1.03;

/// What a budget rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing: it is a guess.
    None,
    Measured,
    /// And what flows now is too much.
    Overused,
}

/// What a subscriber may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub bitrate_bps: u64,
    pub evidence: Evidence,
    /// What holds whatever the path carries.
    pub ceiling_bps: u64,
    /// What audio takes of either.
    pub audio_bps: u64,
    /// Padding finds out what the path carries beyond what flows.
    pub can_probe: bool,
}

impl Budget {
    /// What is left for video.
    pub fn video_bps(&self) -> u64 {
        self.bitrate_bps.saturating_sub(self.audio_bps)
    }
}

#[derive(Debug, Clone, Copy)]
struct Starved {
    since: Instant,
    /// The budget at the beginning of a trial, or when it last rose.
    trial_bps: Option<u64>,
}

/// The pauses of one subscriber.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// Not everybody's lowest layer fits.
    starved: Option<Starved>,
    paused_since: Option<Instant>,
}

impl Pauses {
    pub(super) fn is_starved(&self) -> bool {
        self.starved.is_some()
    }

    /// Lets pictures that are paused flow again if it is time to try that. Returns whether it does.
    /// `demands` are in order of importance.
    pub(super) fn retry(&mut self, now: Instant, budget: &Budget, demands: &mut [Demand]) -> bool {
        let Some(since) = self.paused_since else {
            return false;
        };
        let is_due = match budget.evidence {
            Evidence::None => true,
            Evidence::Measured => {
                !budget.can_probe && now.saturating_duration_since(since) >= RETRY_AFTER
            }
            Evidence::Overused => false,
        };
        if !is_due {
            return false;
        }
        let flowing = sum(demands, Demand::lowest_if_flowing);
        let mut left = budget
            .ceiling_bps
            .saturating_sub(budget.audio_bps + flowing);
        let mut tried = false;
        for demand in demands.iter_mut() {
            let lowest = demand.cost_bps(Allowance::Layer(0));
            if demand.allowance == Allowance::Paused && lowest <= left {
                left -= lowest;
                demand.allowance = Allowance::Layer(0);
                tried = true;
            }
        }
        if tried {
            self.paused_since = None;
            self.starved = Some(Starved {
                since: now,
                trial_bps: Some(budget.bitrate_bps),
            });
        }
        tried
    }

    /// Whether what does not fit is to be paused.
    pub(super) fn may_pause(&mut self, now: Instant, budget: &Budget, demands: &[Demand]) -> bool {
        let lowest = sum(demands, Demand::lowest_if_flowing);
        if lowest as f64 <= budget.video_bps() as f64 * TOLERANCE {
            self.starved = None;
            return false;
        }
        let fresh = Starved {
            since: now,
            trial_bps: None,
        };
        let starved = self.starved.get_or_insert(fresh);
        if budget.evidence == Evidence::None {
            starved.since = now;
            return false;
        }
        if let Some(from_bps) = starved.trial_bps {
            let change = budget.bitrate_bps as f64 / from_bps.max(1) as f64;
            if budget.evidence == Evidence::Overused || change < FALLEN {
                return true;
            }
            if change > RISEN {
                starved.since = now;
                starved.trial_bps = Some(budget.bitrate_bps);
            }
        }
        now.saturating_duration_since(starved.since) >= PAUSE_AFTER
    }

    /// Takes note of what has been decided.
    pub(super) fn decided(&mut self, now: Instant, demands: &[Demand]) {
        let is_paused = |demand: &Demand| demand.allowance == Allowance::Paused;
        self.paused_since = match self.paused_since {
            since if demands.iter().any(is_paused) => since.or(Some(now)),
            _ => None,
        };
    }
}
