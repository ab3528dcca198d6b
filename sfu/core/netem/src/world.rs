//! Shards, clients and the time that passes between them, in steps of a millisecond.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinguicall_proto::api::{
    Codec, Command, DataDelivery, DataMember, DtlsRole, Event, ExtensionId, ExtensionKind,
    IceCredentials, MediaKind, Mid, OpenTransport, Publish, ReceiveCodec, RemoteDescription, Rid,
    RoomId, SendCodec, ShardId, Ssrc, Subscribe, SubscriptionId, SubscriptionSettings, TrackId,
    TransportId,
};
use kinguicall_proto::egress::SocketIndex;
use kinguicall_proto::shard::{Shard, ShardConfig};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m_netem::NetemConfig;

use crate::attacker::Attacker;
use crate::client::Client;
use crate::descriptor::{self, DESCRIPTOR_ID};
use crate::host::SimHost;
use crate::shared_link::{Addressed, SharedLink};

/// Number of a client in its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIndex(pub usize);

/// What a test publishes: its numbers on the publisher's side.
#[derive(Debug, Clone)]
pub struct Published {
    pub client: ClientIndex,
    pub kind: MediaKind,
    /// Media and RTX SSRC per layer, lowest first.
    pub ssrcs: Vec<(u32, Option<u32>)>,
}

/// A published track as a subscriber can refer to it.
#[derive(Debug, Clone)]
pub struct Track {
    pub id: TrackId,
    pub published: Published,
}

/// Steps of simulated time.
const STEP: Duration = Duration::from_millis(1);
/// Payload types of video; RTX has the next higher one.
const VP8: u8 = 96;
pub const VP9: u8 = 98;
pub const AV1: u8 = 45;
/// Payload type of Opus.
pub const OPUS: u8 = 111;
/// Payload type of redundant audio.
pub const RED: u8 = 63;

/// Everything that takes part.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub clients: Vec<Client>,
    pub attackers: Vec<Attacker>,
    pub events: Vec<Event>,
    shards: Vec<(Shard, SimHost)>,
    shared: Option<SharedLink>,
    fingerprint: Vec<u8>,
    serial: u32,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}

impl World {
    pub fn new(shards: u8) -> Self {
        Self::with_audio_places(shards, 0)
    }

    /// A world in which so many microphones of a room are forwarded.
    pub fn with_audio_places(shards: u8, audio_places: usize) -> Self {
        // The one reading of a clock: simulated time has to start somewhere.
        let now = Instant::now();
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .expect("the crypto backend can make a certificate");
        let fingerprint = certificate.fingerprint();
        let shards = (0..shards)
            .map(|id| {
                let config = ShardConfig {
                    id: ShardId(id),
                    certificate: certificate.clone(),
                    local_addresses: Arc::from([server_address(ShardId(id))]),
                    shards,
                    epoch: now,
                    epoch_ntp: 0xe000_0000 << 32,
                    gather: Duration::from_millis(1),
                    audio_places,
                };
                let shard = Shard::new(config).expect("the crypto backend works");
                (shard, SimHost::default())
            })
            .collect();
        Self {
            now,
            start: now,
            clients: Vec::new(),
            attackers: Vec::new(),
            events: Vec::new(),
            shards,
            shared: None,
            fingerprint,
            serial: 0,
        }
    }

    /// Adds a client with its peer connection on `shard`.
    pub fn connect(&mut self, shard: u8, open_data_channels: bool) -> ClientIndex {
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
        self.publish_in(client, kind, layers, None)
    }

    /// Publishes a microphone that shares places with the others of its room.
    pub fn publish_microphone(&mut self, client: ClientIndex, room: RoomId) -> Track {
        self.publish_in(client, MediaKind::Audio, 1, Some(room))
    }

