//! Who takes part in a world: clients and attackers, what they publish and what they are sent.

use std::net::SocketAddr;
use std::time::Duration;

use kinguicall_proto::api::{
    Codec, Command, DataMember, DtlsRole, IceCredentials, MediaKind, Mid, OpenTransport,
    PathSecret, Publish, ReceiveCodec, RemoteDescription, Rid, RoomId, SendCodec, ShardId, Ssrc,
    Subscribe, SubscriptionId, SubscriptionSettings, TrackId, TransportId,
};

use super::offered::{AUDIO_CODECS, DESCRIPTOR, extensions, receive_codecs};
use super::{ClientIndex, Published, Track, World, server_address};
use crate::attacker::Attacker;
use crate::client::Client;

const RIDS: [&str; 3] = ["q", "h", "f"];

/// How a subscriber's video is repeated when it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repairs {
    ByRtx,
    /// RTX is negotiated, but the client does not listen: it tells nothing of what comes that way.
    ByRtxUnheard,
    None,
}

impl World {
    /// Adds a client with its peer connection on `shard`.
    pub fn connect(&mut self, shard: u8, open_data_channels: bool) -> ClientIndex {
        let client = self.connect_without_data(shard, open_data_channels);
        self.clients[client.0].start_sctp();
        client
    }

    /// Adds a client that has no use for data channels.
    pub fn connect_without_data(&mut self, shard: u8, open_data_channels: bool) -> ClientIndex {
        let shard = ShardId(shard);
        let (id, local, address) = self.open_transport(shard, open_data_channels);
        let server = server_address(shard);
        let mut client = Client::new(
            self.now,
            id,
            address,
            server,
            &local,
            self.fingerprint.clone(),
        );
        let remote = RemoteDescription {
            ice: client.local_credentials(),
            fingerprint_sha256: client.fingerprint_sha256(),
            dtls_role: DtlsRole::Server,
        };
        self.command(shard, Command::SetRemote(id, Box::new(remote)));
        self.clients.push(client);
        ClientIndex(self.clients.len() - 1)
    }

    /// Adds a hostile peer connection on `shard`; returns its number.
    pub fn connect_attacker(&mut self, shard: u8) -> usize {
        let shard = ShardId(shard);
        let (id, local, address) = self.open_transport(shard, false);
        let attacker = Attacker::new(self.now, id, address, local);
        let remote = attacker.description();
        self.command(shard, Command::SetRemote(id, Box::new(remote)));
        self.attackers.push(attacker);
        let number = self.attackers.len() - 1;
        let limit = Duration::from_secs(5);
        let connected = self.run_until(limit, |world| world.attackers[number].is_connected());
        assert!(connected, "the attacker has not connected");
        number
    }

    /// Publishes a track of `layers` simulcast layers (1: a single encoding without rid).
    pub fn publish(&mut self, client: ClientIndex, kind: MediaKind, layers: u8) -> Track {
        self.publish_in(client, kind, layers, Repairs::ByRtx, None)
    }

    /// Publishes video as a client does that has not negotiated RTX: repeats and padding come under
    /// the media's own SSRC.
    pub fn publish_without_rtx(&mut self, client: ClientIndex, layers: u8) -> Track {
        self.publish_in(client, MediaKind::Video, layers, Repairs::None, None)
    }

    /// Publishes a microphone that shares places with the others of its room.
    pub fn publish_microphone(&mut self, client: ClientIndex, room: RoomId) -> Track {
        self.publish_in(client, MediaKind::Audio, 1, Repairs::None, Some(room))
    }

