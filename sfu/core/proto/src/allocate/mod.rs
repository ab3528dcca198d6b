//! Who gets which layer of what, within what a subscriber's path can carry.
//!
//! Audio has been taken off the budget before. Video goes by priority, then by what each tile asks
//! for: first everybody's lowest layer, so that nobody stays black for somebody else's sharpness,
//! then the higher layers, the more important ones first. Falling is immediate unless it is for
//! little, rising waits for headroom and for a while without change, so that pictures do not flap.

mod pauses;
mod rates;

use std::time::{Duration, Instant};

use crate::forward::MAX_LAYERS;

pub use pauses::{Budget, Evidence};
pub use rates::LayerRates;

use self::pauses::Pauses;

/// Rising needs a budget this much above the sum.
const HEADROOM: f64 = 1.1;
/// A sum so little above the budget does not make anybody fall: bitrates and estimates waver.
const TOLERANCE: f64 = 1.08;
/// So far above it, what is too much must stop at once.
const OVERLOAD: f64 = 1.3;
/// Between the two it may last this long: an estimate that has dipped is back by then if what flows
/// does arrive, and falling costs two key frames and the time until rising is safe again.
const DIP: Duration = Duration::from_millis(1_000);
/// Quiet time before a rise.
const HOLD: Duration = Duration::from_millis(1_000);

/// What one subscription may send at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Allowance {
    /// Nothing is known of the path: as the settings have it.
    #[default]
    Unlimited,
    /// Simulcast layers up to this one.
    Layer(u8),
    /// Not even the lowest layer fits.
    Paused,
}

/// One video subscription that wants to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// The caller's name for it.
    pub key: usize,
    /// More is more important.
    pub priority: u8,
    /// Measured bitrate by layer; `None` for one that does not arrive.
    pub layers: [Option<u64>; MAX_LAYERS],
    /// The highest layer asked for.
    pub max_layer: u8,
    /// In force; what shall be, after `Allocator::update`.
    pub allowance: Allowance,
    proposal: Allowance,
}

/// What an allocation has come to, in bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Sum of what is allowed.
    pub allocated_bps: u64,
    /// Sum with the smallest step up that somebody waits for, or that of what flows without fitting.
    pub next_bps: u64,
    /// Sum if everybody got what it asks for.
    pub wanted_bps: u64,
    /// Not even the lowest layers fit that are not paused.
    pub starved: bool,
    /// Somebody sees nothing.
    pub paused: bool,
    /// What was allowed before exceeds the budget by far: it cannot flow until the next key frame.
    pub overloaded: bool,
}

/// One subscriber's allocation over time.
#[derive(Debug, Default)]
pub struct Allocator {
    changed_at: Option<Instant>,
    /// Since when the sum has been above what is tolerated.
    above_since: Option<Instant>,
    pauses: Pauses,
}

impl Allocator {
    /// Decides anew. `demands` are put into order of importance.
    pub fn update(&mut self, now: Instant, budget: &Budget, demands: &mut [Demand]) -> Outcome {
        demands.sort_unstable_by_key(|demand| (u8::MAX - demand.priority, demand.key));
        if self.pauses.retry(now, budget, demands) {
            self.changed_at = Some(now);
        }
        let budget_bps = budget.video_bps();
        let current = sum(demands, |demand| demand.cost_bps(demand.allowance));
        let fresh = demands.iter().any(|d| d.allowance == Allowance::Unlimited);
        let excess = current as f64 / budget_bps.max(1) as f64;
        let may_pause = self.pauses.may_pause(now, budget, demands);
        if self.must_fall(now, excess) || fresh || may_pause {
            fill(budget_bps, demands, may_pause);
            let falls = demands.iter().any(|d| d.proposal != d.allowance);
            self.adopt(demands);
            if falls && !fresh {
                self.changed_at = Some(now);
            }
        } else if excess <= TOLERANCE
            && self.is_quiet(now)
            && demands.iter().any(Demand::is_unsatisfied)
        {
            fill((budget_bps as f64 / HEADROOM) as u64, demands, true);
            if rises(current, demands) {
                self.adopt(demands);
                self.changed_at = Some(now);
            }
        }
        self.pauses.decided(now, demands);
        let allocated_bps = sum(demands, |demand| demand.cost_bps(demand.allowance));
        let starved = self.pauses.is_starved();
        let steps = demands.iter().filter_map(Demand::missing_step_bps);
        let step_bps = if starved { 0 } else { steps.min().unwrap_or(0) };
        Outcome {
            allocated_bps,
            next_bps: allocated_bps + step_bps,
            wanted_bps: sum(demands, |demand| demand.cost_bps(Allowance::Unlimited)),
            starved,
            paused: demands.iter().any(|d| d.allowance == Allowance::Paused),
            overloaded: excess > OVERLOAD,
        }
    }