    fn publish_in(
        &mut self,
        client: ClientIndex,
        kind: MediaKind,
        layers: u8,
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
            let rtx = (kind == MediaKind::Video).then_some(ssrc + 1);
            let rid = (layers > 1).then(|| RIDS[usize::from(layer)].into());
            direct.declare_stream_tx(ssrc.into(), rtx.map(Into::into), mid.as_str().into(), rid);
            ssrcs.push((ssrc, rtx));
        }
        let command = Command::Publish(Box::new(Publish {
            track: id,
            transport: peer.transport,
            kind,
            mid: Mid::new(mid.as_bytes()).expect("a short mid"),
            codecs: receive_codecs(kind),
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
        self.subscribe_as(client, track, |codec| codec)
    }

    /// Subscribes a client that has not negotiated redundant audio.
    pub fn subscribe_without_red(
        &mut self,
        client: ClientIndex,
        track: &Track,
    ) -> (SubscriptionId, u32) {
        let [opus, _] = AUDIO_CODECS;
        self.subscribe_as(client, track, |codec| match codec.codec {
            Codec::Red => opus,
            _ => codec,
        })
    }

    /// `negotiated` tells what each of the publisher's codecs leaves as.
    fn subscribe_as(
        &mut self,
        client: ClientIndex,
        track: &Track,
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
        let rtx = (kind == MediaKind::Video).then_some(ssrc + 1);
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

    /// Sends one RTP packet from a publisher.
    pub fn send(&mut self, track: &Track, layer: usize, packet: &SentPacket<'_>) {
        let [codec, ..] = receive_codecs(track.published.kind)[..] else {
            return;
        };
        self.send_as(track, layer, packet, codec.payload_type);
    }

    /// Sends one RTP packet under another of the payload types that the publisher negotiated.
    pub fn send_as(
        &mut self,
        track: &Track,
        layer: usize,
        packet: &SentPacket<'_>,
        payload_type: u8,
    ) {
        self.send_described(track, layer, packet, payload_type, &[]);
    }

    /// Sends one RTP packet with a dependency descriptor, unless that is empty.
    pub fn send_described(
        &mut self,
        track: &Track,
        layer: usize,
        packet: &SentPacket<'_>,
        payload_type: u8,
        dependency_descriptor: &[u8],
    ) {
        let wallclock = self.now;
        let peer = &mut self.clients[track.published.client.0];
        let mut direct = peer.rtc.direct_api();
        let ssrc = track.published.ssrcs[layer].0.into();
        let stream = direct.stream_tx(&ssrc).expect("declared by publish");
        let write = RtpWrite::new(
            payload_type.into(),
            packet.sequence.into(),
            packet.timestamp,
            wallclock,
            packet.payload,
        )
        .marker(packet.marker)
        .nackable(true);
        let mut extensions = ExtensionValues {
            audio_level: packet.audio_level,
            voice_activity: packet.audio_level.map(|_| true),
            ..ExtensionValues::default()
        };
        descriptor::put(&mut extensions, dependency_descriptor);
        stream.write_rtp(write.ext_vals(extensions));
    }

    /// Sends a message on one of a client's channels; `false` if it is not open.
    pub fn write_data(&mut self, client: ClientIndex, label: &str, message: &[u8]) -> bool {
        let client = &mut self.clients[client.0];
        let Some((id, _)) = client.channels.iter().find(|(_, known)| known == label) else {
            return false;
        };
        let id = *id;
        let channel = client.rtc.channel(id);
        channel.is_some_and(|mut channel| channel.write(true, message).is_ok())
    }

    /// A message of the server's own.
    pub fn send_data(
        &mut self,
        shard: ShardId,
        room: RoomId,
        delivery: DataDelivery,
        packet: &[u8],
    ) {
        let packet = packet.to_vec();
        self.command(
            shard,
            Command::SendData {
                room,
                delivery,
                packet,
            },
        );
    }

    /// Gives an order to a shard.
    pub fn command(&mut self, shard: ShardId, command: Command) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_command(self.now, command, host);
        shard.end_turn(self.now, host);
        self.exchange();
    }

    /// A datagram from nobody in particular.
    pub fn inject(&mut self, shard: ShardId, from: SocketAddr, mut datagram: Vec<u8>) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_datagram(self.now, SocketIndex(0), from, &mut datagram, host);
        shard.end_turn(self.now, host);
    }

    /// The thread of a shard has not been able to empty its sockets for so long.
    pub fn fall_behind(&mut self, shard: ShardId, behind: Duration) {
        let (shard, host) = &mut self.shards[usize::from(shard.0)];
        shard.handle_lag(self.now, behind, host);
    }

    /// From here on these clients have one downlink in common.
    pub fn share_downlink(&mut self, clients: &[ClientIndex], config: NetemConfig) {
        let members = clients.iter().map(|client| client.0).collect();
        self.shared = Some(SharedLink::new(members, config));
    }

    /// What a shard's surroundings have seen of it.
    pub fn host(&self, shard: ShardId) -> &SimHost {
        &self.shards[usize::from(shard.0)].1
    }

    pub fn shard(&self, shard: ShardId) -> &Shard {
        &self.shards[usize::from(shard.0)].0
    }

    /// Lets `duration` pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `done`, at most `limit`; tells whether it was reached.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + limit;
        while self.now < end {
            if done(self) {
                return true;
            }
            self.step();
        }
        done(self)
    }

    pub fn run_until_connected(&mut self) {
        let connected = self.run_until(Duration::from_secs(20), |world| {
            world.clients.iter().all(|client| client.connected)
        });
        assert!(connected, "some client has not connected");
    }

