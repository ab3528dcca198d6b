//! What a publisher's transport needs: which track a packet belongs to, whether it is new, what is
//! missing, and what to report back.
//!
//! The parts know nothing of each other. Per packet the order is: `Router::route`, `rtx::unwrap`
//! for a retransmission, `Stream::on_packet`, `NackGenerator::on_packet` for a new one; padding
//! without payload takes the same way, as it has sequence numbers too. None of them allocates or
//! walks other streams while a call is steady.

pub mod level;
mod nack;
mod pace;
mod router;
pub mod rtx;
mod scalability;
mod section;
mod sequence;
mod stream;
pub mod twcc;

pub use nack::NackGenerator;
pub use pace::{AudioPace, Pace};
pub use router::{Removed, Route, Router, Source};
pub use scalability::Scalability;
pub use section::{Section, SectionError};
pub use stream::{Arrival, SenderClock, Stream};

#[cfg(test)]
mod tests;