    fn must_fall(&mut self, now: Instant, excess: f64) -> bool {
        if excess <= TOLERANCE {
            self.above_since = None;
            return false;
        }
        let since = *self.above_since.get_or_insert(now);
        excess > OVERLOAD || now.saturating_duration_since(since) >= DIP
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.changed_at
            .is_none_or(|at| now.saturating_duration_since(at) >= HOLD)
    }

    fn adopt(&self, demands: &mut [Demand]) {
        for demand in demands {
            demand.allowance = demand.proposal;
        }
    }
}

impl Demand {
    pub fn new(
        key: usize,
        priority: u8,
        layers: [Option<u64>; MAX_LAYERS],
        max_layer: u8,
        allowance: Allowance,
    ) -> Self {
        Self {
            key,
            priority,
            layers,
            max_layer,
            allowance,
            proposal: allowance,
        }
    }

    /// The layer that flows under an allowance: as `LayerActivity::best` chooses.
    fn flowing(&self, allowance: Allowance) -> Option<usize> {
        let limit = match allowance {
            Allowance::Paused => return None,
            Allowance::Layer(layer) => usize::from(layer.min(self.max_layer)),
            Allowance::Unlimited => usize::from(self.max_layer),
        };
        let arrives = |layer: &usize| self.layers.get(*layer).is_some_and(Option::is_some);
        let below = (0..MAX_LAYERS.min(limit + 1)).rev().find(arrives);
        below.or_else(|| (0..MAX_LAYERS).find(arrives))
    }

    fn cost_bps(&self, allowance: Allowance) -> u64 {
        self.flowing(allowance)
            .and_then(|layer| self.layers.get(layer).copied().flatten())
            .unwrap_or(0)
    }

    /// What its lowest layer costs, unless it is paused.
    fn lowest_if_flowing(&self) -> u64 {
        match self.allowance {
            Allowance::Paused => 0,
            Allowance::Unlimited | Allowance::Layer(_) => self.cost_bps(Allowance::Layer(0)),
        }
    }

    fn is_unsatisfied(&self) -> bool {
        self.flowing(self.allowance) != self.flowing(Allowance::Unlimited)
    }

    /// What the next layer above the allowance would cost in addition.
    fn missing_step_bps(&self) -> Option<u64> {
        let next = match self.allowance {
            Allowance::Paused => Allowance::Layer(0),
            allowance => self.above(allowance)?,
        };
        Some(
            self.cost_bps(next)
                .saturating_sub(self.cost_bps(self.allowance)),
        )
    }

    /// The allowance one layer above another, if there is one to be had.
    fn above(&self, allowance: Allowance) -> Option<Allowance> {
        let Allowance::Layer(_) = allowance else {
            return None;
        };
        let flowing = self.flowing(allowance)?;
        let above = flowing + 1..=usize::from(self.max_layer).min(MAX_LAYERS - 1);
        let next = above
            .into_iter()
            .find(|layer| self.layers[*layer].is_some())?;
        Some(Allowance::Layer(next as u8))
    }
}

fn sum(demands: &[Demand], cost_bps: impl Fn(&Demand) -> u64) -> u64 {
    demands.iter().map(cost_bps).sum()
}

/// Whether the proposal gives somebody more, and all together no less.
fn rises(current_bps: u64, demands: &[Demand]) -> bool {
    let more = demands
        .iter()
        .any(|d| d.flowing(d.proposal) > d.flowing(d.allowance));
    more && sum(demands, |demand| demand.cost_bps(demand.proposal)) >= current_bps
}

/// Proposes what fits the budget. `demands` are in order of importance.
fn fill(budget_bps: u64, demands: &mut [Demand], may_pause: bool) {
    let mut left = budget_bps;
    for demand in demands.iter_mut() {
        let lowest = demand.cost_bps(Allowance::Layer(0));
        let is_paused = demand.allowance == Allowance::Paused;
        demand.proposal = if lowest <= left || !(may_pause || is_paused) {
            left = left.saturating_sub(lowest);
            Allowance::Layer(0)
        } else {
            Allowance::Paused
        };
    }
    for group in demands.chunk_by_mut(|a, b| a.priority == b.priority) {
        raise(&mut left, group);
    }
}

/// Raises equals by one layer after the other, while there is something left.
fn raise(left: &mut u64, group: &mut [Demand]) {
    for _ in 1..MAX_LAYERS {
        for demand in group.iter_mut() {
            let Some(next) = demand.above(demand.proposal) else {
                continue;
            };
            let more = demand.cost_bps(next);
            let extra = more.saturating_sub(demand.cost_bps(demand.proposal));
            if extra <= *left {
                *left -= extra;
                demand.proposal = next;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
