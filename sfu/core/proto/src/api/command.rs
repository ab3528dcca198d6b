//! What policy may ask of a shard. Commands never fail towards their sender: one that names an
//! object that has gone meanwhile is ignored, as its event is already on its way up.

use std::fmt;

use super::{
    Codec, DtlsRole, ExtensionId, MediaKind, Mid, NeighbourId, ReceiveCodec, Rid, RoomId, Ssrc,
    SubscriptionId, TrackId, TransportId,
};

/// User name fragment and password of one side (RFC 8445, section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub password: String,
}

/// What checks of our own are named by: nobody but this node can compute it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PathSecret(pub [u8; 16]);

impl fmt::Debug for PathSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathSecret")
    }
}

/// Creates a peer connection that waits for the remote side's checks.
#[derive(Debug, Clone)]
pub struct OpenTransport {
    pub id: TransportId,
    pub local: IceCredentials,
    /// Random.
    pub path_secret: PathSecret,
    /// This node opens the data channels (`_reliable`, `_lossy`, `_data_track`), not the peer.
    pub open_data_channels: bool,
    /// Fixes the handshake's random numbers, for replay in tests only.
    pub dtls_rng_seed: Option<u64>,
}

/// The remote description's transport part. Given again after an ICE restart.
#[derive(Debug, Clone)]
pub struct RemoteDescription {
    pub ice: IceCredentials,
    /// SHA-256 of the certificate that the peer must present.
    pub fingerprint_sha256: [u8; 32],
    /// The role this node takes.
    pub dtls_role: DtlsRole,
}

/// Opens a track that a publisher feeds through one m-section.
#[derive(Debug, Clone)]
pub struct Publish {
    pub track: TrackId,
    pub transport: TransportId,
    pub kind: MediaKind,
    pub mid: Mid,
    pub codecs: Vec<ReceiveCodec>,
    /// Identifiers negotiated for this section.
    pub extensions: Vec<ExtensionId>,
    /// Simulcast layers, lowest first; empty for a single encoding.
    pub rids: Vec<Rid>,
    /// SSRCs that the description declared, with their RTX SSRC: lowest layer first.
    pub ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// The peer answers generic NACK (RFC 4585) for this section.
    pub nack: bool,
    /// The room whose other microphones this one shares places with
    /// ([`crate::shard::ShardConfig::audio_places`]); `None` for a track that is always forwarded.
    pub microphone_of: Option<RoomId>,
}

/// How packets of one received payload type leave towards a subscriber. Redundant audio that leaves
/// as another codec leaves without its redundancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendCodec {
    /// Payload type on the publisher's side.
    pub from_payload_type: u8,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    pub codec: Codec,
    pub clock_rate_hz: u32,
}

/// What a subscriber wants of a track at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionSettings {
    /// Send nothing, but keep the section.
    pub paused: bool,
    /// The highest simulcast layer to send; a track with fewer layers sends its top one.
    pub max_layer: u8,
    /// The highest temporal layer to send; 255 for all.
    pub max_temporal_layer: u8,
    /// More is served first where not everything fits the subscriber's bandwidth.
    pub priority: u8,
}

impl Default for SubscriptionSettings {
    /// Everything that there is.
    fn default() -> Self {
        Self {
            paused: false,
            max_layer: u8::MAX,
            max_temporal_layer: u8::MAX,
            priority: 0,
        }
    }
}

/// Sends a track to a subscriber.
#[derive(Debug, Clone)]
pub struct Subscribe {
    pub id: SubscriptionId,
    pub transport: TransportId,
    pub track: TrackId,
    /// The neighbour to get the track from; `None` for one that a peer of this shard publishes.
    pub via: Option<NeighbourId>,
    pub kind: MediaKind,
    pub ssrc: Ssrc,
    pub rtx_ssrc: Option<Ssrc>,
    pub codecs: Vec<SendCodec>,
    pub extensions: Vec<ExtensionId>,
    /// First sequence number, below 2^15 so that both sides agree on rollover counter 0.
    pub first_sequence: u16,
    /// RTCP canonical name: the same for all tracks of one publisher, so that they play in step.
    pub cname: String,
    pub settings: SubscriptionSettings,
}

/// Goes on with another track under the same SSRC and numbers: the same picture in another codec.
/// What flows goes on until the other track's next key frame.
#[derive(Debug, Clone)]
pub struct ChangeTrack {
    pub id: SubscriptionId,
    pub track: TrackId,
    /// As in [`Subscribe::via`].
    pub via: Option<NeighbourId>,
    pub codecs: Vec<SendCodec>,
    pub settings: SubscriptionSettings,
}

/// One participant's part in its room's data plane. Every shard holds every member.
#[derive(Debug, Clone)]
pub struct DataMember {
    pub room: RoomId,
    /// `PA_...`
    pub sid: String,
    pub identity: String,
    /// Transport whose channels the member sends on.
    pub sends_on: TransportId,
    /// Transport whose channels the member receives on.
    pub receives_on: TransportId,
    pub can_publish: bool,
    /// Its packets carry no sender, and it is nobody's destination by default.
    pub hidden: bool,
}

/// Reliability of a data message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataDelivery {
    Reliable,
    Lossy,
}

/// An order to one shard.
#[derive(Debug, Clone)]
pub enum Command {
    OpenTransport(Box<OpenTransport>),
    SetRemote(TransportId, Box<RemoteDescription>),
    /// New local credentials; the old pair carries media until the new one is nominated.
    RestartIce(TransportId, IceCredentials),
    CloseTransport(TransportId),
    Publish(Box<Publish>),
    Unpublish(TrackId),
    Subscribe(Box<Subscribe>),
    UpdateSubscription(SubscriptionId, SubscriptionSettings),
    ChangeTrack(Box<ChangeTrack>),
    Unsubscribe(SubscriptionId),
    /// Adds the member, or replaces the one with the same `sid`.
    SetDataMember(Box<DataMember>),
    RemoveDataMember {
        room: RoomId,
        sid: String,
    },
    /// A serialised `livekit.DataPacket` from the server's API: routed by its own destinations.
    SendData {
        room: RoomId,
        delivery: DataDelivery,
        packet: Vec<u8>,
    },
    /// The transport must not be sent more video than fits this rate besides its audio, whatever
    /// its path could carry; `None` lifts the limit.
    LimitBitrate(TransportId, Option<u64>),
    /// Ask the publisher for a key frame on every layer that somebody watches.
    RequestKeyFrame(TrackId),
}