    fn publish_in(
        &mut self,
        client: ClientIndex,
        kind: MediaKind,
        layers: u8,
        repairs: Repairs,
        microphone_of: Option<RoomId>,
    ) -> Track {
        let serial = self.next_serial();
        let peer = &mut self.clients[client.0];
        let id = TrackId::new(peer.transport.shard(), serial);
        let mid = format!("m{serial}");
        let media_kind = match kind {
            MediaKind::Audio => str0m::media::MediaKind::Audio,
            MediaKind::Video => str0m::media::MediaKind::Video,
        };
        let mut direct = peer.rtc.direct_api();
        direct.declare_media(mid.as_str().into(), media_kind);
        let mut ssrcs = Vec::new();
        for layer in 0..layers {
            let ssrc = serial * 100 + u32::from(layer) * 2 + 1;
            let has_rtx = kind == MediaKind::Video && repairs == Repairs::ByRtx;
            let rtx = has_rtx.then_some(ssrc + 1);
            let rid = (layers > 1).then(|| RIDS[usize::from(layer)].into());
            direct.declare_stream_tx(ssrc.into(), rtx.map(Into::into), mid.as_str().into(), rid);
            ssrcs.push((ssrc, rtx));
        }
        let codecs = receive_codecs(kind).into_iter().map(|codec| ReceiveCodec {
            rtx_payload_type: codec.rtx_payload_type.filter(|_| repairs == Repairs::ByRtx),
            ..codec
        });
        let command = Command::Publish(Box::new(Publish {
            track: id,
            transport: peer.transport,
            kind,
            mid: Mid::new(mid.as_bytes()).expect("a short mid"),
            codecs: codecs.collect(),
            extensions: extensions(),
            rids: (0..layers)
                .filter(|_| layers > 1)
                .filter_map(|layer| Rid::new(RIDS[usize::from(layer)].as_bytes()))
                .collect(),
            ssrcs: Vec::new(),
            nack: true,
            microphone_of,
        }));
        self.command(id.shard(), command);
        let published = Published {
            client,
            kind,
            ssrcs,
        };
        Track { id, published }
    }

    /// From here on the client negotiates transport feedback for what it subscribes to.
    pub fn send_feedback(&mut self, client: ClientIndex) {
        let peer = &mut self.clients[client.0];
        peer.sends_feedback = true;
        peer.rtc.direct_api().enable_twcc_feedback();
    }

    /// Subscribes a client to a track; returns the subscription and the SSRC it will arrive under.
    pub fn subscribe(&mut self, client: ClientIndex, track: &Track) -> (SubscriptionId, u32) {
        self.subscribe_as(client, track, Repairs::ByRtx, |codec| codec)
    }

    /// Subscribes a client that has not negotiated redundant audio.
    pub fn subscribe_without_red(
        &mut self,
        client: ClientIndex,
        track: &Track,
    ) -> (SubscriptionId, u32) {
        let [opus, _] = AUDIO_CODECS;
        self.subscribe_as(client, track, Repairs::ByRtx, |codec| match codec.codec {
            Codec::Red => opus,
            _ => codec,
        })
    }

    /// Subscribes a client to video that is not repeated by RTX, or whose RTX it does not look at.
    pub fn subscribe_with(
        &mut self,
        client: ClientIndex,
        track: &Track,
        repairs: Repairs,
    ) -> (SubscriptionId, u32) {
        self.subscribe_as(client, track, repairs, |codec| ReceiveCodec {
            rtx_payload_type: codec.rtx_payload_type.filter(|_| repairs != Repairs::None),
            ..codec
        })
    }

    /// `negotiated` tells what each of the publisher's codecs leaves as.
    fn subscribe_as(
        &mut self,
        client: ClientIndex,
        track: &Track,
        repairs: Repairs,
        negotiated: impl Fn(ReceiveCodec) -> ReceiveCodec,
    ) -> (SubscriptionId, u32) {
        let serial = self.next_serial();
        let peer = &mut self.clients[client.0];
        let transport = peer.transport;
        let extensions = if peer.sends_feedback {
            extensions()
        } else {
            vec![DESCRIPTOR]
        };
        let id = SubscriptionId::new(transport.shard(), serial);
        let ssrc = 1_000_000 + serial * 2;
        let kind = track.published.kind;
        let rtx = (kind == MediaKind::Video && repairs == Repairs::ByRtx).then_some(ssrc + 1);
        let mid = format!("s{serial}");
        let media_kind = match kind {
            MediaKind::Audio => str0m::media::MediaKind::Audio,
            MediaKind::Video => str0m::media::MediaKind::Video,
        };
        let mut direct = peer.rtc.direct_api();
        direct.declare_media(mid.as_str().into(), media_kind);
        direct.expect_stream_rx(ssrc.into(), rtx.map(Into::into), mid.as_str().into(), None);
        let codecs = receive_codecs(kind).into_iter().map(|from| {
            let codec = negotiated(from);
            SendCodec {
                from_payload_type: from.payload_type,
                payload_type: codec.payload_type,
                rtx_payload_type: codec.rtx_payload_type,
                codec: codec.codec,
                clock_rate_hz: codec.clock_rate_hz,
            }
        });
        let mut request = subscription(id, transport, track, ssrc, codecs.collect());
        request.extensions = extensions;
        if repairs == Repairs::None {
            request.rtx_ssrc = None;
        }
        if let Some(parent) = self.parents.get(&transport.shard()) {
            request.via = Some(*parent);
        }
        self.command(transport.shard(), Command::Subscribe(Box::new(request)));
        (id, ssrc)
    }

