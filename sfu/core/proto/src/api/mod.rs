//! The vocabulary between the media plane and whoever drives it.
//!
//! Commands go down (from policy, which lives in Python), events come up, peer messages cross from
//! one shard (media thread) to another. Nothing here knows what a room's rules are, nor any other part
//! of the crate but the datagrams on their way out (`egress`), which lie below it.

mod command;
mod event;
mod feed;
mod frame;
mod host;
mod ids;
mod media;
mod peer;

pub use command::{
    ChangeTrack, Command, DataDelivery, DataMember, IceCredentials, OpenTransport, PathSecret,
    Publish, RemoteDescription, SendCodec, Subscribe, SubscriptionSettings,
};
pub use event::{AudioLevel, ChannelCloseReason, CloseReason, Event, TransportState};
pub use feed::{LayerSet, NeighbourId, Supply, Want};
pub use frame::{Dependencies, FrameTargets, NOT_PRESENT, SWITCH, ScalableFrame};
pub use host::{Claim, Host};
pub use ids::{
    Layer, MAX_LAYERS, Mid, Rid, RoomId, ShardId, Ssrc, SubscriptionId, TrackId, TransportId,
};
pub use media::{Codec, DtlsRole, ExtensionId, ExtensionKind, MediaKind, ReceiveCodec};
pub use peer::{Loudness, MediaMeta, PeerMessage, RoutedData};
