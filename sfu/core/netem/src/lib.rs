//! A simulated network: shards on one side, independent WebRTC clients (str0m) on the other, and
//! between them links with seeded loss and delay. Time is simulated, so a minute of a bad network
//! takes a moment, and every run with one seed is the same.
//!
//! Only tests and benches use this crate.

mod attacker;
mod client;
mod descriptor;
mod host;
mod shared_link;
mod world;

pub use attacker::{AttackedPacket, Attacker};
pub use client::{Client, Received};
pub use host::SimHost;
pub use str0m_netem::{
    Bitrate, DataSize, GilbertElliot, Link, LossModel, NetemConfig, Probability, RandomLoss,
};
pub use world::{
    AV1, ClientIndex, OPUS, Published, RED, Repairs, SentPacket, Track, VP8, VP9, World,
};
