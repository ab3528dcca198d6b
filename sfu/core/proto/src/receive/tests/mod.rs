//! Reception: routing, numbering, repair and reports, by examples and by random histories.

mod ingest;
mod level;
mod nack;
mod router;
mod scalability;
mod stream;
mod twcc;

use std::time::{Duration, Instant};

/// Any fixed moment.
#[allow(clippy::disallowed_methods, reason = "a test has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
