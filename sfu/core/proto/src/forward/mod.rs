//! From one received stream to many sent ones.
//!
//! A [`Track`] keeps its latest packets once, whoever watches. A [`Subscription`] holds only what
//! differs per subscriber: how sequence numbers, timestamps and VP8 picture ids are shifted, and
//! which packet left under which number. Its cost does not depend on what else the subscriber
//! watches.

mod clock;
mod history;
mod key_frames;
mod layers;
mod loudest;
mod repeat_budget;
mod scalable;
mod sequence;
mod store;
mod subscription;
mod temporal;
mod track;
mod vp8_numbers;

/// Re-exported for those who index by layer.
pub use crate::api::MAX_LAYERS;
pub use clock::LayerClock;
pub use history::{History, Sent};
pub use key_frames::KeyFrameRequests;
pub use layers::LayerActivity;
pub use loudest::{LoudestTracks, Rank, Standing};
pub use repeat_budget::RepeatBudget;
pub use sequence::{Mapped, PlainNumbers, SequenceMap};
pub use store::{PacketStore, StoredPacket};
pub use subscription::{Outgoing, Subscription, Verdict};
#[cfg(test)]
pub(crate) use track::tests::meta as test_meta;
pub use track::{Kept, LateKeyFrames, MAX_PENDING, Pending, Sink, Track};
pub use vp8_numbers::Vp8Numbers;
