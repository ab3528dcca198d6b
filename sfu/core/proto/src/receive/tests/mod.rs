//! Reception: routing, numbering, repair and reports, by examples and by random histories.

mod ingest;
mod level;
mod nack;
mod router;
mod scalability;
mod stream;
mod twcc;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Any fixed moment: the same for whoever asks, however long a test takes.
fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a test has to start somewhere")]
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