    /// Subscribes a hostile peer to a track; returns the SSRC it will arrive under.
    pub fn subscribe_attacker(&mut self, attacker: usize, track: &Track) -> u32 {
        let serial = self.next_serial();
        let transport = self.attackers[attacker].transport;
        let id = SubscriptionId::new(transport.shard(), serial);
        let ssrc = 1_000_000 + serial * 2;
        let codecs = receive_codecs(track.published.kind).into_iter();
        let codecs = codecs.map(|codec| SendCodec {
            from_payload_type: codec.payload_type,
            payload_type: codec.payload_type,
            rtx_payload_type: codec.rtx_payload_type,
            codec: codec.codec,
            clock_rate_hz: codec.clock_rate_hz,
        });
        let request = subscription(id, transport, track, ssrc, codecs.collect());
        self.command(transport.shard(), Command::Subscribe(Box::new(request)));
        ssrc
    }

    /// Lets a hostile peer publish audio in a section of its own.
    pub fn publish_attacker(&mut self, attacker: usize, mid: &str) -> TrackId {
        let serial = self.next_serial();
        let transport = self.attackers[attacker].transport;
        let id = TrackId::new(transport.shard(), serial);
        let command = Command::Publish(Box::new(Publish {
            track: id,
            transport,
            kind: MediaKind::Audio,
            mid: Mid::new(mid.as_bytes()).expect("a short mid"),
            codecs: receive_codecs(MediaKind::Audio),
            extensions: extensions(),
            rids: Vec::new(),
            ssrcs: Vec::new(),
            nack: true,
            microphone_of: None,
        }));
        self.command(id.shard(), command);
        id
    }

    /// Makes a client a member of a room's data plane, sending and receiving on one transport.
    pub fn join_data(&mut self, room: RoomId, client: ClientIndex, name: &str) {
        let transport = self.clients[client.0].transport;
        for shard in 0..self.shards.len() {
            let member = DataMember {
                room,
                sid: format!("PA_{name}"),
                identity: name.to_owned(),
                sends_on: transport,
                receives_on: transport,
                can_publish: true,
                hidden: false,
            };
            self.command(
                ShardId(shard as u8),
                Command::SetDataMember(Box::new(member)),
            );
        }
    }

    /// Opens a transport; returns its identifier, its credentials and the address of its peer.
    fn open_transport(
        &mut self,
        shard: ShardId,
        open_data_channels: bool,
    ) -> (TransportId, IceCredentials, SocketAddr) {
        let serial = self.next_serial();
        let id = TransportId::new(shard, serial);
        let local = IceCredentials {
            ufrag: format!("ufrag{serial:011}"),
            password: format!("password{serial:022}"),
        };
        let open = OpenTransport {
            id,
            local: local.clone(),
            path_secret: PathSecret([serial as u8; 16]),
            open_data_channels,
            dtls_rng_seed: Some(u64::from(serial)),
        };
        self.command(shard, Command::OpenTransport(Box::new(open)));
        let address = SocketAddr::from(([10, 1, (serial >> 8) as u8, serial as u8], 5_000));
        (id, local, address)
    }

    fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }
}

fn subscription(
    id: SubscriptionId,
    transport: TransportId,
    track: &Track,
    ssrc: u32,
    codecs: Vec<SendCodec>,
) -> Subscribe {
    let kind = track.published.kind;
    Subscribe {
        id,
        transport,
        track: track.id,
        via: (track.id.shard() != id.shard()).then(|| track.id.shard().into()),
        kind,
        ssrc: Ssrc(ssrc),
        rtx_ssrc: (kind == MediaKind::Video).then_some(Ssrc(ssrc + 1)),
        codecs,
        extensions: Vec::new(),
        first_sequence: 17,
        cname: "publisher".to_owned(),
        settings: SubscriptionSettings {
            paused: false,
            max_layer: 2,
            ..SubscriptionSettings::default()
        },
    }
}