    fn step(&mut self) {
        self.now += STEP;
        for passed in self.shared.iter_mut().flat_map(|it| it.advance(self.now)) {
            self.clients[passed.to].arrive(self.now, passed.datagram);
        }
        for client in &mut self.clients {
            let from = client.seen_as;
            let shard = usize::from(client.transport.shard().0);
            for mut datagram in client.advance(self.now) {
                let (shard, host) = &mut self.shards[shard];
                shard.handle_datagram(self.now, SocketIndex(0), from, &mut datagram, host);
            }
        }
        for attacker in &mut self.attackers {
            let (shard, host) = &mut self.shards[usize::from(attacker.transport.shard().0)];
            for mut datagram in attacker.advance(self.now) {
                let from = attacker.address;
                shard.handle_datagram(self.now, SocketIndex(0), from, &mut datagram, host);
            }
        }
        for (shard, host) in &mut self.shards {
            shard.handle_timeout(self.now, host);
            shard.end_turn(self.now, host);
        }
        self.exchange();
        self.deliver();
    }

    fn exchange(&mut self) {
        for from in 0..self.shards.len() {
            while let Some((to, message)) = self.shards[from].1.messages.pop_front() {
                let (shard, host) = &mut self.shards[usize::from(to.0)];
                shard.handle_peer(self.now, message, host);
            }
            while let Some((to, meta, payload)) = self.shards[from].1.media.pop_front() {
                let (shard, host) = &mut self.shards[usize::from(to.0)];
                shard.handle_media(self.now, &meta, &payload, host);
            }
        }
        for (shard, host) in &mut self.shards {
            shard.end_turn(self.now, host);
        }
    }

    fn deliver(&mut self) {
        for (_, host) in &mut self.shards {
            self.events.append(&mut host.events);
            while let Some((to, datagram)) = host.datagrams.pop_front() {
                if let Some(to) = self.clients.iter().position(|c| c.seen_as == to) {
                    let addressed = Addressed { to, datagram };
                    let own = match &mut self.shared {
                        Some(link) => link.take(self.now, addressed),
                        None => Some(addressed),
                    };
                    if let Some(Addressed { to, datagram }) = own {
                        self.clients[to].arrive(self.now, datagram);
                    }
                } else if let Some(attacker) = self.attackers.iter_mut().find(|a| a.address == to) {
                    attacker.arrive(datagram);
                }
            }
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

/// One packet as a test sends it.
#[derive(Debug, Clone, Copy)]
pub struct SentPacket<'a> {
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: &'a [u8],
    /// In dBov, 0 the loudest and -127 silence.
    pub audio_level: Option<i8>,
}

const RIDS: [&str; 3] = ["q", "h", "f"];

fn server_address(shard: ShardId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7_882 + u16::from(shard.0)))
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

/// What a publisher may send, the default first.
fn receive_codecs(kind: MediaKind) -> Vec<ReceiveCodec> {
    match kind {
        MediaKind::Audio => AUDIO_CODECS.to_vec(),
        MediaKind::Video => [(VP8, Codec::Vp8), (VP9, Codec::Vp9), (AV1, Codec::Av1)]
            .map(|(payload_type, codec)| ReceiveCodec {
                payload_type,
                codec,
                clock_rate_hz: 90_000,
                rtx_payload_type: Some(payload_type + 1),
            })
            .to_vec(),
    }
}

const AUDIO_CODECS: [ReceiveCodec; 2] = [
    ReceiveCodec {
        payload_type: OPUS,
        codec: Codec::Opus,
        clock_rate_hz: 48_000,
        rtx_payload_type: None,
    },
    ReceiveCodec {
        payload_type: RED,
        codec: Codec::Red,
        clock_rate_hz: 48_000,
        rtx_payload_type: None,
    },
];

const DESCRIPTOR: ExtensionId = ExtensionId {
    id: DESCRIPTOR_ID,
    kind: ExtensionKind::DependencyDescriptor,
};

/// The identifiers that str0m uses by default, and the dependency descriptor's.
fn extensions() -> Vec<ExtensionId> {
    [
        (1, ExtensionKind::AudioLevel),
        (2, ExtensionKind::AbsSendTime),
        (3, ExtensionKind::TransportCc),
        (4, ExtensionKind::Mid),
        (10, ExtensionKind::Rid),
        (11, ExtensionKind::RepairedRid),
        (DESCRIPTOR_ID, ExtensionKind::DependencyDescriptor),
    ]
    .map(|(id, kind)| ExtensionId { id, kind })
    .to_vec()
}
