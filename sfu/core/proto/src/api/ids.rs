//! Identifiers. Each carries the shard that owns it in its upper eight bits, so that a command finds its
//! thread without a lookup. Between shards they are names only: where a track comes from is told
//! with each order (`via`).

use std::fmt;

/// One media thread of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

macro_rules! sharded_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// Composes an identifier from its owner and a number below 2^24.
            pub fn new(shard: ShardId, serial: u32) -> Self {
                Self((u32::from(shard.0) << 24) | (serial & 0x00ff_ffff))
            }

            /// The shard that owns this object.
            pub fn shard(self) -> ShardId {
                ShardId((self.0 >> 24) as u8)
            }
        }
    };
}

sharded_id!(
    /// One peer connection: an ICE, DTLS and SRTP session.
    TransportId
);
sharded_id!(
    /// One published track, owned by the shard that receives it.
    TrackId
);
sharded_id!(
    /// One track sent to one subscriber, owned by the shard that sends it.
    SubscriptionId
);

/// A group of participants that exchange data messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u32);

/// RTP synchronisation source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

/// Index of a simulcast layer in its track, 0 the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(pub u8);

/// Layers of a track: simulcast as the clients do it has at most three, and so has the announcement of
/// a track (low, medium, high).
pub const MAX_LAYERS: usize = 3;

/// A short token of RTP header extensions and SDP, at most 16 bytes, stored inline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token16 {
    len: u8,
    bytes: [u8; 16],
}

impl Token16 {
    /// Returns `None` for an empty token, one over 16 bytes or one that is not ASCII.
    pub fn new(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 16 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text);
        Some(Self {
            len: text.len() as u8,
            bytes,
        })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Token16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Media identification of an m-section (RFC 8843).
pub type Mid = Token16;
/// RTP stream identifier of a simulcast layer (RFC 8851).
pub type Rid = Token16;
