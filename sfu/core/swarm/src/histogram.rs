//! A latency histogram with a fixed relative error, that can be added up and subtracted.

use std::time::Duration;

/// Lower bound of the second bucket; the first holds everything below.
const LOWEST_US: f64 = 20.0;
/// Buckets for each doubling: bounds are 9 % apart.
const PER_OCTAVE: f64 = 8.0;
/// The last bucket begins at 20 µs * 2^(175/8), 77 s, and is open.
pub const BUCKETS: usize = 176;

/// Counts of durations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }
}

impl Histogram {
    pub fn record(&mut self, duration: Duration) {
        let micros = duration.as_nanos() as f64 / 1_000.0;
        let bucket = if micros < LOWEST_US {
            0
        } else {
            ((micros / LOWEST_US).log2() * PER_OCTAVE) as usize + 1
        };
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// By bucket; see [`upper_bound_us`].
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// Upper bound of a bucket, exclusive. The last one has none.
pub fn upper_bound_us(bucket: usize) -> f64 {
    LOWEST_US * (bucket as f64 / PER_OCTAVE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_below_its_buckets_bound_and_not_below_the_one_before() {
        for micros in [1, 19, 20, 21, 500, 12_345, 70_000_000] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_micros(micros));
            let bucket = histogram.counts().iter().position(|&n| n == 1).unwrap();
            assert!((micros as f64) < upper_bound_us(bucket), "{micros}");
            if bucket > 0 {
                assert!(micros as f64 >= upper_bound_us(bucket - 1), "{micros}");
            }
        }
    }
}
