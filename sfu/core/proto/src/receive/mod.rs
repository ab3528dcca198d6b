//! What a publisher's transport needs: which track a packet belongs to, whether it is new, what is
//! missing, and what to report back.
//!
//! A transport has a `Router`, which knows what an SSRC stands for; a track has an `Ingest`, which knows
//! nothing of transports and serves for whatever feeds a track. Per packet the order is: `Router::route`,
//! `rtx::unwrap` for a retransmission, `Ingest::on_packet`; padding without payload takes the same way,
//! as it has sequence numbers too. None of them allocates or walks other streams while a call is steady.

mod ingest;
mod layer;
pub mod level;
mod nack;
mod pace;
mod router;
pub mod rtx;
mod scalability;
mod section;
mod sequence;
mod sources;
mod stream;
pub mod twcc;

pub use ingest::{Ingest, Packet, Taken};
pub use layer::Incoming;
pub use nack::NackGenerator;
pub use pace::{AudioPace, FeedbackPace, Pace};
pub use router::{Route, Router};
pub use section::{Section, SectionError};
pub use stream::{Arrival, Stream};

#[cfg(test)]
mod tests;
