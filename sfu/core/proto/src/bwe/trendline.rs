//! Whether queues on the way grow: the slope of the smoothed one-way delay over the last groups,
//! against a threshold that adapts to what the path does by itself.

use super::arrival::Delta;

/// Groups that the line is fitted through.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
const INITIAL_THRESHOLD: f64 = 12.5;
const THRESHOLD_RANGE: (f64, f64) = (6.0, 600.0);
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
/// Spikes further above the threshold do not move it.
const MAX_ADAPT_OFFSET: f64 = 15.0;
/// The slope must be too steep for so long.
const OVERUSE_MS: f64 = 10.0;
const MIN_DELTAS: u32 = 60;
const MAX_ADAPT_MS: f64 = 100.0;

/// What the delay says of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    #[default]
    Normal,
    /// Queues grow.
    Over,
    /// Queues empty.
    Under,
}

/// The detector.
#[derive(Debug)]
pub(super) struct Trendline {
    deltas: u32,
    first_arrival_us: Option<i64>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    /// Arrival time and smoothed delay of the last groups, as a ring.
    points: [(f64, f64); WINDOW],
    filled: usize,
    at: usize,
    trend: f64,
    threshold: f64,
    adapted_at_ms: Option<f64>,
    over_ms: Option<f64>,
    over_count: u32,
    usage: Usage,
}

impl Default for Trendline {
    fn default() -> Self {
        Self {
            deltas: 0,
            first_arrival_us: None,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            points: [(0.0, 0.0); WINDOW],
            filled: 0,
            at: 0,
            trend: 0.0,
            threshold: INITIAL_THRESHOLD,
            adapted_at_ms: None,
            over_ms: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trendline {
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// A group has ended at `arrived_us`.
    pub(super) fn update(&mut self, delta: Delta, arrived_us: i64) {
        let first = *self.first_arrival_us.get_or_insert(arrived_us);
        let arrived_ms = (arrived_us - first) as f64 / 1_000.0;
        let sent_ms = delta.sent_us as f64 / 1_000.0;
        self.deltas = (self.deltas + 1).min(1_000);
        self.accumulated_ms += delta.arrived_us as f64 / 1_000.0 - sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        if let Some(point) = self.points.get_mut(self.at) {
            *point = (arrived_ms, self.smoothed_ms);
        }
        self.at = (self.at + 1) % WINDOW;
        self.filled = (self.filled + 1).min(WINDOW);
        let previous = self.trend;
        if self.filled == WINDOW {
            self.trend = slope(&self.points).unwrap_or(previous);
        }
        self.detect(previous, sent_ms, arrived_ms);
    }

    fn detect(&mut self, previous: f64, sent_ms: f64, arrived_ms: f64) {
        if self.deltas < 2 {
            return;
        }
        let modified = f64::from(self.deltas.min(MIN_DELTAS)) * self.trend * GAIN;
        if modified > self.threshold {
            let over = self.over_ms.map_or(sent_ms / 2.0, |over| over + sent_ms);
            self.over_ms = Some(over);
            self.over_count += 1;
            if over > OVERUSE_MS && self.over_count > 1 && self.trend >= previous {
                self.over_ms = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = None;
            self.over_count = 0;
            self.usage = if modified < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.adapt(modified.abs(), arrived_ms);
    }

    fn adapt(&mut self, modified: f64, arrived_ms: f64) {
        let last = self.adapted_at_ms.replace(arrived_ms).unwrap_or(arrived_ms);
        if modified > self.threshold + MAX_ADAPT_OFFSET {
            return;
        }
        let speed = if modified < self.threshold {
            THRESHOLD_DOWN
        } else {
            THRESHOLD_UP
        };
        let elapsed_ms = (arrived_ms - last).min(MAX_ADAPT_MS);
        self.threshold += speed * (modified - self.threshold) * elapsed_ms;
        self.threshold = self.threshold.clamp(THRESHOLD_RANGE.0, THRESHOLD_RANGE.1);
    }
}

/// Least squares; `None` if all points are at one time.
fn slope(points: &[(f64, f64); WINDOW]) -> Option<f64> {
    let count = WINDOW as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (x, y) in points {
        numerator += (x - mean_x) * (y - mean_y);
        denominator += (x - mean_x) * (x - mean_x);
    }
    (denominator > 0.0).then(|| numerator / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds groups 20 ms apart whose delay grows by `growth_us` each; returns how many it took.
    fn groups_until(usage: Usage, growth_us: i64, trend: &mut Trendline) -> Option<usize> {
        let mut arrived_us = 0;
        (0..200).find(|_| {
            arrived_us += 20_000 + growth_us;
            let delta = Delta {
                sent_us: 20_000,
                arrived_us: 20_000 + growth_us,
            };
            trend.update(delta, arrived_us);
            trend.usage() == usage
        })
    }

    #[test]
    fn a_growing_queue_is_overuse_within_half_a_second() {
        let groups = groups_until(Usage::Over, 4_000, &mut Trendline::default());
        assert!(groups.is_some_and(|groups| groups <= 25), "{groups:?}");
    }

    #[test]
    fn a_steady_delay_is_normal() {
        assert_eq!(
            groups_until(Usage::Over, 0, &mut Trendline::default()),
            None
        );
    }

    #[test]
    fn an_emptying_queue_is_underuse() {
        let groups = groups_until(Usage::Under, -4_000, &mut Trendline::default());
        assert!(groups.is_some());
    }
}
